"""Where notifications may be pushed to."""

from __future__ import annotations

import pytest

from services.kit.errors import ServiceError
from services.notifications.push import _PublicResolver, check_endpoint, is_public


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example/1",
        "https://127.0.0.1/1",
        "https://10.1.2.3:8443/1",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/1",
        "https://0.0.0.0/1",
        "https://[::1]/1",
        "https://[fd00::1]/1",
        "https://[::ffff:127.0.0.1]/1",
        "https://[64:ff9b::7f00:1]/1",
        "https://[2002:7f00:1::]/1",
        "https://224.0.0.1/1",
        "https://me@push.example/1",
        "https:///1",
        "https://push.example:port/1",
    ],
)
def test_an_endpoint_is_a_public_address_with_https(endpoint: str) -> None:
    with pytest.raises(ServiceError):
        check_endpoint(endpoint, private=False)


@pytest.mark.parametrize(
    "endpoint",
    ["https://push.example/1", "https://93.184.216.34/1", "https://[2606:4700::1111]:8443/1"],
)
def test_a_push_service_is_an_endpoint(endpoint: str) -> None:
    check_endpoint(endpoint, private=False)


async def test_a_name_does_not_lead_to_a_private_address() -> None:
    resolver = _PublicResolver()
    try:
        for name in ("localhost", "0x7f.1", "2130706433"):
            with pytest.raises(OSError, match="private address"):
                await resolver.resolve(name, 443)
    finally:
        await resolver.close()


def test_an_address_with_a_zone_is_seen_through() -> None:
    assert not is_public("fe80::1%eth0")
    assert is_public("1.1.1.1")
