"""Posting and reading, for tests against a running stack."""

from __future__ import annotations

from typing import Any

from services.kit.cache import open_redis
from tests.conftest import RunningStack
from tests.connected.people import Person, settings_of

POSTS = "/api/v1/posts"


async def post(author: Person, text: str = "hello") -> dict[str, Any]:
    """Make a post."""
    answer = await author.http.post(POSTS, json={"text": text})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def read(reader: Person, post_id: str) -> dict[str, Any]:
    """A post as somebody sees it."""
    answer = await reader.http.get(f"{POSTS}/{post_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def forget_popular(stack: RunningStack) -> None:
    """Have the popular posts ranked anew."""
    async with open_redis(settings_of("posts", stack.stack, stack.state)) as redis:
        await redis.unlink("posts:popular:all")
