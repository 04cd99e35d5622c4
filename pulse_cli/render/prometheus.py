"""Prometheus' configuration."""

from __future__ import annotations

from pulse_cli.programs import LOOPBACK, scraped
from pulse_cli.render.jinja import fill
from pulse_cli.stack.model import Stack


def files(stack: Stack) -> dict[str, str]:
    """Return what Prometheus reads to scrape every instance and the gateway."""
    text = fill("prometheus/scrape.yml.j2", services=scraped(stack), stack=stack, host=LOOPBACK)
    return {"prometheus.yml": text}
