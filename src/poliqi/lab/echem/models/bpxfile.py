"""Cells out of BPX files (Battery Parameter eXchange, bpxstandard.com), read without running what stands in them.

The reader of the standard turns a function of the file into Python source and runs it. Here functions are taken out
before, checked (poliqi.lab.echem.models.bpxexpression) and put back as what is calculated step by step.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.echem.models.bpxexpression import Program, calculated, program_of
from poliqi.lab.echem.pybammdoor import pybamm

__all__ = ["bpx_values", "read_bpx"]

_MOST_BYTES: Final = 16 << 20
_DEEPEST: Final = 12
_MARK: Final = 1e300
"""A table that begins here stands for a function that was taken out; no real one may."""


def read_bpx(path: Path) -> Any:
    """PyBaMM's ParameterValues of a BPX file. Raises ConfigError, DataRefused."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name a BPX file") from error
    return bpx_values(data, str(path))


def bpx_values(data: bytes, name: str) -> Any:
    """PyBaMM's ParameterValues of a BPX document; `name` is told in errors. Raises ConfigError, DataRefused."""
    if len(data) > _MOST_BYTES:
        raise DataRefused(f"{name}: {len(data)} bytes, must be at most {_MOST_BYTES}; give shorter tables")
    try:
        whole = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataRefused(f"{name}: no JSON ({words_of(error)}); name a BPX file") from error
    document = cast("dict[str, Any]", whole) if isinstance(whole, dict) else {}
    if not isinstance(document.get("Parameterisation"), dict):
        raise DataRefused(f"{name}: holds no Parameterisation; name a BPX file")
    programs = _taken_out(document["Parameterisation"], name)
    package, reader = pybamm(), _reader()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = reader.parse_bpx_obj(document)
            _put_back(read, programs, reader)
            return package.ParameterValues._create_from_bpx(read, None)  # the public one would parse it anew
        except (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, ArithmeticError) as error:
            raise DataRefused(f"{name}: {words_of(error)}; mend the file by the BPX standard") from error
        except package.SolverError as error:
            raise DataRefused(f"{name}: its electrodes fit no state of charge ({words_of(error)})") from error


def _reader() -> Any:
    """The standard's own package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that it is built on
        try:
            import bpx
        except ImportError as error:
            raise ConfigError(f'bpx cannot be imported ({error}); run: pip install "poliqi[echem]"') from error
    return bpx


def _taken_out(parameters: dict[str, Any], name: str) -> list[Program]:
    """The functions in order; each place of one holds a table that begins with its number times _MARK."""
    programs: list[Program] = []
    waiting: list[tuple[dict[str, Any], str, int]] = [(parameters, name, 0)]
    while waiting:
        group, where, depth = waiting.pop()
        if depth > _DEEPEST:
            raise DataRefused(f"{where}: nested deeper than {_DEEPEST} levels; mend the file")
        for key, value in group.items():
            place = f"{where}: {key}"[-300:]
            if isinstance(value, str) and key != "description":
                program = program_of(value, place)
                _tried(program, place)
                group[key] = {"x": [_MARK, float(len(programs))], "y": [0.0, 0.0]}
                programs.append(program)
            elif isinstance(value, dict):
                _check_table(value, place)  # pyright: ignore[reportUnknownArgumentType] - JSON
                waiting.append((value, place, depth + 1))  # pyright: ignore[reportUnknownArgumentType] - JSON
    return programs


def _tried(program: Program, place: str) -> None:
    """A function has a value in the middle of its range."""
    try:
        value = calculated(program, 0.5, {"exp": math.exp, "tanh": math.tanh, "cosh": math.cosh})
    except ArithmeticError as error:
        raise DataRefused(f"{place}: has no value at x = 0.5 ({words_of(error)}); mend it") from error
    if isinstance(value, complex) or not math.isfinite(value):
        raise DataRefused(f"{place}: is {value} at x = 0.5, must be a number; mend it")


def _check_table(value: dict[str, Any], place: str) -> None:
    """Raises DataRefused for a table that holds what is no number, or the mark of a function."""
    for name in ("x", "y"):
        row: Any = value.get(name)
        for one in cast("list[Any]", row) if isinstance(row, list) else ():
            if isinstance(one, bool) or not isinstance(one, (int, float)) or abs(one) >= _MARK:
                told: str = repr(one)[:60]
                raise DataRefused(f"{place}: {name} holds {told}, must be numbers below {_MARK:g}; mend the table")


def _put_back(read: Any, programs: list[Program], reader: Any) -> None:
    """Functions where their tables stand, in a document that was read."""

    class Calculated(reader.Function):
        """A function that is calculated in place of being run."""

        __slots__ = ("program",)
        program: Program

        def to_python_function(self, preamble: str | None = None) -> Callable[[Any], Any]:  # noqa: ARG002 - bpx's signature
            program, package = self.program, pybamm()
            functions = {"exp": package.exp, "tanh": package.tanh, "cosh": package.cosh}
            return lambda x: calculated(program, x, functions)

    waiting: list[Any] = [read.parameterisation]
    while waiting:
        one = waiting.pop()
        groups: list[dict[str, Any]] = (
            [one] if isinstance(one, dict) else [one.__dict__, one.__pydantic_extra__ or {}]
        )
        for group in groups:
            for key, value in group.items():
                if isinstance(value, reader.InterpolatedTable):
                    table: Any = value
                    if table.x and table.x[0] == _MARK:
                        made = Calculated("x")
                        made.program = programs[int(table.x[1])]
                        group[key] = made
                elif isinstance(value, dict) or hasattr(value, "__pydantic_extra__"):
                    waiting.append(value)
