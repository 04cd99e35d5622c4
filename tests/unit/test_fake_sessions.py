"""Log-ins in the fake as programs meet them: they are renewed, get lost on the way, and end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from pulse_sdk import ConnectionFailed, NotAuthenticated, Tokens
from pulse_sdk.testing import FakePulse

REFRESH = "POST /api/v1/auth/refresh"
LIFE = timedelta(minutes=16)
"""More than that of an access token."""


@pytest.fixture
def fake() -> FakePulse:
    return FakePulse()


def outcomes(fake: FakePulse) -> list[int | None]:
    return [sent.status for sent in fake.sent(REFRESH)]


def test_a_session_outlives_a_renewal_whose_answer_got_lost(fake: FakePulse) -> None:
    ada = fake.join("ada")
    ada.pulse.users.me()
    fake.advance(LIFE)
    fake.lose_next(REFRESH, times=2)
    ada.pulse.users.me()
    assert outcomes(fake) == [None, None, 200]
    fake.advance(LIFE)
    ada.pulse.users.me()
    assert outcomes(fake) == [None, None, 200, 200]


async def test_so_it_does_for_tasks_and_once_for_all_of_them(fake: FakePulse) -> None:
    stored: list[Tokens | None] = []
    async with fake.async_client(fake.join("ada"), on_tokens=stored.append) as client:
        await client.users.me()
        fake.advance(LIFE)
        fake.lose_next(REFRESH)
        await asyncio.gather(*(client.users.me() for _ in range(5)))
        assert outcomes(fake) == [None, 200]
        assert client.tokens is not None
        [told] = stored
        assert told is not None
        assert told.refresh_token == client.tokens.refresh_token


def test_a_call_after_a_renewal_that_failed_for_good_tries_it_again(fake: FakePulse) -> None:
    with fake.client(fake.join("ada"), retries=0) as client:
        fake.advance(LIFE)
        fake.lose_next(REFRESH)
        with pytest.raises(ConnectionFailed):
            client.users.me()
        client.users.me()
    assert outcomes(fake) == [None, 200]


def test_a_copied_refresh_token_ends_the_session(fake: FakePulse) -> None:
    ada = fake.join("ada")
    tokens = fake.tokens(ada)
    with fake.client() as owner, fake.client() as thief:
        owner.auth.refresh(tokens.refresh_token)
        fake.advance(timedelta(minutes=1))
        with pytest.raises(NotAuthenticated):
            thief.auth.refresh(tokens.refresh_token)
        owner.users.me()  # The access token lives out its life,
        fake.advance(LIFE)
        with pytest.raises(NotAuthenticated):
            owner.users.me()  # and there is no other.


def test_a_session_that_is_not_used_ends(fake: FakePulse) -> None:
    ada = fake.join("ada")
    assert ada.pulse.users.me().username == "ada"
    fake.advance(timedelta(days=31))
    with pytest.raises(NotAuthenticated):
        ada.pulse.users.me()
