r"""A web app (aiohttp) that shows an account's feed at `/`, and as JSON at `/feed.json`.

    PULSE_URL=http://127.0.0.1:8000 PULSE_LOGIN=ada PULSE_PASSWORD=... \
        python examples/web_app.py --port 8090

One `AsyncPulse` lives as long as the app and serves all requests at once: they share its
connections, and a token that has to be renewed is renewed once for all of them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator
from html import escape

from aiohttp import web
from aiohttp.typedefs import Handler

from pulse_sdk import AsyncPulse, InvalidInput, PulseError
from pulse_sdk.contract.social import FeedPage

PULSE = web.AppKey("pulse", AsyncPulse)


async def pulse(app: web.Application) -> AsyncIterator[None]:
    """The client, from the app's start to its end."""
    url, login, password = map(setting, ("PULSE_URL", "PULSE_LOGIN", "PULSE_PASSWORD"))
    async with AsyncPulse.login(url, login, password) as client:
        app[PULSE] = client
        yield


@web.middleware
async def explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with what the client's errors mean to a visitor."""
    try:
        return await handler(request)
    except InvalidInput as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    except PulseError as error:
        request.app.logger.warning("%s: %s", request.path, error)
        raise web.HTTPBadGateway(text="Pulse does not answer; try again later.") from error


async def page_of(request: web.Request) -> FeedPage:
    """The page that a visitor asks for; nobody waits longer than two seconds for it."""
    client = request.app[PULSE].with_options(deadline=2)
    return await client.feed.list(limit=20, cursor=request.query.get("cursor")).page()


async def feed_json(request: web.Request) -> web.Response:
    """Answer with the feed as it is."""
    page = await page_of(request)
    return web.Response(text=page.model_dump_json(), content_type="application/json")


async def feed_html(request: web.Request) -> web.Response:
    """Show the feed."""
    page = await page_of(request)
    posts = "".join(
        f"<li><b>{escape(post.author.display_name if post.author else '?')}</b> "
        f"{escape(post.text)}</li>"
        for post in page.items
    )
    html = f"<!doctype html><title>Feed</title><h1>Feed</h1><ul>{posts}</ul>"
    return web.Response(text=html, content_type="text/html")


def setting(name: str) -> str:
    """A variable of the environment."""
    return os.environ.get(name) or sys.exit(f"web_app: set {name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve an account's feed.")
    parser.add_argument("--port", type=int, default=8090)
    app = web.Application(middlewares=[explained])
    app.cleanup_ctx.append(pulse)
    app.add_routes([web.get("/", feed_html), web.get("/feed.json", feed_json)])
    try:
        web.run_app(app, host="127.0.0.1", port=parser.parse_args().port)
    except PulseError as error:
        sys.exit(f"web_app: {error}")
