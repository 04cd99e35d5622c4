import errno
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError
from supervisor.datatypes import RestartUnconditionally
from supervisor.options import ServerOptions

from pulse_cli.components import Binaries
from pulse_cli.errors import Unusable
from pulse_cli.programs import service_environment
from pulse_cli.render import jinja
from pulse_cli.render.jinja import fill
from pulse_cli.render.local import render_local
from pulse_cli.stack.load import load_stack
from pulse_cli.stack.model import ROUTES, SERVICE_NAMES, Stack
from pulse_cli.stack.secrets import Secrets, ensure_secrets

BINARIES = Binaries(
    python=Path(sys.executable),
    postgres_bin=Path("/opt/postgres/bin"),
    redis_server=Path("/opt/redis-server"),
    rabbitmq_home=Path("/opt/rabbitmq"),
    epmd=Path("/opt/erlang/bin/epmd"),
    envoy=Path("/opt/envoy"),
)


def render_into(state: Path, **flags: object) -> tuple[Stack, Secrets]:
    stack = load_stack(state, {k.replace("__", "."): v for k, v in flags.items()}, {})
    secrets = ensure_secrets(state)
    render_local(stack, secrets, state, BINARIES)
    return stack, secrets


def as_json(file: Path) -> Any:
    return json.loads(file.read_text())


def supervisor(state: Path) -> dict[str, Any]:
    """The programs' configurations as supervisord itself reads them."""
    (state / "logs").mkdir()
    (state / "run").mkdir()
    options = ServerOptions()
    options.realize(["-c", str(state / "rendered" / "supervisord.conf")])
    return {p.name: p for group in options.process_group_configs for p in group.process_configs}


def test_only_the_owner_may_read_what_is_rendered(tmp_path: Path) -> None:
    render_into(tmp_path)
    for path in (tmp_path / "rendered").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_a_file_is_written_only_when_it_changes(tmp_path: Path) -> None:
    render_into(tmp_path)
    before = {p: p.stat().st_ino for p in (tmp_path / "rendered").rglob("*") if p.is_file()}
    render_into(tmp_path, services__posts__replicas=2)
    changed = {p.name for p, inode in before.items() if p.stat().st_ino != inode}
    assert {"posts.json", "peers.json", "supervisord.conf"} <= changed
    assert not {"envoy.json", "users.json", "redis.conf", "rabbitmq.conf"} & changed


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        fill("redis/redis.conf.j2")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where compiled templates are kept meanwhile; nothing is in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    jinja._environment.cache_clear()
    yield tmp_path
    jinja._environment.cache_clear()


def test_compiled_templates_are_kept_for_this_user_alone(temporary: Path) -> None:
    text = fill("rabbitmq/rabbitmq.conf.j2", definitions="/x")
    (folder,) = temporary.iterdir()
    (compiled,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    written = compiled.stat().st_ino
    jinja._environment.cache_clear()
    assert fill("rabbitmq/rabbitmq.conf.j2", definitions="/x") == text
    assert compiled.stat().st_ino == written


def test_templates_are_filled_where_none_can_be_kept(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", _full)
    assert "/x" in fill("rabbitmq/rabbitmq.conf.j2", definitions="/x")
    (folder,) = temporary.iterdir()
    folder.rmdir()
    folder.symlink_to(temporary)  # of somebody who would like to be read
    jinja._environment.cache_clear()
    assert "/x" in fill("rabbitmq/rabbitmq.conf.j2", definitions="/x")
    assert list(temporary.iterdir()) == [folder]


def _full(**_options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_envoy_routes_every_route_and_knows_every_service(tmp_path: Path) -> None:
    render_into(tmp_path, gateway__deny=["10.0.0.0/8", "fd00::/8"], gateway__timeout_seconds=0.25)
    config = as_json(tmp_path / "rendered" / "envoy.json")
    listener = config["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    prefixes = [r["match"].get("path_separated_prefix") for r in routes]
    assert list(dict.fromkeys(p for p in prefixes if p)) == [route.prefix for route in ROUTES]
    jwt = "envoy.filters.http.jwt_authn"
    answered = [r for r in routes if r.get("direct_response", {}).get("status", 200) < 400]
    unguarded = {
        r["match"]["path"] for r in answered if jwt not in r.get("typed_per_filter_config", {})
    }
    public = {path for route in ROUTES for path in route.public}
    described = {"/api/v1/openapi.json", "/api/v1/docs"}
    assert unguarded == public | described | {f"/health/{name}" for name in SERVICE_NAMES}
    assert {c["name"] for c in config["static_resources"]["clusters"]} == set(SERVICE_NAMES)
    principals = json.dumps(manager["http_filters"][1])
    assert '{"address_prefix": "fd00::", "prefix_len": 8}' in principals
    assert manager["request_timeout"] == "0.250000000s"
    assert "Pulse" in config["node"]["metadata"]["rendered_by"]


def test_endpoints_and_peers_follow_the_replicas(tmp_path: Path) -> None:
    render_into(tmp_path, services__posts__replicas=2, services__posts__port=9000)
    assignment = as_json(tmp_path / "rendered" / "eds" / "posts.json")["resources"][0]
    sockets = [
        e["endpoint"]["address"]["socket_address"]
        for e in assignment["endpoints"][0]["lb_endpoints"]
    ]
    assert sockets == [{"address": "127.0.0.1", "port_value": port} for port in (9000, 9100)]
    peers = as_json(tmp_path / "rendered" / "peers.json")
    assert peers["posts"] == ["http://127.0.0.1:9000", "http://127.0.0.1:9100"]
    assert set(peers) == set(SERVICE_NAMES)


def test_supervisor_runs_every_program_with_its_label(tmp_path: Path) -> None:
    render_into(tmp_path, services__users__replicas=2)
    programs = supervisor(tmp_path)
    assert set(programs) == {
        "epmd", "rabbitmq", "postgres", "redis", "migrate", "openapi", "envoy", "users-1",
        *(f"{name}-0" for name in SERVICE_NAMES),
    }  # fmt: skip
    for name, program in programs.items():
        assert program.environment["STACK_STATE_DIR"] == str(tmp_path)
        assert not program.autostart
        assert program.autorestart is (
            False if name in {"migrate", "openapi"} else RestartUnconditionally
        )
        assert program.stdout_logfile == f"{tmp_path}/logs/{name}.log"
    tiers = {name: program.priority for name, program in programs.items()}
    assert tiers["postgres"] < tiers["migrate"] < tiers["users-1"] < tiers["envoy"]
    assert programs["postgres"].stopsignal == signal.SIGINT


def test_supervisor_reads_paths_and_settings_as_they_are(tmp_path: Path) -> None:
    state = tmp_path / "A new folder, ü" / ".pulse"
    state.mkdir(parents=True)
    render_into(state, tokens__issuer="100% o'pulse, really")
    programs = supervisor(state)
    told = programs["users-0"].environment
    assert told["SERVICE_SECRETS_DIR"] == f"{state}/secrets/users"
    assert told["SERVICE_TOKEN_ISSUER"] == "100% o'pulse, really"
    assert programs["redis"].environment["STACK_STATE_DIR"] == str(state)
    command = shlex.split(programs["redis"].command)
    assert command == ["/opt/redis-server", f"{state}/rendered/redis.conf"]
    assert programs["redis"].directory == str(state)


@pytest.mark.parametrize(
    "name", ['say "hi"', "two\nlines", "a ;b", "a #b", "100%", "it's", "$(id)"]
)
def test_a_path_that_is_not_plain_is_refused(tmp_path: Path, name: str) -> None:
    state = tmp_path / name
    state.mkdir()
    with pytest.raises(Unusable, match="rename the folder"):
        render_into(state)


def test_a_setting_that_supervisor_cannot_hold_is_refused(tmp_path: Path) -> None:
    for issuer in ('say "hi"', "two\nlines", "a ;b"):
        with pytest.raises(Unusable, match="cannot be used"):
            render_into(tmp_path, tokens__issuer=issuer)


def test_no_secret_is_in_a_command_or_an_environment(tmp_path: Path) -> None:
    stack, _ = render_into(tmp_path)
    secrets = [f.read_text() for f in (tmp_path / "secrets").rglob("*") if f.is_file()]
    shown = (tmp_path / "rendered" / "supervisord.conf").read_text()
    shown += (tmp_path / "rendered" / "redis.conf").read_text()
    shown += (tmp_path / "rendered" / "definitions.json").read_text()
    shown += str([service_environment(stack, name, 0, tmp_path) for name in SERVICE_NAMES])
    assert not any(secret in shown for secret in secrets)


def test_a_service_is_told_everything_from_the_stack(tmp_path: Path) -> None:
    stack = load_stack(
        tmp_path, {"services.social.replicas": 2, "services.social.pool_size": 7}, {}
    )
    told = service_environment(stack, "social", 1, tmp_path)
    assert told["SERVICE_PORT"] == "8185"
    assert told["SERVICE_INSTANCE"] == "1"
    assert told["SERVICE_POOL_SIZE"] == "7"
    assert told["SERVICE_DATABASE_USER"] == "social_app"
    assert told["SERVICE_PEERS_FILE"] == f"{tmp_path}/rendered/peers.json"


def test_each_service_has_its_own_user_of_redis(tmp_path: Path) -> None:
    render_into(tmp_path)
    lines = (tmp_path / "rendered" / "redis.conf").read_text().splitlines()
    users = {line.split()[1]: shlex.split(line) for line in lines if line.startswith("user ")}
    assert set(users) == {"default", "gateway", *SERVICE_NAMES}
    for name in SERVICE_NAMES:
        assert f"~{name}:*" in users[name]
        assert f"&{name}:*" in users[name]
        assert {"resetkeys", "resetchannels", "-@admin", "-@dangerous"} <= set(users[name])
    assert len({words[3] for words in users.values()}) == 8


def test_redis_reads_its_folder_as_it_is(tmp_path: Path) -> None:
    state = tmp_path / "A new folder, ü"
    state.mkdir()
    render_into(state)
    assert f'dir "{state}/data/redis"' in (state / "rendered" / "redis.conf").read_text()


def test_rabbitmq_gets_one_user_with_a_hash(tmp_path: Path) -> None:
    render_into(tmp_path)
    definitions = as_json(tmp_path / "rendered" / "definitions.json")
    assert [u["name"] for u in definitions["users"]] == ["pulse"]
    assert [v["name"] for v in definitions["vhosts"]] == ["pulse"]
    conf = (tmp_path / "rendered" / "rabbitmq.conf").read_text()
    assert f"load_definitions = {tmp_path}/rendered/definitions.json" in conf
