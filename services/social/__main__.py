"""Run one instance of the service: `python -m services.social`."""

from services.kit.app import run
from services.social.app import create_app

run(create_app)
