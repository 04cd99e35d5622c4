"""The gateway's policies in the model: what contradicts itself is refused with one sentence."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pulse_cli.errors import ConfigError
from pulse_cli.stack.gateway import KEY_HEADER
from pulse_cli.stack.load import load_stack
from pulse_cli.stack.model import ROUTES, Route
from services.openapi import document


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gateway.logins_per_second": 51}, "logins_per_second = 51 is above"),
        (
            {"gateway.requests_per_second": 5, "gateway.logins_per_second": 6},
            "logins_per_second = 6 is above gateway.requests_per_second = 5",
        ),
        (
            {"gateway.allow": ["10.1.0.0/16"], "gateway.deny": ["10.1.0.0/16"]},
            "gateway.allow has 10.1.0.0/16 and gateway.deny 10.1.0.0/16, which shuts it out",
        ),
        (
            {"gateway.allow": ["fd00::1/128"], "gateway.deny": ["::/0"]},
            "allow has fd00::1/128 and gateway.deny ::/0",
        ),
        ({"gateway.deny": ["10.0.0.0/8", "10.0.0.0/8"]}, "gateway.deny has 10.0.0.0/8 twice"),
        (
            {"gateway.cors_origins": ["http://a.test", "http://a.test"]},
            "gateway.cors_origins has http://a.test twice",
        ),
        ({"gateway.trusted_proxies": ["10.0.0.1/32"] * 2}, "trusted_proxies has 10.0.0.1/32 twice"),
        ({"gateway.trusted_proxies": ["::/0"]}, "name the load balancers' own networks"),
        ({"gateway.trusted_proxies": ["lb.test"]}, "must be an IP network such as 10.0.0.0/8"),
        ({"gateway.cors_origins": ["*"]}, "must be an origin such as https://app.example.org"),
        ({"gateway.cors_origins": ["https://a.test/"]}, "without a path"),
        ({"gateway.port": 8081}, "users-0 and gateway both use port 8081"),
        ({"gateway.admin_port": 8000}, "gateway-admin and gateway both use port 8000"),
        ({"gateway.websocket_idle_seconds": 5}, "greater than or equal to 60"),
        ({"services.posts.replicas": 0}, "greater than or equal to 1"),
        ({"gateway.kind": "nginx"}, "'kong' or 'envoy'"),
    ],
)
def test_what_contradicts_itself_is_one_sentence(
    tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_stack(tmp_path, settings, {})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_allowing_all_but_a_part_is_no_contradiction(tmp_path: Path) -> None:
    stack = load_stack(
        tmp_path, {"gateway.allow": ["10.0.0.0/8", "::/0"], "gateway.deny": ["10.9.0.0/16"]}, {}
    )
    assert [str(network) for network in stack.gateway.allow] == ["10.0.0.0/8", "::/0"]


@pytest.mark.parametrize(("rate", "logins"), [(1000, 100), (50, 5), (9, 1), (1, 1)])
def test_log_ins_are_a_tenth_unless_told(tmp_path: Path, rate: int, logins: int) -> None:
    stack = load_stack(tmp_path, {"gateway.requests_per_second": rate}, {})
    assert stack.gateway.logins == logins


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"public": ("/api/v1/users/me",)}, "is not below the prefix /api/v1/posts"),
        ({"public": ("/api/v1/postscript",)}, "is not below the prefix /api/v1/posts"),
        ({"probe": "/api/v1/users/me"}, "is not below the prefix /api/v1/posts"),
        ({"prefix": "/posts"}, "/posts is not below /api/v1"),
        ({"websocket": True, "public": ("/api/v1/posts/x",)}, "needs a token, and has a public"),
    ],
)
def test_a_route_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    posts = next(route for route in ROUTES if route.prefix == "/api/v1/posts")
    with pytest.raises(ValidationError, match=said):
        Route.model_validate(posts.model_dump() | changes)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.prefix)
def test_the_gateway_repeats_posts_only_where_every_one_honours_its_key(route: Route) -> None:
    posts = [
        {parameter["name"] for parameter in operations["post"].get("parameters", ())}
        for path, operations in document()["paths"].items()
        if "post" in operations and f"{path}/".startswith(f"{route.prefix}/")
    ]
    assert route.keyed == (bool(posts) and all(KEY_HEADER in one for one in posts))
