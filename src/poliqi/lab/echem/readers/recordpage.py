"""A record on one page: what was read, and its voltage, current and temperature over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.echem.record import CyclingRecord
from poliqi.lab.onepage import BLUE, GREEN, ORANGE, Page, Panel

__all__ = ["charges_ah", "record_facts", "record_page"]

Floats = NDArray[np.float64]
_BEGUN: Final = "begun "
_DRAWN: Final = 4000
_S_PER_H: Final = 3600.0
_TIMES: Final = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))
_CURRENTS: Final = ((1.0, 1.0, "A"), (1e-3, 1e3, "mA"), (0.0, 1e6, "uA"))


def charges_ah(record: CyclingRecord) -> tuple[float, float]:
    """Charge in and charge out, by the trapezoid rule over the points."""
    both: list[float] = []
    for way in (1.0, -1.0):
        flows = np.maximum(way * record.current_a, 0.0)
        both.append(float(np.sum((flows[1:] + flows[:-1]) / 2 * np.diff(record.time_s))) / _S_PER_H)
    return both[0], both[1]


def record_facts(record: CyclingRecord) -> list[tuple[str, str]]:
    """Label and words."""
    unit_s, in_words = _scaled(float(record.time_s[-1] - record.time_s[0]), _TIMES)
    factor, amperes = _current_unit(record)
    charged, discharged = charges_ah(record)
    facts = [
        ("format", record.source_format),
        ("points", f"{record.time_s.size:,}"),
        ("time", f"{(record.time_s[-1] - record.time_s[0]) / unit_s:.4g} {in_words}"),
        ("voltage", f"{record.voltage_v.min():.4f} to {record.voltage_v.max():.4f} V"),
        ("current", f"{record.current_a.min() * factor:.4g} to {record.current_a.max() * factor:.4g} {amperes}"),
        ("charge in", f"{charged * 1e3:.5g} mAh"),
        ("charge out", f"{discharged * 1e3:.5g} mAh"),
    ]
    facts += [("begun", note.removeprefix(_BEGUN)) for note in record.notes if note.startswith(_BEGUN)]
    if record.temperature_c is not None:
        low, high = np.nanmin(record.temperature_c), np.nanmax(record.temperature_c)
        facts.append(("temperature", f"{low:.1f} to {high:.1f} degC"))
    if record.file_cycle is not None:
        facts.append(("cycler counts", f"cycles {record.file_cycle.min()} to {record.file_cycle.max()}"))
    return facts


def record_page(record: CyclingRecord) -> Page:
    """With what reading decided as cautions."""
    factor, amperes = _current_unit(record)
    panels = [
        Panel("Voltage", _drawn(record, record.voltage_v, "voltage / V", BLUE), is_wide=True),
        Panel(
            "Current, positive where the cell is charged",
            _drawn(record, record.current_a * factor, f"current / {amperes}", ORANGE),
            is_wide=True,
        ),
    ]
    if record.temperature_c is not None:
        draw = _drawn(record, record.temperature_c, "temperature / °C", GREEN)
        panels.append(Panel("Temperature of the surface", draw, is_wide=True))
    return Page(
        f"Record {record.title}",
        f"{record.time_s.size:,} points, {record.source_format}",
        record_facts(record),
        panels,
        [note for note in record.notes if not note.startswith(_BEGUN)],
        simulated=record.simulated,
    )


def _drawn(record: CyclingRecord, values: Floats, label: str, colour: str) -> Callable[[Any], None]:
    unit_s, in_words = _scaled(float(record.time_s[-1] - record.time_s[0]), _TIMES)
    shown = _envelope(values)

    def draw(axes: Any) -> None:
        axes.plot(record.time_s[shown] / unit_s, values[shown], color=colour, lw=0.9)
        axes.set_xlabel(f"time / {in_words}")
        axes.set_ylabel(label)

    return draw


def _envelope(values: Floats) -> NDArray[np.intp]:
    """Points that show the course: of each of 2,000 stretches, those with its least and its largest value."""
    n = values.size
    if n <= _DRAWN:
        return np.arange(n)
    length = -(-n // (_DRAWN // 2))
    whole = n // length * length
    block = np.nan_to_num(values[:whole]).reshape(-1, length)
    begin = np.arange(block.shape[0]) * length
    return np.unique(np.concatenate(([0], begin + block.argmin(axis=1), begin + block.argmax(axis=1), [n - 1])))


def _scaled(span: float, table: tuple[tuple[float, float, str], ...]) -> tuple[float, str]:
    return next((unit, word) for least, unit, word in table if span >= least)


def _current_unit(record: CyclingRecord) -> tuple[float, str]:
    return _scaled(float(np.max(np.abs(record.current_a))), _CURRENTS)
