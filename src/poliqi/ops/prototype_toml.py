"""PROTOTYPE.toml: what a coin, pouch or fuel cell is to be made of, read and written."""

from __future__ import annotations

import tomllib
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.prototype.parts import Kind
from poliqi.lab.echem.prototype.rawmaterials import check_entries, mass_shares
from poliqi.ops.prototype_tables import BatteryTable, FuelCellTable, PrototypeTable
from poliqi.ops.toml_file import check_keys, file_bytes, toml_from
from poliqi.ops.toml_text import toml_text

__all__ = ["load_table", "read_table", "table_text"]

_LARGEST: Final = 1 << 20
_MOST_ROWS: Final = 200
_MOST_CELLS: Final = 100_000
_MOST_UNITS: Final = 10_000
_TEXT: Final = 120
_OUT: Final = "taken out \0"  # in a setting; nothing that is named has a NUL
_OUT_TEXT: Final = '"taken out \\u0000"'
_PAGE: Final = "docs/reference/lab-echem-prototype.md lists every key"


def load_table(path: Path | None, settings: Sequence[str] = (), *, kind: str) -> tuple[PrototypeTable, bool]:
    """A file with settings KEY=VALUE over it, and whether the file says itself that it is simulated.

    Either may be missing. Raises ConfigError, naming file and key.
    """
    where = "the settings" if path is None else str(path)
    data = b""
    if path is not None:
        data = file_bytes(path, _LARGEST, "a PROTOTYPE.toml")
    return _read(data, settings, kind, where)


def read_table(data: bytes, settings: Sequence[str] = (), *, kind: str, where: str) -> PrototypeTable:
    """The same of the content of a file: keys and names. What the amounts are is read by `prototype_of`.

    Raises ConfigError.
    """
    return _read(data, settings, kind, where)[0]


def _read(data: bytes, settings: Sequence[str], kind: str, where: str) -> tuple[PrototypeTable, bool]:
    whole = _whole(data, where)
    was_simulated = bool(whole.get("simulated"))
    try:
        for text in settings:
            _merge(whole, _setting(text))
        if (said := whole.setdefault("kind", kind)) != kind:
            raise ConfigError(f"kind = {said!a:.40}, but a {kind} was asked for; call `prototype {said!s:.40}`")
        table = msgspec.convert(whole, FuelCellTable if kind == Kind.FUEL_CELL else BatteryTable)
        if was_simulated and not table.simulated:
            raise ConfigError("simulated: the file says that it is; --set takes that not back, leave it out")
        _check(table)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {str(error)[:300]}; {_PAGE}") from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{where}: {str(error)[:300]}; {_PAGE}") from None
    except (ConfigError, DataRefused) as error:
        raise ConfigError(f"{where}: {error}") from None
    return table, was_simulated


def table_text(table: PrototypeTable) -> str:
    """As TOML; what `read_table` makes of it is the same table."""
    return toml_text(msgspec.to_builtins(table))


def _whole(data: bytes, where: str) -> dict[str, Any]:
    """TOML, or what a build sheet as JSON says that it was made of."""
    text = data.removeprefix(BOM_UTF8).lstrip()
    if not text.startswith(b"{"):
        return toml_from(data, where)
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: neither TOML nor a build sheet as JSON: {str(error)[:300]}; {_PAGE}") from None
    if not isinstance(found.get("prototype"), dict):
        raise ConfigError(f"{where}: it has no table `prototype`: it is no build sheet")
    return found["prototype"]


def _setting(text: str) -> dict[str, Any]:
    """KEY=VALUE as TOML has it; a value that is none is taken for text: positive.loading=12(1) mg/cm2.

    Where there is no value, the key is to be taken out.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!a:.80}: write KEY=VALUE, such as positive.loading=12.0(2)mg/cm2")
    for shown in (value, toml_text({"x": value})[4:]):
        line = f"{key}={shown if value.strip() else _OUT_TEXT}"
        check_keys(line, "--set")
        try:
            return tomllib.loads(line)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
    raise ConfigError(f"--set {text!a:.80}: {key!a:.60} is no key; such as positive.loading or material.PP.density")


def _merge(whole: dict[str, Any], over: dict[str, Any]) -> None:
    """What `over` says takes the place of what `whole` says, table by table."""
    pending = [(whole, over)]
    while pending:
        into, of = pending.pop()
        for key, value in of.items():
            if value == _OUT:
                into.pop(key, None)
            elif isinstance(value, dict) and isinstance(into.get(key), dict):
                pending.append((into[key], cast("dict[str, Any]", value)))
            else:
                into[key] = value


def _check(table: PrototypeTable) -> None:
    """Names and counts; amounts are checked where they are read."""
    for name, rows in (("part", table.part), ("process", table.process), ("material", table.material)):
        if len(rows) > _MOST_ROWS:
            raise ConfigError(f"{name}: {len(rows)} of them, {_MOST_ROWS} are the limit")
    _once([row.name for row in table.part], "part.name")
    _once([*(row.name for row in table.process), *table.material], "names of [material] and [[process]]")
    for name in (table.name, *(row.name for row in (*table.part, *table.process)), *table.material):
        if not 1 <= len(name) <= _TEXT or not name.isprintable() or name.endswith(" (collector)"):
            raise ConfigError(f"{name!a:.80}: use 1 to {_TEXT} printable characters, not ending in (collector)")
    for said in table.assumed:
        if not said.isprintable() or len(said) > 10 * _TEXT:
            raise ConfigError(f"assumed: {said!a:.80}: use printable sentences of at most {10 * _TEXT} characters")
    if not 1 <= table.cells <= _MOST_CELLS:
        raise ConfigError(f"cells = {table.cells}, must be 1 to {_MOST_CELLS}")
    for row in table.part:
        if not 1 <= row.count <= _MOST_CELLS:
            raise ConfigError(f"part {row.name}: count = {row.count}, must be 1 to {_MOST_CELLS}")
    for name, material in table.material.items():
        if material.formula_units is not None and not 1 <= material.formula_units <= _MOST_UNITS:
            raise ConfigError(f"material.{name}.formula_units: must be 1 to {_MOST_UNITS}")
        if material.formula:
            mass_shares(material.formula)
        check_entries(material.raw_materials or (), f"material.{name}.raw_materials")


def _once(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"{what}: {name!a:.80} stands there twice; give each its own name")
        seen.add(name)
