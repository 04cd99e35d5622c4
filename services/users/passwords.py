"""Password hashes: argon2id, off the event loop, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.kit.errors import ServiceError

P = ParamSpec("P")
T = TypeVar("T")

_CONCURRENT = 2
"""Hashes at a time in one instance: each takes about 30 ms of a core and 19 MiB."""

_MOST_WAITING = 200
"""About 3 s of hashing: who would wait longer is asked to come back instead."""


class Passwords:
    """Hashes and verifies passwords with OWASP's parameters (t=2, m=19 MiB, p=1)."""

    def __init__(self, exit_stack: AsyncExitStack) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = exit_stack.enter_context(ThreadPoolExecutor(_CONCURRENT, "argon2"))
        self._waiting = 0
        self._nobody = self._hasher.hash("the hash that unknown accounts are checked against")

    def admit(self) -> None:
        """Refuse what would wait for long.

        Raises:
            ServiceError: 503 `password_check_unavailable`.
        """
        if self._waiting >= _MOST_WAITING:
            raise ServiceError.unavailable("password_check")

    async def hash(self, password: str) -> str:
        """The encoded hash of a password, with a salt of its own.

        Raises:
            ServiceError: 503, as `admit`.
        """
        self.admit()
        return await self._run(self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; without a hash it is not, and that takes as long."""
        return await self._run(self._verify, password_hash, password)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._threads, partial(work, *args, **kwargs))
        finally:
            self._waiting -= 1
