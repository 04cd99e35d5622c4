"""A stack with a read replica: what is read there, what is not, and what happens without it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from pulse_cli.stack.model import ServiceName
from services.kit import replica as kit
from services.kit.db import dsn
from services.messaging.app import create_app as messaging
from services.posts.app import create_app as posts
from tests.conftest import RunningStack, running
from tests.connected.internal import instance_url
from tests.connected.people import People, Person, served, settings_of, until
from tests.metrics import counted

STANDBY = "postgres-replica"
POSTS = "/api/v1/posts"


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with a replica, which may be killed."""
    with running(tmp_path_factory.mktemp("doubled"), "--replica") as stack:
        yield stack


@pytest.fixture
async def people(doubled: RunningStack) -> AsyncIterator[People]:
    async with AsyncExitStack() as clients:
        yield People(doubled, clients)


def standby(stack: RunningStack) -> dict[str, Any]:
    components = json.loads(stack.pulse("status", "--json").stdout)["components"]
    (found,) = (one for one in components if one["name"] == STANDBY)
    return dict(found)


def data(stack: RunningStack) -> Path:
    return stack.state / "data" / STANDBY


def made_at(stack: RunningStack) -> int:
    """When the standby's data were made, in nanoseconds."""
    return (data(stack) / "backup_label.old").stat().st_mtime_ns


def kill(stack: RunningStack) -> None:
    process = psutil.Process(standby(stack)["pid"])
    for one in (process, *process.children(recursive=True)):
        one.kill()


def asked(stack: RunningStack, port: int, sql: str) -> Any:
    """What a server answers its superuser."""
    password = (stack.state / "secrets" / "operator" / "superuser_password").read_text().strip()
    with (
        closing(
            psycopg2.connect(
                host="127.0.0.1", port=port, dbname="postgres", user="pulse", password=password
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
        row = cursor.fetchone()
        return row and row[0]


@contextmanager
def paused(stack: RunningStack) -> Iterator[None]:
    """The standby stands still: what is written now is not there until the end."""
    port = stack.stack.postgres.replica_port
    asked(stack, port, "SELECT pg_wal_replay_pause()")
    try:
        while asked(stack, port, "SELECT pg_get_wal_replay_pause_state()") != "paused":
            pass
        yield
    finally:
        asked(stack, port, "SELECT pg_wal_replay_resume()")


async def by_replica(url: str) -> float:
    """How many reads a service's replica has answered."""
    return await counted(url, "db_reads_total", server="replica")


async def listed(reader: Person, author: Person, url: str = "") -> list[str]:
    """The texts of an author's posts, as a reader gets them."""
    answer = await reader.http.get(f"{url}{POSTS}", params={"author_id": str(author.id)})
    assert answer.status_code == 200, answer.text
    return [post["text"] for post in answer.json()["items"]]


async def post(author: Person, text: str, url: str = "") -> None:
    answer = await author.http.post(f"{url}{POSTS}", json={"text": text})
    assert answer.status_code == 201, answer.text


async def read_there(url: str, reader: Person) -> None:
    """Read until the replica has answered: it is known to be there."""

    async def more() -> bool:
        before = await by_replica(url)
        await listed(reader, reader, url)
        return await by_replica(url) > before

    await until(more, True)


async def test_rows_reach_the_replica_and_are_read_there(
    doubled: RunningStack, people: People
) -> None:
    author, reader = await people.new(), await people.new()
    await post(author, "everywhere")
    settings = settings_of("posts", doubled.stack, doubled.state)
    where = dsn(settings, "127.0.0.1", doubled.stack.postgres.replica_port)

    async def there() -> int:
        with closing(psycopg2.connect(where)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT FROM posts WHERE author_id = %s", (str(author.id),))
            return int(cursor.rowcount)

    await until(there, 1)
    url = instance_url(doubled, "posts")
    await read_there(url, reader)
    await until(lambda: listed(reader, author), ["everywhere"])

    async def follows() -> bool:
        return await counted(url, "db_replica_lag_seconds") < kit.LAG_SECONDS

    await until(follows, True)


LISTS: tuple[tuple[ServiceName, str], ...] = (
    ("posts", "/api/v1/posts"),
    ("social", "/api/v1/social/followers"),
    ("social", "/api/v1/social/blocks"),
    ("messaging", "/api/v1/conversations"),
    ("notifications", "/api/v1/notifications"),
    ("notifications", "/api/v1/notifications/unread"),
    ("events", "/api/v1/events"),
    ("users", "/api/v1/users?query=ada"),
)


async def test_lists_of_every_service_are_read_there(doubled: RunningStack, people: People) -> None:
    reader = await people.new()
    for service, path in LISTS:
        url = instance_url(doubled, service)

        async def more(url: str = url, path: str = path) -> bool:
            before = await by_replica(url)
            answer = await reader.http.get(f"{url}{path}")
            assert answer.status_code == 200, answer.text
            return await by_replica(url) > before

        await until(more, True)


async def test_who_wrote_sees_it_at_once_on_every_instance(
    doubled: RunningStack, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is: the replica never counts as too far behind here.
    monkeypatch.setattr(kit, "LAG_SECONDS", 300.0)
    monkeypatch.setattr(kit, "MARK_SECONDS", 600.0)
    author, reader = await people.new(), await people.new()
    settings = settings_of("posts", doubled.stack, doubled.state)
    async with served(posts(settings)) as here, served(posts(settings)) as there:
        await read_there(there, reader)
        with paused(doubled):
            for number in range(5):
                await post(author, f"post {number}", here)
                newest = [f"post {n}" for n in range(number, -1, -1)]
                assert await listed(author, author, there) == newest
                assert await listed(author, author, here) == newest
            before = await by_replica(there)
            assert await listed(reader, author, there) == []
            assert await by_replica(there) == before + 1
        await until(lambda: listed(reader, author, there), newest)

        async def author_is_back() -> bool:
            before = await by_replica(there)
            assert await listed(author, author, there) == newest
            return await by_replica(there) > before

        await until(author_is_back, True)


async def test_who_is_sent_a_message_sees_it_at_once(
    doubled: RunningStack, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "LAG_SECONDS", 300.0)
    monkeypatch.setattr(kit, "MARK_SECONDS", 600.0)
    sender, receiver = await people.new(), await people.new()
    settings = settings_of("messaging", doubled.stack, doubled.state)
    async with served(messaging(settings)) as url:
        path = f"{url}/api/v1/conversations"
        opened = await sender.http.post(path, json={"member_ids": [str(receiver.id)]})
        messages = f"{path}/{opened.json()['id']}/messages"
        with paused(doubled):
            sent = await sender.http.post(messages, json={"text": "look"})
            assert sent.status_code == 201, sent.text
            for one in (sender, receiver):
                found = (await one.http.get(messages)).json()["items"]
                assert [message["text"] for message in found] == ["look"]


async def test_a_replica_that_is_far_behind_is_not_read(
    doubled: RunningStack, people: People
) -> None:
    author, reader = await people.new(), await people.new()
    url = instance_url(doubled, "posts")
    await read_there(url, reader)
    with paused(doubled):
        await post(author, "late")
        await until(lambda: listed(reader, author), ["late"])
        degraded = await counted(url, "degraded_total", what="replica")
        assert await listed(reader, author) == ["late"]
        assert await counted(url, "degraded_total", what="replica") > degraded
        ill = doubled.pulse("health", "--json")
        assert ill.returncode != 0
        (told,) = (c for c in json.loads(ill.stdout)["checks"] if c["name"] == STANDBY)
        assert (told["healthy"], told["said"]) == (False, "more than 1.5 s behind")


async def test_without_the_replica_everything_is_read_from_the_server(
    doubled: RunningStack, people: People
) -> None:
    author, reader = await people.new(), await people.new()
    url = instance_url(doubled, "posts")
    await read_there(url, reader)
    before, degraded = standby(doubled), await counted(url, "degraded_total", what="replica")
    await post(author, "still there")
    kill(doubled)
    for _ in range(50):
        assert await listed(author, author) == ["still there"]
        assert (await reader.http.get(POSTS)).status_code == 200
    assert await counted(url, "degraded_total", what="replica") > degraded
    await read_there(url, reader)  # Supervisor has started it again
    after = standby(doubled)
    assert after["state"] in {"starting", "running"}  # for Supervisor, the first second is a start
    assert after["restarts"] > before["restarts"]
    assert await listed(reader, author) == ["still there"]


def test_up_again_keeps_the_replica(doubled: RunningStack) -> None:
    before, made = standby(doubled)["pid"], made_at(doubled)
    again = doubled.pulse("up", "--replica")
    assert again.returncode == 0, again.stderr
    assert "changed" not in again.stderr
    assert standby(doubled)["pid"] == before
    restarted = doubled.pulse("restart", STANDBY)
    assert restarted.returncode == 0, restarted.stderr
    assert made_at(doubled) == made


async def test_broken_data_are_made_anew(doubled: RunningStack, people: People) -> None:
    (data(doubled) / "global" / "pg_control").write_bytes(b"")
    kill(doubled)
    await read_there(instance_url(doubled, "posts"), await people.new())
    told = doubled.pulse("logs", STANDBY, "-n", "1000")
    assert "made anew: they are broken" in told.stdout


async def test_health_tells_how_far_it_is_behind(doubled: RunningStack) -> None:
    told = doubled.pulse("health", "--wait", "60", "--json")
    assert told.returncode == 0, told.stdout
    (replica,) = (c for c in json.loads(told.stdout)["checks"] if c["name"] == STANDBY)
    assert replica["said"].startswith("has what the server has after ")


def test_the_replica_takes_as_many_connections_as_the_server(doubled: RunningStack) -> None:
    postgres = doubled.stack.postgres
    limits = {
        asked(doubled, port, "SHOW max_connections")
        for port in (postgres.port, postgres.replica_port)
    }
    assert len(limits) == 1
    assert int(limits.pop()) >= doubled.stack.max_connections


def test_its_password_is_shown_nowhere(doubled: RunningStack) -> None:
    password = (doubled.state / "secrets" / "migrate" / "replication_password").read_text()
    process = psutil.Process(standby(doubled)["pid"])
    assert password not in " ".join((*process.cmdline(), *process.environ().values()))
    assert password not in (data(doubled) / "postgresql.auto.conf").read_text()
    passfile = doubled.state / "rendered" / "replica.pgpass"
    assert password in passfile.read_text()
    assert passfile.stat().st_mode & 0o777 == 0o600


def test_doctor_knows_it(doubled: RunningStack) -> None:
    checks = json.loads(doubled.pulse("doctor", "--json").stdout)["checks"]
    assert {"replica": "ok", "ports": "ok"}.items() <= {
        (one["name"], one["verdict"]) for one in checks
    }


async def test_without_redis_nobody_reads_the_replica(
    doubled: RunningStack, people: People
) -> None:
    reader = await people.new()
    url = instance_url(doubled, "posts")
    await read_there(url, reader)
    components = json.loads(doubled.pulse("status", "--json").stdout)["components"]
    (redis,) = (psutil.Process(one["pid"]) for one in components if one["name"] == "redis")
    redis.suspend()
    try:
        before = await by_replica(url)
        for _ in range(5):
            assert await listed(reader, reader, url) == []
        assert await by_replica(url) == before
    finally:
        redis.resume()
    await read_there(url, reader)
