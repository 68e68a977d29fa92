"""One run of a sweep of twins, in whatever process, and the table of many."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from poliqi.twin.scenario import Scenario
from poliqi.twin.world import run

__all__ = ["Job", "Outcome", "Row", "rows", "run_job", "table"]


@dataclass(frozen=True, slots=True)
class Job:
    """A seed of a scenario whose keys `changes` were set."""

    changes: dict[str, str]
    scenario: Scenario
    seed: int

    def __repr__(self) -> str:
        return f"seed {self.seed} of {self.scenario.name!r} {self.changes or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    changes: dict[str, str]
    seed: int
    broken: str
    digest: str
    keys: int
    refused: int
    worst_heal_s: float | None
    faults: int
    faults_due: int
    faults_named: int
    faults_named_first: int


@dataclass(frozen=True, slots=True)
class Row:
    """All seeds of one setting. Medians over runs; heal times: the worst of all."""

    changes: dict[str, str]
    runs: int
    broken: int
    keys: float
    refused: float
    worst_heal_s: float | None
    faults_due: int
    faults_named: int


def run_job(job: Job) -> Outcome:
    """Run one seed."""
    result = run(job.scenario, job.seed)
    named, due = result.named
    first = sum(i.is_named_first for i in result.injected if i.expected)
    return Outcome(
        changes=job.changes,
        seed=job.seed,
        broken=result.broken,
        digest=result.digest,
        keys=result.keys_delivered,
        refused=result.refused,
        worst_heal_s=result.worst_heal_s,
        faults=len(result.injected),
        faults_due=due,
        faults_named=named,
        faults_named_first=first,
    )


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """One row for each setting, in the order in which they first come."""
    groups: dict[tuple[tuple[str, str], ...], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault(tuple(one.changes.items()), []).append(one)
    return [
        Row(
            changes=dict(changes),
            runs=len(group),
            broken=sum(bool(o.broken) for o in group),
            keys=statistics.median(o.keys for o in group),
            refused=statistics.median(o.refused for o in group),
            worst_heal_s=max((o.worst_heal_s for o in group if o.worst_heal_s is not None), default=None),
            faults_due=sum(o.faults_due for o in group),
            faults_named=sum(o.faults_named for o in group),
        )
        for changes, group in groups.items()
    ]


def table(found: Sequence[Row], runs: int, wall_s: float) -> str:
    """The sweep for people."""
    lines = [
        f"{runs:,} runs in {wall_s:.1f} s ({runs / wall_s if wall_s else 0:.1f} a second); light is simulated",
        "",
        f"{'setting':32} {'runs':>6} {'broken':>7} {'keys':>9} {'refused':>8} {'worst heal':>11} {'named':>13}",
    ]
    for r in found:
        setting = " ".join(f"{k}={v}" for k, v in r.changes.items()) or "as in the file"
        heal = "-" if r.worst_heal_s is None else f"{r.worst_heal_s:.2f} s"
        named = f"{r.faults_named}/{r.faults_due}"
        lines.append(
            f"{setting:32} {r.runs:6,} {r.broken:7,} {r.keys:9,.0f} {r.refused:8,.0f} {heal:>11} {named:>13}"
        )
    return "\n".join(lines)
