"""Which columns of a table are time, voltage and current, in SI: by their names, or as somebody says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.readers.naming import UNITS, Named, Role, named, unit_of
from poliqi.lab.echem.readers.options import ReadOptions
from poliqi.lab.echem.readers.table import Floats, Table

__all__ = ["Chosen", "Column", "choose", "said_columns"]

_SHOWN: Final = 24
_SAID: Final = re.compile(r"(.+?)\s*(?:\[([^\[\]]*)\])?\s*")
_REQUIRED: Final = (Role.TIME, Role.VOLTAGE)


@dataclass(frozen=True, slots=True)
class Column:
    """Column `at` of the table, and what makes SI of it. `stated` is false where the format supplied the unit."""

    at: int
    name: str
    factor: float
    offset: float = 0.0
    stated: bool = True


@dataclass(frozen=True, slots=True)
class Chosen:
    """Columns of a table by their role."""

    table: Table
    columns: Mapping[Role, Column]

    def __contains__(self, role: Role) -> bool:
        return role in self.columns

    def numbers(self, role: Role) -> Floats | None:
        """In SI (Ah of charges, degC); None where the table has no such column."""
        column = self.columns.get(role)
        if column is None:
            return None
        read = self.table.numbers(column.at)
        return read if column.factor == 1 and not column.offset else read * column.factor + column.offset

    def words(self, role: Role) -> Sequence[str] | None:
        """As text; None where there is no such column, or none with text."""
        column = self.columns.get(role)
        return None if column is None or self.table.words is None else self.table.words(column.at)

    def others(self, role: Role) -> list[str]:
        """Further columns that say they are this."""
        used = self.columns[role].at
        known = ((at, named(name)) for at, name in enumerate(self.table.names))
        return [self.table.names[at] for at, one in known if one is not None and one.role is role and at != used]

    def name(self, role: Role) -> str:
        """What the file calls it."""
        return self.columns[role].name


def said_columns(said: Sequence[str]) -> dict[str, str]:
    """`ReadOptions.columns` from words such as "current=Strom [mA]". Raises ConfigError."""
    found: dict[str, str] = {}
    for words in said:
        role, equals, name = words.partition("=")
        if not equals or not name.strip() or role.strip() not in UNITS | {Role.CYCLE: 1, Role.STEP: 1}:
            raise ConfigError(
                f"--column {words!r}: write QUANTITY=NAME [UNIT], such as 'current=Strom [mA]'; quantities are "
                "time, voltage, current, temperature, cycle and step"
            )
        found[role.strip()] = name.strip()
    return found


def choose(table: Table, options: ReadOptions) -> Chosen:
    """Raises DataRefused where time, voltage or current is missing, told twice, or without a unit."""
    known = [named(name) for name in table.names]
    columns: dict[Role, Column] = {}
    for role in Role:
        said = options.columns.get(role.value)
        column = _best(table, known, role) if said is None else _told(table, known, role, said)
        if column is not None:
            columns[role] = column
    for role in _REQUIRED:
        if role not in columns:
            raise _missing(table, role)
    if Role.CURRENT not in columns and Role.MOVED not in columns:
        raise _missing(table, Role.CURRENT)
    return Chosen(table, columns)


def _best(table: Table, known: Sequence[Named | None], role: Role) -> Column | None:
    """The column whose name says most plainly that it is this."""
    found = sorted(
        (one.rank, one.factor is None, at) for at, one in enumerate(known) if one is not None and one.role is role
    )
    if not found:
        return None
    twice = [at for *plainly, at in found if plainly == list(found[0][:2])]
    if len(twice) > 1 and role in (*_REQUIRED, Role.CURRENT):
        names = " and ".join(repr(table.names[at]) for at in twice[:4])
        raise DataRefused(
            f"{table.path}: {names} are columns of the {role}; say which: --column '{role}={table.names[twice[0]]}'"
        )
    at = twice[0]
    one = known[at]
    assert one is not None
    if one.factor is not None:
        return Column(at, table.names[at], one.factor, one.offset)
    by_format = (table.units or {}).get(role.value)
    if by_format is not None:
        unit = unit_of(role, by_format)
        assert unit is not None
        return Column(at, table.names[at], *unit, stated=False)
    if role in (*_REQUIRED, Role.CURRENT):
        raise _no_unit(table, role, table.names[at])
    return None


def _told(table: Table, known: Sequence[Named | None], role: Role, said: str) -> Column:
    """The column that somebody names, by its name or its number."""
    exact = [at for at, name in enumerate(table.names) if name == said]
    words = _SAID.fullmatch(said)
    assert words is not None  # any text but the empty one, which options refuse
    name, unit = (said, None) if exact else (words[1], words[2])
    at = _position(table, role, name)
    if role not in UNITS:
        return Column(at, table.names[at], 1.0)
    if unit is not None:
        made = unit_of(role, unit)
        if made is None:
            raise ConfigError(
                f"--column {role}={said}: {unit!r} is no unit of the {role}; known are {', '.join(UNITS[role])}"
            )
        return Column(at, table.names[at], *made)
    one = known[at]
    if one is not None and one.role is role and one.factor is not None:
        return Column(at, table.names[at], one.factor, one.offset)
    raise _no_unit(table, role, table.names[at])


def _position(table: Table, role: Role, name: str) -> int:
    found = [at for at, one in enumerate(table.names) if one.strip() == name]
    if len(found) == 1:
        return found[0]
    if not found and name.isascii() and name.isdigit() and len(name) < 6 and 0 < int(name) <= len(table.names):
        return int(name) - 1
    how = "stands twice" if found else "is not"
    raise DataRefused(
        f"{table.path}: column {name!r} of the {role} {how} in it; name one, or give its number: {_listed(table)}"
    )


def _missing(table: Table, role: Role) -> DataRefused:
    return DataRefused(
        f"{table.path}: no column of the {role} in it; it has {_listed(table)}; say which: "
        f"--column '{role}=NAME [UNIT]'"
    )


def _no_unit(table: Table, role: Role, name: str) -> DataRefused:
    example = next(iter(UNITS[role]))
    return DataRefused(
        f"{table.path}: column {name!r} of the {role} states no unit; say it: --column '{role}={name} [{example}]'"
    )


def _listed(table: Table) -> str:
    names = [repr(name[:60]) for name in table.names[:_SHOWN]]
    more = f" and {len(table.names) - _SHOWN} more" if len(table.names) > _SHOWN else ""
    return ", ".join(names) + more
