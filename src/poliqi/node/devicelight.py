"""What one end of a key device says of its link: whether keys come, how fast, and why not."""

from __future__ import annotations

from collections import deque
from typing import Final

from poliqi.base.ids import LinkId
from poliqi.control.messages import LightState, LinkReport

__all__ = ["DeviceLight"]

_BLOCKS: Final = 4
_AWAY_S: Final = 2.0


class DeviceLight:
    """Collects news; `report` makes the message. `dry_s`: without a block for so long, the device gives no keys.

    QBER, loss and noise are the device's own affair: they are not told.
    """

    def __init__(self, link_id: LinkId, now: float, *, is_simulated: bool, dry_s: float) -> None:
        self._link_id: Final = link_id
        self._is_simulated: Final = is_simulated
        self._dry_s: Final = dry_s
        self._recent: Final = deque[tuple[int, float]](maxlen=_BLOCKS)
        self._blocks = 0
        self._last = now
        self._since = now - _AWAY_S
        self._is_met = False
        self._why_away = "the other end is not there yet"
        self._dark = ""
        self._fault = ""

    def met(self, now: float) -> None:
        """The other end is there."""
        self._is_met = True
        self._last = max(self._last, now) if not self._blocks else self._last

    def parted(self, reason: str, now: float) -> None:
        """It is not."""
        if self._is_met:
            self._is_met, self._since = False, now
        self._why_away = reason

    def device(self, down: str) -> bool:
        """The device cannot be reached, for this reason; empty where it can. Whether that is news."""
        is_news, self._dark = down != self._dark, down
        return is_news

    def fault(self, reason: str) -> None:
        """What it gave was refused, at this end or the other; empty where a block was stored."""
        self._fault = reason

    def block(self, size_bytes: int, now: float) -> None:
        """A block was stored."""
        self._recent.append((8 * size_bytes, max(now - self._last, 1e-3)))
        self._blocks += 1
        self._last = now
        self._dark = self._fault = ""

    def report(self, now: float) -> LinkReport:
        """The news of the moment."""
        state, reason = self._state(now)
        return LinkReport(
            link=self._link_id,
            state=state,
            key_rate_bps=self._rate(now) if state is LightState.LIT else 0.0,
            blocks=self._blocks,
            age_s=max(0.0, now - self._last),
            reason=reason[:512],
            is_simulated=self._is_simulated,
        )

    def _state(self, now: float) -> tuple[LightState, str]:
        if self._dark:
            return LightState.DARK, self._dark
        if not self._is_met and now - self._since >= _AWAY_S:
            return LightState.SILENT, self._why_away
        if self._fault:
            return LightState.KEYLESS, self._fault
        if now - self._last > self._dry_s:
            return LightState.KEYLESS, "the device gives no keys"
        return LightState.LIT, ""

    def _rate(self, now: float) -> float | None:
        if not self._recent:
            return None
        seconds = sum(s for _, s in self._recent)
        return sum(bits for bits, _ in self._recent) / max(seconds, now - self._last)
