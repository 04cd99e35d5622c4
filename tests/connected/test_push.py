"""What is pushed to devices, over the gateway, with the test as the push service."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import http_ece
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.connected.people import People, Person, code, served, until

NOTIFICATIONS = "/api/v1/notifications"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Browser:
    """A subscription, and what its push service was sent."""

    def __init__(self, url: str) -> None:
        self.endpoint = f"{url}/{_base64url(os.urandom(12))}"
        self.answers: list[int] = []
        """Statuses that the push service gives, in turn; then 201."""
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = os.urandom(16)

    @property
    def subscription(self) -> dict[str, Any]:
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": _base64url(point), "auth": _base64url(self._auth)}
        return {"endpoint": self.endpoint, "keys": keys}

    @property
    def kinds(self) -> list[str]:
        return [told["kind"] for _, told in self.requests]

    def receive(self, headers: dict[str, str], body: bytes) -> int:
        text = http_ece.decrypt(
            body, private_key=self._key, auth_secret=self._auth, version="aes128gcm"
        )
        self.requests.append((headers, json.loads(text)))
        return self.answers.pop(0) if self.answers else 201

    async def register(self, person: Person) -> str:
        answer = await person.http.put(f"{NOTIFICATIONS}/devices", json=self.subscription)
        assert answer.status_code == 200, answer.text
        device_id: str = answer.json()["id"]
        return device_id


class PushService:
    """Makes browsers, and takes what is pushed to them."""

    def __init__(self) -> None:
        self.url = ""
        self.browsers: dict[str, Browser] = {}

    def browser(self) -> Browser:
        made = Browser(self.url)
        self.browsers[made.endpoint] = made
        return made

    async def take(self, request: web.Request) -> web.Response:
        browser = self.browsers[str(request.url)]
        status = browser.receive(dict(request.headers), await request.read())
        return web.Response(status=status, headers={"Location": f"{self.url}/elsewhere"})


@pytest.fixture
async def push_service() -> AsyncIterator[PushService]:
    service = PushService()
    app = web.Application()
    app.router.add_post("/{device}", service.take)
    async with served(app) as url:
        service.url = url
        yield service


async def _follow(follower: Person, followee: Person) -> None:
    answer = await follower.http.put(f"/api/v1/social/following/{followee.id}")
    assert answer.status_code == 204


async def test_a_notification_is_pushed_so_that_the_device_alone_can_read_it(
    people: People, push_service: PushService
) -> None:
    ada, ben = await people.new(), await people.new()
    phone, laptop = push_service.browser(), push_service.browser()
    for browser in (phone, laptop, phone):  # a browser may register again
        await browser.register(ada)

    await _follow(ben, ada)

    async def arrived() -> tuple[int, int]:
        return len(phone.requests), len(laptop.requests)

    await until(arrived, (1, 1))
    headers, told = phone.requests[0]
    (listed,) = (await ada.http.get(NOTIFICATIONS)).json()["items"]
    assert {**told, "created_at": ""} == {**listed, "created_at": ""}
    assert headers["Content-Encoding"] == "aes128gcm"
    assert int(headers["TTL"]) > 0

    key = (await ada.http.get(f"{NOTIFICATIONS}/push-key")).json()["key"]
    token, shown = headers["Authorization"].removeprefix("vapid t=").split(",k=")
    assert shown == key
    point = base64.urlsafe_b64decode(key + "=")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    claims = jwt.decode(token, public, algorithms=["ES256"], audience=push_service.url)
    assert claims["sub"].startswith("mailto:")


async def test_a_push_that_fails_is_tried_again_and_a_device_that_is_gone_forgotten(
    people: People, push_service: PushService
) -> None:
    ada, ben, cleo = [await people.new() for _ in range(3)]
    busy, gone, moved = [push_service.browser() for _ in range(3)]
    busy.answers, gone.answers, moved.answers = [503], [410], [307]
    for browser in (busy, gone, moved):
        await browser.register(ada)

    await _follow(ben, ada)

    async def arrived() -> list[int]:
        return [len(browser.requests) for browser in (busy, gone, moved)]

    await until(arrived, [2, 1, 1])

    async def devices() -> int:
        return len((await ada.http.get(f"{NOTIFICATIONS}/devices")).json()["items"])

    await until(devices, 2)
    await _follow(cleo, ada)
    await until(arrived, [3, 1, 2])


async def test_nothing_is_pushed_that_is_not_wanted(
    people: People, push_service: PushService
) -> None:
    ada, ben, cleo, dan = [await people.new() for _ in range(4)]
    browser, other = push_service.browser(), push_service.browser()
    device_id = await browser.register(ada)
    await other.register(dan)

    # Ada is not pushed to; Dan, who is told of each after her, shows that it was her turn.
    async def both_followed_by(person: Person, seen: int) -> None:
        await _follow(person, ada)
        await _follow(person, dan)

        async def arrived() -> int:
            return len(other.requests)

        await until(arrived, seen)
        await asyncio.sleep(0.2)

    preference = f"{NOTIFICATIONS}/preferences/follower"
    await ada.http.put(preference, json={"in_app": True, "push": False})
    await both_followed_by(ben, 1)
    assert browser.kinds == []

    await ada.http.put(preference, json={"in_app": False, "push": True})
    now = datetime.now(UTC) + timedelta(hours=9)  # Tokyo has no summer time
    hours = {
        "starts_at": (now - timedelta(hours=1)).strftime("%H:%M"),
        "ends_at": (now + timedelta(hours=1)).strftime("%H:%M"),
        "time_zone": "Asia/Tokyo",
    }
    assert (await ada.http.put(f"{NOTIFICATIONS}/quiet-hours", json=hours)).status_code == 200
    await both_followed_by(cleo, 2)
    assert browser.kinds == []

    hours["time_zone"] = "Europe/Lisbon"  # eight or nine hours earlier
    assert (await ada.http.put(f"{NOTIFICATIONS}/quiet-hours", json=hours)).status_code == 200
    await both_followed_by(await people.new(), 3)

    async def pushed() -> list[str]:
        return browser.kinds

    await until(pushed, ["follower"])
    kinds = [item["kind"] for item in (await ada.http.get(NOTIFICATIONS)).json()["items"]]
    assert kinds == ["follower"]  # Ben's alone: those after him were not wanted in the list

    path = f"{NOTIFICATIONS}/devices/{device_id}"
    assert code(await dan.http.delete(path)) == (404, "device_not_found")
    assert (await ada.http.delete(path)).status_code == 204
    assert code(await ada.http.delete(path)) == (404, "device_not_found")
    await both_followed_by(await people.new(), 4)
    assert browser.kinds == ["follower"]


async def test_a_browser_belongs_to_who_used_it_last(
    people: People, push_service: PushService
) -> None:
    ada, ben = await people.new(), await people.new()
    browser = push_service.browser()
    await browser.register(ada)
    await browser.register(ben)

    await _follow(ben, ada)
    await _follow(ada, ben)

    async def actors() -> list[str]:
        return [told["actor_id"] for _, told in browser.requests]

    await until(actors, [str(ada.id)])
    assert (await ada.http.get(f"{NOTIFICATIONS}/devices")).json()["items"] == []


async def test_what_is_no_subscription_is_refused(
    people: People, push_service: PushService
) -> None:
    ada = await people.new()
    good = push_service.browser().subscription
    keys = good["keys"]

    for wrong in (
        {"endpoint": "ftp://push.example/1"},
        {"endpoint": "https://user@push.example/1"},
        {"endpoint": "https://[::1/1"},
        {"endpoint": "push.example"},
        {"endpoint": ""},
        {"keys": {**keys, "auth": _base64url(b"short")}},
        {"keys": {**keys, "p256dh": _base64url(b"\x04" + b"\x01" * 64)}},
        {"keys": {**keys, "p256dh": "!"}},
        {"keys": {"auth": keys["auth"]}},
        {"expires": None},
    ):
        answer = await ada.http.put(f"{NOTIFICATIONS}/devices", json={**good, **wrong})
        assert code(answer) == (422, "invalid_request"), wrong
    for _ in range(20):
        await push_service.browser().register(ada)
    answer = await ada.http.put(f"{NOTIFICATIONS}/devices", json=good)
    assert code(answer) == (409, "too_many_devices")
