"""What the devices of a link measure of themselves while they make a block: what a monitor of attacks looks at.

Nothing in here is trusted more than the device that says it, and nothing in here makes a key: it can only take one
away. A device reports what it can measure and leaves the rest None.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import Final, Protocol, runtime_checkable

__all__ = ["Health", "SelfMeasuring"]

_MOST: Final = 1 << 62
"""No count is larger."""


@dataclass(frozen=True, slots=True)
class Health:
    """Readings over `pulses` slots, those that went by since the reading before.

    At Bob: `clicks` are slots in which an outcome fired, in the order key 0, key 1, test 0, test 1 (a double click
    counts at each outcome of it), `doubles` slots in which more than one did; `photocurrent_a` is the mean bias
    current of his detectors (amperes); `arrival_s` the mean arrival time of each outcome's clicks against the
    middle of its gate (seconds; None where it had none), `arrival_spread_s` the standard deviation of one click's;
    `pilot_loss_db` the loss that a bright pilot or synchronisation signal of known power met on the fibre.
    At Alice: `back_light_w` is the mean power at the detector that watches what light enters her device (watts).
    """

    pulses: int
    clicks: tuple[int, int, int, int] | None = None
    doubles: int | None = None
    photocurrent_a: float | None = None
    arrival_s: tuple[float | None, float | None, float | None, float | None] | None = None
    arrival_spread_s: float | None = None
    pilot_loss_db: float | None = None
    back_light_w: float | None = None

    def sound(self) -> Health:
        """The same without what is no measurement: NaN, an infinity or a negative count compares with nothing, so
        that a monitor has to call it missing.
        """
        clicks, arrival_s = self.clicks, self.arrival_s
        return replace(
            self,
            clicks=clicks if clicks is not None and all(map(_is_count, clicks)) else None,
            doubles=self.doubles if self.doubles is not None and _is_count(self.doubles) else None,
            photocurrent_a=_finite(self.photocurrent_a),
            arrival_s=None if arrival_s is None else tuple(map(_finite, arrival_s)),
            arrival_spread_s=_finite(self.arrival_spread_s),
            pilot_loss_db=_finite(self.pilot_loss_db),
            back_light_w=_finite(self.back_light_w),
        )


@runtime_checkable
class SelfMeasuring(Protocol):
    """What a device may offer besides, at either end."""

    def health(self) -> Health:
        """Readings since the call before; never blocks, any thread."""
        ...


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _is_count(value: int) -> bool:
    return 0 <= value < _MOST
