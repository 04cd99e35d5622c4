"""Which components of a stack are meant by the names that people say."""

from __future__ import annotations

from collections.abc import Sequence

from pulse_cli.errors import ConfigError
from pulse_cli.targets.local.plan import Component


def choose(components: Sequence[Component], names: Sequence[str]) -> list[str]:
    """Return the components that names mean: a component, or a service with all its instances.

    None named means all.

    Raises:
        ConfigError: a name means nothing.
    """
    if not names:
        return [one.name for one in components]
    chosen: list[str] = []
    for name in names:
        found = [c.name for c in components if name in {c.name, _service_of(c)}]
        if not found:
            known = ", ".join(dict.fromkeys(_service_of(c) or c.name for c in components))
            raise ConfigError(f"the stack has no component {name!r}; it has {known}")
        chosen += found
    return chosen


def instance(components: Sequence[Component], name: str) -> Component:
    """Return a service's instance, such as `posts-0`.

    Raises:
        ConfigError: there is none of that name.
    """
    instances = {c.name: c for c in components if c.kind == "service"}
    if name not in instances:
        raise ConfigError(f"there is no instance {name!r}; there are {', '.join(instances)}")
    return instances[name]


def is_ready(component: Component) -> bool:
    """Whether a component answers its probe that it is ready."""
    return component.probe is not None and component.probe().ready


def _service_of(component: Component) -> str | None:
    """Return the service that a component is an instance of."""
    return component.name.rpartition("-")[0] if component.kind == "service" else None
