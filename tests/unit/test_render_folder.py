"""`pulse render`: folders of files, and what differs in them."""

import json
from pathlib import Path

import pytest

from pulse_cli.errors import Unusable
from pulse_cli.render.folder import RECORD, Change, Difference, differences, write
from pulse_cli.render.renderables import RENDERABLES, Files
from pulse_cli.stack.model import Stack
from tests.conftest import pulse

FIRST: dict[str, Files] = {"one": {"a.yml": "a\n", "deep/b.yml": "b\n"}, "two": {"c": "c\n"}}


def changes(found: list[Difference]) -> dict[str, Change]:
    return {one.path: one.change for one in found}


def test_what_is_written_differs_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    found = changes(write(folder, FIRST))
    assert found == dict.fromkeys(("one/a.yml", "one/deep/b.yml", "two/c"), Change.MISSING)
    assert (folder / "one" / "deep" / "b.yml").read_text() == "b\n"
    assert differences(folder, FIRST) == []
    assert write(folder, FIRST) == []


def test_each_way_to_differ_is_told_and_mended(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    (tmp_path / "one" / "a.yml").write_text("edited")
    (tmp_path / "two" / "c").unlink()
    second = FIRST | {"one": {"a.yml": "a\n", "d.yml": "d\n"}}
    expected = {
        "one/a.yml": Change.DIFFERENT,
        "one/d.yml": Change.MISSING,
        "one/deep/b.yml": Change.STALE,
        "two/c": Change.MISSING,
    }
    assert changes(differences(tmp_path, second)) == expected
    assert changes(write(tmp_path, second)) == expected
    assert differences(tmp_path, second) == []
    assert not (tmp_path / "one" / "deep").exists()


def test_files_of_others_stay(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    (tmp_path / "one" / "deep" / "mine").write_text("mine")
    assert changes(write(tmp_path, {"one": {}})) == dict.fromkeys(
        ("one/a.yml", "one/deep/b.yml"), Change.STALE
    )
    assert (tmp_path / "one" / "deep" / "mine").read_text() == "mine"
    assert (tmp_path / "two" / "c").is_file()


def test_a_file_that_we_did_not_write_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.yml").write_text("somebody's")
    with pytest.raises(Unusable, match="is not a file that pulse render wrote"):
        write(tmp_path, FIRST)
    assert (tmp_path / "one" / "a.yml").read_text() == "somebody's"
    assert not (tmp_path / "two").exists()


def test_a_record_cannot_make_us_remove_files_elsewhere(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    folder = tmp_path / "out"
    write(folder, FIRST)
    (folder / RECORD).write_text(json.dumps({"files": {"one": ["../other", str(other)]}}))
    assert write(folder, FIRST) == []
    assert other.read_text() == "kept"


@pytest.mark.parametrize("record", ["", "[]", '{"files": 3}', '{"files": {"one": 3}}'])
def test_a_record_that_is_none_is_told(tmp_path: Path, record: str) -> None:
    (tmp_path / RECORD).write_text(record)
    with pytest.raises(Unusable, match="was not written by pulse render"):
        write(tmp_path, FIRST)


def test_everything_is_rendered_the_same_each_time() -> None:
    for name, files in RENDERABLES.items():
        assert files(Stack()) == files(Stack()), name
        for path, text in files(Stack()).items():
            assert text.endswith("\n") or not text, path
            assert not Path(path).is_absolute()
            assert ".." not in path


def test_the_command_writes_checks_and_says_what_differs(tmp_path: Path) -> None:
    assert pulse(tmp_path, "render", "all", "-o", "out").returncode == 0
    assert pulse(tmp_path, "render", "all", "-o", "out", "--check").returncode == 0
    (tmp_path / "pulse.toml").write_text("[gateway]\nadmin_port = 9009\n")
    checked = pulse(tmp_path, "render", "all", "-o", "out", "--check", "--json")
    assert checked.returncode == 3
    told = json.loads(checked.stdout)["changes"]
    assert {"path": "prometheus/prometheus.yml", "change": "different"} in told
    assert "pulse render all -o out" in checked.stderr


def test_secrets_are_rendered_on_demand_alone(tmp_path: Path) -> None:
    assert pulse(tmp_path, "render", "kong", "-o", "open").returncode == 0
    assert not (tmp_path / ".pulse").exists()
    assert pulse(tmp_path, "render", "kong", "-o", "own", "--secrets").returncode == 0
    key = (tmp_path / ".pulse" / "secrets" / "gateway" / "token_key").read_text()
    assert key not in (tmp_path / "open" / "kong" / "kong.yml").read_text()
    own = tmp_path / "own" / "kong" / "kong.yml"
    assert key in own.read_text()
    assert "@PULSE_" not in own.read_text().partition("_format_version")[2]
    assert f"{tmp_path}/.pulse/rendered/api/openapi.json" in own.read_text()
    assert own.stat().st_mode & 0o777 == 0o600
    assert pulse(tmp_path, "render", "kong", "-o", "own", "--secrets", "--check").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("all", "--secrets"), 2, "--secrets is for kong and envoy"),
        (("nothing",), 2, "there is no 'nothing' to render"),
        (("all", "-o", "pulse.toml"), 7, "pulse.toml is not a folder"),
        (("all", "-o", "pulse.toml/below"), 7, "a file stands in its way"),
        (("all", "--check", "-o", "pulse.toml"), 7, "pulse.toml is not a folder"),
    ],
)
def test_what_cannot_be_rendered_is_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "pulse.toml").touch()
    done = pulse(tmp_path, "render", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
