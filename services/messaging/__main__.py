"""Run one instance of the service: `python -m services.messaging`."""

from services.kit.app import run
from services.messaging.app import create_app

run(create_app)
