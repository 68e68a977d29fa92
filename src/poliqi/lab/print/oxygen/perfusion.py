"""What flow, shear and oxygen of a network come to: the numbers of a report, and what to be careful of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.lab.print.flow.designed import NL_MIN, blood_cautions, port_cautions
from poliqi.lab.print.network import Kind, Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.coverage import Coverage
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.flow.solve import Flow
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.oxygen.oxygen import Oxygen
    from poliqi.lab.print.oxygen.tissue import Carrier, Tissue

__all__ = [
    "NL_MIN",
    "SHEAR_PA",
    "Perfusion",
    "Shear",
    "cautions_of",
    "ends_of",
    "flow_spread",
    "shear_at",
    "shears_of",
]

SHEAR_PA: Final = {Kind.ARTERY: (1.0, 7.0), Kind.VEIN: (0.1, 0.6)}
"""Usual wall shear in the body: general knowledge, without a source of its own."""
_SHEAR_PA: Final = 7.0
_TURBULENT: Final = 2000.0
_SPREAD: Final = 0.2
_UNSURE: Final = 0.02
_UNBALANCED: Final = 1e-3
_DEPLETED: Final = 0.1
_RESOLVED: Final = 4.0


@dataclass(frozen=True, slots=True)
class Perfusion:
    """A network, what flows through it, and what that brings; oxygen may be left out."""

    network: Network
    domain: Domain
    fluid: Fluid
    flow: Flow
    coverage: Coverage
    tissue: Tissue | None
    carrier: Carrier | None
    oxygen: Oxygen | None


@dataclass(frozen=True, slots=True)
class Shear:
    """Wall shear of one kind of vessels: Pa at 5, 50 and 95 % of their length, and the share within the target."""

    kind: Kind
    low_pa: float
    median_pa: float
    high_pa: float
    target_pa: tuple[float, float] | None
    within: float | None


def shear_at(
    shear_pa: NDArray[np.float64], length_um: NDArray[np.float64], shares: tuple[float, ...]
) -> list[float]:
    """The shear in Pa that each share of the length stays below."""
    order = np.argsort(shear_pa)
    reached = np.cumsum(length_um[order]) / length_um.sum()
    return [float(shear_pa[order][min(int(np.searchsorted(reached, p)), len(order) - 1)]) for p in shares]


def shears_of(network: Network, flow: Flow) -> list[Shear]:
    """For each kind that is there, weighted by length."""
    found: list[Shear] = []
    for kind in Kind:
        mine = network.kind == kind
        if not mine.any():
            continue
        shear, length = flow.wall_shear_pa[mine], network.length_um[mine]
        low, middle, high = shear_at(shear, length, (0.05, 0.5, 0.95))
        target = SHEAR_PA.get(kind)
        within = None
        if target is not None:
            inside = (shear >= target[0]) & (shear <= target[1])
            within = float(length[inside].sum() / length.sum())
        found.append(Shear(kind, low, middle, high, target, within))
    return found


def ends_of(network: Network) -> NDArray[np.int64]:
    """Segments whose flows ought to be equal: capillaries next to an artery; without any, the open ends."""
    capillary = network.kind == Kind.CAPILLARY
    if capillary.any():
        fed = np.zeros(len(network.points_um), np.bool_)
        fed[network.segments[network.kind == Kind.ARTERY].ravel()] = True
        first = capillary & (fed[network.segments[:, 0]] | fed[network.segments[:, 1]])
        return np.flatnonzero(first if first.any() else capillary)
    is_end = network.degrees() == 1
    is_end[[port.node for port in network.ports]] = False
    return np.flatnonzero(is_end[network.segments].any(axis=1))


def flow_spread(network: Network, flow: Flow) -> float | None:
    """Standard deviation over mean of the flow in those; None with fewer than two or without flow."""
    q = np.abs(flow.flow_um3_s[ends_of(network)])
    return float(q.std() / q.mean()) if len(q) > 1 and q.mean() > 0 else None


def shear_cautions(network: Network, flow: Flow) -> list[str]:
    """Wall shear with each vessel's own viscosity: arteries by length, and what stands at the inlets."""
    found = [
        f"wall shear of {one.median_pa:.3g} Pa in the arteries (median by length), above {_SHEAR_PA:g} Pa; lower "
        "the pressure"
        for one in shears_of(network, flow)
        if one.kind is Kind.ARTERY and one.median_pa > _SHEAR_PA
    ]
    for at, port in enumerate(network.ports, 1):
        shear = float(flow.wall_shear_pa[(network.segments == port.node).any(axis=1)].max())
        if shear > _SHEAR_PA and port.role is Role.INLET:
            found.append(
                f"inlet {at}: wall shear of {shear:.3g} Pa in the trunk, above {_SHEAR_PA:g} Pa; lower the pressure"
            )
    return found


def cautions_of(perfusion: Perfusion) -> list[str]:
    """What may be wrong, each with its number, and its place in um where it has one."""
    network, flow, coverage = perfusion.network, perfusion.flow, perfusion.coverage
    told: list[str] = []
    if not any(port.role is Role.OUTLET for port in network.ports):
        told.append("no outlet: vessels end open at one pressure, and what leaves them is not followed further")
    told += port_cautions(network, flow)
    told += blood_cautions(network, perfusion.fluid)
    told += shear_cautions(network, flow)
    fast = int(np.argmax(flow.reynolds))
    if flow.reynolds[fast] > _TURBULENT:
        told.append(f"Reynolds number {flow.reynolds[fast]:.0f} at {_middle(network, fast)}: not laminar")
    still = np.flatnonzero(np.abs(flow.flow_um3_s) <= 1e-9 * np.abs(flow.flow_um3_s).max())
    if len(still):
        told.append(f"{len(still)} segments carry no flow, such as {still[0]} at {_middle(network, int(still[0]))}")
    spread = flow_spread(network, flow)
    if spread is not None and spread > _SPREAD:
        told.append(f"flows of terminal vessels differ by {100 * spread:.0f} % (one sigma)")
    if coverage.places:
        x, y, z = coverage.worst_point_um
        told.append(
            f"{100 * (1 - coverage.fraction):.2g} % of the tissue is further than {coverage.reach_um:g} um from a "
            f"vessel; worst {coverage.worst_um:.0f} um at ({x:.0f}, {y:.0f}, {z:.0f}) um"
        )
    elif not coverage.is_full:
        told.append(
            f"between the voxels' centres tissue may be up to {coverage.most_um:.0f} um from a vessel, beyond "
            f"{coverage.reach_um:g} um; voxels of {coverage.spacing_um:.3g} um cannot tell"
        )
    if perfusion.oxygen is not None and perfusion.tissue is not None:
        told += _oxygen_cautions(perfusion.oxygen, perfusion.tissue, perfusion)
    return told


def _oxygen_cautions(oxygen: Oxygen, tissue: Tissue, perfusion: Perfusion) -> list[str]:
    told: list[str] = []
    x, y, z = oxygen.minimum_at_um
    if oxygen.hypoxic > 0:
        told.append(
            f"{100 * oxygen.hypoxic:.3g} % of the tissue is below {tissue.hypoxic_below_mol_m3:g} mol/m3; "
            f"lowest at ({x:.0f}, {y:.0f}, {z:.0f}) um"
        )
    if not np.isfinite(oxygen.hypoxic_doubt):
        told.append("too few cells to tell how sure the hypoxic share is; take more")
    elif oxygen.hypoxic_doubt > _UNSURE:
        told.append(
            f"the hypoxic share differs by {100 * oxygen.hypoxic_doubt:.2g} % on cells twice as large; take more"
        )
    if tissue.reach_um < _RESOLVED * oxygen.spacing_um:
        told.append(
            f"oxygen reaches {tissue.reach_um:.0f} um into the tissue, less than {_RESOLVED:g} cells of "
            f"{oxygen.spacing_um:.3g} um; take more cells"
        )
    balance = oxygen.balance
    left = balance.carried_out_mol_s / balance.carried_in_mol_s if balance.carried_in_mol_s > 0 else 1.0
    if left < _DEPLETED:
        told.append(f"the fluid loses {100 * (1 - left):.0f} % of its oxygen: it needs more flow, or a carrier")
    if abs(balance.residual) > _UNBALANCED:
        told.append(
            f"oxygen given and consumed differ by {100 * balance.residual:.2g} %: the solution is not exact"
        )
    if perfusion.carrier is not None and perfusion.carrier.capacity_mol_m3 > 0:
        told.append(
            "red cells are not resolved: one curve of Hill, one hematocrit in all vessels, no carbon dioxide"
        )
    return told


def _middle(network: Network, segment: int) -> str:
    x, y, z = ((network.start_um[segment] + network.end_um[segment]) / 2).tolist()
    return f"({x:.0f}, {y:.0f}, {z:.0f}) um"
