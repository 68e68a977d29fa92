"""Every option and chemistry stands in the reference page; the help teaches."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.lab.echem.readers import FORMATS, Repeated
from poliqi.lab.echem.readers.windows import WINDOWS_V
from poliqi.ops.commands.lab_echem_read import command

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "lab-echem-read.md"


def test_every_option_is_documented() -> None:
    text = PAGE.read_text()
    options = [max(one.opts, key=len) for one in command.params if isinstance(one, click.Option)]
    assert [name for name in options if f"`{name}" not in text] == []


def test_every_chemistry_is_documented_with_its_window() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    for name, (low, high) in WINDOWS_V.items():
        (row,) = [line for line in rows if f"`{name}`" in line]
        assert row.split("|")[2].strip().replace("−", "-") == f"{low:.1f} to {high:.1f}", name


def test_every_ending_and_way_is_documented() -> None:
    text = PAGE.read_text()
    assert [ending for one in FORMATS for ending in one.endings if f"`{ending}`" not in text] == []
    assert [way for way in Repeated if f"`{way}`" not in text] == []


def test_help_has_an_example() -> None:
    assert command.help is not None
    assert "poliqi lab echem read cell.mpr -o cell.bdf.parquet" in command.help
