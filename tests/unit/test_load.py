from pathlib import Path

import pytest

from pulse_cli.errors import ConfigError, NotHealthy
from pulse_cli.stack.load import load_stack, running_stack
from pulse_cli.stack.model import Stack


def write(folder: Path, text: str) -> None:
    (folder / "pulse.toml").write_text(text)


def refusal(
    folder: Path, environ: dict[str, str] | None = None, flags: dict[str, object] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        load_stack(folder, flags or {}, environ or {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_configured_means_the_defaults(tmp_path: Path) -> None:
    assert load_stack(tmp_path, {}, {}) == Stack()


def test_each_layer_goes_over_the_one_before(tmp_path: Path) -> None:
    write(tmp_path, "[gateway]\nport = 9001\nadmin_port = 9002\nrequests_per_second = 3")
    environ = {"PULSE_GATEWAY__PORT": "9100", "PULSE_GATEWAY__ADMIN_PORT": "9101"}

    stack = load_stack(tmp_path, {"gateway.port": 9200}, environ)

    gateway = stack.gateway
    assert (gateway.port, gateway.admin_port, gateway.requests_per_second) == (9200, 9101, 3)
    assert stack.services.posts.replicas == 1


@pytest.mark.parametrize(
    "text", ['["http://a", "http://b"]', "['http://a', 'http://b']"], ids=["json", "toml"]
)
def test_a_variable_may_hold_a_list(tmp_path: Path, text: str) -> None:
    stack = load_stack(tmp_path, {}, {"PULSE_GATEWAY__CORS_ORIGINS": text})
    assert stack.gateway.cors_origins == ("http://a", "http://b")


def test_a_variable_may_hold_a_table_or_a_bare_word(tmp_path: Path) -> None:
    environ = {"PULSE_SERVICES__POSTS": '{"port": 9999, "replicas": 2}', "PULSE_TARGET": "local"}
    assert load_stack(tmp_path, {}, environ).services.posts.replicas == 2


def test_other_variables_are_none_of_our_business(tmp_path: Path) -> None:
    assert load_stack(tmp_path, {}, {"PULSED": "1", "HOME": "/", "SERVICE_PORT": "x"}) == Stack()


def test_a_wrong_value_is_told_with_its_file_key_and_what_is_allowed(tmp_path: Path) -> None:
    write(tmp_path, "[services.posts]\nport = 8082\nreplicas = 99")
    message = refusal(tmp_path)
    assert str(tmp_path / "pulse.toml") in message
    assert "services.posts.replicas = 99" in message
    assert "less than or equal to 16" in message


def test_the_layer_that_set_the_wrong_value_is_blamed(tmp_path: Path) -> None:
    write(tmp_path, "[gateway]\nport = 9001")
    assert refusal(tmp_path, {"PULSE_GATEWAY__PORT": "none"}).startswith("PULSE_GATEWAY__PORT: ")
    assert refusal(tmp_path, {}, {"gateway.port": 0}).startswith("--set gateway.port: ")


@pytest.mark.parametrize("value", ["true", '"8000"', "1.5", "70000", "[1]", "2026-01-01"])
def test_a_port_is_a_whole_number_in_range(tmp_path: Path, value: str) -> None:
    write(tmp_path, f"[gateway]\nport = {value}")
    assert "gateway.port" in refusal(tmp_path)


def test_a_wrong_member_of_a_list_is_told_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, '[gateway]\ndeny = ["10.0.0.0/8", "nowhere"]')
    message = refusal(tmp_path)
    assert 'gateway.deny.1 = "nowhere"' in message
    assert "must be an IP network" in message


def test_a_number_must_be_finite(tmp_path: Path) -> None:
    write(tmp_path, "[gateway]\ntimeout_seconds = inf")
    assert "gateway.timeout_seconds" in refusal(tmp_path)


def test_an_address_must_be_one(tmp_path: Path) -> None:
    write(tmp_path, '[gateway]\nhost = "localhost"')
    assert 'gateway.host = "localhost"' in refusal(tmp_path)


def test_an_unknown_key_gets_a_suggestion_and_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, "[gateway]\nprot = 1")
    message = refusal(tmp_path)
    assert "unknown key 'gateway.prot'; did you mean 'port'?" in message
    assert "requests_per_second" in message
    write(tmp_path, "[services.pots]\nreplicas = 1")
    assert "did you mean 'posts'?" in refusal(tmp_path)


def test_an_unknown_variable_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"PULSE_GATWAY__PORT": "1"})
    assert message.startswith("PULSE_GATWAY__PORT: unknown key 'gatway'; did you mean 'gateway'?")
    assert "PULSE_: unknown key" in refusal(tmp_path, {"PULSE_": "1"})


def test_a_value_where_a_table_belongs_is_told(tmp_path: Path) -> None:
    write(tmp_path, "gateway = 5")
    message = refusal(tmp_path, {"PULSE_GATEWAY__PORT": "1234"})
    assert "gateway = 5 is not allowed" in message
    assert "pulse.toml" in message


def test_two_users_of_one_port_are_both_named(tmp_path: Path) -> None:
    write(tmp_path, "[gateway]\nport = 8081")
    message = refusal(tmp_path)
    assert "pulse.toml" in message
    assert "users-0 and gateway both use port 8081" in message


def test_the_last_replica_needs_a_port_too(tmp_path: Path) -> None:
    write(tmp_path, "[services.events]\nport = 65500\nreplicas = 2")
    assert "events-1 would use port 65600" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"gateway = = 1", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pulse.toml").write_bytes(content)
    assert str(tmp_path / "pulse.toml") in refusal(tmp_path)


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "pulse.toml").mkdir()
    assert "cannot be read" in refusal(tmp_path)


def test_the_running_stack_comes_back_as_it_was_recorded(tmp_path: Path) -> None:
    assert running_stack(tmp_path) is None
    stack = load_stack(tmp_path, {"services.posts.replicas": 3, "gateway.port": 9000}, {})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text(stack.model_dump_json())
    assert running_stack(tmp_path) == stack


def test_a_record_from_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text('{"gatway": 1}')
    with pytest.raises(NotHealthy, match="pulse down"):
        running_stack(tmp_path)
