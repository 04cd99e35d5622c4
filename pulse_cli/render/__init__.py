"""What is derived from the stack: templates filled from the model, and the folders they go to.

`local` writes what the local target's own programs read. Everything else is rendered for others:
one module each, with a function `files(stack)` that returns text by relative path and touches
nothing; `renderables` lists them and `folder` writes them.
"""
