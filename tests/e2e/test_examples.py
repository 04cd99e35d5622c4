"""The examples do what they say, as processes against the platform, and end at Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.conftest import RunningStack
from tests.e2e.conftest import PASSWORD, Join, Person, eventually
from tests.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
LONG = 60.0


class Program:
    """An example that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(LONG):
            return (await self._process.stdout.readline()).decode().rstrip("\n")

    async def ended(self) -> tuple[int | None, str, str]:
        """Its exit code and what it printed until then, on stdout and stderr."""
        async with asyncio.timeout(LONG):
            out, err = await self._process.communicate()
        return self._process.returncode, out.decode(), err.decode()

    async def interrupted(self) -> tuple[int | None, str, str]:
        """The same after Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        return await self.ended()


@asynccontextmanager
async def started(
    stack: RunningStack, name: str, person: Person, *arguments: str, **environment: str
) -> AsyncIterator[Program]:
    """Run an example as somebody."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "PULSE_URL": stack.gateway_url,
            "PULSE_LOGIN": person.user.username,
            "PULSE_PASSWORD": PASSWORD,
            **environment,
        },
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_echo_bot_answers_all_once_also_what_came_while_it_was_away(
    stack: RunningStack, join: Join, tmp_path: Path
) -> None:
    ada, echo = await join("ada"), await join("echo")
    memory = tmp_path / "memory.json"
    conversation = (await ada.pulse.conversations.open([echo.user.id])).id

    async def said() -> list[str]:
        listing = ada.pulse.conversations.messages(conversation)
        return [one.text async for one in listing if one.sender_id == echo.user.id][::-1]

    async with started(stack, "echo_bot.py", echo, ECHO_BOT_MEMORY=str(memory)) as bot:
        assert await bot.line() == "listening"
        await ada.pulse.conversations.send(conversation, "One")
        await eventually(said, lambda texts: texts == ["You said: One"], LONG)
        assert await bot.interrupted() == (0, "stopped\n", "")
    assert memory.stat().st_mode & 0o777 == 0o600

    await ada.pulse.conversations.send(conversation, "Two")
    # The session is remembered: no password any more.
    stored = {"PULSE_PASSWORD": "", "ECHO_BOT_MEMORY": str(memory)}
    async with started(stack, "echo_bot.py", echo, **stored) as bot:
        assert await bot.line() == "listening"
        await ada.pulse.conversations.send(conversation, "Three")
        expected = ["You said: One", "You said: Two", "You said: Three"]
        await eventually(said, lambda texts: texts == expected, LONG)
        assert (await bot.interrupted())[0] == 0


async def test_the_digest_bot_sums_up_what_is_unread_and_marks_it(
    stack: RunningStack, join: Join
) -> None:
    ada, ben = await join("ada"), await join("ben")
    await ben.pulse.social.follow(ada.user.id)

    async def unread() -> set[str]:
        return {one.kind async for one in ada.pulse.notifications.list(unread=True)}

    await eventually(unread, lambda kinds: kinds == {"welcome", "follower"}, LONG)
    async with started(stack, "digest_bot.py", ada, "--every", "0.2") as bot:
        lines = {await bot.line(), await bot.line()}
        assert lines == {"1 x welcome: Pulse", "1 x follower: Ben"}
        await eventually(unread, lambda kinds: not kinds, LONG)

        post = await ada.pulse.posts.create("Hello")
        await ben.pulse.posts.like(post.id)
        assert await bot.line() == "1 x like: Ben"
        assert await bot.interrupted() == (0, "stopped\n", "")

    await ben.pulse.posts.comment(post.id, "Hello to you")
    await eventually(unread, lambda kinds: "comment" in kinds, LONG)
    async with started(stack, "digest_bot.py", ada, "--to", ben.user.username) as bot:
        assert (await bot.ended())[0] == 0
    conversation = await ben.pulse.conversations.open([ada.user.id])
    (sent,) = (await ben.pulse.conversations.messages(conversation.id).page()).items
    assert "1 x comment: Ben" in sent.text


async def test_the_importer_posts_each_line_once_however_often_it_runs(
    stack: RunningStack, join: Join, tmp_path: Path
) -> None:
    ada = await join("ada")
    file = tmp_path / "lines.txt"
    file.write_text("One\n\nTwo\nOne\n")

    async def posted() -> list[str]:
        return [p.text async for p in ada.pulse.posts.list(author_id=ada.user.id)][::-1]

    async with started(stack, "importer.py", ada, str(file)) as importer:
        code, _, words = await importer.ended()
    assert (code, words.split("\r")[-1]) == (0, "3 of 3 posted\n")
    assert await posted() == ["One", "Two", "One"]

    file.write_text("Zero\nOne\n\nTwo\nOne\n")
    async with started(stack, "importer.py", ada, str(file)) as importer:
        assert (await importer.ended())[0] == 0
    assert await posted() == ["One", "Two", "One", "Zero"]

    file.write_text("Three\n" + "x" * 501)
    async with started(stack, "importer.py", ada, str(file)) as importer:
        code, _, words = await importer.ended()
    assert code == 1
    assert "line 2: text: " in words

    file.write_text("\n".join(f"Line {number}" for number in range(2000)))
    async with started(stack, "importer.py", ada, str(file)) as importer:
        await eventually(posted, lambda texts: texts[-1].startswith("Line"), LONG)
        code, _, words = await importer.interrupted()
    assert (code, words.splitlines()[-1]) == (1, "importer: stopped; run it again to go on")


async def test_the_web_app_serves_the_feed(stack: RunningStack, join: Join) -> None:
    ada, ben = await join("ada"), await join("ben")
    await ben.pulse.social.follow(ada.user.id)
    await ada.pulse.posts.create("<b>Hello</b>")

    async def fed() -> int:
        return len((await ben.pulse.feed.list().page()).items)

    await eventually(fed, lambda count: count == 1, LONG)
    port = free_port()
    async with (
        started(stack, "web_app.py", ben, "--port", str(port)) as app,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=LONG) as browser,
    ):
        assert "Running on" in await app.line()
        answers = await asyncio.gather(*(browser.get("/feed.json") for _ in range(20)))
        assert {answer.json()["items"][0]["text"] for answer in answers} == {"<b>Hello</b>"}
        page = (await browser.get("/")).text
        assert "&lt;b&gt;Hello&lt;/b&gt;" in page
        assert (await browser.get("/feed.json?cursor=nonsense")).status_code == 400
        code, _, words = await app.interrupted()
    assert (code, words) == (0, "")
