"""A study of designs as lines for people and as a record for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poliqi.lab.print.optimise.judge import Judged
from poliqi.lab.print.optimise.page import cautions_of, facts_of, front_table

if TYPE_CHECKING:
    from poliqi.lab.print.optimise.study import Study

__all__ = ["study_lines", "study_record"]


def study_lines(study: Study) -> list[str]:
    """Facts, the front, cautions."""
    facts = facts_of(study)
    width = max(len(name) for name, _ in facts)
    lines = ["simulated designs", "", *(f"{name:<{width}}  {words}" for name, words in facts)]
    table = front_table(study)
    if len(table) > 1:
        widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
        lines += [
            "",
            "designs that none beats (*: to begin with):" if study.is_within else "judged designs that none beats:",
        ]
        lines += ["  ".join(f"{cell:>{wide}}" for cell, wide in zip(row, widths, strict=True)) for row in table]
        lines.append("")
    return lines + [f"caution: {words}" for words in cautions_of(study)]


def study_record(study: Study) -> dict[str, Any]:
    """Everything; measures in the units of the record (shares, s, um3, W, Pa, um)."""
    return {
        "simulated": True,
        "varied": list(study.varied),
        "targets": [one.text for one in study.targets],
        "objectives": list(study.objectives),
        "is_within": study.is_within,
        "front": [number + 1 for number in study.front],
        "best": None if study.best is None else study.best + 1,
        "designs": [
            {
                "design": number,
                "values": one.values,
                "within": one.is_feasible,
                "missed": list(one.missed),
                **(
                    {
                        "measures": one.outcome.measures,
                        "hypoxic_doubt": one.outcome.hypoxic_doubt,
                        "unbalanced": one.outcome.unbalanced,
                        "segments": one.outcome.segments,
                        "flaws": one.outcome.flaws,
                        "unknown": one.outcome.unknown or None,
                    }
                    if isinstance(one.outcome, Judged)
                    else {"failed": one.outcome.why}
                ),
            }
            for number, one in enumerate(study.designs, 1)
        ],
        "cautions": cautions_of(study),
    }
