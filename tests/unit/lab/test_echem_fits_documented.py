"""Pages of the fits of modes, pulses and voltammograms name every option of theirs; their help shows an example."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from poliqi.ops.commands.lab_echem_fit_modes import command as modes
from poliqi.ops.commands.lab_echem_fit_pulses import command as pulses
from poliqi.ops.commands.lab_echem_fit_voltammogram import command as voltammogram

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"
ELSEWHERE = "".join((REFERENCE / name).read_text() for name in ("lab-echem.md", "lab-echem-read.md"))
"""Options that all commands share, and those of reading."""


@pytest.mark.parametrize(
    ("name", "command"), [("modes", modes), ("pulses", pulses), ("voltammogram", voltammogram)]
)
def test_every_option_is_documented(name: str, command: click.Command) -> None:
    text = (REFERENCE / f"lab-echem-fit-{name}.md").read_text() + ELSEWHERE
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert not [one.opts for one in options if not any(f"`{opt}" in text for opt in one.opts)]
    assert f"poliqi lab echem fit {name} " in (command.help or "")
