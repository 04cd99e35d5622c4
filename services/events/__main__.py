"""Run one instance of the service: `python -m services.events`."""

from services.events.app import create_app
from services.kit.app import run

run(create_app)
