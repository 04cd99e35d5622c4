"""Names of several addresses: found, followed, and kept when they cannot be looked up."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from services.kit import names as names_module
from services.kit.errors import ServiceError
from services.kit.names import Names

URL = "dns+http://posts-pods:8082"


class Dns:
    """Stands for the resolver of the event loop."""

    def __init__(self) -> None:
        self.addresses: list[str] | OSError = []
        self.asked = 0

    async def __call__(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert (host, port) == ("posts-pods", 8082)
        self.asked += 1
        if isinstance(self.addresses, OSError):
            raise self.addresses
        return [(0, 0, 0, "", (address, port)) for address in self.addresses]


@pytest.fixture
async def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    dns = Dns()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", dns)
    return dns


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    names = Names()
    yield names
    await names.close()


async def test_a_name_is_every_address_that_it_has(names: Names, dns: Dns) -> None:
    dns.addresses = ["10.0.0.2", "10.0.0.1", "10.0.0.2"]
    assert await names.urls(URL) == ["http://10.0.0.1:8082", "http://10.0.0.2:8082"]


async def test_addresses_of_ipv6_are_bracketed(names: Names, dns: Dns) -> None:
    dns.addresses = ["fd00::1"]
    assert await names.urls(URL) == ["http://[fd00::1]:8082"]


async def test_callers_of_the_same_moment_share_a_look_up(names: Names, dns: Dns) -> None:
    dns.addresses = ["10.0.0.1"]
    await asyncio.gather(*(names.urls(URL) for _ in range(5)))
    assert dns.asked == 1


async def test_an_answer_is_followed_without_waiting_for_it(
    names: Names, dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names_module, "_FRESH_SECONDS", 0.0)
    dns.addresses = ["10.0.0.1"]
    assert await names.urls(URL) == ["http://10.0.0.1:8082"]
    dns.addresses = ["10.0.0.3"]
    assert await names.urls(URL) == ["http://10.0.0.1:8082"]
    for _ in range(3):  # the look-up that this one began
        await asyncio.sleep(0)
    assert await names.urls(URL) == ["http://10.0.0.3:8082"]


async def test_what_was_known_serves_while_names_cannot_be_looked_up(
    names: Names, dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names_module, "_FRESH_SECONDS", 0.0)
    dns.addresses = ["10.0.0.1"]
    await names.urls(URL)
    dns.addresses = socket.gaierror("no answer")
    for _ in range(5):
        assert await names.urls(URL) == ["http://10.0.0.1:8082"]
        await asyncio.sleep(0)


async def test_a_name_that_was_never_found_is_unavailable(names: Names, dns: Dns) -> None:
    dns.addresses = socket.gaierror("no such name")
    with pytest.raises(ServiceError, match="posts-pods"):
        await names.urls(URL)
