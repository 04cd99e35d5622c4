from __future__ import annotations

from itertools import pairwise

import pytest

from pulse_cli.bench.pacing import Pacer, Timeline

TIMELINE = Timeline(origin=1000.0, ramp=10.0, warmup=5.0, duration=60.0)


def started(index: int, users: int = 1000, rate: float = 500, seed: int = 1) -> Pacer:
    pacer = Pacer(index, users, users / rate, seed)
    pacer.start(TIMELINE)
    return pacer


def slots(pacer: Pacer) -> list[float]:
    found = []
    while pacer.next < TIMELINE.closes:
        found.append(pacer.take())
    return found


def test_the_window_lies_after_ramp_and_warm_up() -> None:
    assert (TIMELINE.opens, TIMELINE.closes) == (1015.0, 1075.0)


def test_a_user_sends_at_a_constant_pace() -> None:
    assert {round(b - a, 9) for a, b in pairwise(slots(started(17)))} == {2.0}


def test_users_join_in_turn_over_the_ramp() -> None:
    firsts = [slots(started(index))[0] - TIMELINE.origin for index in range(1000)]
    for index, first in enumerate(firsts):
        joins = index / 1000 * TIMELINE.ramp
        assert joins <= first < joins + 2.0


def test_all_together_make_the_intended_rate_without_ever_being_in_step() -> None:
    everything = sorted(slot for index in range(1000) for slot in slots(started(index)))
    inside = [slot for slot in everything if TIMELINE.opens <= slot < TIMELINE.closes]
    assert len(inside) == 500 * 60
    tenths = [0] * 600
    for slot in inside:
        tenths[int((slot - TIMELINE.opens) * 10)] += 1
    assert max(tenths) < 90, "500/s are 50 a tenth of a second; in step they would be 1,000"


def test_slots_in_the_window_are_counted_before_they_are_taken() -> None:
    for index in range(0, 1000, 37):
        counted = started(index).slots_in(TIMELINE.opens, TIMELINE.closes)
        taken = [s for s in slots(started(index)) if s >= TIMELINE.opens]
        assert counted == len(taken)


def test_phases_follow_from_the_seed_alone() -> None:
    assert slots(started(3, seed=1)) == slots(started(3, seed=1))
    assert slots(started(3, seed=1))[0] != slots(started(3, seed=2))[0]


@pytest.mark.parametrize("ramp", [0.0, 10.0])
def test_a_user_slower_than_the_run_never_sends(ramp: float) -> None:
    pacer = Pacer(0, 1, 1e6, seed=1)
    pacer.start(Timeline(0, ramp, 0, 1))
    assert pacer.slots_in(ramp, ramp + 1) == 0
