"""A report on a design: what it is, what flows in it, whether it can be printed, how long that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.lab.onepage import Page, Panel
from poliqi.lab.print.oxygen.page import facts_of
from poliqi.lab.print.oxygen.perfusion import cautions_of
from poliqi.lab.print.view.charts import draw_histogram, draw_layer, draw_times
from poliqi.lab.print.view.htmlpage import drawn, html_bytes
from poliqi.lab.print.view.outline import Outline, outline_of
from poliqi.lab.print.view.pictures import Grid, Quantity, draw_section, draw_vessels
from poliqi.lab.print.view.scene import Place, Told, scene_of

if TYPE_CHECKING:
    from poliqi.lab.print.oxygen.oxygen import Oxygen
    from poliqi.lab.print.oxygen.perfusion import Perfusion
    from poliqi.lab.print.printability.problem import Problem
    from poliqi.lab.print.vesselfile import Vessels
    from poliqi.lab.print.view.printing import Printing

__all__ = ["Report", "report_html", "report_page", "report_record"]

_TOLD_PLACES: Final = 50


@dataclass(frozen=True, slots=True)
class Report:
    """All that is reported. `gap_um`: how near vessels touch; `checked`: the machine's name, or ""."""

    name: str
    vessels: Vessels
    perfusion: Perfusion
    gap_um: float
    touching: tuple[tuple[float, float, float], ...]
    problems: tuple[Problem, ...] = ()
    checked: str = ""
    printing: Printing | None = None
    said: tuple[str, ...] = ()

    @property
    def porosity(self) -> float:
        """Sum of the cylinders' volumes over the domain's: joints are counted twice, so it is a little high."""
        return self.vessels.network.cylinder_volume_um3 / self.vessels.domain.volume_um3


def report_page(report: Report, outline: Outline | None = None) -> Page:
    """Facts, pictures and cautions; for a picture (.png), and the first part of the HTML."""
    shape = outline_of(report.vessels.domain) if outline is None else outline
    return Page(
        f"Vascularised tissue: {report.name}",
        "Vessels as designed; flow and oxygen are calculated",
        _facts(report),
        _panels(report, shape),
        _cautions(report),
        simulated=True,
    )


def report_html(report: Report) -> bytes:
    """One file with the view in three dimensions; nothing is fetched."""
    network, oxygen = report.vessels.network, report.perfusion.oxygen
    shape = outline_of(report.vessels.domain)
    page = report_page(report, shape)
    field = None if oxygen is None else _grid(report)
    scene = scene_of(network, shape, _told(report), field=field, places=_places(report))
    made = {"vessels_blake3": report.vessels.digest, **dict(report.vessels.made)}
    return html_bytes(page, scene, drawn(page.panels[0]), made)


def report_record(report: Report) -> dict[str, Any]:
    """For programs."""
    network, oxygen = report.vessels.network, report.perfusion.oxygen
    return {
        "simulated": True,
        "vessels_blake3": report.vessels.digest,
        "segments": len(network.segments),
        "domain_um3": report.vessels.domain.volume_um3,
        "porosity": report.porosity,
        "radius_um": [float(network.radius_um.min()), float(network.radius_um.max())],
        "contacts": len(report.touching),
        "gap_um": report.gap_um,
        "coverage": report.perfusion.coverage.fraction,
        "hypoxic": None if oxygen is None else oxygen.hypoxic,
        "machine": report.checked or None,
        "problems": [one.record for one in report.problems],
        "print_s": None if report.printing is None else report.printing.duration.total_s,
        "vectors": None if report.printing is None else report.printing.vectors,
        "cautions": _cautions(report),
    }


def _facts(report: Report) -> list[tuple[str, str]]:
    network, domain = report.vessels.network, report.vessels.domain
    low, high = np.asarray(domain.bounds_um)
    size = " x ".join(f"{one:.0f}" for one in high - low)
    thin, thick = float(network.radius_um.min()), float(network.radius_um.max())
    touching = f"{len(report.touching)} within {report.gap_um:g} um" if report.touching else "none"
    facts = [
        ("network", f"{len(network.segments)} segments, {network.length_um.sum() * 1e-3:.4g} mm"),
        ("domain", f"{domain.volume_um3 * 1e-9:.4g} mm3 within {size} um"),
        ("porosity", f"{100 * report.porosity:.3g} %"),
        ("radii", f"{thin:.3g} to {thick:.3g} um"),
        ("contacts", f"{touching}; every pair of vessels was looked at, gap {report.gap_um:g} um"),
        *facts_of(report.perfusion),
    ]
    if report.printing is not None:
        facts += report.printing.facts
    if report.checked:
        found = f"{len(report.problems)} found, listed below" if report.problems else "none found"
        facts.append(("flaws", f"{found} ({report.checked})"))
    facts += [(name, str(value)) for name, value in _seeds(report.vessels.made)]
    return [*facts, ("vessels file", f"BLAKE3 {report.vessels.digest[:32]}")]


def _seeds(made: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Seeds and programs that the file tells, at any depth of its tables."""
    found: list[tuple[str, Any]] = []
    for name, value in made.items():
        if isinstance(value, Mapping):
            found += _seeds(value)  # pyright: ignore[reportUnknownArgumentType]
        elif name in ("seed", "program") and isinstance(value, str | int):
            found.append((name, value))
    return found


def _cautions(report: Report) -> list[str]:
    told = [*cautions_of(report.perfusion), *report.said]
    if report.touching:
        x, y, z = report.touching[0]
        told.insert(
            0, f"{len(report.touching)} pairs of vessels touch, the first at ({x:.0f}, {y:.0f}, {z:.0f}) um"
        )
    if not report.checked:
        told.append("whether it can be printed was not looked at: give --profile")
    severe = sum(one.severity == "refuse" for one in report.problems)
    if severe:
        told.insert(0, f"{severe} flaws refuse the print; the list below shows where")
    return told


def _places(report: Report) -> list[Place]:
    """Flaws, contacts, the worst places: what a reader goes to see."""
    perfusion = report.perfusion
    places = [Place(one.line, str(one.severity), one.place_um) for one in report.problems]
    places += [Place("two vessels touch", "refuse", at) for at in report.touching]
    covered = perfusion.coverage
    if not covered.is_full:
        words = f"tissue furthest from a vessel: {covered.worst_um:.0f} um, {_at(covered.worst_point_um)}"
        places.append(Place(words, "caution", covered.worst_point_um))
    if perfusion.oxygen is not None:
        at = perfusion.oxygen.minimum_at_um
        is_low = perfusion.oxygen.hypoxic > 0
        words = f"least oxygen in the tissue: {perfusion.oxygen.minimum_mol_m3:.3g} mol/m3, {_at(at)}"
        places.append(Place(words, "caution" if is_low else "note", at))
    return places[:_TOLD_PLACES]


def _at(place_um: tuple[float, float, float]) -> str:
    x, y, z = place_um
    return f"({x:.0f}, {y:.0f}, {z:.0f}) um"


def _told(report: Report) -> list[Told]:
    """What vessels can be coloured by."""
    network, flow, oxygen = report.vessels.network, report.perfusion.flow, report.perfusion.oxygen
    pressure = flow.pressure_pa[network.segments].mean(axis=1)
    told = [
        Told("radius", "radius", "um", network.radius_um, is_log=True),
        Told("pressure", "pressure", "Pa", pressure),
        Told("flow", "flow", "nL/min", np.abs(flow.flow_um3_s) * 6e-5, is_log=True),
        Told("shear", "wall shear", "Pa", flow.wall_shear_pa, is_log=True),
    ]
    if oxygen is not None and oxygen.vessels is not None:
        mean = np.maximum(oxygen.vessels.segment_mol_m3, 0.0)
        told.append(Told("oxygen", "oxygen", "mol/m3", mean, limits=_oxygen_limits(oxygen)))
    return told


def _oxygen_limits(oxygen: Oxygen) -> tuple[float, float]:
    """One scale for vessels and tissue."""
    most = float(np.nanmax(oxygen.c_mol_m3))
    if oxygen.vessels is not None:
        most = max(most, float(oxygen.vessels.segment_mol_m3.max()))
    return 0.0, max(most, 1e-9)


def _grid(report: Report) -> Grid:
    oxygen, tissue = report.perfusion.oxygen, report.perfusion.tissue
    assert oxygen is not None
    x, y, z = (one + oxygen.spacing_um / 2 for one in oxygen.low_um)
    limit = None if tissue is None else tissue.hypoxic_below_mol_m3
    return Grid(oxygen.c_mol_m3, (x, y, z), oxygen.spacing_um, "oxygen in mol/m3", limit, _oxygen_limits(oxygen))


def _panels(report: Report, shape: Outline) -> list[Panel]:
    network, domain = report.vessels.network, report.vessels.domain
    flow, oxygen = report.perfusion.flow, report.perfusion.oxygen
    middle = np.asarray(domain.bounds_um).mean(axis=0)
    shear = Quantity(flow.wall_shear_pa, "wall shear in Pa", is_log=True)
    field = None if oxygen is None else _grid(report)
    panels = [
        Panel("Vessels in their tissue", lambda axes: draw_vessels(axes, network, domain, outline=shape)),
        Panel("Wall shear", lambda axes: draw_vessels(axes, network, domain, shear, outline=shape)),
    ]
    for axis, name in ((2, "z"), (1, "y")):
        at = float(middle[axis])
        words = f"Cut at {name} = {at:.0f} um" + ("; red line: hypoxic" if field is not None else "")
        panels.append(Panel(words, _section(report, axis, at, field)))
    panels += [
        Panel("Radii", lambda axes: draw_histogram(axes, network, network.radius_um, "radius in um")),
        Panel("Wall shear", lambda axes: draw_histogram(axes, network, flow.wall_shear_pa, "wall shear in Pa")),
    ]
    printing = report.printing
    if printing is not None:
        layer = printing.layer
        if layer is not None:
            words = f"Lines of a layer, z = {layer.z_um:.1f} um"
            panels.append(
                Panel(
                    words,
                    lambda axes: draw_layer(
                        axes, layer.vectors_nm, layer.near_um, max(60 * printing.hatch_um, layer.half_um)
                    ),
                )
            )
        panels.append(
            Panel(f"{printing.words}: where its time goes", lambda axes: draw_times(axes, printing.duration))
        )
    return panels


def _section(report: Report, axis: int, at_um: float, field: Grid | None) -> Any:
    def draw(axes: Any) -> None:
        draw_section(axes, report.vessels.domain, report.vessels.network, axis, at_um, field)

    return draw
