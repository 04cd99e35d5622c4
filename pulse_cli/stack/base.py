"""What every part of the model is made of: frozen tables, and ports."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=1, le=65535)]


def _address(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        raise ValueError("must be an IP address such as 127.0.0.1") from None


Host = Annotated[str, AfterValidator(_address)]
"""An IP address to listen on; Envoy and RabbitMQ take no names."""


class Frozen(BaseModel):
    """A table of the configuration: typed, unchangeable, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
