"""What is honest: the figures of an undisturbed link, from its LINK.toml and from blocks of its commissioning.

The model says how every share depends on the click rate, so that a fibre that loses a little more does not look
like an attack; commissioning blocks say where the real devices stand against it, and what their readings are.
The baseline never learns later: an attack that grows slowly would teach it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from poliqi.link.monitor.learning import Learned, Usual, learn
from poliqi.link.monitor.observation import Observation, Reading
from poliqi.link.monitor.tolerance import Tolerance
from poliqi.optics.channel import Expectation, expectation
from poliqi.optics.fibre import fibre_loss_db
from poliqi.optics.lossestimate import fibre_of_loss
from poliqi.optics.parameters import Attack, LinkParameters

__all__ = ["Baseline"]

_MORE_DB: Final = (
    -3.0,
    -2.0,
    -1.5,
    -1.0,
    -0.5,
    -0.25,
    0.0,
    0.25,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    3.0,
    4.0,
    6.0,
    9.0,
    13.0,
)
"""Loss more than planned at which the model is asked; between two of them shares are interpolated."""
_BY_DEVICE: Final = frozenset({"detectors-key", "detectors-test", "doubles"})
"""Shares that only Bob's device can tell."""

_FAR: Final = 700.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is honest at every click rate. Make it by `of`; `with_learned` adds what commissioning found."""

    tolerance: Tolerance
    dispersion: float
    """Variance of counts over a binomial's, at most: a click with its afterpulses, each of which may have its own,
    counts as one. Their number is geometric, 1/(1-p) on average, and a compound count has the variance
    (1+p)/(1-p) of a plain one."""
    rates: tuple[float, ...]
    """Clicks a pulse at the points of the table, rising."""
    table: dict[str, tuple[float, ...]]
    planned: float
    """Clicks a pulse of the link as it is planned."""
    learned: Learned | None = None
    factors: dict[str, tuple[float, float]] = field(init=False, repr=False)
    """Of each share, how many times the model's odds are the least and the most that is honest."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", {figure: self._factor(figure) for figure in self.figures})

    @classmethod
    def of(cls, link: LinkParameters, tolerance: Tolerance | None = None) -> Baseline:
        """The model's own. `link.attack` is left out."""
        honest = replace(link, attack=Attack())
        own = fibre_loss_db(honest.fibre) + honest.fibre.mux_db
        losses = [own + more for more in _MORE_DB if own + more > 0.0] or [own]
        points = [_point(expectation(replace(honest, fibre=fibre_of_loss(honest.fibre, loss)))) for loss in losses]
        points.sort(key=lambda point: point["clicks"])
        return cls(
            tolerance=tolerance or Tolerance(),
            dispersion=(1.0 + link.detector.afterpulse) / (1.0 - link.detector.afterpulse),
            rates=tuple(point["clicks"] for point in points),
            table={name: tuple(point[name] for point in points) for name in points[0] if name != "clicks"},
            planned=expectation(honest).clicks,
        )

    def commissioned(self, blocks: Iterable[Observation], alpha: float = 1e-6) -> Baseline:
        """This baseline moved to where the real devices stand, as `learn` finds it from blocks of a sound link."""
        seen = list(blocks)
        pulses = sum(block.pulses for block in seen)
        rate = sum(block.detections for block in seen) / pulses if pulses else 0.0
        return self.with_learned(learn(self.model(rate), self.dispersion, seen, alpha))

    def with_learned(self, learned: Learned) -> Baseline:
        """The same, with what an earlier commissioning found."""
        return replace(self, learned=learned)

    @property
    def figures(self) -> tuple[str, ...]:
        """Shares that can be judged: the model's, and those that commissioning saw.

        How detectors share their clicks is learned first: no two are alike, and the model knows of no difference.
        """
        if self.learned is not None:
            return tuple(dict.fromkeys(("clicks", *self.table, *self.learned.shifts)))
        return ("clicks", *(name for name in self.table if not name.startswith("detectors")))

    @property
    def readings(self) -> dict[str, Usual]:
        """Readings that can be judged, with what is usual."""
        return {} if self.learned is None else self.learned.readings

    @property
    def required(self) -> frozenset[str]:
        """Figures without which no block is vouched for: what commissioning saw, else all that counts give."""
        if self.learned is not None:
            return frozenset((*self.learned.shifts, *self.learned.readings))
        return frozenset(("clicks", *self.table)) - _BY_DEVICE

    def honest(self, rate: float) -> dict[str, tuple[float, float]]:
        """The least and the largest honest value of every share at `rate` clicks a pulse."""
        model, qber = self.model(rate), self.tolerance.qber
        found: dict[str, tuple[float, float]] = {}
        for figure, (least, most) in self.factors.items():
            middle = model.get(figure, 0.5)
            rest = 1.0 - middle
            low, high = middle * least / (rest + middle * least), middle * most / (rest + middle * most)
            if figure[:4] == "qber":
                low, high = max(0.0, low - qber), min(1.0, high + qber)
            found[figure] = low, high
        return found

    def model(self, rate: float) -> dict[str, float]:
        """What the model says of every share at a click rate; of the click rate itself, what is planned."""
        place = bisect_right(self.rates, rate)
        last = len(self.rates) - 1
        below, above = min(max(place - 1, 0), last), min(place, last)
        part = 0.0
        if below != above:
            part = (rate - self.rates[below]) / (self.rates[above] - self.rates[below])
        found = {
            name: values[below] + part * (values[above] - values[below]) for name, values in self.table.items()
        }
        found["clicks"] = self.planned
        return found

    def _factor(self, figure: str) -> tuple[float, float]:
        """By how much the odds of a share may honestly differ from the model's: what was learned, and the drift."""
        t = self.tolerance
        low, high = (0.0, 0.0) if self.learned is None else self.learned.shifts.get(figure, (0.0, 0.0))
        match figure.partition("-")[0]:
            case "qber":
                ratio = 1.0
            case "clicks":
                ratio = 10.0 ** (t.loss_db / 10.0)
            case "decoy":
                ratio = 1.0 + t.decoy
            case "detectors":
                ratio = 1.0 + t.detectors
            case "doubles":
                ratio = 1.0 + t.doubles
            case "basis" | "sifted" | "arms":
                ratio = 1.0 + t.basis
            case _:
                raise ValueError(f"share {figure}: no tolerance is stated for it")
        return math.exp(max(low, -_FAR)) / ratio, math.exp(min(high, _FAR)) * ratio

    def tolerated(self, reading: Reading, usual: Usual) -> tuple[float, float]:
        """Between what a reading's mean may honestly wander. A bias current follows the clicks."""
        t, mean, least, most = self.tolerance, usual.mean, usual.mean, usual.mean
        match reading.figure.partition("-")[0]:
            case "arrival":
                away = t.arrival_s
            case "pilot":
                away = t.pilot_db
            case "spread":
                away = t.spread * abs(mean)
            case "back":
                away = t.back_light * abs(mean)
            case "photocurrent":
                if usual.rate > 0.0 and mean > 0.0:
                    ratio = reading.rate / usual.rate
                    least, most = mean * min(1.0, ratio), mean * max(1.0, ratio)
                away = t.photocurrent * abs(most)
            case _:
                raise ValueError(f"reading {reading.figure}: no tolerance is stated for it")
        return least - away - usual.error, most + away + usual.error


def _point(mean: Expectation) -> dict[str, float]:
    """Every share of one point of the table, by the names of `shares_of`; those of no trial are left out."""
    key, test = mean.key.total_detections, mean.test.total_detections
    found = {"clicks": mean.clicks, "sifted": (key + test) / mean.clicks, "doubles": mean.doubles / mean.clicks}
    found |= {"detectors-key": 0.5, "detectors-test": 0.5}
    if key + test > 0.0:
        found["basis"] = test / (key + test)
    for basis, name, qber in ((mean.key, "key", mean.qber_key), (mean.test, "test", mean.qber_test)):
        if basis.total_detections > 0.0:
            found[f"qber-{name}"] = qber
        for level, detections in enumerate(basis.detections[1:], 1):
            if basis.detections[0] > 0.0:
                found[f"decoy-{name}-{level}"] = detections / (detections + basis.detections[0])
    return found
