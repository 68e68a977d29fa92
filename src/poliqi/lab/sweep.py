"""Many calculations, on all cores or a Dask cluster, that go on where they were stopped.

A sweep that is interrupted (Ctrl-C, kill -9, power) and run again with the same file calculates what is missing.
What cannot be calculated, such as a design that a solver fails on, is an outcome with its reason: it stops nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from poliqi.base.errors import DataRefused, words_of
from poliqi.edge.sweep import sweep
from poliqi.lab.sweepfile import Line, SweepFile, key_of

__all__ = ["Failed", "Taken", "resumed_sweep"]

_Input = TypeVar("_Input")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Failed:
    """An input that has no result: why, in the words of what refused it."""

    why: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What a resume file told and nobody calculated now: of how many inputs, and the BLAKE3 of those lines."""

    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Guarded(Generic[_Input, _Result]):
    """The function, whose refusals are outcomes."""

    function: Callable[[_Input], _Result]

    def __call__(self, one: _Input) -> _Result | Failed:
        try:
            return self.function(one)
        except DataRefused as error:
            return Failed(str(error))


def resumed_sweep(
    function: Callable[[_Input], _Result],
    inputs: Sequence[_Input],
    result: type[_Result],
    *,
    task: Mapping[str, Any],
    resume: Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    taken: Callable[[Taken], None] = lambda _taken: None,
    fault: Callable[[_Result], str] = lambda _result: "",
) -> list[_Result | Failed]:
    """`function` of every input, in their order; Failed where it raised DataRefused.

    `function` is one of a module, by its name. Inputs and results are dataclasses, msgspec structs, numbers, text
    and containers of those, with numbers that are finite (None where there is none): they are known by, and kept
    as, JSON. `task` is all that decides results beside the inputs: a file of another task is refused. Equal inputs
    are calculated once. `workers`, `cluster` and `progress` are those of `poliqi.edge.sweep.sweep`; what the file
    `resume` holds counts as done from the start and is believed; `taken` is told of it. `fault` says what a result
    of that file has that none can have, "" where it has nothing: its line is refused. Raises SweepFailed,
    ConfigError, LinkDown, DataRefused (a resume file that is none), StoreError, and KeyboardInterrupt with all
    results so far in the file.
    """
    if resume is None:
        return _swept(function, inputs, result, None, workers, cluster, progress, taken, fault)
    with SweepFile(resume, {**task, "result": f"{result.__module__}.{result.__qualname__}"}) as file:
        return _swept(function, inputs, result, file, workers, cluster, progress, taken, fault)


def _swept(
    function: Callable[[_Input], _Result],
    inputs: Sequence[_Input],
    result: type[_Result],
    file: SweepFile | None,
    workers: int | None,
    cluster: str | None,
    progress: Callable[[int, int], None],
    taken: Callable[[Taken], None],
    fault: Callable[[_Result], str],
) -> list[_Result | Failed]:
    keys = [key_of(one) for one in inputs]
    by_key = dict(zip(keys, inputs, strict=True))
    outcomes: dict[str, _Result | Failed] = {}
    if file is not None:
        told = {key: file.lines[key] for key in by_key if key in file.lines}
        outcomes |= {key: _told(file, line, result, fault) for key, line in told.items()}
        if told:
            taken(Taken(sum(key in told for key in keys), key_of(list(told.values()))))
    todo = [key for key in by_key if key not in outcomes]
    before = len(outcomes)
    progress(before, len(by_key))

    def keep(number: int, made: _Result | Failed) -> None:
        """What goes on is what the file would give back: a sweep in one go and one in two are the same."""
        line = _line(todo[number], made)
        outcomes[line.key] = _outcome(line, result)
        if file is not None:
            file.append(line)

    sweep(
        _Guarded(function),
        [by_key[key] for key in todo],
        workers=workers,
        cluster=cluster,
        progress=lambda done, _all: progress(before + done, len(by_key)),
        each=keep,
    )
    return [outcomes[key] for key in keys]


def _line(key: str, made: object) -> Line:
    if isinstance(made, Failed):
        return Line(key, failed=made.why or "no reason was told")
    return Line(key, msgspec.Raw(msgspec.json.encode(made)))


def _told(file: SweepFile, line: Line, result: type[_Result], fault: Callable[[_Result], str]) -> _Result | Failed:
    """The outcome of a line that was read. Raises DataRefused, naming its row."""
    row = file.rows[line.key]
    try:
        made = _decoded(line, result)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise file.no_outcome(row, words_of(error)) from error
    why = "" if isinstance(made, Failed) else fault(made)
    if why:
        raise file.no_outcome(row, why)
    return made


def _decoded(line: Line, result: type[_Result]) -> _Result | Failed:
    return Failed(line.failed) if line.failed else msgspec.json.decode(line.result, type=result)


def _outcome(line: Line, result: type[_Result]) -> _Result | Failed:
    try:
        return _decoded(line, result)
    except msgspec.DecodeError as error:
        raise DataRefused(
            f"the result of input {line.key} cannot be kept ({words_of(error)}); numbers have to be finite"
        ) from error
