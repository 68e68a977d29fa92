"""A group of commands whose modules are imported when one is called, so that `--help` stays quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

__all__ = ["Table", "lazy_group"]

Table = Mapping[str, tuple[str, str, str]]
"""Subcommand: the module of `poliqi.ops.commands` and its attribute, imported when called; a line for --help."""


class _LazyGroup(click.Group):
    def __init__(self, table: Table, text: str) -> None:
        super().__init__(help=text)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in self._table:
            return None
        module, attribute, _ = self._table[cmd_name]
        return getattr(importlib.import_module(f"poliqi.ops.commands.{module}"), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in sorted(self._table.items())])


def lazy_group(table: Table, text: str) -> click.Group:
    """The group; `text` is its --help."""
    return _LazyGroup(table, text)
