"""Where a stack runs, behind one protocol (`target.py`).

- `local/`: processes of this machine, under Supervisor
- `progress.py`: how components come up, and showing it to people
- `probes.py`: asking a component whether it is ready
"""
