"""A study of designs as plain data for JSON, and as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from poliqi.lab.echem.design.page import design_page, front_table
from poliqi.lab.echem.design.run import Designed
from poliqi.lab.echem.design.tradeoff import Check, Study, cautions_of
from poliqi.lab.sweep import Failed

__all__ = ["design_lines", "design_record"]

_MOST_ROWS: Final = 20


def design_record(study: Study, checks: Sequence[Check], chosen: Mapping[str, float]) -> dict[str, Any]:
    """Everything, with finite numbers alone."""
    return {
        "simulated": True,
        "parameters": study.settings.parameters,
        "model": study.settings.model.value,
        "rates_per_h": list(study.settings.rates_per_h),
        "both_sides": study.settings.both_sides,
        "set": dict(chosen),
        "varied": list(study.varied),
        "doubts": [{"source": one.source, "one_sigma": one.moves} for one in study.doubts],
        "assumed": list(study.assumed),
        "resumed": None if study.taken is None else {"designs": study.taken.count, "blake3": study.taken.digest},
        "cautions": cautions_of(study, checks),
        "front_by": "volume" if study.by_volume else "mass",
        "front": list(study.front),
        "checks": [{"design": one.design, "deviations": list(one.deviations)} for one in checks],
        "designs": [
            {"design": number, **(asdict(one) if isinstance(one, Designed) else _failed(study, number, one))}
            for number, one in enumerate(study.designs)
        ],
    }


def _failed(study: Study, number: int, one: Failed) -> dict[str, Any]:
    return {"values": dict(study.asked[number]), "failed": one.why}


def design_lines(study: Study, checks: Sequence[Check]) -> list[str]:
    """What the page says, in words."""
    page = design_page(study, checks)
    rates = study.settings.rates_per_h
    ends = f"{rates[0]:g}/h" + (f" and {rates[-1]:g}/h together" if len(rates) > 1 else "")
    width = max(len(label) for label, _ in page.facts)
    table = front_table(study)
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    rows = ["  ".join(f"{cell:>{wide}}" for cell, wide in zip(row, widths, strict=True)) for row in table]
    more = len(study.front) - _MOST_ROWS
    return [
        "simulated discharges; 1/h empties a design's own capacity in an hour",
        "",
        *(f"{label:<{width}}  {text}" for label, text in page.facts if label not in ("assumed", "check", "doubt")),
        "",
        f"designs that none beats at {ends} (0: the set's cell):",
        *rows[: _MOST_ROWS + 1],
        *([f"and {more} more"] if more > 0 else []),
        "",
        *(f"{label:<{width}}  {text}" for label, text in page.facts if label in ("doubt", "check", "assumed")),
        *(f"caution: {one}" for one in page.cautions),
    ]
