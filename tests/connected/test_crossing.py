"""Requests that cross: each is served, and what they leave is what one after the other would."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

import httpx

from services.events.app import create_app as events
from services.kit.db import Query, open_database
from services.posts.app import create_app as posts
from services.social.app import create_app as social
from tests.conftest import RunningStack
from tests.connected.gatherings import EVENTS, after
from tests.connected.people import WITHIN, People, Person, served, settings_of

ROUNDS = 12
TIMES = 4


DEADLOCKS = Query(
    "test_deadlocks", "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
)


async def _sent(
    person: Person, method: str, path: str, body: Mapping[str, object] | None = None
) -> httpx.Response:
    """Send a request, again while the machine is too busy for it."""
    while True:
        answer = await person.http.request(
            method, path, json=body, headers={"Idempotency-Key": "one"}, timeout=WITHIN
        )
        if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
            assert answer.is_success, answer.text
            return answer


async def test_blocks_and_unfollows_that_cross_wait_for_no_circle(
    stack: RunningStack, people: People
) -> None:
    ada, ben = await people.new(), await people.new()
    both = ((ada, ben), (ben, ada))
    async with open_database(settings_of("social", stack.stack, stack.state)) as database:
        before = await database.row(DEADLOCKS)
        for _ in range(ROUNDS):
            for method, what in (("DELETE", "blocks"), ("PUT", "following")):
                for one, other in both:
                    await _sent(one, method, f"/api/v1/social/{what}/{other.id}")
            await asyncio.gather(
                *(
                    _sent(one, method, f"/api/v1/social/{what}/{other.id}")
                    for one, other in both
                    for method, what in (("PUT", "blocks"), ("DELETE", "following"))
                )
            )
            for person in (ada, ben):
                counts = await _sent(ada, "GET", f"/api/v1/social/users/{person.id}/counts")
                assert counts.json() == {"followers": 0, "following": 0}
        assert await database.row(DEADLOCKS) == before


async def test_duplicates_at_two_instances_count_once(stack: RunningStack, people: People) -> None:
    ada, *guests = [await people.new() for _ in range(5)]
    once = {"text": "Once"}
    made = await asyncio.gather(*(_sent(ada, "POST", "/api/v1/posts", once) for _ in range(TIMES)))
    (post_id,) = {answer.json()["id"] for answer in made}
    gathering = {"title": "Tea", "starts_at": after(hours=1), "capacity": 2}
    event_id = (await _sent(ada, "POST", EVENTS, gathering)).json()["id"]
    state = stack.stack, stack.state
    async with (
        served(posts(settings_of("posts", *state))) as more_posts,
        served(social(settings_of("social", *state))) as more_social,
        served(events(settings_of("events", *state))) as more_events,
    ):
        post = f"/api/v1/posts/{post_id}"
        await asyncio.gather(
            *(
                _sent(guest, method, f"{url if turn % 2 else ''}{path}", body)
                for turn in range(TIMES)
                for guest in guests
                for method, url, path, body in (
                    ("PUT", more_posts, f"{post}/like", None),
                    ("POST", more_posts, f"{post}/comments", once),
                    ("PUT", more_social, f"/api/v1/social/following/{ada.id}", None),
                    ("PUT", more_events, f"{EVENTS}/{event_id}/rsvp", {"answer": "yes"}),
                )
            )
        )
    # From lists, which no cache answers: on a machine that is too busy, a drop from one may fail.
    likes = (await _sent(ada, "GET", f"{post}/likes")).json()["items"]
    comments = (await _sent(ada, "GET", f"{post}/comments")).json()["items"]
    counts = (await _sent(ada, "GET", f"/api/v1/social/users/{ada.id}/counts")).json()
    answers = [
        (await _sent(ada, "GET", f"{EVENTS}/{event_id}/attendees?answer={answer}")).json()["items"]
        for answer in ("yes", "waiting")
    ]
    assert (len(likes), len(comments), counts["followers"]) == (4, 4, 4)
    assert [len(people) for people in answers] == [2, 2]
