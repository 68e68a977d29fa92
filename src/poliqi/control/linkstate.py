"""The measured state of one quantum link, from the reports of both its ends.

Of two fresh ends the worse state and the smaller rate count; an end that is stale says nothing. What cannot be is
refused before it gets here (plausible.py). A state that falls counts at once; one that rises again counts after a
time that doubles with each fall, so that a loose connector does not move the city's routes each second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.admission import TokenBucket
from poliqi.control.city import QuantumLink
from poliqi.control.drift import Baseline, Change, Sensitivity
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.lines import Value, rate_text
from poliqi.control.messages import DECOY_WORDS, LightState, LinkReport

__all__ = ["STALE_S", "LinkFigures", "LinkWatch"]

STALE_S: Final = 5.0
"""An older figure is not used."""
_WORSE: Final = {LightState.LIT: 0, LightState.KEYLESS: 1, LightState.SILENT: 2, LightState.DARK: 3}
_FLAPS: Final = 8
_FLAP_MEMORY_S: Final = 300.0
_HOLD_S: Final = 1.0
_RECORDS_PER_S: Final = 0.1
_RECORDS_AT_ONCE: Final = 20.0
_MOST_HOLD_S: Final = 60.0
_APART: Final = 3.0
"""Two ends' rates further apart than this factor contradict each other, and so do states, after _APART_S."""
_APART_S: Final = 15.0
_STATES_APART_S: Final = 4.0
"""An honest end no longer says "lit" so long after the other one said "dark": their session ended before."""
_LEAST_APART_BPS: Final = 200.0
_TOO_MANY_ERRORS: Final = 0.08
"""From here on finite blocks rarely give key, whatever the reason that is given."""

_K = CityEventKind
_WATCHED: Final[dict[str, tuple[CityEventKind, str, Sensitivity]]] = {
    "qber_key": (_K.LINK_QBER, "qber", Sensitivity(0.008, 0.3)),
    "qber_test": (_K.LINK_QBER, "qber", Sensitivity(0.012, 0.3)),
    "loss_db": (_K.LINK_LOSS, "loss", Sensitivity(0.5, 0.05, is_fall=True)),
    "noise": (_K.LINK_NOISE, "noise", Sensitivity(2e-7, 0.5)),
    "key_rate_bps": (_K.LINK_RATE, "rate", Sensitivity(50.0, 0.4, is_rise=False, is_fall=True)),
}
"""Figure: event, its word in lines, when it is unusual. Docs: docs/spec/control.md, table of figures."""


@dataclass(slots=True)
class _End:
    report: LinkReport | None = None
    measured_at: float = float("-inf")
    heard_at: float = float("-inf")

    def is_fresh(self, now: float) -> bool:
        return self.report is not None and now - self.heard_at <= STALE_S


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What both ends' fresh reports say together; None where neither does."""

    key_rate_bps: float | None = None
    qber_key: float | None = None
    qber_test: float | None = None
    loss_db: float | None = None
    noise: float | None = None
    epsilon: float | None = None
    blocks: int = 0
    reason: str = ""


@dataclass(slots=True)
class LinkWatch:
    """A link under watch. `state` is what routing goes by."""

    link: QuantumLink
    planned_loss_db: float
    state: LightState = LightState.SILENT
    figures: LinkFigures = field(default_factory=LinkFigures)
    is_fresh: bool = False
    ever_lit: bool = False
    is_simulated: bool = False
    """An end said so of its light, ever."""
    _ends: dict[KmeId, _End] = field(init=False)
    _falls: deque[float] = field(default_factory=lambda: deque[float](maxlen=_FLAPS))
    _records: TokenBucket | None = None
    _rise_since: float | None = None
    _apart_since: float | None = None
    _is_apart: bool = False
    _said: dict[KmeId, LightState] = field(default_factory=dict[KmeId, LightState])
    """Of a dark or silent link: what was told of each end."""
    _is_told: bool = False
    _is_decoy_told: bool = False
    _attack: tuple[str, bool] | None = None
    """What a monitor at an end names, and whether it stopped the link for it, as far as it was told."""
    _fresh_ends: int = 0
    _baselines: dict[str, Baseline] = field(init=False)

    def __post_init__(self) -> None:
        self._ends = {end: _End() for end in self.link.ends}
        self._baselines = {name: Baseline(row[2]) for name, row in _WATCHED.items()}

    @property
    def is_lit(self) -> bool:
        """It makes key, as far as is known."""
        return self.state is LightState.LIT

    def heard(self, site: KmeId, report: LinkReport, now: float) -> None:
        """An end's report, which is plausible."""
        self.is_simulated |= report.is_simulated
        end = self._ends[site]
        end.report, end.heard_at = report, now
        end.measured_at = now - report.age_s

    def mistrust(self, site: KmeId) -> None:
        """An end reports what cannot be: nothing that it said is used."""
        self._ends[site] = _End()

    def update(self, now: float) -> list[CityEvent]:
        """Judge anew; after each report and each second."""
        events: list[CityEvent] = []
        fresh = [(site, end) for site, end in self._ends.items() if end.is_fresh(now)]
        self.is_fresh, self._fresh_ends = bool(fresh), len(fresh)
        self.figures = _joined([end for _, end in fresh])
        self._settle(fresh, now, events)
        self._compare(fresh, now, events)
        self._heed_monitors(fresh, now, events)
        if self.state in (LightState.LIT, LightState.KEYLESS):
            self._watch(now, events)
        return events

    def _settle(self, fresh: list[tuple[KmeId, _End]], now: float, events: list[CityEvent]) -> None:
        """Fall at once, rise after the hold time."""
        told = [(e.report.state, site) for site, e in fresh if e.report is not None]
        raw = max((state for state, _ in told), key=_WORSE.__getitem__, default=LightState.SILENT)
        if raw is self.state and self._is_told:
            self._rise_since = None
            if raw is LightState.KEYLESS and not self._is_decoy_told and self._is_by_decoy():
                events.extend(self._state_events(raw, told, now))  # a later block says why
            events.extend(self._end_events(now))
            return
        if not told and not self._is_told:
            return
        if self._is_told and raw is LightState.LIT:
            self._rise_since = now if self._rise_since is None else self._rise_since
            if now - self._rise_since < self._hold_s(now):
                return
        if self.state is LightState.LIT and told:
            self._falls.append(now)  # where nobody speaks it is not the light that flaps
        self._rise_since = None
        self._is_told = True
        self.ever_lit |= raw is LightState.LIT
        self.state = raw
        self._said.clear()
        events.extend(self._state_events(raw, told, now))
        events.extend(self._end_events(now))

    def _is_by_decoy(self) -> bool:
        """Whether the reason why there is no key names the decoy states' statistics."""
        return any(word in self.figures.reason.lower() for word in DECOY_WORDS)

    def may_record(self, now: float) -> bool:
        """Whether a change among states without key is written down: a few at once, then seldom."""
        if self._records is None:
            self._records = TokenBucket(_RECORDS_PER_S, _RECORDS_AT_ONCE, now)
        if self._records.level(now) < 1.0:
            return False
        self._records.take(1.0, now)
        return True

    def _hold_s(self, now: float) -> float:
        falls = sum(now - at < _FLAP_MEMORY_S for at in self._falls)
        return min(_MOST_HOLD_S, _HOLD_S * 2.0 ** (falls - 1)) if falls else 0.0

    def may_change(self, now: float) -> bool:
        """Whether time alone can change the state: an end fell silent since the last look, or a rise waits."""
        if self._rise_since is not None or self._apart_since is not None:
            return True
        return self._fresh_ends != sum(end.is_fresh(now) for end in self._ends.values())

    def age_s(self, now: float) -> float | None:
        """How old the older of the figures that count is; None where nothing is fresh."""
        at = [end.measured_at for end in self._ends.values() if end.is_fresh(now)]
        return max(0.0, now - min(at)) if at else None

    def rises_at(self, now: float) -> float | None:
        """When a held link may count as lit again; None where none waits."""
        return None if self._rise_since is None else self._rise_since + self._hold_s(now)

    def _state_events(
        self, state: LightState, told: list[tuple[LightState, KmeId]], now: float
    ) -> Iterator[CityEvent]:
        """What to say of a new state of the whole link; a dark or silent one is told end by end."""
        name, site = self.link.link, next((site for said, site in told if said is state), None)
        if state is LightState.LIT:
            yield CityEvent(_K.LINK_LIT, now, link=name)
        elif state is LightState.KEYLESS:
            self._is_decoy_told = self._is_by_decoy()
            yield CityEvent(_K.LINK_KEYLESS, now, site=site, link=name, values=self._why_keyless())

    def _end_events(self, now: float) -> Iterator[CityEvent]:
        """News of the ends of a dark or silent link: which cause it has depends on what both of them say."""
        if self.state not in (LightState.DARK, LightState.SILENT):
            return
        for site, end in self._ends.items():
            is_fresh = end.report is not None and end.is_fresh(now)
            state = end.report.state if is_fresh and end.report is not None else LightState.SILENT
            if self._said.get(site) is state or state not in (LightState.DARK, LightState.SILENT):
                continue
            self._said[site] = state
            if state is LightState.DARK:
                yield CityEvent(_K.LINK_DARK, now, site=site, link=self.link.link)
            else:
                what = end.report.reason if is_fresh and end.report is not None else "no report"
                yield CityEvent(_K.LINK_SILENT, now, site=site, link=self.link.link, values={"what": what})

    def _why_keyless(self) -> dict[str, Value]:
        reason, qber = self.figures.reason, self.figures.qber_key
        values: dict[str, Value] = {"what": reason or "no reason given", **self._measured()}
        if not reason:
            values["what_it"] = "nessun motivo comunicato"
        if qber is not None and qber > _TOO_MANY_ERRORS:
            values["why"] = "qber"
        return values

    def _measured(self) -> dict[str, Value]:
        """Figures as hints for the search of a cause, with what is usual."""
        found: dict[str, Value] = {}
        for name, baseline in self._baselines.items():
            value: float | None = getattr(self.figures, name)
            if value is not None:
                found[name] = value
                if baseline.usual == baseline.usual:
                    found[f"{name}_usual"] = baseline.usual
        return found

    def _compare(self, fresh: list[tuple[KmeId, _End]], now: float, events: list[CityEvent]) -> None:
        """Two ends that contradict each other for long."""
        what = _contradiction([(site, end.report) for site, end in fresh if end.report is not None])
        if what is None:
            self._apart_since = None
            if self._is_apart and len(fresh) == len(self._ends):
                self._is_apart = False
                events.append(CityEvent(_K.LINK_AGREE, now, link=self.link.link))
            return
        self._apart_since = now if self._apart_since is None else self._apart_since
        after_s = _STATES_APART_S if self.state is LightState.DARK else _APART_S
        if not self._is_apart and now - self._apart_since >= after_s:
            self._is_apart = True
            events.append(CityEvent(_K.LINK_DISAGREE, now, link=self.link.link, values={"what": what}))

    def _heed_monitors(self, fresh: list[tuple[KmeId, _End]], now: float, events: list[CityEvent]) -> None:
        """What the ends' own monitors say: an attack at either, or that it is over at all that watch."""
        told = [(site, end.report) for site, end in fresh if end.report is not None and end.report.verdict]
        named = [(site, report) for site, report in told if report.attack or report.is_quarantined]
        if not named:
            if self._attack is not None and told:
                self._attack = None
                events.append(CityEvent(_K.LINK_CLEAR, now, link=self.link.link))
            return
        site, report = max(named, key=lambda pair: pair[1].is_quarantined)
        attack = report.attack or "unknown", report.is_quarantined
        if attack != self._attack:
            self._attack = attack
            values: dict[str, Value] = {"attack": attack[0], "what": report.evidence or report.verdict}
            values["quarantined"] = int(report.is_quarantined)
            events.append(CityEvent(_K.LINK_ATTACK, now, site=site, link=self.link.link, values=values))

    def _watch(self, now: float, events: list[CityEvent]) -> None:
        """Steps and drifts of the figures, while the link makes key."""
        for name, (kind, word, _) in _WATCHED.items():
            value: float | None = getattr(self.figures, name)
            if value is None:
                continue
            baseline = self._baselines[name]
            change = baseline.see(value, now)
            if change is Change.USUAL and not any(
                self._baselines[other].is_unusual for other, row in _WATCHED.items() if row[1] == word
            ):
                events.append(CityEvent(_K.LINK_USUAL, now, link=self.link.link, values={"figure": word}))
            elif change is Change.UNUSUAL:
                events.append(self._unusual(kind, name, word, value, baseline.usual, now))

    def _unusual(
        self, kind: CityEventKind, name: str, word: str, value: float, usual: float, now: float
    ) -> CityEvent:
        values: dict[str, Value] = {**self._measured(), "usual": usual}
        values["loss_db" if word == "loss" else word] = value
        if kind is _K.LINK_QBER:
            values["basis"] = name.removeprefix("qber_")
            values["pattern"] = "ramp" if self._baselines[name].is_ramp else "step"
        return CityEvent(kind, now, link=self.link.link, values=values)


def _joined(ends: list[_End]) -> LinkFigures:
    """The smaller of two rates, the larger of two errors, losses, noises and epsilons."""
    if not ends:
        return LinkFigures()
    reports = [end.report for end in ends if end.report is not None]
    return LinkFigures(
        key_rate_bps=_extreme(min, [r.key_rate_bps for r in reports]),
        qber_key=_extreme(max, [r.qber_key for r in reports]),
        qber_test=_extreme(max, [r.qber_test for r in reports]),
        loss_db=_extreme(max, [r.loss_db for r in reports]),
        noise=_extreme(max, [r.noise for r in reports]),
        epsilon=_extreme(max, [r.epsilon for r in reports]),
        blocks=min(r.blocks for r in reports),
        reason=next((r.reason for r in reports if r.reason), ""),
    )


def _extreme(choose: Callable[[list[float]], float], told: list[float | None]) -> float | None:
    """The least or the most of what was told; None where nothing was."""
    known = [value for value in told if value is not None]
    return choose(known) if known else None


def _contradiction(told: list[tuple[KmeId, LinkReport]]) -> str | None:
    """What two ends say that cannot both be, one line; None where they agree."""
    if len(told) != 2:
        return None
    (here, a), (there, b) = told
    if {a.state, b.state} == {LightState.LIT, LightState.DARK}:
        return f"{here} {a.state}, {there} {b.state}"
    if a.key_rate_bps is None or b.key_rate_bps is None:
        return None
    low, high = sorted((a.key_rate_bps, b.key_rate_bps))
    if high > _LEAST_APART_BPS and high > _APART * low:
        return f"{here} {rate_text(a.key_rate_bps)}, {there} {rate_text(b.key_rate_bps)}"
    return None
