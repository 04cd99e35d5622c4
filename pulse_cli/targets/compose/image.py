"""The images that a stack needs: the services' own is built, all others are pulled once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pulse_cli.errors import MissingComponent, PulseError
from pulse_cli.stack.model import Stack
from pulse_cli.targets.compose.engine import Engine, refused
from pulse_cli.targets.compose.project import Project

CONTENT_LABEL = "pulse.content"

OBSERVERS = ("prometheus", "grafana", "jaeger")

Say = Callable[[str], None]


def ensure(engine: Engine, project: Project, stack: Stack, content: str, say: Say) -> bool:
    """Have every image of a stack: those that are here are taken as they are.

    Returns whether the services' image was built.

    Args:
        engine: where they shall be.
        project: the one that says how the services' image is built.
        stack: the stack.
        content: the digest of what the services' image is built from.
        say: told of what takes its time.

    Raises:
        MissingComponent: an image is not here and cannot be had.
        Unusable: the services' image cannot be built.
    """
    for name in _wanted(stack):
        if name != "services" or not stack.compose.build:
            _have(engine, name, stack.images[name], say)
    if stack.compose.build and _content(engine, stack.images.services) != content:
        _have(engine, "base", stack.images.base, say)
        say(f"building {stack.images.services} …")
        project.build()
        return True
    return False


def remove_replaced(engine: Engine) -> None:
    """Remove services' images whose name a later build has taken, unless they are used.

    It is for tidiness alone: an engine that is tidying already refuses, which changes nothing.
    """
    with suppress(PulseError), refused():
        engine.client.images.prune({"dangling": True, "label": CONTENT_LABEL})


def present(engine: Engine, stack: Stack) -> dict[str, bool]:
    """Return whether each image of a stack is on this machine, by the setting's name."""
    return {name: _content(engine, stack.images[name]) is not None for name in _wanted(stack)}


def _wanted(stack: Stack) -> tuple[str, ...]:
    observers = OBSERVERS if stack.compose.observability else ()
    return ("postgres", "redis", "rabbitmq", stack.gateway.kind, *observers, "services")


def _content(engine: Engine, image: str) -> str | None:
    from docker.errors import ImageNotFound

    with refused():
        try:
            return str(engine.client.images.get(image).labels.get(CONTENT_LABEL))
        except ImageNotFound:
            return None


def _have(engine: Engine, name: str, image: str, say: Say) -> None:
    from docker.errors import APIError, DockerException, ImageNotFound
    from docker.utils import parse_repository_tag
    from requests.exceptions import RequestException

    with refused():
        try:
            engine.client.images.get(image)
            return
        except ImageNotFound:
            pass
    say(f"pulling {image} …")
    repository, tag = parse_repository_tag(image)
    try:
        said = engine.client.api.pull(repository, tag or "latest", stream=True, decode=True)
        error = next((line["error"] for line in said if "error" in line), None)
    except APIError as refusal:
        error = str(refusal.explanation)
    except (DockerException, RequestException) as failure:
        error = str(failure)
    if error is not None:
        raise MissingComponent(
            f"the image {image} is not here and cannot be pulled ({error.strip()}); set "
            f"images.{name} to one that can"
        )
