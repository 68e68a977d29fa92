"""CARBON.toml: factors of carbon that their owner keeps, each with its source.

```toml
[[factor]]
material = "aluminium"
kg_co2e_per_kg = "15.1"
source = "who says so, for what, of which year"

[[factor]]
energy = "electricity"
kg_co2e_per_kwh = "0.25(2)"
source = "..."
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.lab.echem.prototype.carbontable import CarbonTable, Factor
from poliqi.lab.echem.prototype.parts import Prototype
from poliqi.lab.echem.quantity import Quantity
from poliqi.ops.amount_text import parse_amount
from poliqi.ops.toml_file import file_bytes, toml_from

__all__ = ["blank_carbon", "load_carbon", "read_carbon"]

_LARGEST: Final = 1 << 20
_MOST: Final = 5000
_LEAST_SOURCE: Final = 3


class _Factor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    source: str
    material: str = ""
    energy: str = ""
    kg_co2e_per_kg: str | float | None = None
    kg_co2e_per_kwh: str | float | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    factor: tuple[_Factor, ...] = ()


def load_carbon(path: Path) -> CarbonTable:
    """Raises ConfigError, naming file, row and key."""
    return read_carbon(file_bytes(path, _LARGEST, "a table of factors"), str(path))


def read_carbon(data: bytes, where: str) -> CarbonTable:
    """The content of such a file. Raises ConfigError."""
    try:
        rows = msgspec.convert(toml_from(data, where), _File).factor
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{where}: {str(error)[:300]}; docs/reference/lab-echem-prototype.md shows such a table"
        ) from None
    if len(rows) > _MOST:
        raise ConfigError(f"{where}: {len(rows)} factors, {_MOST} are the limit")
    found: dict[bool, dict[str, Factor]] = {True: {}, False: {}}
    for number, row in enumerate(rows, 1):
        try:
            name, factor, is_material = _factor(row)
            if name in found[is_material]:
                raise ConfigError(f"{name!a:.80} stands there twice; keep one")
            found[is_material][name] = factor
        except ConfigError as error:
            raise ConfigError(f"{where}: factor {number}: {error}") from None
    return CarbonTable(found[True], found[False], where)


def _factor(row: _Factor) -> tuple[str, Factor, bool]:
    key, value = (
        ("kg_co2e_per_kg", row.kg_co2e_per_kg) if row.material else ("kg_co2e_per_kwh", row.kg_co2e_per_kwh)
    )
    other = row.kg_co2e_per_kwh if row.material else row.kg_co2e_per_kg
    if bool(row.material) == bool(row.energy) or value is None or other is not None:
        raise ConfigError("give material with kg_co2e_per_kg, or energy with kg_co2e_per_kwh")
    if len(row.source.strip()) < _LEAST_SOURCE:
        raise ConfigError(
            f"{row.material or row.energy}: source: who says so? A factor without a source is not used"
        )
    one = parse_amount(value if isinstance(value, str) else repr(value), "1", key)
    name = row.material or row.energy
    return name, Factor(Quantity(one.value, one.sigma, key, row.source), row.source), bool(row.material)


def blank_carbon(made: Prototype, materials: list[str]) -> str:
    """A table to be filled: every material and process of a prototype, without any number."""
    head = (
        "# Fill in each factor with its source, and take the # away. What stays without one is told as missing.\n"
    )
    rows = [("material", name, "kg_co2e_per_kg") for name in materials]
    rows += [("energy", process.name, "kg_co2e_per_kwh") for process in made.processes]
    blank = (f'# [[factor]]\n# {key} = {_quoted(name)}\n# {unit} = ""\n# source = ""\n' for key, name, unit in rows)
    return "\n".join((head, *blank))


def _quoted(text: str) -> str:
    from poliqi.ops.toml_text import toml_text

    return toml_text({"x": text})[4:].rstrip("\n")
