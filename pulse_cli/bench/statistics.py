"""Exact statistics of a run: percentiles, intervals and bounds, without approximating sketches."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""Of every interval and bound here."""

MIN_BLOCKS = 8
"""Fewer blocks than this say too little about the spread between them."""

RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the smallest value that `share` of all do not exceed.

    `ordered` is ascending and not empty; `share` is in (0, 1].
    """
    return ordered[max(0, _rank(len(ordered), share) - 1)]


def _rank(count: int, share: float) -> int:
    # 0.95 * 20 is 19.000000000000000x for some counts: rounding keeps the rank exact.
    return math.ceil(round(share * count, 9))


def percentile_interval(
    values: Sequence[float], blocks: Sequence[int], share: float, seed: int
) -> Interval | None:
    """Return the block-bootstrap interval of a percentile; None below `MIN_BLOCKS` blocks.

    `blocks[i]` numbers the time block (a second or longer) of `values[i]`. Requests of one moment
    are alike, so whole blocks are drawn with replacement, never single requests.
    """
    numbers = sorted(set(blocks))
    if len(numbers) < MIN_BLOCKS:
        return None
    index = {number: i for i, number in enumerate(numbers)}
    # The values are sorted once; a resample only weighs them by how often their block was drawn,
    # and its percentile is found by walking down from the top.
    falling = sorted(
        ((value, index[block]) for value, block in zip(values, blocks, strict=True)), reverse=True
    )
    sizes = [0] * len(numbers)
    for _, block in falling:
        sizes[block] += 1
    draw = random.Random(seed)  # noqa: S311 - a fixed seed makes the interval repeatable
    estimates = sorted(
        _weighted_percentile(falling, sizes, _draw_blocks(draw, len(numbers)), share)
        for _ in range(RESAMPLES)
    )
    tail = (1 - CONFIDENCE) / 2
    return Interval(percentile(estimates, tail), percentile(estimates, 1 - tail))


def _draw_blocks(draw: random.Random, count: int) -> list[int]:
    weights = [0] * count
    for chosen in draw.choices(range(count), k=count):
        weights[chosen] += 1
    return weights


def _weighted_percentile(
    falling: Sequence[tuple[float, int]], sizes: Sequence[int], weights: Sequence[int], share: float
) -> float:
    total = sum(size * weight for size, weight in zip(sizes, weights, strict=True))
    above = total - _rank(total, share)  # how many samples lie above the wanted rank
    for value, block in falling:
        above -= weights[block]
        if above < 0:
            return value
    return falling[-1][0]


def difference_interval(
    first: Sequence[float],
    second: Sequence[float],
    blocks: Sequence[int],
    *,
    share: float,
    seed: int,
) -> Interval | None:
    """Return the interval of `percentile(first) - percentile(second)` over paired samples.

    Pairs share a block and are drawn together; None below `MIN_BLOCKS` blocks.
    """
    pairs: dict[int, list[int]] = {}
    for position, block in enumerate(blocks):
        pairs.setdefault(block, []).append(position)
    if len(pairs) < MIN_BLOCKS:
        return None
    groups = list(pairs.values())
    draw = random.Random(seed)  # noqa: S311 - repeatable
    estimates = []
    for _ in range(RESAMPLES):
        drawn = [i for group in draw.choices(groups, k=len(groups)) for i in group]
        estimates.append(
            percentile(sorted(first[i] for i in drawn), share)
            - percentile(sorted(second[i] for i in drawn), share)
        )
    estimates.sort()
    tail = (1 - CONFIDENCE) / 2
    return Interval(percentile(estimates, tail), percentile(estimates, 1 - tail))


def at_most(successes: int, trials: int, chance: float) -> float:
    """Return P(X <= successes) for X binomial(trials, chance), summed exactly in logarithms."""
    if successes >= trials or chance <= 0:
        return 1.0
    if successes < 0 or chance >= 1:
        return 0.0
    log_p, log_q = math.log(chance), math.log1p(-chance)
    term = trials * log_q  # log P(X = 0), then each next by its ratio to the one before
    total = math.exp(term)
    for k in range(1, successes + 1):
        term += math.log((trials - k + 1) / k) + log_p - log_q
        total += math.exp(term)
    return min(1.0, total)


def rate_upper_bound(failures: int, trials: int) -> float:
    """Return the one-sided 95 % Clopper-Pearson upper bound of a rate (0 of 2,995 gives 0.001)."""
    if trials == 0 or failures >= trials:
        return 1.0
    return _bisect(lambda p: at_most(failures, trials, p) > 1 - CONFIDENCE)


def rate_lower_bound(failures: int, trials: int) -> float:
    """Return the one-sided 95 % Clopper-Pearson lower bound of a rate."""
    if failures == 0 or trials == 0:
        return 0.0
    return _bisect(lambda p: 1 - at_most(failures - 1, trials, p) < 1 - CONFIDENCE)


def _bisect(too_low: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if too_low(middle):
            low = middle
        else:
            high = middle
    return high
