"""Kong's configuration: `kong.yml` for its DB-less mode, and `kong.conf`.

Written for Kong 3.9, open-source edition. What its plugins cannot do is done by short functions in
Lua (`templates/kong/*.lua.j2`) that run in Kong's sandbox: problem documents for what Kong answers
by itself, ids and headers that even its refusals carry, a token's audience, the token among a
WebSocket's protocols, and the API's description.
"""

from __future__ import annotations

import json
from functools import partial

from pulse_cli.render.gateway import REDIS_PASSWORD, TOKEN_KEY, Surroundings, surroundings
from pulse_cli.render.jinja import fill
from pulse_cli.stack import gateway as policies
from pulse_cli.stack.model import ROUTES, SERVICE_NAMES, Stack

CONFIG = "kong.yml"
SETTINGS = "kong.conf"
SOCKET = "websocket"
"""Marks the routes that may be upgraded."""

PLUGINS = (
    "cors", "ip-restriction", "jwt", "post-function", "pre-function",
    "prometheus", "rate-limiting", "request-size-limiting", "request-termination",
    "request-transformer",
)  # fmt: skip

SET_BY_KONG = ("X-Forwarded-", "X-Real-IP")
"""Starts of headers that Kong replaces by what it knows itself."""

PATIENCE_SECONDS = 5
"""Within which another instance is tried: time for each to be found unreachable in a second."""

EVERYBODY = ("0.0.0.0/0", "::/0")


def files(stack: Stack) -> dict[str, str]:
    """Return what Kong reads on the stack's own target."""
    return around(stack, surroundings(stack))


def around(stack: Stack, where: Surroundings) -> dict[str, str]:
    """Return what Kong reads in given surroundings; `kong.yml` has places for two secrets."""
    conf = fill("kong/kong.conf.j2", settings=settings(stack, where))
    return {CONFIG: _declared(stack, where), SETTINGS: conf}


def settings(stack: Stack, where: Surroundings) -> dict[str, str]:
    """Return Kong's own settings, as `kong.conf` names them.

    A container may be given them as variables instead: `KONG_` and the name in capitals.
    """
    return {
        "database": "off",
        "declarative_config": where.folder + CONFIG,
        "proxy_listen": f"{_listen(where.listen.host)}:{where.listen.port} reuseport backlog=16384",
        "status_listen": f"{_listen(where.admin.host)}:{where.admin.port}",
        "admin_listen": "off",
        "admin_gui_listen": "off",
        "plugins": ",".join(PLUGINS),
        "headers": "off",
        "headers_upstream": "off",
        "untrusted_lua": "sandbox",
        "untrusted_lua_sandbox_requires": "cjson.safe",
        "untrusted_lua_sandbox_environment": "io.open",
        # The plugin refuses larger bodies by their announced length; this bounds what is read of
        # those that announce none.
        "nginx_http_client_max_body_size": str(2 * stack.gateway.max_body_bytes),
        # More than is let through, for what nginx itself finds too large is a bad request to Kong.
        "nginx_http_large_client_header_buffers": f"4 {2 * policies.MOST_HEAD_BYTES}",
        # Headers whose names are none are refused, not dropped.
        "nginx_http_ignore_invalid_headers": "off",
        # An instance whose machine is gone answers no connection at all. One that takes long over a
        # request has had the client's time: nothing is tried after so many milliseconds.
        "nginx_proxy_proxy_next_upstream": "error timeout",
        "nginx_proxy_proxy_next_upstream_timeout": f"{_patience(stack)}ms",
        # What a service is told, whatever nginx takes a request for (repeat.lua.j2).
        "nginx_proxy_set": "$client_method $request_method",
        "nginx_proxy_proxy_method": "$client_method",
        **_proxies(stack),
        "dns_order": "LAST,A,CNAME",
        "dns_valid_ttl": "2",
        "dns_stale_ttl": "2",
        "worker_state_update_frequency": "1",
        "anonymous_reports": "off",
        "proxy_access_log": "off",
        "proxy_error_log": "/dev/stderr",
        "status_access_log": "off",
        "status_error_log": "/dev/stderr",
    }


def _proxies(stack: Stack) -> dict[str, str]:
    trusted = stack.gateway.trusted_proxies
    if not trusted:
        return {}
    return {
        "trusted_ips": ",".join(map(str, trusted)),
        "real_ip_header": policies.CLIENT_HEADER,
        "real_ip_recursive": "on",
    }


def _patience(stack: Stack) -> int:
    return _milliseconds(min(PATIENCE_SECONDS, stack.gateway.timeout_seconds))


def _declared(stack: Stack, where: Surroundings) -> str:
    values: dict[str, object] = {
        "gateway": stack.gateway,
        "tokens": stack.tokens,
        "policies": policies,
        "where": where,
        "socket": SOCKET,
        "routes": ROUTES,
        "name": _name,
    }

    def lua(script: str, **more: object) -> str:
        return fill(f"kong/{script}.lua.j2", **values, **more).rstrip("\n")

    return fill(
        "kong/kong.yml.j2",
        **values,
        services=SERVICE_NAMES,
        token_key=TOKEN_KEY,
        redis_password=REDIS_PASSWORD,
        rate_limit=partial(_rate_limit, where),
        tokens_checked=_tokens_checked,
        open_to_all=partial(_open_to_all, stack),
        forged=[name for name in policies.FORGED if not name.startswith(SET_BY_KONG)],
        exactly=lambda path: f"~{_expression(path)}$",
        below=lambda path: f"~{_expression(path)}(?:/|$)",
        origins=[f"^{_expression(origin)}$" for origin in stack.gateway.cors_origins],
        lists=_lists(stack),
        milliseconds=_milliseconds,
        lua=lua,
    )


def _rate_limit(where: Surroundings, rate: int) -> str:
    """Requests are counted in Redis, over several gateways together; without it none is refused."""
    return json.dumps(
        {
            "second": rate,
            "limit_by": "ip",
            "policy": "redis",
            "fault_tolerant": True,
            "hide_client_headers": True,
            "redis": {
                "host": where.redis.host,
                "port": where.redis.port,
                "username": where.redis_user,
                "password": REDIS_PASSWORD,
                "timeout": 500,
                **(_redis_tls(where.redis.host) if where.redis_tls else {}),
            },
        }
    )


def _redis_tls(host: str) -> dict[str, object]:
    return {"ssl": True, "ssl_verify": True, "server_name": host}


def _tokens_checked() -> str:
    """Tokens are taken from the header alone, and must end."""
    return json.dumps(
        {
            "key_claim_name": "iss",
            "claims_to_verify": ["exp"],
            "header_names": ["authorization"],
            "uri_param_names": [],
            "cookie_names": [],
        }
    )


def _lists(stack: Stack) -> dict[str, list[str]]:
    lists = {"allow": stack.gateway.allow, "deny": stack.gateway.deny}
    return {name: [str(network) for network in found] for name, found in lists.items() if found}


def _open_to_all(stack: Stack) -> str:
    """A route's list replaces the general one, so who is denied is said again."""
    denied = [str(network) for network in stack.gateway.deny]
    return json.dumps({"deny": denied} if denied else {"allow": EVERYBODY})


def _name(path: str) -> str:
    return path.strip("/").replace("/", "-").replace(".", "-")


def _milliseconds(seconds: float) -> int:
    return max(1, round(1000 * seconds))


def _expression(text: str) -> str:
    return text.replace(".", "\\.")


def _listen(host: str) -> str:
    return f"[{host}]" if ":" in host else host
