"""What a service says of its own health."""

from __future__ import annotations

from typing import Literal

from pulse_sdk.contract.common import ResponseModel, Timestamp

Status = Literal["up", "down"]


class Health(ResponseModel):
    """The answer of `/health`; 503 when `status` is `down`."""

    status: Status
    service: str
    instance: int
    timestamp: Timestamp
    uptime_seconds: float
    database: Status
    redis: Status
    rabbitmq: Status
