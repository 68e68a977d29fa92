"""From a block's figures to a verdict, with a false-alarm probability that is stated and bounded.

Each figure is tested twice to either side: this block alone, and small steps added up over blocks. A test's p-value
is the largest that any honest value of the figure, drift within the tolerance included, could give; the probability
`alpha` of a false alarm a block is divided among all tests (Bonferroni), so that it holds however they depend on
each other.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.link.monitor.baseline import Baseline
from poliqi.link.monitor.gathering import Gathering
from poliqi.link.monitor.learning import Usual
from poliqi.link.monitor.observation import Observation, Reading, Share, readings_of, shares_of
from poliqi.link.monitor.signatures import candidates, unwatched
from poliqi.link.monitor.tails import binomial_lower, binomial_upper, normal_upper, quantile, share_bounds
from poliqi.link.monitor.verdict import Evidence, Level, Verdict

__all__ = ["Monitor"]

_ALONE: Final = 0.45
"""Part of alpha for the tests of one block."""
_GATHERED: Final = 0.3
"""Part for what adds up over blocks."""
_MESSAGES: Final = 0.25
"""Part for messages that were changed or repeated."""
_FORGED: Final = 5e-5
"""Sessions of an honest line in which a tag does not fit, at most: frames that TCP let pass although they changed
are between one packet in 1.6e7 and one in 1e10 (Stone and Partridge, SIGCOMM 2000), a session has some thousand."""

_Row = tuple[float, Evidence]
"""How often chance does as much, in units of what an attack is called at; and the evidence."""


class Monitor:
    """Watches one link from one of its ends; `see` every block, in order.

    `alpha` is the probability a block that an honest link is called attacked, `suspicion` that it is called
    suspect. Below `least_detections` a block is too small to vouch for.
    """

    def __init__(
        self, baseline: Baseline, *, alpha: float = 1e-6, suspicion: float = 1e-3, least_detections: int = 1000
    ) -> None:
        if not 0.0 < alpha <= suspicion < 1.0:
            raise ConfigError(
                f"monitor.alpha: {alpha!r} and suspicion {suspicion!r} are probabilities, alpha not above suspicion"
            )
        self._baseline: Final = baseline
        self._alpha: Final = alpha
        self._least: Final = least_detections
        self._ratio: Final = suspicion / alpha
        figures, readings = baseline.figures, baseline.readings
        sides = 2 * (len(figures) + len(readings))
        self._alone: Final = _ALONE * alpha / sides
        self._each: Final = _GATHERED * alpha / (2 * len(figures))
        self._gathered: Final = {name: (Gathering(self._each), Gathering(self._each)) for name in figures}
        self._messages: Final = Gathering(_MESSAGES * alpha)
        self._required: Final = baseline.required
        self._watched: Final = frozenset((*figures, *readings, "forged"))
        self._unwatched: Final = unwatched(self._watched)

    def forget(self) -> None:
        """Let go of what added up over blocks: the link was looked at, or another stretch of it begins."""
        for pair in self._gathered.values():
            for gathering in pair:
                gathering.forget()
        self._messages.forget()

    @property
    def watched(self) -> frozenset[str]:
        """Names of the figures that are judged."""
        return self._watched

    def see(self, seen: Observation, now: float) -> Verdict:  # noqa: ARG002 (time may matter to other monitors)
        """Judge a block, or what happened to messages."""
        rows = self._see_messages(seen)
        if not seen.pulses:
            return self._verdict(rows, ())
        shares, readings = list(shares_of(seen)), list(readings_of(seen))
        if seen.detections < self._least:  # what is left is darkness: how much there is tells, not what it is like
            shares = [share for share in shares if share.figure == "clicks"]
            readings = [reading for reading in readings if reading.clicks == 0]
        honest = self._baseline.honest(seen.detections / seen.pulses)
        for share in shares:
            edges = honest.get(share.figure)
            if edges is not None and share.trials > 0:
                self._see_share(share, edges, rows)
        for reading in readings:
            usual = self._baseline.readings.get(reading.figure)
            if usual is not None:
                self._see_reading(reading, usual, rows)
        here = {share.figure for share in shares if share.trials > 0}
        here.update(reading.figure for reading in readings)
        return self._verdict(rows, self._missing(seen, here))

    def _verdict(self, rows: list[_Row], missing: tuple[str, ...]) -> Verdict:
        rows.sort(key=lambda row: row[0])
        evidence = tuple({row.sign: row for _, row in reversed(rows)}.values())[::-1]
        worst = rows[0][0] if rows else math.inf
        found = candidates(evidence, self._watched, {row.sign for weight, row in rows if weight <= 1.0})
        if worst <= 1.0:
            return Verdict(Level.ATTACK, found, evidence, missing, self._unwatched)
        if missing:
            return Verdict(Level.BLIND, found, evidence, missing, self._unwatched)
        level = Level.SUSPECT if rows else Level.CLEAR
        return Verdict(level, found, evidence, (), self._unwatched)

    # ---------------------------------------------------------------- what is missing

    def _missing(self, seen: Observation, here: set[str]) -> tuple[str, ...]:
        lacks: list[str] = []
        if seen.detections < self._least:
            lacks.append(f"{seen.detections} detections of {self._least}")
        gone = self._required - here if not lacks else set[str]()
        if seen.counts is None:
            lacks.append("error counts")
            gone = {name for name in gone if not name.startswith(("qber", "decoy"))}
        if not seen.has_key_errors:
            gone = gone - {"qber-key"}
        return (*lacks, *sorted(gone))

    # ---------------------------------------------------------------- shares

    def _see_share(self, share: Share, honest: tuple[float, float], rows: list[_Row]) -> None:
        phi = self._baseline.dispersion
        hits, trials = share.hits / phi, share.trials / phi
        value = hits / trials
        for is_high, edge, gathering in zip((False, True), honest, self._gathered[share.figure], strict=True):
            gathering.add(hits, trials, edge, is_high=is_high)
            if gathering.blocks > 1 and gathering.weight * self._ratio >= 1.0:
                tail = min(1.0, self._each / gathering.weight)
                row = self._row(share.figure, honest, gathering.hits, gathering.trials, tail, is_high=is_high)
                rows.append((1.0 / gathering.weight, replace(row, blocks=gathering.blocks)))
                if gathering.weight >= 1.0:  # said: what comes after is another alarm, with the same rate
                    gathering.forget()
            if (value > edge) if is_high else (value < edge):
                tail = binomial_upper(hits, trials, edge) if is_high else binomial_lower(hits, trials, edge)
                if tail <= self._alone * self._ratio:
                    row = self._row(share.figure, honest, hits, trials, tail, is_high=is_high)
                    rows.append((tail / self._alone, row))

    def _row(
        self, figure: str, honest: tuple[float, float], hits: float, trials: float, tail: float, *, is_high: bool
    ) -> Evidence:
        bounds = share_bounds(hits, trials, self._alone)
        bound = bounds[0] if is_high else bounds[1]
        return Evidence(figure, *honest, hits / trials, bound, 1.0 - self._alone, tail, is_high)

    # ---------------------------------------------------------------- readings

    def _see_reading(self, reading: Reading, usual: Usual, rows: list[_Row]) -> None:
        """The next reading, its noise taken as normal, beyond the tolerance."""
        low, high = self._baseline.tolerated(reading, usual)
        is_high = reading.value > high
        if not is_high and reading.value >= low:
            return
        scatter = max(usual.deviation, 1e-9 * abs(usual.mean), 1e-30)
        if 0.0 < reading.clicks < usual.clicks:
            scatter *= math.sqrt(usual.clicks / reading.clicks)
        away = reading.value - high if is_high else low - reading.value
        tail = normal_upper(away / scatter)
        if tail <= self._alone * self._ratio:
            reach = scatter * quantile(normal_upper, self._alone)
            bound = reading.value - reach if is_high else reading.value + reach
            row = Evidence(reading.figure, low, high, reading.value, bound, 1.0 - self._alone, tail, is_high)
            rows.append((tail / self._alone, row))

    # ---------------------------------------------------------------- messages

    def _see_messages(self, seen: Observation) -> list[_Row]:
        gathering, hits = self._messages, seen.forged
        trials = max(seen.sessions, hits)
        if trials:
            gathering.add_rare(hits, trials, _FORGED)
        if not hits or gathering.weight * self._ratio < 1.0:
            return []
        tail, sure = min(1.0, gathering.alpha / gathering.weight), 1.0 - gathering.alpha
        bound = share_bounds(hits, trials, gathering.alpha)[0]
        row = Evidence("forged", 0.0, _FORGED, hits / trials, bound, sure, tail, True, gathering.blocks)
        return [(1.0 / gathering.weight, row)]
