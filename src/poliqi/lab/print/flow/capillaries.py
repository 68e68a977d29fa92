"""Capillaries: which ends each of them joins, and radii with which all resist alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.flow.kirchhoff import pieces
from poliqi.lab.print.network import Kind, Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.flow.levels import Levels

__all__ = ["Chains", "capillary_chains", "capillary_radii"]

_MOST_ROUNDS: Final = 200
_STILL: Final = 1e-13


@dataclass(frozen=True, slots=True)
class Chains:
    """Capillaries, each a chain of segments between an arterial and a venous end.

    `chain` (m,): the chain of a segment, -1 for other kinds; by chain: `length_um`, `artery` and `vein`, the leaf
    segments it joins.
    """

    chain: NDArray[np.int64]
    length_um: NDArray[np.float64]
    artery: NDArray[np.int64]
    vein: NDArray[np.int64]


def capillary_chains(network: Network, order: Levels) -> Chains:
    """Raises DataRefused, with the place, where a capillary does not join one arterial end with one venous end."""
    mine = np.flatnonzero(network.kind == Kind.CAPILLARY)
    _, piece = pieces(network.segments[mine], len(network.points_um))
    _, chain_of = np.unique(piece[network.segments[mine, 0]], return_inverse=True)
    chain = np.full(len(network.kind), -1, np.int64)
    chain[mine] = chain_of
    count = int(chain_of.max()) + 1 if len(mine) else 0
    at_point = np.full(len(network.points_um), -1, np.int64)
    at_point[network.segments[mine].ravel()] = np.repeat(chain_of, 2)
    ends: dict[Kind, NDArray[np.int64]] = {}
    for kind in (Kind.ARTERY, Kind.VEIN):
        leaf = order.leaf_segment[network.kind[order.leaf_segment] == kind]
        points = order.leaf_point[network.kind[order.leaf_segment] == kind]
        of = np.full(count, -1, np.int64)
        of[at_point[points[at_point[points] >= 0]]] = leaf[at_point[points] >= 0]
        alone = np.flatnonzero(at_point[points] < 0)
        per_chain = np.bincount(at_point[points[at_point[points] >= 0]], minlength=count)
        wrong = np.flatnonzero(per_chain != 1)
        if len(alone) or len(wrong):
            point = points[alone[0]] if len(alone) else network.segments[mine[chain_of == wrong[0]][0], 0]
            x, y, z = network.points_um[point].tolist()
            what = (
                "an end has no capillary"
                if len(alone)
                else f"a capillary joins {per_chain[wrong[0]]} ends of one kind"
            )
            raise DataRefused(
                f"flow: at ({x:.1f}, {y:.1f}, {z:.1f}) um {what}; "
                "each arterial end needs one capillary to one venous end; close the network anew"
            )
        ends[kind] = of
    length = np.bincount(chain_of, network.length_um[mine], count).astype(np.float64)
    return Chains(chain, length, ends[Kind.ARTERY], ends[Kind.VEIN])


def capillary_radii(
    length_um: NDArray[np.float64], radius_um: float, reference_um: float, fluid: Fluid
) -> NDArray[np.float64]:
    """Radii at which capillaries of `length_um` (k,) resist as one of `radius_um` and `reference_um`, (k,)."""
    wanted = float(fluid.viscosity_in(np.array([radius_um]))[0]) * reference_um / radius_um**4
    radii = radius_um * (length_um / reference_um) ** 0.25
    for _ in range(_MOST_ROUNDS):
        before = radii
        radii = np.maximum((fluid.viscosity_in(radii) * length_um / wanted) ** 0.25, 0.5 * (radii + 0.55))
        radii = np.sqrt(radii * before) if fluid.is_blood else radii
        if float(np.abs(radii / before - 1.0).max(initial=0.0)) < _STILL:
            break
    return radii
