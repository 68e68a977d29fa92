"""Every key of a PROTOTYPE.toml and every unit stands on its page."""

from __future__ import annotations

from pathlib import Path

import msgspec

from poliqi.ops import prototype_tables
from poliqi.ops.amount_text import UNITS
from poliqi.ops.commands.lab_echem_prototype import command

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/lab-echem-prototype.md").read_text()


def test_every_key_is_documented() -> None:
    tables = [one for name in prototype_tables.__all__ if isinstance(one := getattr(prototype_tables, name), type)]
    tables = [one for one in tables if issubclass(one, msgspec.Struct)]
    assert len(tables) == 12
    single = {"positive", "negative", "separator", "electrolyte", "part", "process", "material"}
    keys = {name for one in tables for name in one.__struct_fields__} - single
    keys -= {"cathode", "anode", "membrane", "diffusion", "operation"}
    assert not [key for key in sorted(keys) if f"`{key}`" not in PAGE]


def test_every_amount_has_a_dimension_and_every_unit_is_documented() -> None:
    assert set(prototype_tables.DIMENSIONS.values()) <= set(UNITS)
    written = {unit for units in UNITS.values() for unit in units if "µ" not in unit} - {"", "%"}
    assert not [unit for unit in sorted(written) if unit not in PAGE]


def test_every_option_is_documented() -> None:
    options = {tuple(option.opts) for one in command.commands.values() for option in one.params}
    named = [opts for opts in sorted(options) if opts[0].startswith("-")]
    assert len(named) > 10
    assert not [opts for opts in named if not any(f"`{text}" in PAGE for text in opts)]
