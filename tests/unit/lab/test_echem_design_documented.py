"""The page of the command names all that it takes."""

from __future__ import annotations

from pathlib import Path

from poliqi.lab.echem.design.variables import VARIABLES
from poliqi.lab.echem.xrayfeed import RADII
from poliqi.ops.commands.lab_echem_design import command

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "lab-echem-design.md").read_text()


def test_every_option_is_on_its_page() -> None:
    for option in command.params:
        assert any(f"`{name}" in PAGE for name in option.opts), option.name


def test_every_variable_and_every_size_is_on_its_page() -> None:
    for name in (*VARIABLES, *RADII):
        assert f"`{name}`" in PAGE, name
