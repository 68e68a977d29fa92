"""A study: all designs judged, those within the budget, those of them that none beats, and one to begin with."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from poliqi.base.csvcell import csv_cell
from poliqi.base.errors import DataRefused
from poliqi.lab.print.hatch.duration import time_cautions
from poliqi.lab.print.optimise.front import front_of, knee_of
from poliqi.lab.print.optimise.judge import Asked, Judge, Judged, fault_of
from poliqi.lab.print.optimise.targets import MEASURES, Target, missed, read_target
from poliqi.lab.print.optimise.variables import Value
from poliqi.lab.sweep import Failed, Taken, resumed_sweep

__all__ = ["OBJECTIVES", "Study", "Verdict", "study_csv", "study_of"]

OBJECTIVES: Final = ("hypoxic", "print", "volume")
_MORE: Final = ("covered", "thinnest", "shear_low")
_WHOLE: Final = read_target("flaws<=0")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One design: its values, what was measured (or why it failed), and the targets it misses, in words."""

    values: dict[str, Value]
    outcome: Judged | Failed
    missed: tuple[str, ...]
    off: float
    """Sum over the targets of how far each is missed, as a share of its limit; 0 within the budget."""

    @property
    def is_feasible(self) -> bool:
        """Whether it was grown and keeps all targets."""
        return isinstance(self.outcome, Judged) and not self.missed


@dataclass(frozen=True, slots=True)
class Study:
    """`front` are numbers of designs that none beats among those within the budget.

    Where there is none within, they are among all judged, and `is_within` is False. `best` is the knee of the
    front, or the least off; None where no design could be judged.
    """

    varied: tuple[str, ...]
    targets: tuple[Target, ...]
    objectives: tuple[str, ...]
    designs: tuple[Verdict, ...]
    front: tuple[int, ...]
    best: int | None
    is_within: bool
    taken: Taken | None
    said: tuple[str, ...] = ()
    """Cautions of the machine, where times of prints are known."""

    def measure(self, number: int, name: str) -> float | None:
        """Of a design, in the unit of the record; None where it is not known."""
        outcome = self.designs[number].outcome
        return outcome.measures.get(name) if isinstance(outcome, Judged) else None


def study_of(
    judge: Judge,
    wanted: Sequence[dict[str, Value]],
    targets: Sequence[Target],
    objectives: Sequence[str] = OBJECTIVES,
    *,
    software: Mapping[str, str] | None = None,
    resume: Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Study:
    """Judge all designs, on all cores; the order of `wanted` is kept. Raises what `resumed_sweep` does.

    `software` tells the versions of what calculates: a file `resume` of others is refused.
    """
    if not wanted:
        raise DataRefused("optimise: no design was asked for")
    taken: list[Taken] = []
    outcomes = resumed_sweep(
        judge,
        [Asked(dict(one)) for one in wanted],
        Judged,
        task={**_task(judge), "software": dict(software or {})},
        resume=resume,
        workers=workers,
        cluster=cluster,
        progress=progress,
        taken=taken.append,
        fault=fault_of,
    )
    kept = tuple(targets) if any(one.name == "flaws" for one in targets) else (*targets, _WHOLE)
    designs = tuple(_verdict(dict(one), outcome, kept) for one, outcome in zip(wanted, outcomes, strict=True))
    front, best, is_within = _chosen(designs, tuple(objectives))
    return Study(
        tuple(wanted[0]),
        kept,
        tuple(objectives),
        designs,
        front,
        best,
        is_within,
        taken[0] if taken else None,
        _said(designs, judge),
    )


def _said(designs: Sequence[Verdict], judge: Judge) -> tuple[str, ...]:
    """What the times of prints rest on."""
    if not any(isinstance(one.outcome, Judged) and "print" in one.outcome.measures for one in designs):
        return ()
    return tuple(time_cautions(judge.profile))


def _task(judge: Judge) -> dict[str, Any]:
    """What decides results beside the values of a design."""
    digest = hashlib.sha256(judge.domain.encode()).hexdigest()
    closure = None if judge.closure is None else asdict(judge.closure)
    parts = {"growth": asdict(judge.growth), "fluid": asdict(judge.fluid), "tissue": asdict(judge.tissue)}
    return {
        "domain": digest,
        **parts,
        "closure": closure,
        "profile": judge.profile.record,
        "mode": judge.mode,
        "cells": judge.cells,
    }


def _verdict(values: dict[str, Value], outcome: Judged | Failed, targets: Sequence[Target]) -> Verdict:
    if isinstance(outcome, Failed):
        return Verdict(values, outcome, (outcome.why,), float("inf"))
    found = missed(outcome.measures, targets)
    return Verdict(values, outcome, tuple(words for words, _ in found), sum(off for _, off in found))


def _chosen(designs: Sequence[Verdict], objectives: tuple[str, ...]) -> tuple[tuple[int, ...], int | None, bool]:
    """The front, the design to begin with, and whether they are within the budget."""
    for is_within in (True, False):
        numbers = [
            at
            for at, one in enumerate(designs)
            if isinstance(one.outcome, Judged)
            and (one.is_feasible or not is_within)
            and all(name in one.outcome.measures for name in objectives)
        ]
        if not numbers:
            continue
        rows = np.array([_row(designs[at], objectives) for at in numbers])
        front = front_of(rows)
        places: list[int] = front.tolist()
        chosen = tuple(numbers[at] for at in places)
        if is_within:
            return chosen, chosen[knee_of(rows[front])], True
        return chosen, min(numbers, key=lambda at: designs[at].off), False
    return (), None, False


def _row(one: Verdict, objectives: Sequence[str]) -> list[float]:
    """Less is better: measures of which more is better count negative.

    To three digits: less than that is no reason to choose a design.
    """
    assert isinstance(one.outcome, Judged)
    measures = one.outcome.measures
    found = [float(f"{measures[name]:.3g}") for name in objectives]
    return [-value if name in _MORE else value for name, value in zip(objectives, found, strict=True)]


def study_csv(study: Study) -> bytes:
    """One row a design: number, values, measures in the record's units, within, front, what it misses."""
    out = io.StringIO()
    names = [name for name, one in MEASURES.items() if one.ends is None]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["design", *study.varied, *names, "segments", "within", "front", "missed"])
    for number, one in enumerate(study.designs, 1):
        known = [study.measure(number - 1, name) for name in names]
        segments = one.outcome.segments if isinstance(one.outcome, Judged) else ""
        told = "; ".join([*one.missed, one.outcome.unknown] if isinstance(one.outcome, Judged) else one.missed)
        writer.writerow(
            [
                number,
                *(one.values[name] for name in study.varied),
                *("" if value is None else repr(value) for value in known),
                segments,
                int(one.is_feasible),
                int(number - 1 in study.front),
                csv_cell(told.strip("; ")),
            ]
        )
    return out.getvalue().encode()
