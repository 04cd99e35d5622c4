"""Kong's functions in the Lua that Kong has (LuaJIT), before a stand-in for all around them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.luajit21 import LuaRuntime

from pulse_cli.render import kong
from pulse_cli.stack.gateway import MOST_HEAD_BYTES
from pulse_cli.stack.load import load_stack

STAND_IN = """
function meet(given, headers, route)
  local said = {}
  local function of(name) return headers[name:lower()] end
  kong = {
    request = {
      get_method = function() return given.method end,
      get_header = of,
      get_headers = function() return headers, given.more end,
    },
    router = { get_route = function() return route end },
    response = { exit = function(status) said.status = status end },
    service = { request = { set_method = function(method) said.method = method end } },
  }
  ngx = { var = { request_uri = given.uri, request = given.method .. " " .. given.uri } }
  return said
end
package.preload["cjson.safe"] = function() return {} end
"""


def texts(found: Any) -> Iterator[str]:
    """Every function of a configuration, each of them once for each place that has it."""
    if isinstance(found, Mapping):
        for value in found.values():
            yield from texts(value)
    elif isinstance(found, list):
        for value in found:
            yield from texts(value)
    elif isinstance(found, str) and "return function()" in found:
        yield found


def functions() -> dict[str, str]:
    """The functions, by their names."""
    written = load_stack(Path("/nowhere"), {"tokens.audience": "an 'audience' ]] \\ ü"}, {})
    found = list(texts(yaml.safe_load(kong.files(written)[kong.CONFIG])))
    marks = {"refuse": "local allowed", "repeat": "local keyed", "answer": "local problems"}
    named = {name: one for name, mark in marks.items() for one in found if mark in one}
    return named | {str(number): one for number, one in enumerate(found)}


FUNCTIONS = functions()


def met(function: str, route: Mapping[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """What a function says to a request."""
    lua: Any = LuaRuntime()
    lua.execute(STAND_IN)
    headers = lua.table_from(given.pop("headers", {}))
    request = lua.table_from({"method": "GET", "uri": "/api/v1/posts", "more": None, **given})
    told = None
    if route is not None:
        told = lua.table_from({**route, "tags": lua.table_from(route.get("tags", []))})
    said = lua.globals().meet(request, headers, told)
    lua.execute(FUNCTIONS[function])()
    return dict(said)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_kong_can_read_the_function(name: str) -> None:
    lua: Any = LuaRuntime()
    lua.execute(STAND_IN)
    assert callable(lua.execute(FUNCTIONS[name]))


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, None),
        ({"uri": "/api/v1/posts?next=%2f%5c"}, None),
        ({"method": "TRACE"}, 405),
        ({"more": "truncated"}, 431),
        ({"headers": {"x": "a" * MOST_HEAD_BYTES}}, 431),
        ({"headers": {"x-a": "a\tb", "x.y": "é"}}, None),
        ({"headers": {"x_user_id": "1"}}, 400),
        ({"headers": {"x-a": "a\x01b"}}, 400),
        ({"uri": "/api/v1/posts%2Fx"}, 400),
        ({"uri": "/api/v1/posts%5cx"}, 400),
        ({"uri": "/api/v1/posts#x"}, 400),
        ({"uri": "/api/v1/posts/é"}, 400),
        ({"headers": {"upgrade": "websocket", "connection": "Upgrade"}}, 403),
        ({"headers": {"upgrade": "websocket"}}, None),
        ({"headers": {"upgrade": "h2c", "connection": "Upgrade"}}, None),
    ],
)
def test_what_is_refused(given: dict[str, Any], status: int | None) -> None:
    assert met("refuse", **given).get("status") == status


def test_a_websocket_is_let_in_where_there_is_one() -> None:
    headers = {"upgrade": "WebSocket", "connection": "keep-alive, Upgrade"}
    assert met("refuse", {"name": "api-v1-ws", "tags": [kong.SOCKET]}, headers=headers) == {}
    assert met("refuse", {"name": "api-v1-posts"}, headers=headers) == {"status": 403}


@pytest.mark.parametrize(
    ("route", "method", "headers", "taken"),
    [
        ("api-v1-posts", "POST", {"idempotency-key": "one"}, "PUT"),
        ("api-v1-posts", "POST", {}, None),
        ("api-v1-posts", "PATCH", {"idempotency-key": "one"}, None),
        ("api-v1-auth", "POST", {"idempotency-key": "one"}, None),
        ("api-v1-auth-refresh", "POST", {"idempotency-key": "one"}, None),
    ],
)
def test_what_may_be_repeated(
    route: str, method: str, headers: dict[str, str], taken: str | None
) -> None:
    said = met("repeat", {"name": route}, method=method, headers=headers)
    assert said.get("method") == taken
