"""The pages of `report` and `optimise` name all that the commands take."""

from __future__ import annotations

from pathlib import Path

import pytest

from poliqi.lab.print.optimise.targets import MEASURES
from poliqi.lab.print.optimise.variables import VARIABLES
from poliqi.ops.commands import lab_print_optimise, lab_print_report

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"


@pytest.mark.parametrize(
    ("page", "command"),
    [("lab-print-report.md", lab_print_report.command), ("lab-print-optimise.md", lab_print_optimise.command)],
)
def test_every_option_is_on_its_page(page: str, command: object) -> None:
    text = (REFERENCE / page).read_text(encoding="utf-8")
    for option in command.params:  # pyright: ignore[reportAttributeAccessIssue]
        if option.name != "file":
            assert any(f"`{name}" in text for name in option.opts), option.name


def test_every_variable_and_measure_is_on_its_page() -> None:
    text = (REFERENCE / "lab-print-optimise.md").read_text(encoding="utf-8")
    for name in (*VARIABLES, *MEASURES):
        assert f"`{name}`" in text, name
