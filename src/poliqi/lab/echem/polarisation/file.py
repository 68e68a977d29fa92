"""Polarisation curves as text: what holds for all rows in lines of `# name: value unit`, then a table.

    # device: PEM fuel cell
    # temperature: 68 degC
    # pressure: 2.2 bar
    current_density / A/cm2, voltage / V
    0.05, 0.864

A condition may also be a column: rows that agree in all conditions are one curve. Nothing has a unit that is not
written: a heading is `name / unit` or `name [unit]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.polarisation.curve import Conditions, Curve, Device, condition_words, needed
from poliqi.lab.echem.polarisation.table import (
    UNITS,
    YES,
    Column,
    ReadAs,
    columns_of,
    parts_of,
    read_as,
    stated_number,
)

__all__ = ["FIELDS", "FORMAT", "conditions_with", "curve_bytes", "curves_from", "read_curves"]

FORMAT: Final = "POLIQI polarisation curve 1"
_MOST_BYTES: Final = 16 << 20
_MOST_CURVES: Final = 500
_SHOWN: Final = 60
FIELDS: Final = {
    "temperature": "temperature_k",
    "anode_pressure": "anode_pressure_pa",
    "cathode_pressure": "cathode_pressure_pa",
    "anode_humidity": "anode_humidity",
    "cathode_humidity": "cathode_humidity",
    "anode_stoichiometry": "anode_stoichiometry",
    "cathode_stoichiometry": "cathode_stoichiometry",
    "hydrogen_fraction": "hydrogen_fraction",
    "oxygen_fraction": "oxygen_fraction",
    "flows_constant_below": "least_flow_a_m2",
    "koh_mass_fraction": "koh_mass_fraction",
}
_AS_WRITTEN: Final = ReadAs({}, {})


def read_curves(path: Path, said: ReadAs = _AS_WRITTEN) -> tuple[Curve, ...]:
    """The curves of a file. Raises DataRefused, naming file, field and row."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror or error}; name a polarisation curve") from error
    return curves_from(data, path.name, said)


def curves_from(data: bytes, file: str, said: ReadAs = _AS_WRITTEN) -> tuple[Curve, ...]:
    """The curves of a file's bytes. Raises DataRefused."""
    if len(data) > _MOST_BYTES:
        raise DataRefused(f"{file}: more than {_MOST_BYTES} bytes; give the polarisation curve alone")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataRefused(f"{file}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error
    stated, table = parts_of(lines, file, said)
    if not table:
        raise DataRefused(f"{file}: no table; its first line has to name the columns, such as 'voltage / V'")
    columns, rows = columns_of(table, file, said)
    return _curves(stated, columns, rows, file)


def _curves(stated: dict[str, str], columns: dict[str, Column], rows: list[int], file: str) -> tuple[Curve, ...]:
    """Rows of equal conditions (and name) together."""
    device = _device(stated, file)
    simulated = _simulated(stated, file)
    fixed = {name: stated_number(name, text, file) for name, text in stated.items() if name in UNITS}
    for name in ("current_density", "current", "voltage", "stack_voltage"):
        if name in fixed:
            raise DataRefused(f"{file}: {name} is stated once for all rows; give it as a column")
    if both := next((name for name in columns if name in stated), None):
        raise DataRefused(f"{file}: {both} is stated above the table and is a column; leave one")
    density, volts = _points(fixed, columns, len(rows), file)
    conditions = [name for name in columns if name in FIELDS or name == "pressure"]
    groups: dict[tuple[object, ...], list[int]] = {}
    for at in range(len(rows)):
        name = columns["curve"].words[at] if "curve" in columns else stated.get("curve", "")
        key = (name, *(columns[one].values[at] for one in conditions))
        groups.setdefault(key, []).append(at)
        if len(groups) > _MOST_CURVES:
            raise DataRefused(
                f"{file}, line {rows[at]}: more than {_MOST_CURVES} curves, one for each set of conditions; round "
                "the conditions to what was set"
            )
    found = [
        Curve(
            device,
            str(key[0]),
            _conditions(device, fixed | dict(zip(conditions, key[1:], strict=True)), file),  # pyright: ignore[reportArgumentType] - the numbers after the name
            density[members],
            volts[members],
            np.array(rows, dtype=np.int64)[members],
            stated.get("cell", ""),
            file,
            stated.get("source", ""),
            simulated=simulated,
        )
        for key, members in groups.items()
    ]
    return _distinct_names(found, file)


def _device(stated: Mapping[str, str], file: str) -> Device:
    text = stated.get("device", "")
    try:
        return Device(text)
    except ValueError:
        has = f"device is {text!a:.{_SHOWN}}" if text else "device is not stated"
        raise DataRefused(f"{file}: {has}; write '# device: ' and one of {', '.join(Device)}") from None


def _simulated(stated: Mapping[str, str], file: str) -> bool:
    text = stated.get("simulated", "no").lower()
    if text not in YES:
        raise DataRefused(f"{file}: simulated is {text!a:.{_SHOWN}}; write yes or no")
    return YES[text]


def _points(
    fixed: Mapping[str, float], columns: Mapping[str, Column], count: int, file: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Current density and voltage of one cell, (n,) each."""

    def column(names: tuple[str, str], divisor: str) -> NDArray[np.float64]:
        there = [name for name in names if name in columns]
        if len(there) != 1:
            has = "both" if there else "none"
            raise DataRefused(f"{file}: of the columns {names[0]} and {names[1]} the table has {has}; give one")
        values = np.array(columns[there[0]].values)
        if there[0] == names[0]:
            return values
        by = (
            np.array(columns[divisor].values)
            if divisor in columns
            else np.full(count, fixed.get(divisor, math.nan))
        )
        if not bool(np.all(by > 0)) or (divisor == "cells" and bool(np.any(by != np.round(by)))):
            raise DataRefused(f"{file}: {there[0]} needs {divisor}, a positive number; state '# {divisor}: ...'")
        return values / by

    return column(("current_density", "current"), "area"), column(("voltage", "stack_voltage"), "cells")


def _conditions(device: Device, told: Mapping[str, float], file: str) -> Conditions:
    given = {FIELDS[name]: value for name, value in told.items() if name in FIELDS}
    if "pressure" in told:
        if "anode_pressure_pa" in given or "cathode_pressure_pa" in given:
            raise DataRefused(
                f"{file}: pressure is that of both sides; with anode_pressure or cathode_pressure leave it"
            )
        given |= {"anode_pressure_pa": told["pressure"], "cathode_pressure_pa": told["pressure"]}
    for field in needed(device):
        if field not in given:
            name = next(name for name, one in FIELDS.items() if one == field)
            raise DataRefused(
                f"{file}: {name} is not stated, and a {device} needs it; write '# {name}: ...' with a unit, or "
                f"--set '{name}=...'"
            )
    return Conditions(**given)


def conditions_with(base: Conditions, words: Sequence[str]) -> Conditions:
    """Conditions with some changed, by words such as "temperature=70 degC". Raises ConfigError, DataRefused."""
    changed: dict[str, float] = {}
    for name, text in read_as(words, ()).stated.items():
        if name not in FIELDS and name != "pressure":
            raise ConfigError(
                f"{name}: is no condition of operation; change one of {', '.join(('pressure', *FIELDS))}"
            )
        value = stated_number(name, text, "conditions")
        fields = ("anode_pressure_pa", "cathode_pressure_pa") if name == "pressure" else (FIELDS[name],)
        changed |= dict.fromkeys(fields, value)
    return replace(base, **changed)


def _distinct_names(curves: list[Curve], file: str) -> tuple[Curve, ...]:
    """Curves named after the file where only one, after their conditions where several and none has a name."""
    if len(curves) == 1:
        return tuple(one if one.name else replace(one, name=Path(file).stem) for one in curves)
    bare = [one.name for one in curves]
    unclear = {name for name in bare if not name or bare.count(name) > 1}
    return tuple(
        replace(one, name=" ".join(filter(None, (one.name, _told(one, curves))))) if one.name in unclear else one
        for one in curves
    )


def _told(one: Curve, curves: Sequence[Curve]) -> str:
    """What differs between the curves, in a few words."""
    return ", ".join(
        condition_words(name, getattr(one.conditions, name))
        for name in Conditions.__slots__
        if len({repr(getattr(other.conditions, name)) for other in curves}) > 1
    )


def curve_bytes(curve: Curve) -> bytes:
    """One curve as this module reads it, exactly."""
    for text in (curve.name, curve.cell, curve.source):
        if text != " ".join(text.split()):
            raise DataRefused(
                f"{curve.where}: a name or source with line breaks or doubled spaces cannot be written"
            )
    lines = [f"# {FORMAT}", f"# device: {curve.device}"]
    words = (("cell", curve.cell), ("curve", curve.name), ("source", curve.source))
    lines += [f"# {name}: {text}" for name, text in words if text]
    lines += ["# simulated: yes"] if curve.simulated else []
    for name, field in FIELDS.items():
        value: float = getattr(curve.conditions, field)
        if not math.isnan(value):
            lines.append(f"# {name}: {value!r} {next(iter(UNITS[name]))}")
    lines.append("current_density / A/m2, voltage / V")
    lines += [
        f"{float(i)!r}, {float(v)!r}" for i, v in zip(curve.current_density_a_m2, curve.voltage_v, strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()
