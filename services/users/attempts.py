"""How often a password may be guessed: counted by account and by client address, in Redis."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import IPv6Address, ip_address

from redis.asyncio import Redis

from services.kit.errors import ServiceError
from services.users.scripts import ATTEMPT, SUCCEEDED
from services.users.sessions import answered

OF_ACCOUNT = 10
"""Failures of one account in a window, from wherever (NIST SP 800-63B allows at most 100)."""

OF_ADDRESS = 100
"""Failures of one address in a window: many people may share one."""

WINDOW_SECONDS = 900
"""A window begins with the first failure."""

_NETWORK_BITS = 64
"""One IPv6 client commonly has all addresses of such a network."""


class Attempts:
    """Every method raises ServiceError 503 when Redis is away: guesses must not go uncounted."""

    def __init__(self, redis: Redis) -> None:
        self._attempt = redis.register_script(ATTEMPT)
        self._succeeded = redis.register_script(SUCCEEDED)

    async def begin(self, account: str, address: str) -> None:
        """Count an attempt as failed until it has succeeded.

        Raises:
            ServiceError: 429 `too_many_attempts`, with `Retry-After`.
        """
        limits = [OF_ACCOUNT, OF_ADDRESS, WINDOW_SECONDS]
        seconds = await answered(self._attempt(keys=_keys(account, address), args=limits))
        if seconds:
            raise ServiceError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_attempts",
                "Too many wrong passwords; try again later.",
                headers={"Retry-After": str(seconds)},
            )

    async def succeeded(self, account: str, address: str) -> None:
        """The password was right."""
        await answered(self._succeeded(keys=_keys(account, address)))


def _keys(account: str, address: str) -> list[str]:
    client = ip_address(address)
    if isinstance(client, IPv6Address):
        client = IPv6Address(int(client) >> _NETWORK_BITS << _NETWORK_BITS)
    return [f"users:attempts:account:{account}", f"users:attempts:address:{client}"]
