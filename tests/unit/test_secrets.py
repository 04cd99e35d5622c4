from pathlib import Path

import pytest

from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.stack.secrets import ensure_secrets


def files(state: Path) -> dict[str, str]:
    folder = state / "secrets"
    return {str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if f.is_file()}


def test_every_owner_gets_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    owned = {"database_password", "redis_password", "rabbitmq_password", "token_key", "service_key"}
    for service in SERVICE_NAMES:
        alone = {"vapid_key"} if service == "notifications" else set()
        assert {f.name for f in (tmp_path / "secrets" / service).iterdir()} == owned | alone
    migrate = {f"{s}_{role}_password" for s in SERVICE_NAMES for role in ("owner", "app")}
    found = {f.name for f in (tmp_path / "secrets" / "migrate").iterdir()}
    assert found == {"superuser_password", "replication_password", *migrate}
    assert {f.name for f in (tmp_path / "secrets" / "operator").iterdir()} == {
        "token_key", "service_key", "superuser_password",
        "redis_password", "rabbitmq_password", "seed_password",
    }  # fmt: skip


def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    for path in (tmp_path / "secrets").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_shared_secrets_agree_and_the_others_differ(tmp_path: Path) -> None:
    secrets = ensure_secrets(tmp_path)
    for name in ("token_key", "service_key", "rabbitmq_password"):
        assert len({secrets.get(o, name) for o in (*SERVICE_NAMES, "operator")}) == 1
    assert secrets.get("posts", "database_password") == secrets.get("migrate", "posts_app_password")
    assert len({secrets.get(s, "redis_password") for s in (*SERVICE_NAMES, "operator")}) == 7
    assert all(len(value) >= 43 for value in files(tmp_path).values())


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    before = files(tmp_path)
    ensure_secrets(tmp_path)
    assert files(tmp_path) == before


def test_what_is_missing_is_made_again_from_the_other_copies(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    before = files(tmp_path)
    for lost in ("operator/token_key", "posts/database_password", "users/rabbitmq_password"):
        (tmp_path / "secrets" / lost).unlink()
    (tmp_path / "secrets" / "events" / "service_key").write_text("")
    ensure_secrets(tmp_path)
    assert files(tmp_path) == before


def test_repr_shows_no_secret(tmp_path: Path) -> None:
    secrets = ensure_secrets(tmp_path)
    shown = repr(secrets) + str(secrets)
    assert not any(value in shown for value in files(tmp_path).values())


def test_an_unknown_secret_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        ensure_secrets(tmp_path).get("users", "superuser_password")
