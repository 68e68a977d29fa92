"""Every option and element of the command stands in its reference page; the help teaches."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.lab.echem.eis.elements import ELEMENTS
from poliqi.ops.commands.lab_echem_eis import command

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = DOCS / "reference" / "lab-echem-eis.md"


def test_every_option_is_documented() -> None:
    text = PAGE.read_text()
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert not [one.opts for one in options if not any(f"`{name}" in text for name in one.opts)]


def test_every_element_is_documented() -> None:
    text = PAGE.read_text()
    assert not [name for name in ELEMENTS if f"| `{name}` |" not in text]


def test_help_has_an_example() -> None:
    assert command.help is not None
    assert "poliqi lab echem eis cell.mpt --report cell.html" in command.help
