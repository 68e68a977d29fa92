"""Voltages that a cell of a chemistry can have: what lies outside was measured on another cell, or wrongly."""

from __future__ import annotations

from typing import Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.readers.table import Floats
from poliqi.lab.echem.readers.timeline import Row

__all__ = ["WINDOWS_V", "check_window", "window_of"]

WINDOWS_V: Final = {
    "graphite-nmc": (1.4, 4.6),
    "graphite-nca": (1.4, 4.6),
    "graphite-lco": (1.4, 4.7),
    "graphite-lmo": (1.4, 4.7),
    "graphite-lfp": (1.4, 4.1),
    "lto-nmc": (0.9, 3.1),
    "lto-lfp": (0.4, 2.7),
    "lithium-nmc": (1.4, 5.2),
    "lithium-lfp": (1.4, 4.7),
    "lithium-graphite": (-0.1, 3.6),
    "lithium-silicon": (-0.1, 3.6),
    "lithium-sulfur": (0.7, 3.4),
    "hard-carbon-sodium-oxide": (0.7, 4.7),
    "lead-acid": (1.3, 3.0),
    "nickel-metal-hydride": (0.4, 2.0),
}
"""Least and most voltage of one cell, negative electrode first. They are wide: beyond the limits of data sheets and
of laboratory protocols, short of what only a wrong unit, a wrong cell or two cells in series give."""


def window_of(chemistry: str) -> tuple[float, float]:
    """Raises ConfigError for a chemistry that is not in the table."""
    window = WINDOWS_V.get(chemistry)
    if window is None:
        raise ConfigError(
            f"--chemistry {chemistry}: not known; give one of {', '.join(WINDOWS_V)}, or --window LOW HIGH in V"
        )
    return window


def check_window(where: str, voltage_v: Floats, window_v: tuple[float, float], whose: str, row: Row) -> None:
    """Raises DataRefused with the row of the first voltage outside."""
    low, high = window_v
    outside = (voltage_v < low) | (voltage_v > high)
    if not bool(np.any(outside)):
        return
    at = int(np.argmax(outside))
    many = int(np.sum(outside))
    raise DataRefused(
        f"{where}: {voltage_v[at]:.5g} V at {row(at)} is outside {low:g} to {high:g} V of {whose or 'the window'} "
        f"({many} points are); check unit and cell, or give another --window LOW HIGH"
    )
