"""Volumes without a mesh: exact intervals on a lattice of lines, and what may be wrong with the sum.

The lattice is shifted several times by fractions that fill it evenly; the spread of the sums tells their error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.export.scanlines import Runs, combine, lumen_runs

if TYPE_CHECKING:
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.export.solids import Solids
    from poliqi.lab.print.network import Network

__all__ = ["Volumes", "agree", "bound_um3", "volumes"]

_SHIFTS: Final = 8
_LINES: Final = 150_000
_LAYERS_AT_ONCE: Final = 32
_SHARE: Final = 0.02
_SIGMAS: Final = 5.0
_PLASTIC: Final = 1.324717957244746


@dataclass(frozen=True, slots=True)
class Volumes:
    """Of the domain and of the lumen within it, each with the standard error of its sum, in um^3."""

    domain_um3: float
    domain_error_um3: float
    lumen_um3: float
    lumen_error_um3: float


def volumes(domain: Domain, network: Network) -> Volumes:
    """From about 1.2 million lines parallel to x over the domain."""
    corners: list[list[float]] = domain.bounds_um.tolist()
    (_, y0, z0), (_, y1, z1) = corners
    wide, tall = y1 - y0, z1 - z0
    step = math.sqrt(wide * tall / _LINES)
    ny, nz = max(math.ceil(wide / step), 8), max(math.ceil(tall / step), 8)
    dy, dz = wide / ny, tall / nz
    sums = np.zeros((_SHIFTS, 2))
    for shift in range(_SHIFTS):
        a, b = (shift + 0.5) / _PLASTIC % 1.0, (shift + 0.5) / _PLASTIC**2 % 1.0
        ys = y0 + dy * (np.arange(ny, dtype=np.float64) + a)
        zs = z0 + dz * (np.arange(nz, dtype=np.float64) + b)
        for begin in range(0, nz, _LAYERS_AT_ONCE):
            part = zs[begin : begin + _LAYERS_AT_ONCE]
            spans = domain.spans(0, np.tile(ys, len(part)), np.repeat(part, ny))
            body = Runs(spans.offsets, spans.start_um, spans.end_um)
            within = combine(body, lumen_runs(network, ys, part), is_within=True)
            sums[shift] += (body.end_um - body.start_um).sum(), (within.end_um - within.start_um).sum()
    found = sums.mean(axis=0) * dy * dz
    error = sums.std(axis=0, ddof=1) * dy * dz / math.sqrt(_SHIFTS)
    return Volumes(float(found[0]), float(error[0]), float(found[1]), float(error[1]))


def bound_um3(network: Network, measured: Volumes, tolerance_um: float) -> float:
    """How far a mesh's lumen may be from the measured one.

    Each capsule has its exact volume, so what remains is where they overlap, or leave the domain: the surface there
    is off by the tolerance at most, both ways. 0.02 of the tolerance over the whole surface is allowed (at most
    0.004 was found), and five standard errors of the measured sum.
    """
    surface = float((2.0 * np.pi * network.radius_um * network.length_um).sum())
    return _SHARE * tolerance_um * surface + _SIGMAS * measured.lumen_error_um3


def agree(solids: Solids, network: Network, measured: Volumes) -> float:
    """Refuse a mesh whose lumen differs by more than `bound_um3` (DataRefused); the difference, of the measured."""
    bound = bound_um3(network, measured, solids.tolerance_um)
    difference = solids.lumen.volume_um3 - measured.lumen_um3
    if abs(difference) > bound:
        raise DataRefused(
            f"export: the mesh's lumen has {solids.lumen.volume_um3:.6g} um3 and exact lines give "
            f"{measured.lumen_um3:.6g}; at most {bound:.3g} may be between; give another --tolerance-um"
        )
    return difference / measured.lumen_um3 if measured.lumen_um3 else 0.0
