"""Calls below `/internal`, on a running stack."""

from __future__ import annotations

from typing import Any

import httpx

from pulse_cli.stack.model import ServiceName
from services.kit.auth import service_token
from tests.conftest import RunningStack
from tests.connected.people import WITHIN, settings_of


def instance_url(stack: RunningStack, service: ServiceName) -> str:
    """The base URL of a service's first instance."""
    return f"http://127.0.0.1:{stack.stack.services[service].port}"


async def internal(
    stack: RunningStack,
    caller: str,
    service: ServiceName,
    path: str,
    body: dict[str, Any] | None = None,
    **params: str | int,
) -> httpx.Response:
    """Call a service as another one does: POST with a body, else GET."""
    settings = settings_of(service, stack.stack, stack.state).model_copy(update={"name": caller})
    headers = {"Authorization": f"Bearer {service_token(settings, service)}"}
    method = "GET" if body is None else "POST"
    url = instance_url(stack, service) + path
    async with httpx.AsyncClient(timeout=WITHIN) as client:
        return await client.request(method, url, json=body, params=params, headers=headers)
