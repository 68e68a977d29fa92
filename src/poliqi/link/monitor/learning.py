"""Commissioning: what blocks that a person vouches for say of a link's devices, with the error of so few blocks.

Everything learned comes as a bound, so that a stated false-alarm probability holds for the baseline that was
really learned, but for a probability `alpha` of having learned a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.link.monitor.observation import Observation, Reading, readings_of, shares_of
from poliqi.link.monitor.tails import chi_square_lower, quantile, share_bounds, student_upper

__all__ = ["LEAST_BLOCKS", "Learned", "Usual", "learn"]

LEAST_BLOCKS: Final = 8
"""Fewer commissioning blocks tell too little of how readings scatter: of a reading as well as of all together."""
_EDGE: Final = 1e-300


class Usual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is usual of a reading, from `blocks` blocks at `rate` clicks a pulse.

    Its true mean lies within `error` of `mean`, and its standard deviation is `deviation` at most. `clicks` is how
    many clicks each reading averaged over, 0 for one that averages over time.
    """

    mean: float
    error: float
    deviation: float
    blocks: int
    clicks: float
    rate: float


class Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What commissioning found: kept beside the link's state, and made anew by a person only.

    `shifts`: of each share, how far the logarithm of its odds stands from the model's, at least and at most;
    `readings`: of each reading what is usual; `blocks` is how many were used.
    """

    blocks: int
    shifts: dict[str, tuple[float, float]]
    readings: dict[str, Usual]


def learn(
    model: Mapping[str, float], dispersion: float, blocks: Iterable[Observation], alpha: float = 1e-6
) -> Learned:
    """What commissioning blocks say: with probability 1 - `alpha` all of it is true.

    `model` has what the link's model says of every share (`Baseline.model` at the blocks' click rate), `dispersion`
    is the baseline's. A reading is learned that at least `LEAST_BLOCKS` of the blocks have: one that a block lacks
    is not unwatched for that. Raises ConfigError where there are too few blocks.
    """
    seen = list(blocks)
    if len(seen) < LEAST_BLOCKS:
        raise ConfigError(
            f"monitor: {len(seen)} blocks to learn from, at least {LEAST_BLOCKS} are needed; commission for longer"
        )
    pooled: dict[str, list[float]] = {}
    values: dict[str, list[Reading]] = {}
    for observation in seen:
        for share in shares_of(observation):
            total = pooled.setdefault(share.figure, [0.0, 0.0])
            total[0] += share.hits
            total[1] += share.trials
        for reading in readings_of(observation):
            values.setdefault(reading.figure, []).append(reading)
    whole = {name: rows for name, rows in values.items() if len(rows) >= LEAST_BLOCKS}
    each = alpha / (2 * (len(pooled) + len(whole)))
    shifts: dict[str, tuple[float, float]] = {}
    for figure, (hits, trials) in pooled.items():
        if trials > 0.0:
            at = _logit(model.get(figure, 0.5))
            low, high = share_bounds(hits / dispersion, trials / dispersion, each)
            shifts[figure] = _logit(low) - at, _logit(high) - at
    return Learned(len(seen), shifts, {name: _usual(rows, each) for name, rows in whole.items()})


def _usual(rows: list[Reading], alpha: float) -> Usual:
    """Bounds of a normal variable's mean (Student) and standard deviation (chi-square), each wrong with `alpha`."""
    count = len(rows)
    mean = math.fsum(row.value for row in rows) / count
    square = math.fsum((row.value - mean) ** 2 for row in rows)
    scatter = math.sqrt(square / (count - 1))
    error = scatter / math.sqrt(count) * quantile(lambda t: student_upper(t, count - 1), alpha / 2.0)
    least = 1.0 / quantile(lambda x: chi_square_lower(1.0 / x, count - 1), alpha)
    clicks, rate = math.fsum(row.clicks for row in rows) / count, math.fsum(row.rate for row in rows) / count
    return Usual(mean, error, math.sqrt(square / least), count, clicks, rate)


def _logit(share: float) -> float:
    return math.log(max(share, _EDGE)) - math.log(max(1.0 - share, _EDGE))
