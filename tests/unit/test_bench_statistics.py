from __future__ import annotations

import random

import pytest

from pulse_cli.bench.statistics import (
    at_most,
    difference_interval,
    percentile,
    percentile_interval,
    rate_lower_bound,
    rate_upper_bound,
)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7], 0.5, 7),
        ([1, 2, 3, 4], 0.5, 2),
        (range(1, 101), 0.95, 95),
        (range(1, 101), 0.99, 99),
        (range(1, 101), 1.0, 100),
        (range(1, 21), 0.95, 19),
        (range(1, 1001), 0.999, 999),
    ],
)
def test_percentiles_are_nearest_rank(values: range, share: float, expected: int) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize(("requests", "allowed"), [(2_995, 0), (10_000, 4), (100_000, 83)])
def test_the_error_bound_allows_what_the_exact_binomial_does(requests: int, allowed: int) -> None:
    assert rate_upper_bound(allowed, requests) <= 0.001 < rate_upper_bound(allowed + 1, requests)


def test_one_request_less_than_the_rule_shows_too_little() -> None:
    assert rate_upper_bound(0, 2_994) > 0.001


def test_bounds_hold_the_rate_between_them() -> None:
    assert rate_lower_bound(0, 100) == 0
    assert rate_upper_bound(100, 100) == 1
    assert rate_lower_bound(50, 1000) < 0.05 < rate_upper_bound(50, 1000)
    # Clopper-Pearson, one-sided 95 %, 50 of 1,000 (from the beta quantiles).
    assert rate_lower_bound(50, 1000) == pytest.approx(0.0391, abs=2e-4)
    assert rate_upper_bound(50, 1000) == pytest.approx(0.0630, abs=2e-4)


def test_the_binomial_sum_is_exact_for_a_small_case() -> None:
    assert at_most(1, 3, 0.5) == pytest.approx(0.5)
    assert at_most(3, 3, 0.5) == 1
    assert at_most(-1, 3, 0.5) == 0


def test_the_interval_of_a_percentile_holds_it_and_is_repeatable() -> None:
    chance = random.Random(3)
    values = [chance.expovariate(1 / 50) for _ in range(6000)]
    blocks = [i // 100 for i in range(6000)]
    interval = percentile_interval(values, blocks, 0.95, seed=1)
    assert interval is not None
    assert interval.low < percentile(sorted(values), 0.95) < interval.high
    assert interval.low < 150 < interval.high  # 50 * ln(20), the true p95
    assert interval == percentile_interval(values, blocks, 0.95, seed=1)


def test_a_bad_block_widens_the_interval_more_than_scattered_bad_values() -> None:
    blocks = [i // 100 for i in range(3000)]
    together = [500.0 if block < 2 else 10.0 for block in blocks]
    scattered = [500.0 if i % 15 == 0 else 10.0 for i in range(3000)]
    in_blocks = percentile_interval(together, blocks, 0.95, seed=1)
    spread_out = percentile_interval(scattered, blocks, 0.95, seed=1)
    assert in_blocks is not None and spread_out is not None
    assert in_blocks.high - in_blocks.low > spread_out.high - spread_out.low


def test_a_resample_of_equal_blocks_is_the_plain_percentile() -> None:
    values = [float(v) for v in range(1, 101)] * 10
    blocks = [i // 100 for i in range(1000)]
    interval = percentile_interval(values, blocks, 0.95, seed=1)
    assert interval is not None
    assert (interval.low, interval.high) == (95, 95)


def test_too_few_blocks_give_no_interval() -> None:
    assert percentile_interval([1.0] * 700, [i // 100 for i in range(700)], 0.95, seed=1) is None
    assert difference_interval([1.0], [1.0], [0], share=0.95, seed=1) is None


def test_paired_differences_cancel_what_both_share() -> None:
    chance = random.Random(5)
    direct = [chance.expovariate(1 / 10) for _ in range(600)]
    through = [value + 3 for value in direct]
    interval = difference_interval(
        through, direct, [i // 10 for i in range(600)], share=0.95, seed=1
    )
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((3, 3))
