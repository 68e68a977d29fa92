"""Every command and option of `poliqi lab access` stands in its reference."""

from __future__ import annotations

from pathlib import Path

import click

from poliqi.ops.commands.lab_access import command

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/lab-access.md").read_text()


def leaves(one: click.Command, name: str = "") -> list[tuple[str, click.Command]]:
    if not isinstance(one, click.Group):
        return [(name, one)]
    context = click.Context(one)
    found = [(each, one.get_command(context, each)) for each in one.list_commands(context)]
    return [leaf for each, sub in found if sub is not None for leaf in leaves(sub, f"{name} {each}".strip())]


def test_every_command_and_option_is_documented() -> None:
    missing = [name for name, _ in leaves(command) if f"`{name}" not in PAGE]
    for name, one in leaves(command):
        options = [opt for p in one.params if isinstance(p, click.Option) for opt in p.opts]
        missing += [f"{name} {opt}" for opt in options if opt not in PAGE]
    assert not missing


def test_every_command_teaches_itself() -> None:
    assert not [name for name, one in leaves(command) if not one.help]
