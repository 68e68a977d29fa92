"""Pages of the fits and of stacks name every option of theirs; their help shows an example."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from poliqi.ops.commands.lab_echem_fit_model import command as model
from poliqi.ops.commands.lab_echem_fit_modes import command as modes
from poliqi.ops.commands.lab_echem_fit_polarisation import command as polarisation
from poliqi.ops.commands.lab_echem_fit_pulses import command as pulses
from poliqi.ops.commands.lab_echem_fit_voltammogram import command as voltammogram
from poliqi.ops.commands.lab_echem_stack import command as stack

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"
ELSEWHERE = "".join((REFERENCE / name).read_text() for name in ("lab-echem.md", "lab-echem-read.md"))
"""Options that all commands share, and those of reading."""


@pytest.mark.parametrize(
    ("name", "page", "command"),
    [
        ("fit model", "fit", model),
        ("fit modes", "fit-modes", modes),
        ("fit polarisation", "fit-polarisation", polarisation),
        ("fit pulses", "fit-pulses", pulses),
        ("fit voltammogram", "fit-voltammogram", voltammogram),
        ("stack", "stack", stack),
    ],
)
def test_every_option_is_documented(name: str, page: str, command: click.Command) -> None:
    """Options of curves are on the page of `fit polarisation`, to which that of `stack` points."""
    text = (REFERENCE / f"lab-echem-{page}.md").read_text() + ELSEWHERE
    text += (REFERENCE / "lab-echem-fit-polarisation.md").read_text() if name == "stack" else ""
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert not [one.opts for one in options if not any(f"`{opt}" in text for opt in one.opts)]
    assert f"poliqi lab echem {name} " in (command.help or "")
