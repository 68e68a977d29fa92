"""What a cycler recorded: time, voltage and current of one cell, in SI, by the names of the Battery Data Format.

Names and the sign of the current are those of BDF (battery-data-alliance/battery-data-format): a current that
charges the cell is positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = ["BDF_NAMES", "CyclingRecord"]

BDF_NAMES: Final = {
    "time_s": "Test Time / s",
    "voltage_v": "Voltage / V",
    "current_a": "Current / A",
    "temperature_c": "Surface Temperature T1 / degC",
    "file_cycle": "Cycle Count / 1",
    "file_step": "Step Count / 1",
}
"""Column of `CyclingRecord`: its name in a BDF table."""


@dataclass(frozen=True, slots=True)
class CyclingRecord:
    """`time_s` (n,) strictly rising, `voltage_v` (n,), `current_a` (n,) positive where the cell is charged.

    `file_cycle` and `file_step` are what the cycler counted, kept for comparison: the cycles that POLIQI tells are
    its own. `temperature_c` is that of the cell's surface. `rows` (n,) is the row (or record) of the file that each
    point comes from, for errors; None where they are 1, 2, 3 ...
    """

    time_s: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    current_a: NDArray[np.float64]
    temperature_c: NDArray[np.float64] | None = None
    file_cycle: NDArray[np.int64] | None = None
    file_step: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None
    started_unix_s: float | None = None
    title: str = ""
    source_format: str = ""
    """What wrote the file, such as "BioLogic .mpr"."""
    notes: tuple[str, ...] = ()
    """What reading has decided or left out, each a sentence for the reader."""
    simulated: bool = False

    def __post_init__(self) -> None:
        """Raises DataRefused where columns do not fit, are not finite, or time does not rise."""
        n = self.time_s.shape
        for name in ("time_s", "voltage_v", "current_a", "temperature_c", "file_cycle", "file_step", "rows"):
            column: NDArray[np.generic] | None = getattr(self, name)
            if column is not None and (column.shape != n or len(n) != 1):
                raise DataRefused(
                    f"{self.title!r}: {name} has shape {column.shape} beside {n} times; one value a row"
                )
        if not n[0]:
            raise DataRefused(f"{self.title!r}: holds no row; name a file with time, voltage and current")
        for name, told in (("time_s", self.time_s), ("voltage_v", self.voltage_v), ("current_a", self.current_a)):
            if not bool(np.isfinite(told.sum())) and not bool(np.all(np.isfinite(told))):
                at = int(np.argmin(np.isfinite(told)))
                raise DataRefused(f"{self.title!r}: {BDF_NAMES[name]} of row {self.row(at)} is no number; mend it")
        if n[0] > 1 and not bool(np.all(self.time_s[1:] > self.time_s[:-1])):
            at = int(np.argmin(self.time_s[1:] > self.time_s[:-1])) + 1
            how = "repeats the time before" if self.time_s[at] == self.time_s[at - 1] else "goes back in time"
            raise DataRefused(
                f"{self.title!r}: row {self.row(at)} {how} ({self.time_s[at]:.6g} s after "
                f"{self.time_s[at - 1]:.6g} s); time has to rise"
            )

    def row(self, point: int) -> int:
        """The row of the file that a point comes from, counted from 1."""
        return point + 1 if self.rows is None else int(self.rows[point])
