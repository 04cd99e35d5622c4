"""Where a stack runs, behind one protocol (`target.py`).

- `local/`: processes of this machine, under Supervisor
- `compose/`: containers of this machine's Docker Engine
- `bringup.py`: starting components in the order of their needs
- `changing.py`: one command at a time, undone when it fails
- `choosing.py`: which components are meant by names
- `progress.py`: how components come up, and showing it to people
- `probes.py`: asking a component whether it is ready
"""
