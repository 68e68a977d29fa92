"""Every option of the command stands in its reference page; the help teaches."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.ops.commands.lab_xray_reduce import command

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "lab-xray-reduce.md"


def test_every_option_is_documented() -> None:
    text = PAGE.read_text()
    missing = [
        parameter.opts
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and max(parameter.opts, key=len) not in text
        and parameter.opts[0] != "-o"
    ]
    assert not missing
    assert "`-o FILE.h5`" in text


def test_help_has_an_example() -> None:
    assert command.help is not None
    assert "poliqi lab xray reduce frames.h5 --geometry setup.poni -o curve.h5" in command.help
