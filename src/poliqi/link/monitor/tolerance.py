"""How far the figures of an honest link may wander, in one table. Inside it nothing is said of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite

from poliqi.base.errors import ConfigError

__all__ = ["Tolerance"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Honest drift, each to either side of the baseline. `loss_db` and `pilot_db` are dB, `qber` an error rate,
    `arrival_s` seconds; `decoy`, `basis`, `detectors` and `doubles` relative changes of a share's odds, the rest
    relative changes of a reading.
    """

    loss_db: float = 1.0
    pilot_db: float = 0.5
    qber: float = 0.01
    decoy: float = 0.05
    basis: float = 0.05
    detectors: float = 0.05
    doubles: float = 0.3
    photocurrent: float = 0.1
    arrival_s: float = 20e-12
    spread: float = 0.15
    back_light: float = 1.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not (isfinite(value) and 0.0 <= value <= 100.0):
                raise ConfigError(f"monitor.{entry.name}: {value!r} is outside 0 to 100")

    @classmethod
    def none(cls) -> Tolerance:
        """No drift at all: for tests of the statistics, and for light that is drawn from the baseline itself."""
        return cls(*(0.0 for _ in fields(cls)))
