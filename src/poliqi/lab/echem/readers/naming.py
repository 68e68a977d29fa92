"""What the column of a file holds, by its name: the quantity and its unit, or that no unit is stated.

Known are the names of the Battery Data Format, and those that cyclers and potentiostats write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["UNITS", "Named", "Role", "named", "plainest", "unit_of"]

_LONGEST: Final = 120


class Role(StrEnum):
    """What a column can be to a record."""

    TIME = "time"
    VOLTAGE = "voltage"
    CURRENT = "current"
    TEMPERATURE = "temperature"
    CYCLE = "cycle"
    STEP = "step"
    NUMBER = "number"
    STATE = "state"
    CAPACITY = "capacity"
    CHARGED = "charged"
    DISCHARGED = "discharged"
    MOVED = "moved"
    UNIX = "unix"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Named:
    """One column's name taken apart. `factor` makes SI (Ah for charges, degC) of it: None where no unit is told.

    `rank` is smaller for names that say more plainly that this is the column: of a cell rather than an electrode.
    """

    role: Role
    rank: int
    factor: float | None
    offset: float = 0.0


_TIME: Final = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6,
    "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0,
    "days": 86400.0,
}  # fmt: skip
_VOLTAGE: Final = {"V": 1.0, "volt": 1.0, "volts": 1.0, "mV": 1e-3, "uV": 1e-6}
_CURRENT: Final = {
    "A": 1.0, "amp": 1.0, "amps": 1.0, "ampere": 1.0, "amperes": 1.0, "mA": 1e-3, "uA": 1e-6, "nA": 1e-9, "kA": 1e3
}  # fmt: skip
_CHARGE: Final = {"Ah": 1.0, "A.h": 1.0, "mAh": 1e-3, "mA.h": 1e-3, "uAh": 1e-6, "amp-hr": 1.0, "C": 1 / 3600}
_DEGREES: Final = {"degC": 1.0, "C": 1.0, "celsius": 1.0, "degree_celsius": 1.0, "K": 1.0, "kelvin": 1.0}
_KELVIN: Final = 273.15
UNITS: Final = {
    Role.TIME: _TIME,
    Role.UNIX: _TIME,
    Role.VOLTAGE: _VOLTAGE,
    Role.CURRENT: _CURRENT,
    Role.TEMPERATURE: _DEGREES,
    Role.CAPACITY: _CHARGE,
    Role.CHARGED: _CHARGE,
    Role.DISCHARGED: _CHARGE,
    Role.MOVED: _CHARGE,
}
"""Units of each role, with what makes SI of them (Ah of charges)."""

_ROLES: Final = {
    Role.TIME: (
        "testtime", "totaltime", "elapsedtime", "programduration", "testtimesecond", "test", "time",
    ),
    Role.VOLTAGE: (
        "voltage", "cellvoltage", "voltagevolt", "volts", "ecell", "eweece", "ewe", "voltagemeasured", "u", "v",
        "potential",
    ),
    Role.CURRENT: ("current", "cellcurrent", "currentampere", "amps", "i", "currentmeasured"),
    Role.TEMPERATURE: (
        "surfacetemperaturet1", "temperaturet1celsius", "celltemperature", "temperature", "temp", "temp1", "t1",
    ),
    Role.CYCLE: ("cyclecount", "cycleindex", "cyclenumber", "cyclenr", "cycle", "cyc"),
    Role.STEP: ("stepcount", "stepindex", "stepnumber", "stepno", "step", "ns"),
    Role.NUMBER: ("datapoint", "rec", "recno", "index", "record", "recordnumber"),
    Role.STATE: ("state", "status", "mode", "md"),
    Role.CHARGED: (
        "chargingcapacity", "chargingcapacityah", "chargecapacity", "qcharge", "chargecap", "capacitycharge",
    ),
    Role.DISCHARGED: (
        "dischargingcapacity", "dischargingcapacityah", "dischargecapacity", "qdischarge", "dischargecap",
        "capacitydischarge",
    ),
    Role.CAPACITY: ("amphr", "capacity", "amphour", "cap", "stepcapacity"),
    Role.MOVED: ("dq",),
    Role.UNIX: ("unixtime", "unixtimesecond"),
    Role.SIMULATED: ("simulated",),
}  # fmt: skip
_RANKS: Final = {name: (role, rank) for role, names in _ROLES.items() for rank, name in enumerate(names)}
_COUNTS: Final = frozenset((Role.CYCLE, Role.STEP, Role.NUMBER, Role.STATE, Role.SIMULATED))
_NO_UNIT: Final = frozenset(("", "1", "#", "-"))
_UNIT_IN_NAME: Final = {
    "testtimesecond": "s", "voltagevolt": "V", "volts": "V", "currentampere": "A", "amps": "A", "amphr": "Ah",
    "temperaturet1celsius": "degC", "unixtimesecond": "s", "chargingcapacityah": "Ah",
    "dischargingcapacityah": "Ah",
}  # fmt: skip
_BRACKETS: Final = re.compile(r"(.*?)\s*[(\[]\s*([^()\[\]]*)[)\]]\s*")
_SLASH: Final = re.compile(r"(.+?)\s*/\s*([^/\s]+)\s*")
_UNDERSCORE: Final = re.compile(r"(.+)_([A-Za-z]{1,8})")
_MEAN: Final = re.compile(r"<(.+)>")
_NO_LETTER: Final = re.compile(r"[^a-z0-9]")


def named(header: str) -> Named | None:
    """The column of that name; None where nothing is known of it."""
    words = _MEAN.sub(r"\1", header.strip().strip('"').strip())
    if not 0 < len(words) <= _LONGEST or words.startswith("|"):
        return None
    for pattern in (_BRACKETS, _SLASH, _UNDERSCORE):
        found = pattern.fullmatch(words)
        if found is None:
            continue
        ranked = _RANKS.get(_plain(found[1]))
        if ranked is None:
            continue
        if ranked[0] in _COUNTS:
            if found[2].strip() in _NO_UNIT:
                return Named(*ranked, 1.0)
        elif (known := unit_of(ranked[0], found[2])) is not None:
            return Named(*ranked, *known)
        if pattern is not _UNDERSCORE:
            return None  # a column in another unit is another quantity, such as one per gram
    plain = _plain(words)
    ranked = _RANKS.get(plain)
    if ranked is None:
        return None
    if ranked[0] in _COUNTS:
        return Named(*ranked, 1.0)
    said = _UNIT_IN_NAME.get(plain)
    return Named(*ranked, None if said is None else UNITS[ranked[0]][said])


def plainest(headers: Iterable[str]) -> list[int]:
    """The columns of a table that say most plainly what they are, one for each role that is found."""
    found: dict[Role, tuple[int, bool, int]] = {}
    for at, header in enumerate(headers):
        one = named(header)
        if one is not None:
            told = (one.rank, one.factor is None, at)
            found[one.role] = min(told, found.get(one.role, told))
    return sorted(at for *_, at in found.values())


def unit_of(role: Role, words: str) -> tuple[float, float] | None:
    """Factor and offset that make SI of a unit, case told apart only where it matters: mA and MA."""
    units = UNITS.get(role)
    said = words.strip().replace("µ", "u").replace("μ", "u").replace("°", "deg").replace(" ", "")
    if units is None or not said:
        return None
    factor = units.get(said)
    if factor is None and not (said[0] == "M" and said[1:] in units):  # mega, which nobody means: not guessed
        lower = {unit.lower(): value for unit, value in units.items()}
        factor = lower.get(said.lower())
    if factor is None:
        return None
    return factor, -_KELVIN if role is Role.TEMPERATURE and said.lower() in ("k", "kelvin") else 0.0


def _plain(words: str) -> str:
    return _NO_LETTER.sub("", words.lower())
