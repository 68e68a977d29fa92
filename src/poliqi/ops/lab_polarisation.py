"""What the commands that read polarisation curves share: their options, and the files read and fitted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from poliqi.base.errors import ConfigError
from poliqi.ops.lab_outputs import PATH

if TYPE_CHECKING:
    from poliqi.lab.echem.polarisation.curve import Curve
    from poliqi.ops.lab_filing import Filing, Read

__all__ = ["curve_options", "curves_read", "held_values", "reads_of"]

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: Final = (
    click.argument("curves", type=PATH, nargs=-1, required=True),
    click.option(
        "--set",
        "stated",
        multiple=True,
        metavar="NAME=VALUE",
        help="state of all files, such as 'temperature=65 degC'",
    ),
    click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="NAME=HEADING [UNIT]",
        help="which column is what, such as 'current_density=j [mA/cm2]'",
    ),
    click.option("--hold", multiple=True, metavar="NAME=NUMBER", help="hold a parameter at this value"),
    click.option("--free", multiple=True, metavar="NAME", help="fit a parameter that would be held"),
)


def curve_options(function: F) -> F:
    """CURVES..., --set, --column, --hold, --free."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def curves_read(paths: Sequence[Path], options: dict[str, Any], filing: Filing) -> tuple[list[Curve], list[str]]:
    """All curves of the files, and the roles of the files that say they are simulated.

    Takes --set and --column out of the options. Curves are simulated where the file or the store says so.
    """
    from dataclasses import replace

    from poliqi.lab.echem.polarisation.file import read_curves
    from poliqi.lab.echem.polarisation.table import read_as

    said = read_as(options.pop("stated"), options.pop("columns"))
    read = [(at, curve) for at, path in enumerate(paths) for curve in read_curves(path, said)]
    saying = {at for at, curve in read if curve.simulated}
    curves = [replace(curve, simulated=curve.simulated or filing.is_simulated) for _, curve in read]
    return curves, [_role(at) for at in sorted(saying)]


def held_values(hold: Sequence[str]) -> dict[str, float]:
    """Values of --hold. Raises ConfigError."""
    found: dict[str, float] = {}
    for words in hold:
        name, _, text = words.partition("=")
        try:
            value = float(text) if "_" not in text else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ConfigError(f"--hold {words!a:.80}: write NAME=NUMBER, such as transport_order=1.3")
        found[name.strip()] = value
    return found


def reads_of(paths: Sequence[Path]) -> list[Read]:
    """Each file in a role of its own, so that each can say of itself that it is simulated."""
    from poliqi.ops.lab_filing import Read

    return [Read(_role(at), (path,)) for at, path in enumerate(paths)]


def _role(at: int) -> str:
    return "polarisation curve" if not at else f"polarisation curve {at + 1}"
