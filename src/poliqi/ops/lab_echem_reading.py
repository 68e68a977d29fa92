"""What commands are told of a file that they read: columns, sign of the current, faults that are let pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from poliqi.lab.echem.record import CyclingRecord

__all__ = ["read_asked", "reading_options"]

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: Final = (
    click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="QUANTITY=NAME [UNIT]",
        help="which column is time, voltage, current, temperature, cycle or step; may be repeated",
    ),
    click.option(
        "--positive",
        type=click.Choice(["charge", "discharge"]),
        help="what a positive current does, where the file does not say",
    ),
    click.option(
        "--repeated",
        type=click.Choice(["refuse", "first", "last", "apart", "spread"]),
        default="refuse",
        show_default=True,
        help="points at the time of the point before",
    ),
    click.option("--keep-gaps", is_flag=True, help="let holes pass in which current flowed"),
    click.option("--keep-resets", is_flag=True, help="let counters pass that fall"),
    click.option("--ignore-counters", is_flag=True, help="leave out the check of units against the file's charge"),
    click.option("--sheet", default="", metavar="NAME", help="of an .xlsx with several channels"),
    click.option("--chemistry", metavar="NAME", help="refuse voltages that it cannot have, such as graphite-nmc"),
    click.option("--window", nargs=2, type=float, metavar="LOW HIGH", help="refuse voltages outside, in V"),
)
_NAMES: Final = (
    "columns",
    "positive",
    "repeated",
    "keep_gaps",
    "keep_resets",
    "ignore_counters",
    "sheet",
    "chemistry",
    "window",
)


def reading_options(function: F) -> F:
    """--column, --positive, --repeated, --keep-gaps and so on; the command takes them by **options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read_asked(path: Path, options: dict[str, Any]) -> tuple[CyclingRecord, dict[str, Any]]:
    """The record, as the options say, which are taken out of `options`, and what of them decides the result.

    Raises ConfigError, DataRefused.
    """
    from poliqi.base.errors import ConfigError
    from poliqi.lab.echem.readers import Positive, ReadOptions, Repeated, read_record
    from poliqi.lab.echem.readers.choosing import said_columns
    from poliqi.lab.echem.readers.windows import window_of

    said = {name: options.pop(name) for name in _NAMES}
    window, chemistry = said["window"], said["chemistry"]
    if window and chemistry:
        raise ConfigError("--window and --chemistry both say which voltages are right; give one of them")
    if window and not window[0] < window[1]:
        raise ConfigError(f"--window {window[0]:g} {window[1]:g}: give the lower voltage first")
    asked = ReadOptions(
        columns=said_columns(said["columns"]),
        positive=None if said["positive"] is None else Positive(said["positive"]),
        repeated=Repeated(said["repeated"]),
        keep_gaps=said["keep_gaps"],
        keep_resets=said["keep_resets"],
        ignore_counters=said["ignore_counters"],
        sheet=said["sheet"],
        window_v=tuple(window) if window else window_of(chemistry) if chemistry else None,
        window_of=chemistry or ("--window" if window else ""),
    )
    return read_record(path, asked), said
