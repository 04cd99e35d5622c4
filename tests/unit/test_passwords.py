"""Hashing passwords beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack

import pytest
from argon2 import PasswordHasher

from services.kit.errors import ServiceError
from services.users.passwords import Passwords


async def test_the_event_loop_goes_on_while_two_passwords_are_hashed_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on = asyncio.Queue[None](), threading.Event()
    loop, hash_now = asyncio.get_running_loop(), PasswordHasher.hash
    threads: set[str] = set()

    def hash_later(hasher: PasswordHasher, password: str) -> str:
        threads.add(threading.current_thread().name)
        loop.call_soon_threadsafe(begun.put_nowait, None)
        assert go_on.wait(60)
        return hash_now(hasher, password)

    async with AsyncExitStack() as stack:
        passwords = Passwords(stack)
        monkeypatch.setattr(PasswordHasher, "hash", hash_later)
        hashing = asyncio.gather(*(passwords.hash("correct horse") for _ in range(6)))
        async with asyncio.timeout(60):  # this loop hears of both while neither is done
            await begun.get()
            await begun.get()
        go_on.set()
        assert len(set(await hashing)) == 6, "each has a salt of its own"
        assert len(threads) == 2


async def test_who_would_wait_for_long_is_asked_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.users.passwords._MOST_WAITING", 3)
    async with AsyncExitStack() as stack:
        passwords = Passwords(stack)
        asked = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ServiceError) as refused:
            passwords.admit()
        with pytest.raises(ServiceError):
            await passwords.hash("correct horse")
        assert (refused.value.status, refused.value.code) == (503, "password_check_unavailable")
        await asyncio.gather(*asked)
        await passwords.hash("correct horse")


async def test_a_password_is_right_or_wrong_and_nobody_has_one() -> None:
    async with AsyncExitStack() as stack:
        passwords = Passwords(stack)
        hashed = await passwords.hash("correct horse")
        assert hashed.startswith("$argon2id$")
        assert await passwords.verify(hashed, "correct horse")
        assert not await passwords.verify(hashed, "wrong horse")
        assert not await passwords.verify("nonsense", "correct horse")
        assert not await passwords.verify(
            None, "the hash that unknown accounts are checked against"
        )
