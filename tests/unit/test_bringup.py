"""The order in which components are started, and what is said when one fails."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import cast

import pytest

from pulse_cli.errors import ConfigError, Unusable
from pulse_cli.programs import SCALE_ROOM, connection_limit
from pulse_cli.stack.model import Stack
from pulse_cli.targets import bringup
from pulse_cli.targets.bringup import bring_up
from pulse_cli.targets.choosing import choose, instance
from pulse_cli.targets.local.plan import Component, plan
from pulse_cli.targets.local.supervisor import Info
from pulse_cli.targets.probes import Answer
from pulse_cli.targets.progress import Phase, Progress, StartFailed


class FakeSupervisor:
    """Starts nothing; a component takes on the state that the test gave it."""

    def __init__(self, **becomes: str) -> None:
        self.becomes = becomes
        self.started: list[str] = []
        self.known: dict[str, Info] = {}

    def infos(self) -> dict[str, Info]:
        return self.known

    def knows(self, name: str, state: str = "STOPPED", pid: int | None = None) -> None:
        self.known[name] = Info(name, state, pid, 0, 0, 0, "Exited too quickly")

    def run(self, name: str) -> None:
        self.started.append(name)
        self.known[name] = replace(
            self.known[name], state=self.becomes.get(name, "RUNNING"), pid=len(self.started)
        )


WELL = Answer(True, "well")


def component(name: str, *after: str, said: Answer = WELL) -> Component:
    return Component(name, "service", 1, after=after, probe=lambda: said)


def run(
    supervisor: FakeSupervisor,
    components: list[Component],
    gates: dict[str, Future[None]] | None = None,
) -> tuple[dict[str, Progress], list[str]]:
    seen: dict[str, Progress] = {}
    started: list[str] = []
    for one in components:
        if one.name not in supervisor.known:
            supervisor.knows(one.name)

    def show(progress: object) -> None:
        seen.update({p.name: p for p in cast("list[Progress]", progress)})

    try:
        bring_up(supervisor, components, show, gates or {}, started)
    finally:
        supervisor.started = started
    return seen, started


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringup, "TICK_SECONDS", 0.001)


def test_a_component_starts_after_what_it_needs() -> None:
    _, started = run(FakeSupervisor(), [component("c", "b"), component("b", "a"), component("a")])
    assert started == ["a", "b", "c"]


def test_what_runs_already_is_not_started() -> None:
    supervisor = FakeSupervisor()
    supervisor.knows("a", "RUNNING", 7)
    _, started = run(supervisor, [component("a"), component("b", "a")])
    assert started == ["b"]


def test_a_job_is_done_when_it_ends_with_zero() -> None:
    job = Component("migrate", "job", None)
    seen, _ = run(FakeSupervisor(migrate="EXITED"), [job, component("a", "migrate")])
    assert seen["migrate"].phase is Phase.READY


def test_a_failure_names_the_component_and_its_last_answer_and_skips_dependents() -> None:
    supervisor = FakeSupervisor(b="FATAL")
    seen: dict[str, Progress] = {}
    components = [component("a"), component("b", "a"), component("c", "b"), component("d", "c")]
    for one in components:
        supervisor.knows(one.name)
    with pytest.raises(StartFailed, match="b did not become ready: Exited too quickly") as failure:
        bring_up(
            supervisor,
            components,
            lambda progress: seen.update({p.name: p for p in progress}),
            {},
        )
    assert failure.value.name == "b"
    assert [seen[n].phase for n in "abcd"] == ["ready", "failed", "skipped", "skipped"]


def test_one_that_never_answers_fails_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringup, "DEADLINE_SECONDS", 0.05)
    deaf = component("a", said=Answer(False, "GET /health/ready answered 503"))
    with pytest.raises(StartFailed, match="last answer: GET /health/ready answered 503"):
        run(FakeSupervisor(), [deaf])


def test_work_that_gates_a_component_stops_the_start_with_its_own_error() -> None:
    gate: Future[None] = Future()
    gate.set_exception(Unusable("cannot make the database"))
    with pytest.raises(Unusable, match="cannot make the database"):
        run(FakeSupervisor(), [component("postgres")], {"postgres": gate})


def test_the_gateway_starts_at_once_and_is_ready_last() -> None:
    gateway = replace(component("envoy"), settles=("a",))
    seen, started = run(FakeSupervisor(), [component("a"), gateway])
    assert started == ["a", "envoy"]
    assert seen["envoy"].ended >= seen["a"].ended


def test_the_plan_has_every_instance_and_migrations_before_services() -> None:
    components = {
        c.name: c
        for c in plan(Stack.model_validate({"services": {"posts": {"port": 9000, "replicas": 2}}}))
    }
    assert components["posts-1"].port == 9100
    assert set(components["posts-1"].after) == {"migrate", "redis"}
    assert components["migrate"].after == ("postgres",)
    assert components["rabbitmq"].after == ("epmd",)


def test_a_service_means_all_its_instances() -> None:
    stack = Stack.model_validate({"services": {"posts": {"port": 9000, "replicas": 2}}})
    assert choose(plan(stack), ["posts", "redis"]) == ["posts-0", "posts-1", "redis"]
    with pytest.raises(ConfigError, match=r"no component 'feed'; it has .*users, posts"):
        choose(plan(stack), ["feed"])
    assert choose(plan(stack), []) == [component.name for component in plan(stack)]


def test_an_instance_is_one_of_a_service() -> None:
    assert instance(plan(Stack()), "posts-0").port == Stack().services.posts.port
    for name in ("posts", "posts-1", "redis"):
        with pytest.raises(ConfigError, match=rf"no instance '{name}'; there are .*posts-0"):
            instance(plan(Stack()), name)


def test_postgres_has_connections_for_scaling() -> None:
    stack = Stack()
    per_instance = stack.services.posts.pool_size + 1
    assert connection_limit(stack) - stack.max_connections == 6 * (SCALE_ROOM - 1) * per_instance


def test_one_that_waits_for_another_is_not_blamed_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringup, "DEADLINE_SECONDS", 0.05)
    gateway = replace(component("envoy"), settles=("deaf",))
    deaf = component("deaf", said=Answer(False, "503"))
    with pytest.raises(StartFailed, match=r"^deaf did not become ready"):
        run(FakeSupervisor(), [gateway, deaf])
