"""Run one instance of the service: `python -m services.notifications`."""

from services.kit.app import run
from services.notifications.app import create_app

run(create_app)
