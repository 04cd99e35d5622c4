"""Jinja templates of everything that is rendered from the stack."""
