"""Energy against power over designs of a cell: all of them calculated, and the front that no other one beats."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from poliqi.base.csvcell import csv_cell
from poliqi.base.errors import DataRefused
from poliqi.lab.echem.design.run import AtRate, Designed, Doubt, Job, Settings, calculate, reference_named
from poliqi.lab.echem.models.cellmodel import ModelKind
from poliqi.lab.echem.models.cellparameters import NAMED_SETS
from poliqi.lab.sweep import Failed, Taken, resumed_sweep

__all__ = ["Check", "Study", "cautions_of", "check_of", "designs_csv", "study_of"]

_RUN_S: Final = 0.1
_ALONE_S: Final = 15.0
_ROUGH: Final = 0.02
_MADE: Final = (
    "capacity_ah_m2",
    "mass_kg_m2",
    "layers_um",
    "rate_per_h",
    "current_density_a_m2",
    "energy_wh_kg",
    "sigma_wh_kg",
    "energy_wh_l",
    "sigma_wh_l",
    "power_w_kg",
    "share_of_capacity",
    "ended",
)


@dataclass(frozen=True, slots=True)
class Check:
    """One design calculated again by the full model on twice the grid: energies over the first ones, less 1."""

    design: int
    deviations: tuple[float, ...]
    """By rate; 0 where both are nothing."""


@dataclass(frozen=True, slots=True)
class Study:
    """All designs by their number; number 0 is the set's own cell with what was fixed."""

    settings: Settings
    varied: tuple[str, ...]
    designs: tuple[Designed | Failed, ...]
    asked: tuple[Mapping[str, float], ...]
    """What each design was asked to have."""
    doubts: tuple[Doubt, ...]
    assumed: tuple[str, ...]
    by_volume: bool
    front: tuple[int, ...]
    """Numbers, from the most energy at the lowest rate to the most at the highest."""
    taken: Taken | None = None
    """Which of them were not calculated but stood in the file that the sweep goes on from."""

    @property
    def begun(self) -> Designed:
        """The set's own cell with what was fixed."""
        return self.design(0)

    def energy(self, one: AtRate) -> float:
        """Wh/kg, or Wh/l."""
        return one.energy_wh_l if self.by_volume else one.energy_wh_kg

    def sigma(self, one: AtRate) -> float | None:
        """Of `energy`."""
        return one.sigma_wh_l if self.by_volume else one.sigma_wh_kg

    @property
    def unit(self) -> str:
        """Of `energy`."""
        return "Wh/l" if self.by_volume else "Wh/kg"

    def design(self, number: int) -> Designed:
        """One that is calculated."""
        found = self.designs[number]
        if isinstance(found, Failed):
            raise DataRefused(f"design {number}: {found.why}")
        return found


def study_of(
    settings: Settings,
    wanted: Sequence[Mapping[str, float]],
    *,
    fixed: Mapping[str, float] | None = None,
    doubts: Sequence[Doubt] = (),
    assumed: Sequence[str] = (),
    by_volume: bool = False,
    software: Mapping[str, str] | None = None,
    resume: Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Study:
    """Every one of `wanted` with what is `fixed`, on all cores where it is worth it.

    `software` tells the versions of what calculates: a file `resume` of others is refused.

    Raises DataRefused where the set's own cell cannot be calculated or no design can, and what `resumed_sweep`
    raises.
    """
    held = dict(fixed or {})
    ordered = replace(settings, rates_per_h=tuple(sorted(set(settings.rates_per_h))))
    jobs = [Job(ordered, {**held, **one}, tuple(doubts)) for one in wanted]
    begun = calculate(Job(ordered, held, tuple(doubts)))
    runs = len(jobs) * len(ordered.rates_per_h) * (1 + 2 * len(doubts))
    alone = workers is None and cluster is None and runs * _RUN_S < _ALONE_S
    taken: list[Taken] = []
    found = resumed_sweep(
        calculate,
        jobs,
        Designed,
        task={**_task(ordered), "software": dict(software or {})},
        resume=resume,
        workers=1 if alone else workers,
        cluster=cluster,
        progress=progress,
        taken=taken.append,
    )
    varied = tuple(dict.fromkeys(name for one in wanted for name in one))
    lines = (*reference_named(ordered.parameters).assumed, *assumed)
    failed = [one for one in found if isinstance(one, Failed)]
    if len(failed) == len(found):
        raise DataRefused(f"none of {len(found)} designs can be calculated; the first: {failed[0].why}")
    study = Study(
        ordered,
        varied,
        (begun, *found),
        ({}, *wanted),
        tuple(doubts),
        lines,
        by_volume,
        (),
        taken[0] if taken else None,
    )
    return replace(study, front=_front(study))


def _task(settings: Settings) -> dict[str, str]:
    """What decides designs beside their variables: the solver, and what a BPX file says."""
    from importlib.metadata import version

    told = {"program": "design", "pybamm": version("pybamm"), "poliqi": version("poliqi")}
    path = Path(settings.parameters)
    if settings.parameters not in NAMED_SETS and path.is_file():
        told["parameters"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return told


def _front(study: Study) -> tuple[int, ...]:
    """Designs that no other one beats at the lowest and at the highest rate at once."""
    points = [
        (study.energy(one.rates[0]), study.energy(one.rates[-1]), number)
        for number, one in enumerate(study.designs)
        if isinstance(one, Designed)
    ]
    kept: list[int] = []
    best = -1.0
    for _, high, number in sorted(points, key=lambda one: (-one[0], -one[1])):
        if high > best:
            best = high
            kept.append(number)
    return tuple(kept)


def check_of(study: Study) -> list[Check]:
    """The set's own cell and both ends of the front, by the full model on twice the grid."""
    finer = replace(study.settings, model=ModelKind.DFN, refinement=2 * study.settings.refinement)
    checks: list[Check] = []
    for number in dict.fromkeys((0, study.front[0], study.front[-1])):
        one = study.design(number)
        chosen = {key: value for key, value in one.values.items() if key != "np_ratio"}
        again = calculate(Job(finer, chosen))
        pairs = zip(again.rates, one.rates, strict=True)
        checks.append(Check(number, tuple(_deviation(new.energy_wh_kg, old.energy_wh_kg) for new, old in pairs)))
    return checks


def _deviation(new: float, old: float) -> float:
    return 0.0 if new == old == 0 else new / old - 1 if old > 0 else 1.0


def cautions_of(study: Study, checks: Sequence[Check]) -> list[str]:
    """What a reader has to know before using the numbers."""
    cautions: list[str] = []
    for at, rate in enumerate(study.settings.rates_per_h):
        worst = max((abs(one.deviations[at]) for one in checks), default=0.0)
        if worst > _ROUGH:
            cautions.append(
                f"at {rate:g}/h the full model on twice the grid differs by up to {100 * worst:.0f} %"
                + (": use --model DFN" if study.settings.model is not ModelKind.DFN else "")
            )
    done = [one for one in study.designs if isinstance(one, Designed)]
    failed = [one for one in study.designs if isinstance(one, Failed)]
    if failed:
        cautions.append(
            f"{len(failed)} of {len(study.designs) - 1} designs cannot be calculated; the first: {failed[0].why}"
        )
    if study.taken is not None:
        cautions.append(
            f"{study.taken.count} of {len(study.designs) - 1} designs were not calculated now but taken from the "
            "file of --resume: they are as sure as that file"
        )
    if any(one.is_bent for design in done for one in design.rates):
        cautions.append(
            "some energies bend within one sigma: their sigma is of little meaning, calculate both ends"
        )
    if study.doubts and any(one.sigma_wh_kg is None for design in done for one in design.rates):
        cautions.append("some energies have no sigma: one sigma away there is no cell, or the solver fails")
    ended = sorted({one.ended for design in done for one in design.rates if one.ended})
    cautions += [f"some discharges end otherwise than by the lower voltage: {one}" for one in ended]
    return cautions


def designs_csv(study: Study) -> bytes:
    """One row a design and rate, design 0 being the set's cell; of what cannot be calculated one row, with why."""
    out = io.StringIO()
    made = ("positive_thickness_um", "negative_thickness_um", "np_ratio")
    shown = [*study.varied, *(name for name in made if name not in study.varied)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["design", "on_front", *shown, *_MADE])
    for number, one in enumerate(study.designs):
        if isinstance(one, Failed):
            asked = study.asked[number]
            blank = [""] * (len(_MADE) - 1)
            writer.writerow([number, 0, *(asked.get(name, "") for name in shown), *blank, csv_cell(one.why)])
            continue
        head = [number, int(number in study.front), *(f"{one.values[name]:.8g}" for name in shown)]
        head += [f"{value:.8g}" for value in (one.capacity_ah_m2, one.mass_kg_m2, one.thickness_m * 1e6)]
        for at in one.rates:
            told = (at.rate_per_h, at.current_density_a_m2, at.energy_wh_kg, at.sigma_wh_kg, at.energy_wh_l)
            told += (at.sigma_wh_l, at.power_w_kg, at.share)
            writer.writerow(
                [*head, *("" if value is None else f"{value:.8g}" for value in told), csv_cell(at.ended)]
            )
    return out.getvalue().encode()
