"""Seeded accounts and their tokens: who the users of a run act as.

Logging in costs the users service about 30 ms of CPU each (hashing a password must), so it is done
before the run, a few at a time, once per account; several virtual users may share its token.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from pulse_cli.bench.plan import OWN_SOURCES, Identity, source_address
from pulse_cli.errors import ConfigError, NotHealthy
from pulse_cli.stack.gateway import LOGIN
from pulse_sdk.contract.common import Problem
from pulse_sdk.contract.users import Login, Tokens

AT_ONCE = 4
LOGIN_SECONDS = 0.1
"""Allowed for each log-in: the first token must outlast all others' making."""

PATIENCE = 10
"""How often a log-in is tried again, a second later, when there were too many."""

ADVICE = "seed the stack with: pulse seed --users 1000"


class SeededUser(BaseModel):
    """An account that `pulse seed` made."""

    id: UUID
    username: str


class _SeedRecord(BaseModel):
    users: list[SeededUser]


@dataclass(frozen=True)
class Seed:
    """What `pulse seed` left: accounts that share one password."""

    users: Sequence[SeededUser]
    password: SecretStr


def read_seed(state: Path) -> Seed:
    """Read the accounts of a seeded stack.

    Raises:
        NotHealthy: the stack was never seeded, or its record cannot be understood.
    """
    record = state / "seed.json"
    try:
        users = _SeedRecord.model_validate_json(record.read_bytes()).users
        password = (state / "secrets" / "operator" / "seed_password").read_text("utf-8").strip()
    except FileNotFoundError:
        raise NotHealthy(f"the stack holds no seeded users; {ADVICE}") from None
    except ValidationError:
        raise NotHealthy(f"{record} is not a record of seeded users; {ADVICE}") from None
    if not users:
        raise NotHealthy(f"{record} names no users; {ADVICE}")
    return Seed(users, SecretStr(password))


async def log_in(
    seed: Seed, count: int, gateway: tuple[str, int], *, lasting: float, advance: Callable[[], None]
) -> list[Identity]:
    """Log in the first `count` seeded users through the gateway; `advance` after each.

    `lasting` is how many seconds their tokens must be valid after the last log-in.

    Raises (in an exception group):
        ConfigError: tokens live shorter than that.
        NotHealthy: a log-in is refused.
    """
    host, port = gateway
    lasting += count * LOGIN_SECONDS
    waiting = iter(enumerate(seed.users[:count]))
    found: dict[int, Identity] = {}

    trust = ssl.create_default_context()  # made once: it costs more than a log-in

    async def worker() -> None:
        for index, user in waiting:
            # The gateway limits the log-ins of an address.
            source = source_address(host, OWN_SOURCES, index)
            transport = httpx.AsyncHTTPTransport(verify=trust, local_address=source)
            async with httpx.AsyncClient(
                base_url=f"http://{host}:{port}", transport=transport, timeout=30.0, trust_env=False
            ) as client:
                tokens = await _log_in_one(client, user, seed.password)
            if tokens.expires_in < lasting:
                raise ConfigError(
                    f"the run takes {lasting:.0f} s but tokens live {tokens.expires_in} s; raise"
                    " tokens.access_ttl_seconds in pulse.toml or shorten --duration"
                )
            found[index] = Identity(id=user.id, username=user.username, token=tokens.access_token)
            advance()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    return [found[index] for index in sorted(found)]


async def _log_in_one(client: httpx.AsyncClient, user: SeededUser, password: SecretStr) -> Tokens:
    body = Login(login=user.username, password=password).model_dump_json()
    headers = {"Content-Type": "application/json"}
    try:
        answer = await client.post(LOGIN, content=body, headers=headers)
        for _ in range(PATIENCE):  # without addresses of their own, users wait for each other
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            await asyncio.sleep(1)
            answer = await client.post(LOGIN, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise NotHealthy(
            f"cannot log in {user.username} at {client.base_url}: {error or type(error).__name__};"
            " see: pulse health"
        ) from None
    if answer.status_code == httpx.codes.OK:
        return Tokens.model_validate_json(answer.content)
    advice = ADVICE if answer.status_code == httpx.codes.UNAUTHORIZED else "see: pulse health"
    raise NotHealthy(f"cannot log in the seeded user {user.username}: {_problem(answer)}; {advice}")


def _problem(answer: httpx.Response) -> str:
    try:
        return f"{answer.status_code} {Problem.model_validate_json(answer.content).code}"
    except ValidationError:
        return f"the gateway answered {answer.status_code}"
