"""The type of options that are numbers with a doubt: 0.812, 0.812(4) or 0.812+-0.004."""

from __future__ import annotations

from typing import Any, Final

import click

from poliqi.base.doubt import read_doubted

__all__ = ["NUMBER"]


class _Doubted(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - generic in stubs of some versions alone
    """A value with its standard deviation."""

    name = "NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        if isinstance(value, tuple):  # a default
            return value  # pyright: ignore[reportUnknownVariableType] - click's values are untyped
        try:
            return read_doubted(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


NUMBER: Final = _Doubted()
