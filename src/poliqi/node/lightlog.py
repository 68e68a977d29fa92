"""What one end of a link can say of its light at any moment: from its device, its session and its last blocks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from poliqi.base.ids import LinkId, Origin
from poliqi.control.messages import LightState, LinkReport
from poliqi.distill.outcome import BlockReport
from poliqi.link.device import Condition
from poliqi.link.monitor import Level, Verdict
from poliqi.link.response import Quarantine
from poliqi.optics.lossestimate import estimated_loss_db
from poliqi.optics.parameters import LinkParameters

__all__ = ["LightLog"]

_BLOCKS: Final = 4
"""The rate is that of so many blocks."""
_MISSES: Final = 3
"""So many blocks without key in a row, and the link gives none. Fewer are chance, unless their error rate says why:
a contract's length is met with a probability of about 0.9999."""
_QBER: Final = 0.08
_AWAY_S: Final = 2.0
"""A session may be renewed for so long before the other end counts as away."""
_AWAY_KEYLESS_S: Final = 330.0
"""Where blocks gave no key both ends wait, at most this long, before they meet again."""


@dataclass(frozen=True, slots=True)
class _Figures:
    """Of the latest block that was measured."""

    qber_key: float | None = None
    qber_test: float | None = None
    loss_db: float | None = None
    epsilon: float | None = None


class LightLog:
    """Collects figures; `report` makes the news of them. `now` is the owner's clock, in seconds."""

    def __init__(self, link_id: LinkId, link: LinkParameters, origin: Origin, now: float) -> None:
        self._link_id: Final = link_id
        self._link: Final = link
        self._is_simulated: Final = origin is not Origin.PHOTONS
        self._rates: Final = deque[tuple[int, float]](maxlen=_BLOCKS)
        self._figures = _Figures()
        self._measured_at = now
        self._blocks = 0
        self._keyless = ""
        self._misses = 0
        self._ready = False
        self._since = now - _AWAY_S
        self._why_away = "the other end is not there yet"
        self._verdict: Verdict | None = None
        self._quarantine: Quarantine | None = None

    def met(self) -> None:
        """A session is agreed with the other end."""
        self._ready = True

    def parted(self, reason: str, now: float) -> None:
        """The session is over, or nobody could be met."""
        if self._ready:
            self._ready, self._since = False, now
        self._why_away = reason

    def judged(self, verdict: Verdict, quarantine: Quarantine | None) -> None:
        """The monitor looked at a block, or at what happened to messages; `quarantine` is in force since."""
        self._verdict, self._quarantine = verdict, quarantine

    def quarantined(self, quarantine: Quarantine) -> None:
        """A quarantine of before this start is in force."""
        self._quarantine = quarantine

    def released(self) -> None:
        """Somebody ended the quarantine: what led to it is over until the monitor says so again."""
        self._quarantine, self._verdict, self._keyless = None, None, ""

    def block(self, report: BlockReport, reason: str | None, now: float, *, refused: bool = False) -> None:
        """A block ended; `reason` says why it gave no key, None where it gave one. `refused`: by the monitor."""
        light_s = report.pulses / self._link.source.clock_hz
        self._misses = 0 if reason is None else self._misses + 1
        is_chance = (
            not refused and 0 < self._misses < _MISSES and bool(self._rates) and (report.qber_key or 0.0) < _QBER
        )
        self._keyless = "" if reason is None or is_chance else reason or "the block gave no key"
        if reason is None:
            self._blocks += 1
            self._rates.append((report.net_bits, light_s))
        elif is_chance:
            self._rates.append((0, light_s))
        else:
            self._rates.clear()
        real = report.origin is Origin.PHOTONS and report.ledger is not None and report.gross_bits > 0
        loss = estimated_loss_db(self._link, report.detections / report.pulses) if report.pulses else None
        epsilon = report.ledger.total if real and report.ledger is not None else None
        self._figures = _Figures(report.qber_key, report.qber_test, loss, epsilon)
        self._measured_at = now

    def report(self, condition: Condition, now: float) -> LinkReport:
        """The light as this end sees it now."""
        state, reason = self._state(condition, now)
        f, lit = self._figures, state is LightState.LIT
        return LinkReport(
            link=self._link_id,
            state=state,
            key_rate_bps=self._rate() if lit else 0.0,
            qber_key=f.qber_key,
            qber_test=f.qber_test,
            loss_db=f.loss_db,
            noise=condition.noise,
            epsilon=f.epsilon if lit else None,
            blocks=self._blocks,
            age_s=max(0.0, now - self._measured_at),
            reason=reason[:512],
            is_simulated=self._is_simulated,
            **self._watched(),
        )

    def _watched(self) -> dict[str, Any]:
        """What the monitor says."""
        verdict, held = self._verdict, self._quarantine
        if held is not None:
            return {
                "verdict": Level.ATTACK.value,
                "attack": held.attack,
                "evidence": held.evidence[:512],
                "is_quarantined": True,
            }
        if verdict is None:
            return {}
        attack = verdict.attack if verdict.level is Level.ATTACK else None
        return {"verdict": verdict.level.value, "attack": attack or "", "evidence": verdict.text[:512]}

    def _state(self, condition: Condition, now: float) -> tuple[LightState, str]:
        if condition.dark:
            return LightState.DARK, condition.dark
        if self._quarantine is not None:
            return LightState.KEYLESS, f"quarantined: {self._quarantine.attack}: {self._quarantine.evidence}"
        grace_s = _AWAY_KEYLESS_S if self._keyless else _AWAY_S
        if not self._ready and now - self._since >= grace_s:
            return LightState.SILENT, self._why_away
        if self._keyless:
            return LightState.KEYLESS, self._keyless
        return LightState.LIT, ""

    def _rate(self) -> float | None:
        light_s = sum(seconds for _, seconds in self._rates)
        return sum(bits for bits, _ in self._rates) / light_s if light_s else None
