"""Run one instance of the service: `python -m services.users`."""

from services.kit.app import run
from services.users.app import create_app

run(create_app)
