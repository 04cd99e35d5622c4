"""What is known of a replica, and when the standby's data are made anew."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from redis.asyncio import Redis

from pulse_cli.errors import ConfigError
from pulse_cli.programs import service_environment
from pulse_cli.stack.load import load_stack
from pulse_cli.stack.model import Stack
from pulse_cli.targets.local import ports
from pulse_cli.targets.local.plan import REPLICA, plan
from pulse_cli.targets.local.programs import local_environment
from pulse_cli.targets.local.standby import DATA, PRIMARY, STARTED, unfit
from services.kit.ids import new_id
from services.kit.replica import MARK_SECONDS, Horizon, Replica

CONTROL = """Database system identifier:           {system}
Database cluster state:               {state}
Latest checkpoint's REDO WAL file:    {wal}
"""


def test_a_replica_has_what_was_committed_before_the_server_was_asked() -> None:
    horizon = Horizon()
    horizon.asked(1.0, 100)
    horizon.reached(99)
    assert horizon.complete_at == -math.inf
    horizon.asked(2.0, 200)
    horizon.reached(150)
    assert horizon.complete_at == 1.0
    horizon.asked(3.0, 200)
    horizon.reached(200)
    assert horizon.complete_at == 3.0


def test_nothing_is_known_of_what_replays_nothing_or_was_lost() -> None:
    horizon = Horizon()
    horizon.asked(1.0, 100)
    horizon.reached(None)
    assert horizon.complete_at == -math.inf
    horizon.reached(100)
    horizon.lost()
    assert horizon.complete_at == -math.inf


def test_a_replica_that_stands_still_is_ever_further_behind() -> None:
    horizon = Horizon()
    for second in range(1000):
        horizon.asked(float(second), second)
    horizon.reached(10)
    assert horizon.complete_at == -math.inf
    horizon.reached(999)
    assert horizon.complete_at == 999.0


NOW = 1000.0


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still."""
    monkeypatch.setattr("services.kit.replica.monotonic", lambda: NOW)


class Marks:
    """Redis, as far as it keeps one user's mark."""

    def __init__(self) -> None:
        self.age: float | None = None
        self.away = False

    async def pttl(self, key: str) -> int:
        assert key.startswith("posts:wrote:")
        if self.away:
            raise ConnectionError
        return -2 if self.age is None else int((MARK_SECONDS - self.age) * 1000)


def watched(marks: Marks, behind: float) -> Replica:
    """A replica that has what was committed so many seconds ago, and perhaps nothing since."""
    replica = Replica(cast("Redis", marks), "posts", server="", replica="", name="test")
    known = cast("Any", replica)._horizon
    known.asked(NOW - behind, 1)
    known.reached(1)
    return replica


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(
    ("age", "behind", "served"),
    [
        (None, 0.5, True),
        (None, 1.5, True),
        (None, 2.5, False),
        (0.3, 0.5, False),
        (0.7, 0.5, True),
        (4.9, 2.5, False),
        (0.5, math.inf, False),
    ],
)
async def test_who_wrote_since_is_served_by_the_server(
    age: float | None, behind: float, served: bool
) -> None:
    marks = Marks()
    marks.age = age
    assert await watched(marks, behind).serves(new_id()) is served


@pytest.mark.usefixtures("still")
async def test_without_a_user_the_server_is_read() -> None:
    assert not await watched(Marks(), 0.1).serves(None)


@pytest.mark.usefixtures("still")
async def test_while_redis_is_away_and_for_a_while_after_the_server_is_read() -> None:
    marks = Marks()
    replica = watched(marks, 0.0)
    marks.away = True
    assert not await replica.serves(new_id())
    marks.away = False
    assert not await replica.serves(new_id())  # marks may have been lost meanwhile


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with a server and a standby that follows it."""
    for data in (PRIMARY, DATA):
        (tmp_path / data / "global").mkdir(parents=True)
        (tmp_path / data / "pg_wal").mkdir()
        (tmp_path / data / "PG_VERSION").write_text("18\n")
        control(tmp_path / data)
    (tmp_path / DATA / "standby.signal").touch()
    (tmp_path / PRIMARY / "pg_wal" / "0001").touch()
    (tmp_path / STARTED).parent.mkdir()
    started(tmp_path)
    program = tmp_path / "pg_controldata"
    program.write_text('#!/bin/sh\nexec cat "${1#--pgdata=}/global/pg_control"\n')
    program.chmod(0o755)
    return tmp_path


def control(
    data: Path, system: str = "7", how: str = "shut down in recovery", wal: str = "0001"
) -> None:
    text = CONTROL.format(system=system, state=how, wal=wal)
    (data / "global" / "pg_control").write_text(text)


def started(state: Path, written: int = 1) -> None:
    (state / STARTED).write_text(f"{written} {psutil.boot_time()}")


def test_a_standby_that_can_follow_is_kept(state: Path) -> None:
    assert unfit(state, state) is None


def test_a_killed_standby_is_kept(state: Path) -> None:
    control(state / DATA, how="in archive recovery")
    (state / DATA / "postmaster.pid").touch()
    assert unfit(state, state) is None


def test_another_servers_standby_is_made_anew(state: Path) -> None:
    control(state / PRIMARY, system="8")
    assert unfit(state, state) == "they are another server's"


def test_a_standby_that_was_away_for_too_long_is_made_anew(state: Path) -> None:
    control(state / DATA, wal="0000")
    assert unfit(state, state) == "the server no longer keeps what they lack"


@pytest.mark.parametrize("file", ["PG_VERSION", "standby.signal", "global/pg_control"])
def test_a_standby_that_lacks_a_file_is_made_anew(state: Path, file: str) -> None:
    (state / DATA / file).unlink()
    assert unfit(state, state) == "they are broken"


def test_a_damaged_control_file_is_noticed(state: Path) -> None:
    with (state / DATA / "global" / "pg_control").open("a") as file:
        file.write("WARNING: Calculated CRC checksum does not match value stored in file.\n")
    assert unfit(state, state) == "they are broken"


def test_a_standby_whose_last_start_failed_is_made_anew(state: Path) -> None:
    started(state, written=(state / DATA / "global" / "pg_control").stat().st_mtime_ns)
    assert unfit(state, state) == "the last start with them failed"


@pytest.mark.parametrize("told", ["1 1000.0", "nonsense", ""])
def test_after_a_start_of_the_machine_a_standby_is_made_anew(state: Path, told: str) -> None:
    (state / STARTED).write_text(told)
    assert str(unfit(state, state)).startswith("the machine was started since")


def test_a_standby_that_gave_up_is_made_anew(state: Path) -> None:
    control(state / DATA, how="in archive recovery")
    assert unfit(state, state) == "the last start with them failed"


def test_only_a_stack_that_wants_a_replica_has_one() -> None:
    assert REPLICA not in Stack().ports()
    wanted = Stack.model_validate({"postgres": {"replica": True, "replica_port": 15500}})
    assert wanted.ports()[REPLICA] == 15500
    assert ports.isolated(wanted).ports().keys() == wanted.ports().keys()
    assert [one.name for one in plan(wanted) if one not in plan(Stack())] == [REPLICA]
    assert wanted.max_connections > Stack().max_connections


def test_services_of_this_machine_alone_are_told_of_it(tmp_path: Path) -> None:
    wanted = Stack.model_validate({"postgres": {"replica": True, "replica_port": 15500}})
    told = local_environment(wanted, "posts", 0, tmp_path)
    assert (told["SERVICE_REPLICA_HOST"], told["SERVICE_REPLICA_PORT"]) == ("127.0.0.1", "15500")
    assert "SERVICE_REPLICA_HOST" not in service_environment(wanted, "posts", 0, tmp_path)
    assert "SERVICE_REPLICA_HOST" not in local_environment(Stack(), "posts", 0, tmp_path)


def test_other_targets_make_no_replica(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"replica = true is of the local target"):
        load_stack(tmp_path, {"postgres.replica": True, "target": "compose"}, {})
