"""Every command and option of linking, running and distilling stands in its reference page."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from poliqi.ops.cli import cli

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"
PAGES = {"link": "link-command.md", "demo": "demo.md", "distill": "distill.md"}


def leaves(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    return [leaf for name, child in command.commands.items() for leaf in leaves(child, (*path, name))]


def commands() -> list[tuple[str, tuple[str, ...], click.Command]]:
    context = click.Context(cli)
    found = []
    for name, page in PAGES.items():
        command = cli.get_command(context, name)
        assert command is not None
        found += [(page, path, leaf) for path, leaf in leaves(command, (name,))]
    return found


@pytest.mark.parametrize(("page", "path", "command"), [pytest.param(*c, id=" ".join(c[1])) for c in commands()])
def test_command_and_its_options_are_documented(page: str, path: tuple[str, ...], command: click.Command) -> None:
    text = (REFERENCE / page).read_text()
    assert f"poliqi {' '.join(path)}" in text
    recordings = (REFERENCE / "recordings.md").read_text() if path == ("link", "record") else ""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert max(parameter.opts, key=len) in text + recordings, parameter.opts
    assert command.help


@pytest.mark.parametrize(("page", "path", "command"), [pytest.param(*c, id=" ".join(c[1])) for c in commands()])
def test_command_speaks_json(page: str, path: tuple[str, ...], command: click.Command) -> None:
    assert any("--json" in parameter.opts for parameter in command.params)
