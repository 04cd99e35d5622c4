"""Web Push (RFC 8030): encrypted for the device (RFC 8291), signed by the platform (RFC 8292).

Every instance takes what is due (see `devices`), so a push is tried by one at a time; it may come
twice when an instance dies between the delivery and its note of it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, IPv6Network, ip_address
from socket import AddressFamily
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import http_ece
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from prometheus_client import Counter
from py_vapid import Vapid02, VapidException

from pulse_sdk.contract.common import FieldError
from pulse_sdk.contract.notifications import Device, Devices, PushKey, RegisterDevice
from services.kit.auth import Identity
from services.kit.errors import ServiceError
from services.kit.settings import Settings
from services.notifications.devices import DeviceStore, Push

log = logging.getLogger(__name__)

PUSHES = Counter("pushes_total", "Attempts to push to a device.", ["outcome"])

_SECONDS = 10.0
"""How long a push service may take."""
_AT_ONCE = 50
_POLL_SECONDS = 2.0
_RETRY_SECONDS = (5, 30, 120, 600)
_LONGEST_WAIT_SECONDS = 3600
_KEEP_SECONDS = 86_400
"""How long a push service keeps what it cannot deliver (TTL)."""
_SIGNED_SECONDS = 3600
_GONE = {404, 410}
_BUSY = 429
_NAT64 = IPv6Network("64:ff9b::/96")


class Pusher:
    """Delivers what waits to be pushed."""

    def __init__(self, settings: Settings, devices: DeviceStore) -> None:
        self._devices = devices
        self._contact = settings.push_contact
        self._private = settings.push_private_addresses
        self._vapid = vapid(settings)
        self._written = asyncio.Event()

    def wake(self) -> None:
        """Tell that something waits, so that it need not wait for the next look."""
        self._written.set()

    async def run(self) -> None:
        """Deliver until cancelled; while PostgreSQL is away nothing is lost."""
        async with _open_session(private=self._private) as session:
            await self._run(session)

    async def _run(self, session: aiohttp.ClientSession) -> None:
        while True:
            self._written.clear()
            try:
                pushes = await self._devices.take(_AT_ONCE)
                await asyncio.gather(*(self._deliver(session, push) for push in pushes))
                if pushes:
                    continue
            except ServiceError as error:
                log.warning("pushes wait: %s", error)
            except Exception:  # whatever it is, what comes after is still to be pushed
                log.exception("pushes wait")
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._written.wait()
            except TimeoutError:
                pass

    async def _deliver(self, session: aiohttp.ClientSession, push: Push) -> None:
        origin = _origin(push.endpoint)
        wait: float | None = None
        try:
            check_endpoint(push.endpoint, private=self._private)
            status, wait = await self._send(session, push, origin)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("no push to %s: %r", origin, error)
            status = 0
        except (ServiceError, ValueError, VapidException) as error:
            log.warning("what cannot be pushed to %s is given up: %r", origin, error)
            status = 400
        if 200 <= status < 300:
            outcome = "delivered"
            await self._devices.done(push.id)
        elif status in _GONE:
            outcome = "gone"
            await self._forget(push)
        elif status in {0, _BUSY} or status >= 500:
            outcome = "failed"
            await self._again(push, wait)
        else:
            outcome = "refused"
            log.warning("%s refused a push: %d", origin, status)
            await self._devices.done(push.id)
        PUSHES.labels(outcome).inc()

    async def _send(
        self, session: aiohttp.ClientSession, push: Push, origin: str
    ) -> tuple[int, float | None]:
        """The answer's status, and how long it asks us to wait."""
        claims = {
            "aud": origin,
            "sub": self._contact,
            "exp": int(time.time()) + _SIGNED_SECONDS,
        }
        headers = {
            **self._vapid.sign(claims),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(_KEEP_SECONDS),
        }
        body = encrypted(push.notification, push.p256dh, push.auth)
        async with (
            asyncio.timeout(_SECONDS),
            session.post(
                push.endpoint, data=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            wait = answer.headers.get("Retry-After", "")
            return answer.status, float(wait) if wait.isdecimal() else None

    async def _again(self, push: Push, wait: float | None) -> None:
        if push.attempts > len(_RETRY_SECONDS):
            await self._devices.done(push.id)
            return
        seconds = max(wait or 0.0, _RETRY_SECONDS[push.attempts - 1])
        await self._devices.later(push.id, min(seconds, _LONGEST_WAIT_SECONDS))

    async def _forget(self, push: Push) -> None:
        try:
            await self._devices.remove(push.user_id, push.device_id)
        except ServiceError as error:
            if error.code != "device_not_found":  # another push found it gone as well
                raise


class DevicesService:
    """The devices that a person's notifications are pushed to."""

    def __init__(self, devices: DeviceStore, settings: Settings) -> None:
        self._devices = devices
        self._private = settings.push_private_addresses
        self._key = PushKey(key=public_key(settings))

    def key(self) -> PushKey:
        """What a browser is given to subscribe with."""
        return self._key

    async def register(self, caller: Identity, wanted: RegisterDevice) -> Device:
        """Have notifications pushed to a device.

        Raises:
            ServiceError: 409 `too_many_devices`; 422, it is no subscription that could be
                pushed to.
        """
        check_device(wanted, private=self._private)
        return await self._devices.register(caller.user_id, wanted)

    async def devices(self, caller: Identity) -> Devices:
        """The caller's devices, latest first."""
        return Devices(items=await self._devices.of_user(caller.user_id))

    async def remove(self, caller: Identity, device_id: UUID) -> None:
        """Have nothing pushed to a device any more.

        Raises:
            ServiceError: 404 `device_not_found`, also when it is somebody else's.
        """
        await self._devices.remove(caller.user_id, device_id)


def vapid(settings: Settings) -> Vapid02:
    """The key pair that push services know the platform by."""
    return Vapid02.from_raw(settings.vapid_key.get_secret_value().encode())


def public_key(settings: Settings) -> str:
    """What subscriptions are made for: the public key, uncompressed, base64url."""
    point = vapid(settings).public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).decode().rstrip("=")


def encrypted(text: bytes, p256dh: str, auth: str) -> bytes:
    """The body that only the device can read.

    Raises:
        ValueError: the keys are not a subscription's.
    """
    secret = _decoded(auth)
    if len(secret) != 16:
        raise ValueError("auth must be 16 bytes")
    point = _decoded(p256dh)
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    body: bytes = http_ece.encrypt(
        text,
        salt=os.urandom(16),
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=point,
        auth_secret=secret,
        version="aes128gcm",
    )
    return body


def check_device(wanted: RegisterDevice, *, private: bool) -> None:
    """Refuse what nothing could be pushed to.

    Raises:
        ServiceError: 422.
    """
    check_endpoint(wanted.endpoint, private=private)
    try:
        encrypted(b"", wanted.keys.p256dh, wanted.keys.auth.get_secret_value())
    except ValueError:
        message = "are not the keys of a push subscription"
        raise ServiceError.invalid([FieldError(field="keys", message=message)]) from None


def check_endpoint(endpoint: str, *, private: bool) -> None:
    """Refuse an endpoint that is not a push service's; names are looked at when they resolve.

    Raises:
        ServiceError: 422.
    """
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.username is not None or parts.scheme not in {"https", "http"}:
        raise _not_an_endpoint("must be the address of a push service")
    if parts.scheme == "http" and not private:
        raise _not_an_endpoint("must begin with https://")
    try:
        reachable = private or is_public(host)
    except ValueError:
        return
    if not reachable:
        raise _not_an_endpoint("must be a public address")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's, and not a way around to a private one.

    Raises:
        ValueError: it is none.
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip.sixtofour is not None or ip.teredo is not None or ip in _NAT64:
            return False
    return ip.is_global and not ip.is_multicast


class _PublicResolver(AbstractResolver):
    """Resolves names, but to no private address: a name may lead anywhere, at any time."""

    def __init__(self) -> None:
        self._resolver = aiohttp.DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(result["host"]) for result in found):
            raise OSError(f"{host} has a private address")
        return found

    async def close(self) -> None:
        await self._resolver.close()


@asynccontextmanager
async def _open_session(*, private: bool) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client for push services, closed in the end."""
    resolver = None if private else _PublicResolver()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_AT_ONCE, resolver=resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield session


def _origin(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def _not_an_endpoint(message: str) -> ServiceError:
    return ServiceError.invalid([FieldError(field="endpoint", message=message)])
