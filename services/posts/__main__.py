"""Run one instance of the service: `python -m services.posts`."""

from services.kit.app import run
from services.posts.app import create_app

run(create_app)
