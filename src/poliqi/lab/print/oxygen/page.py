"""A perfusion as one page: wall shear, oxygen in the middle of the tissue, by distance, and along the vessels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.lab.onepage import BLUE, GREY, ORANGE, Page, Panel
from poliqi.lab.print.coverage import percent_within
from poliqi.lab.print.network import Kind, Role
from poliqi.lab.print.oxygen.perfusion import (
    NL_MIN,
    SHEAR_PA,
    Perfusion,
    cautions_of,
    ends_of,
    flow_spread,
    shears_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.oxygen.oxygen import Oxygen

__all__ = ["facts_of", "perfusion_page"]

_COLOURS: Final = {Kind.ARTERY: "#b03030", Kind.VEIN: BLUE, Kind.CAPILLARY: "#7d4fa8"}
_SAMPLED: Final = 20_000
_BINS: Final = 24


def perfusion_page(perfusion: Perfusion, name: str) -> Page:
    """All that is known of it. `name`: of the vessels' file."""
    panels = [Panel("Wall shear, by length of vessels", lambda axes: _draw_shear(axes, perfusion))]
    oxygen = perfusion.oxygen
    if oxygen is not None:
        panels.append(
            Panel("Oxygen in the middle plane, mol/m3", lambda axes: _draw_plane(axes, perfusion, oxygen))
        )
        panels.append(Panel("Tissue by distance from a vessel", lambda axes: _draw_depth(axes, perfusion, oxygen)))
        if oxygen.vessels is not None:
            panels.append(Panel("Oxygen along the vessels", lambda axes: _draw_way(axes, perfusion, oxygen)))
    return Page(
        f"Perfusion of {name}",
        "Steady laminar flow; oxygen by diffusion, Michaelis-Menten consumption and transport in the vessels",
        facts_of(perfusion),
        panels,
        cautions_of(perfusion),
        simulated=True,
    )


def facts_of(perfusion: Perfusion) -> list[tuple[str, str]]:
    """Label and words."""
    network, flow = perfusion.network, perfusion.flow
    fluid = perfusion.fluid
    kind = f"blood, hematocrit {fluid.hematocrit:g}" if fluid.is_blood else "medium"
    facts = [("fluid", f"{kind}, {1e3 * fluid.viscosity_pa_s:.3g} mPa s{' (plasma)' if fluid.is_blood else ''}")]
    for port, into in zip(network.ports, flow.port_flow_um3_s.tolist(), strict=True):
        x, y, z = network.points_um[port.node].tolist()
        pressure = float(flow.pressure_pa[port.node])
        facts.append(
            (port.role.value, f"{into / NL_MIN:+.4g} nL/min at {pressure:.4g} Pa, ({x:.0f}, {y:.0f}, {z:.0f}) um")
        )
    drop = float(flow.pressure_pa.max() - flow.pressure_pa.min())
    spread = flow_spread(network, flow)
    differ = "" if spread is None else f", flows differ by {100 * spread:.2g} % (one sigma)"
    facts.append(("pressure", f"{drop:.4g} Pa from highest to lowest"))
    facts.append(("terminals", f"{len(ends_of(network))}{differ}"))
    for one in shears_of(network, flow):
        goal = ""
        if one.target_pa is not None and one.within is not None:
            goal = f"; {100 * one.within:.0f} % of the length within {one.target_pa[0]:g} to {one.target_pa[1]:g}"
        words = f"{one.median_pa:.3g} Pa, {one.low_pa:.3g} to {one.high_pa:.3g} (5 to 95 %){goal}"
        facts.append((f"{one.kind.name.lower()} shear", words))
    covered = perfusion.coverage
    reached = f"{percent_within(covered.fraction)} within {covered.reach_um:g} um"
    worst = f"{covered.worst_um:.0f} um at the worst of the voxels' centres, nowhere above {covered.most_um:.0f} um"
    facts.append(("coverage", f"{reached}; {worst}"))
    return facts + _oxygen_facts(perfusion)


def _oxygen_facts(perfusion: Perfusion) -> list[tuple[str, str]]:
    oxygen, tissue = perfusion.oxygen, perfusion.tissue
    if oxygen is None or tissue is None:
        return []
    x, y, z = oxygen.minimum_at_um
    balance = oxygen.balance
    doubt = f" +- {100 * oxygen.hypoxic_doubt:.2g}" if np.isfinite(oxygen.hypoxic_doubt) else ""
    facts = [
        (
            "tissue",
            f"D {tissue.diffusivity_m2_s:.3g} m2/s, M0 {tissue.consumption_mol_m3_s:.3g} mol/m3/s, "
            f"Km {tissue.km_mol_m3:.3g} mol/m3" + (f" ({tissue.source})" if tissue.source else ""),
        ),
        (
            "oxygen",
            (
                f"{oxygen.minimum_mol_m3:.3g} mol/m3 at the least, at ({x:.0f}, {y:.0f}, {z:.0f}) um; "
                f"mean {oxygen.mean_mol_m3:.3g}, inlet {tissue.inlet_mol_m3:g}"
            ),
        ),
        (
            "hypoxic",
            f"{100 * oxygen.hypoxic:.3g}{doubt} % of the tissue below {tissue.hypoxic_below_mol_m3:g} mol/m3",
        ),
    ]
    if oxygen.vessels is not None:
        least = float(oxygen.vessels.segment_mol_m3.min())
        used = 100 * (1 - balance.carried_out_mol_s / balance.carried_in_mol_s) if balance.carried_in_mol_s else 0.0
        facts.append(
            ("vessels", f"{used:.3g} % of the oxygen carried in is given; lowest vessel {least:.3g} mol/m3")
        )
    cells = " x ".join(str(n) for n in oxygen.c_mol_m3.shape)
    facts.append(
        (
            "balance",
            (
                f"{balance.consumed_mol_s:.3g} mol/s consumed, {balance.residual:+.1e} of it unaccounted for; "
                f"{cells} cells of {oxygen.spacing_um:.3g} um"
            ),
        )
    )
    return facts


def _draw_shear(axes: Any, perfusion: Perfusion) -> None:
    network, shear = perfusion.network, perfusion.flow.wall_shear_pa
    real = shear > 0
    if not real.any():
        axes.text(0.5, 0.5, "no flow", ha="center")
        return
    low, high = float(shear[real].min()), float(shear[real].max())
    edges = np.geomspace(low / 1.05, high * 1.05, _BINS + 1)
    there = [kind for kind in Kind if (network.kind == kind).any()]
    mine = [real & (network.kind == kind) for kind in there]
    axes.hist(
        [shear[one] for one in mine],
        edges,
        weights=[network.length_um[one] / 1000 for one in mine],
        stacked=True,
        color=[_COLOURS[kind] for kind in there],
        label=[kind.name.lower() for kind in there],
    )
    for kind in there:
        if kind in SHEAR_PA:
            axes.axvspan(*SHEAR_PA[kind], color=_COLOURS[kind], alpha=0.08, lw=0)
    axes.set_xscale("log")
    axes.set_xlabel("Pa (shaded: usual in the body)")
    axes.set_ylabel("mm of vessels")
    axes.legend(fontsize=8)


def _draw_plane(axes: Any, perfusion: Perfusion, oxygen: Oxygen) -> None:
    middle = oxygen.c_mol_m3.shape[2] // 2
    plane = oxygen.c_mol_m3[:, :, middle].T
    x0, y0, z0 = oxygen.low_um
    nx, ny, _ = oxygen.c_mol_m3.shape
    h = oxygen.spacing_um
    shown = axes.imshow(
        plane,
        origin="lower",
        extent=(x0, x0 + nx * h, y0, y0 + ny * h),
        cmap="viridis",
        vmin=0,
        interpolation="none",
    )
    axes.figure.colorbar(shown, ax=axes, shrink=0.85)
    tissue = perfusion.tissue
    known = plane[np.isfinite(plane)]
    limit = tissue.hypoxic_below_mol_m3 if tissue is not None else 0.0
    if known.size and known.min() < limit < known.max():
        places: Any = (x0 + (np.arange(nx) + 0.5) * h, y0 + (np.arange(ny) + 0.5) * h)
        axes.contour(*places, plane, [limit], colors=[ORANGE], linewidths=1)
    z = z0 + (middle + 0.5) * h
    sections, radii = _sections(perfusion, z)
    from matplotlib.collections import EllipseCollection

    axes.add_collection(
        EllipseCollection(
            2 * radii,
            2 * radii,
            np.zeros(len(radii)),
            units="xy",
            offsets=sections,
            transOffset=axes.transData,
            facecolors="none",
            edgecolors="white",
            linewidths=0.6,
        )
    )
    axes.grid(visible=False)
    axes.set_xlabel(f"x, um (z = {z:.0f}; orange: limit of hypoxia)")
    axes.set_ylabel("y, um")


def _sections(perfusion: Perfusion, z: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where axes of vessels meet a plane, (n, 2), and their radii."""
    network = perfusion.network
    start, end = network.start_um, network.end_um
    meets = (start[:, 2] - z) * (end[:, 2] - z) < 0
    start, end = start[meets], end[meets]
    share = (z - start[:, 2]) / (end[:, 2] - start[:, 2])
    return (start + share[:, None] * (end - start))[:, :2], network.radius_um[meets]


def _draw_depth(axes: Any, perfusion: Perfusion, oxygen: Oxygen) -> None:
    """Median and range of oxygen, and how much is hypoxic, in classes of distance."""
    distance, c = _depths(perfusion, oxygen)
    tissue = perfusion.tissue
    edges = np.linspace(0, max(float(distance.max()), oxygen.spacing_um), 13)
    of = np.clip(np.digitize(distance, edges) - 1, 0, 11)
    full = [at for at in range(12) if (of == at).sum() > 5]
    middle = [0.5 * (edges[at] + edges[at + 1]) for at in full]
    low, median, high = (np.array([np.percentile(c[of == at], p) for at in full]) for p in (10, 50, 90))
    axes.fill_between(middle, low, high, color=BLUE, alpha=0.2, lw=0)
    axes.plot(middle, median, color=BLUE)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("um from the nearest vessel's wall")
    axes.set_ylabel("mol/m3 (median, 10 to 90 %)", color=BLUE)
    if tissue is not None:
        other = axes.twinx()
        share = [100 * float((c[of == at] < tissue.hypoxic_below_mol_m3).mean()) for at in full]
        other.plot(middle, share, color=ORANGE)
        other.set_ylim(0, 102)
        other.set_ylabel("hypoxic, %", color=ORANGE)
        other.grid(visible=False)


def _depths(perfusion: Perfusion, oxygen: Oxygen) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Distance from a wall, and oxygen, of some of the tissue's cells."""
    import scipy.spatial

    spatial: Any = scipy.spatial  # its annotations are partial

    cells = np.flatnonzero(oxygen.kind == 1)
    cells = cells[:: max(1, len(cells) // _SAMPLED)]
    at = np.stack(np.unravel_index(cells, oxygen.kind.shape), axis=1)
    places = np.array(oxygen.low_um) + (at + 0.5) * oxygen.spacing_um
    network = perfusion.network
    count = np.maximum(np.ceil(network.length_um / max(oxygen.spacing_um, 5.0)), 1).astype(np.int64)
    owner = np.repeat(np.arange(len(count)), count)
    share = (np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[owner]
    points = network.start_um[owner] + share[:, None] * (network.end_um - network.start_um)[owner]
    apart, nearest = spatial.KDTree(points).query(places, k=min(8, len(points)))
    apart, nearest = apart.reshape(len(places), -1), np.asarray(nearest).reshape(len(places), -1)
    depth = (apart - network.radius_um[owner[nearest]]).min(axis=1)
    return np.maximum(depth, 0.0), oxygen.c_mol_m3.ravel()[cells]


def _draw_way(axes: Any, perfusion: Perfusion, oxygen: Oxygen) -> None:
    """Concentration of each segment over the length of the way from an inlet to it."""
    import scipy.sparse.csgraph
    from scipy.sparse import coo_array

    csgraph: Any = scipy.sparse.csgraph  # its annotations are partial

    network, vessels = perfusion.network, oxygen.vessels
    if vessels is None:
        return
    n = len(network.points_um)
    a, b = network.segments.T
    graph = coo_array((network.length_um, (a, b)), (n, n)).tocsr()
    inlets = [port.node for port in network.ports if port.role is Role.INLET] or [
        port.node for port in network.ports
    ]
    way: NDArray[np.float64] = np.asarray(csgraph.dijkstra(graph, directed=False, indices=inlets, min_only=True))
    middle = 0.5 * (way[a] + way[b])
    for kind in Kind:
        mine = np.flatnonzero((network.kind == kind) & np.isfinite(middle))[:_SAMPLED]
        if len(mine):
            axes.plot(
                middle[mine], vessels.segment_mol_m3[mine], ".", ms=3, color=_COLOURS[kind], label=kind.name.lower()
            )
    axes.axhline(perfusion.tissue.inlet_mol_m3 if perfusion.tissue else 0, color=GREY, lw=0.8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("um of vessels from the inlet")
    axes.set_ylabel("dissolved oxygen, mol/m3")
    axes.legend(fontsize=8)
