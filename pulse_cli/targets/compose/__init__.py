"""The compose target: a stack as containers of the Docker Engine on this machine.

`docker compose` makes the containers from the rendered project; they are started, watched and
stopped through the engine's own interface, in the order and with the probes of every other target.
Containers and their network are found by compose's own label, so nothing but the state folder's
path is needed to find them again.

- `target.py`: what `pulse up` and its like do here
- `plan.py`: the containers, their order and their probes
- `engine.py`: the engine, and what is wrong with it in one sentence
- `project.py`: `docker compose`, and the files that it and the containers read
- `image.py`: the services' image, and the images of others
- `network.py`: a network that no other one overlaps
- `gateway.py`: telling the gateway of other instances; `stopping.py`, `logs.py`: the rest of a
  container's life; `processes.py`: the processes in them, for `pulse bench`; `doctor.py`
"""
