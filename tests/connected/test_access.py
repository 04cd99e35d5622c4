"""Who gets in where, and what others learn of somebody: every operation of every service.

What changes something that has an id is named here, so that a new operation fails until somebody
has thought of it; what reads is tried as the services list it.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, get_args
from uuid import UUID

import httpx
import jwt
import pytest

from pulse_cli.stack.model import CALLS, ServiceName
from services.kit.auth import SERVICE_ISSUER
from services.kit.http import Access, Endpoint
from services.kit.ids import new_id
from services.openapi import ENDPOINTS
from tests.conftest import RunningStack
from tests.connected.gatherings import announce
from tests.connected.internal import instance_url
from tests.connected.people import WITHIN, People, Person, code, settings_of, until
from tests.connected.test_push import Browser
from tests.connected.wire import listen, opened, ready, send, silent

SERVICES: tuple[ServiceName, ...] = get_args(ServiceName)
POST = "/api/v1/posts/{post_id}"
COMMENT = f"{POST}/comments/{{comment_id}}"
CONVERSATION = "/api/v1/conversations/{conversation_id}"
MEMBER = f"{CONVERSATION}/members/{{user_id}}"
NOTIFICATIONS = "/api/v1/notifications"
NOTIFICATION = f"{NOTIFICATIONS}/{{notification_id}}"
EVENT = "/api/v1/events/{event_id}"
FOLLOW = "/api/v1/social/following/{user_id}"
BLOCK = "/api/v1/social/blocks/{user_id}"
TEXT = {"text": "Mine now"}
DONE = (204, "")
NO_POST, NO_TALK = (404, "post_not_found"), (404, "conversation_not_found")
NOT_TOLD, NOT_CREATOR = (404, "notification_not_found"), (403, "not_creator")

HIDDEN = re.compile(r"{(post|comment|conversation)_id}")
"""What is not to be told from what is not there."""

Refused = tuple[Any, tuple[int, str]]

CHANGES: dict[tuple[str, str], Refused] = {
    ("DELETE", "/api/v1/auth/sessions/{session_id}"): (None, (404, "session_not_found")),
    ("PATCH", POST): (TEXT, NO_POST),
    ("DELETE", POST): (None, NO_POST),
    ("PUT", f"{POST}/like"): (None, NO_POST),
    ("DELETE", f"{POST}/like"): (None, NO_POST),
    ("POST", f"{POST}/comments"): (TEXT, NO_POST),
    ("DELETE", COMMENT): (None, NO_POST),
    ("PATCH", CONVERSATION): ({"title": "Ours"}, NO_TALK),
    ("PUT", MEMBER): (None, NO_TALK),
    ("DELETE", MEMBER): (None, NO_TALK),
    ("POST", f"{CONVERSATION}/messages"): (TEXT, NO_TALK),
    ("PUT", f"{CONVERSATION}/read"): ({"message_id": str(new_id())}, NO_TALK),
    ("PUT", f"{NOTIFICATION}/read"): (None, NOT_TOLD),
    ("DELETE", NOTIFICATION): (None, NOT_TOLD),
    ("DELETE", f"{NOTIFICATIONS}/devices/{{device_id}}"): (None, (404, "device_not_found")),
    ("PATCH", EVENT): ({"title": "Mine now"}, NOT_CREATOR),
    ("DELETE", EVENT): (None, NOT_CREATOR),
    ("PUT", f"{EVENT}/cancellation"): (None, NOT_CREATOR),
    ("DELETE", FOLLOW): (None, DONE),
    ("DELETE", BLOCK): (None, DONE),
}
"""What others send to a private person's things, and what they are answered."""

OWN = {
    ("PUT", FOLLOW),
    ("PUT", BLOCK),
    ("PUT", f"{EVENT}/rsvp"),
    ("PUT", f"{NOTIFICATIONS}/preferences/{{kind}}"),
}
"""Other changes that name somebody or something: they make what is the caller's own."""


def _of(service: ServiceName, access: Access) -> list[Endpoint]:
    return [one for one in ENDPOINTS[service] if one.access is access]


def test_every_operation_has_been_thought_of() -> None:
    named = {(one.method, one.path) for name in SERVICES for one in _of(name, Access.PUBLIC)}
    assert named == {("POST", f"/api/v1/auth/{what}") for what in ("register", "login", "refresh")}
    named = {(one.method, one.path) for name in SERVICES for one in _of(name, Access.USER)}
    assert {one for one in named if one[0] != "GET" and "{" in one[1]} == CHANGES.keys() | OWN


def test_services_may_call_those_alone_whom_they_do_call() -> None:
    for name in SERVICES:
        callers = {caller for one in _of(name, Access.SERVICE) for caller in one.callers}
        assert callers - {"operator"} == {caller for caller in SERVICES if name in CALLS[caller]}


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_gets_in_with_a_token_that_is_not_good(
    stack: RunningStack, service: ServiceName
) -> None:
    settings = settings_of(service, stack.stack, stack.state)
    users, others = (key.get_secret_value() for key in (settings.token_key, settings.service_key))
    now = int(time.time())
    user = {
        "iss": settings.token_issuer,
        "aud": settings.token_audience,
        "sub": str(new_id()),
        "sid": str(new_id()),
        "exp": now + 3600,
    }
    callee = {"iss": SERVICE_ISSUER, "sub": "operator", "aud": service, "exp": now + 3600}
    elsewhere = next(name for name in SERVICES if name != service)

    def signed(claims: dict[str, Any], key: str = "", **changes: Any) -> str:
        told = {**claims, **changes}
        return jwt.encode(told, key, algorithm="HS256" if key else "none")

    bad = {
        Access.USER: [
            signed(callee, others),
            signed(callee, users),
            signed(user),
            signed(user, others),
            signed(user, users, exp=now - 60),
            signed(user, users, aud="elsewhere"),
            signed(user, users, iss=SERVICE_ISSUER),
            signed(user, users, sub="operator"),
        ],
        Access.SERVICE: [
            signed(user, users),
            signed(user, others),
            signed(callee),
            signed(callee, users),
            signed(callee, others, exp=now - 60),
            signed(callee, others, aud=elsewhere),
            signed(callee, others, iss=settings.token_issuer),
        ],
    }
    url = instance_url(stack, service)
    async with httpx.AsyncClient(base_url=url, timeout=WITHIN) as client:
        for access, tokens in bad.items():
            for one in _of(service, access):
                path = re.sub(r"{\w+}", str(new_id()), one.path)
                assert code(await client.request(one.method, path)) == (401, "token_missing")
                for token in tokens:
                    headers = {"Authorization": f"Bearer {token}"}
                    answer = await client.request(one.method, path, headers=headers)
                    told = code(answer)
                    assert told[0] == 401, (one.method, one.path, tokens.index(token), told)
        for one in _of(service, Access.SERVICE):
            path = re.sub(r"{\w+}", str(new_id()), one.path)
            for caller in {*SERVICES, "operator", "gateway"} - {*one.callers}:
                headers = {"Authorization": f"Bearer {signed(callee, others, sub=caller)}"}
                answer = await client.request(one.method, path, headers=headers)
                assert code(answer) == (403, "caller_not_allowed")


async def test_the_gateway_leads_nowhere_else(stack: RunningStack, people: People) -> None:
    eve = await people.new()
    detours = (
        "",
        "/api/v1/posts/../../..",
        "/api/v1/posts/%2e%2e/%2e%2e/%2e%2e",
        "/health/posts/..",
    )
    for path in ("/internal/import", "/internal/posts/batch", "/metrics", "/health/ready"):
        for detour in (*detours, "/api/v1/posts/..%2f..%2f..", "/api/v1/posts/..%5c..%5c..", "/"):
            target = httpx.URL(stack.gateway_url).copy_with(raw_path=f"{detour}{path}".encode())
            answer = await eve.http.get(target)
            assert answer.status_code in {400, 404}, (target, answer.text)


@dataclass(frozen=True)
class Life:
    """Somebody private who has one of everything."""

    ids: dict[str, str]
    """What the placeholders of paths stand for."""
    secrets: tuple[str, ...]
    """What nobody else may be shown."""


async def _joined(people: People, name: str) -> Person:
    """Somebody with an account."""
    person = await people.new()
    username = f"{name}_{person.id.hex[-12:]}"
    account = {
        "email": f"{username}@example.org",
        "username": username,
        "password": "correct horse battery",
        "display_name": name,
    }
    made = (await person.http.post("/api/v1/auth/register", json=account)).json()
    token = made["tokens"]["access_token"]
    person.http.headers["Authorization"] = f"Bearer {token}"
    return Person(UUID(made["user"]["id"]), token, person.http)


async def _follow(person: Person, other: Person) -> httpx.Response:
    return await person.http.put(FOLLOW.format(user_id=other.id))


async def _lived(ada: Person, cleo: Person) -> Life:
    """Have somebody private, and a follower of theirs, leave something everywhere."""
    me = (await ada.http.patch("/api/v1/users/me", json={"visibility": "private"})).json()
    post = (await ada.http.post("/api/v1/posts", json={"text": "secret post"})).json()
    path = POST.format(post_id=post["id"])
    comment = (await cleo.http.post(f"{path}/comments", json={"text": "secret comment"})).json()
    reply = {"text": "secret reply", "parent_id": comment["id"]}
    await ada.http.post(f"{path}/comments", json=reply)
    await cleo.http.put(f"{path}/like")
    talk = await opened(ada, cleo, title="secret title")
    message = await send(cleo, talk, "secret message")
    browser = Browser("http://127.0.0.1:9")
    device_id = await browser.register(ada)
    session = (await ada.http.get("/api/v1/auth/session")).json()

    async def told() -> Counter[str]:
        page = (await ada.http.get(NOTIFICATIONS)).json()
        return Counter(item["kind"] for item in page["items"])

    await until(told, Counter(welcome=1, follower=3, comment=1, like=1, message=1))
    notification = (await ada.http.get(NOTIFICATIONS)).json()["items"][0]
    return Life(
        ids={
            "user_id": str(ada.id),
            "session_id": session["id"],
            "post_id": post["id"],
            "comment_id": comment["id"],
            "conversation_id": talk,
            "notification_id": notification["id"],
            "device_id": device_id,
            "event_id": (await announce(ada)).json()["id"],
            "kind": "like",
        },
        secrets=(
            *("secret post", "secret comment", "secret reply", "secret title", "secret message"),
            *(me["email"], session["id"], post["id"], comment["id"], talk, str(message.id)),
            *(notification["id"], device_id, browser.endpoint),
        ),
    )


async def _shown(reader: Person, ids: dict[str, str]) -> dict[str, str]:
    """What each operation that reads answers somebody who asks it for another's things."""
    wanted: dict[str, str | int] = {
        "limit": 100,
        "query": "ada",
        "author_id": ids["user_id"],
        "answer": "yes",
    }
    shown = {}
    for one in (one for name in SERVICES for one in _of(name, Access.USER)):
        if one.method == "GET":
            known = getattr(one.query, "model_fields", {})
            params = {key: value for key, value in wanted.items() if key in known}
            for asked in (params, {}):
                answer = await reader.http.get(one.path.format(**ids), params=asked)
                text = answer.text if answer.status_code == 200 else str(code(answer))
                shown[f"{one.path} {sorted(asked)}"] = text
    return shown


async def test_others_learn_and_change_nothing_of_somebody_private(
    stack: RunningStack, people: People
) -> None:
    ada, cleo, eve, ben, dora = [
        await _joined(people, name) for name in ("ada", "cleo", "eve", "ben", "dora")
    ]
    for follower in (cleo, ben, dora):
        await _follow(follower, ada)
    for other in (eve, ben):
        await _follow(other, cleo)  # so that Ada is a friend of a friend
    life = await _lived(ada, cleo)

    async def hidden() -> int:
        return (await eve.http.get(POST.format(**life.ids))).status_code

    await until(hidden, 404)
    assert (await dora.http.delete(FOLLOW.format(**life.ids))).status_code == 204
    assert (await ada.http.put(BLOCK.format(user_id=ben.id))).status_code == 204

    before = await _shown(ada, life.ids)
    assert all(any(secret in text for text in before.values()) for secret in life.secrets[:-1])
    async with listen(stack.gateway_url, eve) as one, listen(stack.gateway_url, ben) as another:
        await ready(one)
        await ready(another)
        for other in (eve, ben, dora):
            shown = await _shown(other, life.ids)
            leaks = [
                (path, it) for path, text in shown.items() for it in life.secrets if it in text
            ]
            assert leaks == []
            for (method, path), (body, answered) in CHANGES.items():
                answer = await other.http.request(method, path.format(**life.ids), json=body)
                told = DONE if answer.status_code == 204 else code(answer)
                assert told == answered, (method, path)
            hidden_things = {name: path for name, path in shown.items() if HIDDEN.search(name)}
            nowhere = await _shown(other, dict.fromkeys(life.ids, str(new_id())))
            assert hidden_things == {name: nowhere[name] for name in hidden_things}
        after = await _shown(ada, life.ids)
        assert [path for path in before if "{" in path and before[path] != after[path]] == []
        await send(cleo, life.ids["conversation_id"], "secret, too")
        assert await silent(one, object)
        assert await silent(another, object)

    recommended = "/api/v1/social/recommendations"
    assert str(ada.id) in (await eve.http.get(recommended)).text
    assert str(ada.id) not in (await ben.http.get(recommended)).text
