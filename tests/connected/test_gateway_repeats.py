"""What becomes of a write whose instance dies over it, with real services behind the gateway."""

import asyncio
from contextlib import closing

import psutil
import psycopg2

from pulse_cli.stack.secrets import OPERATOR, ensure_secrets
from tests.conftest import RunningStack
from tests.connected.people import People, all_of, until
from tests.connected.test_local_target import pids

POSTS = "/api/v1/posts"
WAITING = """SELECT application_name FROM pg_stat_activity
    WHERE datname = 'posts' AND wait_event_type = 'Lock'"""


async def test_a_post_with_a_key_outlives_the_instance_that_was_at_it(
    stack: RunningStack, people: People
) -> None:
    assert stack.pulse("scale", "posts=2").returncode == 0
    server, secrets = stack.stack.postgres, ensure_secrets(stack.state)
    password = secrets.get(OPERATOR, "superuser_password")
    dsn = f"host={server.host} port={server.port} dbname=posts user=pulse password={password}"
    instances = {name: psutil.Process(pid) for name, pid in pids(stack).items() if "posts" in name}
    ada = await people.new()
    try:
        with (
            closing(psycopg2.connect(dsn)) as connection,
            connection.cursor() as cursor,
        ):

            async def at_it() -> str | None:
                cursor.execute(WAITING)
                found: tuple[str] | None = cursor.fetchone()
                return found and found[0]

            async def under_way() -> bool:
                return await at_it() is not None

            cursor.execute("LOCK TABLE posts IN SHARE ROW EXCLUSIVE MODE")
            write = asyncio.create_task(
                ada.http.post(POSTS, json={"text": "once"}, headers={"Idempotency-Key": "once"})
            )
            await until(under_way, True)
            instance = instances[str(await at_it())]
            instance.kill()
            instance.wait()
            # PostgreSQL commits it for whom is no longer there.
            connection.rollback()
            answer = await write
        assert answer.status_code == 201, answer.text
        mine = await all_of(ada, POSTS, author_id=str(ada.id))
        assert [post["id"] for post in mine] == [answer.json()["id"]]
    finally:
        # Whichever instance was killed is started again, and may be the one that stays.
        assert stack.pulse("health", "--wait", "60").returncode == 0
        assert stack.pulse("scale", "posts=1").returncode == 0
