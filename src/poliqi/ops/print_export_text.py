"""What `poliqi lab print export` says of the files it wrote: as lines, as a record, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.lab.onepage import BLUE, Page, Panel
from poliqi.lab.print.export.gwl import UNVERIFIED

if TYPE_CHECKING:
    from poliqi.lab.print.export.gwl import JobSize
    from poliqi.lab.print.export.writing import Meshed, Written
    from poliqi.lab.print.printability.problem import Problem
    from poliqi.lab.print.vesselfile import Vessels

__all__ = ["Told", "cautions_of", "export_lines", "export_page", "export_record"]

_UNVERIFIED_FORMATS: Final = (".gwl", ".nano")


@dataclass(frozen=True, slots=True)
class Told:
    """All that is known after files were written."""

    source: str
    vessels: Vessels | None
    meshed: Meshed | None
    job: JobSize | None
    written: Sequence[Written]
    problems: tuple[Problem, ...]


def cautions_of(told: Told) -> list[str]:
    """What whoever opens the files has to know."""
    said = [
        f"{one.target.path.name} is {UNVERIFIED}; never run on a machine"
        for one in told.written
        if one.target.suffix in _UNVERIFIED_FORMATS
    ]
    said += [
        f"{one.target.path.name}: z = 0, the substrate, is the design's lowest plane"
        for one in told.written
        if one.target.suffix == ".nano"
    ]
    if told.job is not None:
        said += told.job.cautions
    if any(one.target.suffix == ".stl" for one in told.written):
        said.append("STL has no unit: read it as micrometres")
    return said + [_words(one) for one in told.problems]


def _words(problem: Problem) -> str:
    return f"cannot be printed so: {problem.line}" if problem.severity == "refuse" else problem.line


def _facts(told: Told) -> list[tuple[str, str]]:
    facts = [("from", told.source)]
    if told.vessels is not None:
        network = told.vessels.network
        facts.append(("vessels", f"{len(network.segments)} segments, {len(network.points_um)} points"))
    if told.meshed is not None:
        one = told.meshed
        facts += [
            (
                "lumen",
                (
                    f"{one.solids.lumen.volume_um3:.6g} um3; exact lines give {one.volumes.lumen_um3:.6g} "
                    f"+- {one.volumes.lumen_error_um3:.1g} ({100 * one.difference:+.3f} %, "
                    f"allowed {100 * one.bound_um3 / one.volumes.lumen_um3:.2f} %)"
                ),
            ),
            ("tissue", f"{one.solids.tissue.volume_um3:.6g} um3 of a domain of {one.solids.domain_volume_um3:.6g}"),
            ("closed", "every edge of both meshes joins two triangles"),
        ]
    if told.job is not None:
        facts.append(("job", f"{told.job.vectors} vectors, {told.job.length_um / 1e6:.4g} m of light"))
    facts += [
        (one.target.path.name, f"{one.target.what}, {_size(one.bytes)}{_counts(one)}") for one in told.written
    ]
    return facts


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e5 else f"{count} bytes"


def _counts(one: Written) -> str:
    triangles = [
        f"{name} {value['triangles']} triangles" for name, value in one.counts.items() if isinstance(value, dict)
    ]
    return f" ({', '.join(triangles)})" if triangles else ""


def export_lines(told: Told) -> list[str]:
    """For people at a terminal."""
    facts = _facts(told)
    width = max(len(name) for name, _ in facts)
    lines = ["exported from a simulated design", ""]
    lines += [f"{name:<{width}}  {words}" for name, words in facts]
    return lines + [f"caution: {words}" for words in cautions_of(told)]


def export_record(told: Told) -> dict[str, Any]:
    """For programs."""
    record: dict[str, Any] = {
        "simulated": True,
        "source": told.source,
        "files": [
            {
                "name": one.target.path.name,
                "format": one.target.suffix[1:],
                "what": str(one.target.what),
                "bytes": one.bytes,
                **one.counts,
            }
            for one in told.written
        ],
        "cautions": cautions_of(told),
        "problems": [one.record for one in told.problems],
    }
    if told.vessels is not None:
        record["vessels_blake3"] = told.vessels.digest
    if told.job is not None:
        record["job_blake3"] = told.job.blake3
    if told.meshed is not None:
        one = told.meshed
        record["mesh"] = {
            "tolerance_um": one.solids.tolerance_um,
            "lumen_um3": one.solids.lumen.volume_um3,
            "tissue_um3": one.solids.tissue.volume_um3,
            "domain_um3": one.solids.domain_volume_um3,
            "exact_lumen_um3": one.volumes.lumen_um3,
            "exact_lumen_error_um3": one.volumes.lumen_error_um3,
            "difference": one.difference,
            "bound_um3": one.bound_um3,
        }
    return record


def export_page(told: Told) -> Page:
    """For --plot, --report and the store."""
    panels: list[Panel] = []
    if told.vessels is not None:
        network = told.vessels.network
        diameter, length = 2.0 * network.radius_um, network.length_um / 1000.0

        def draw(axes: Any) -> None:
            low, high = float(diameter.min()), float(diameter.max())
            bins = np.geomspace(0.99 * low, 1.01 * high, 31)
            axes.hist(diameter, bins=bins, weights=length, color=BLUE)
            axes.set_xscale("log")
            axes.set_xlabel("diameter (um)")
            axes.set_ylabel("length of vessels (mm)")

        panels.append(Panel("Vessels by diameter", draw))
    names = ", ".join(one.target.path.name for one in told.written)
    return Page(f"Export of {told.source}", names, _facts(told), panels, cautions_of(told), (), True)
