"""Centre lines of vessels: SWC for programs that read trees, CSV for everything else. Lengths in um.

In SWC a point has one radius and one parent: the radius is that of the segment which leads to it, and a network
with loops cannot be written. Kinds are 7 (artery), 8 (vein), 9 (capillary): the format leaves these numbers free.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.lab.print.flow.kirchhoff import pieces
from poliqi.lab.print.network import Kind

if TYPE_CHECKING:
    from poliqi.lab.print.network import Network

__all__ = ["csv_bytes", "ensure_trees", "swc_bytes"]

_FIRST_KIND: Final = 7


def swc_bytes(network: Network, told: Mapping[str, str]) -> bytes:
    """One tree for each port, then what is left; parents come first. Raises ConfigError for a network with
    loops.
    """
    ensure_trees(network)
    beside = [list[tuple[int, int]]() for _ in range(len(network.points_um))]
    for at, (a, b) in enumerate(_pairs(network)):
        beside[a].append((b, at))
        beside[b].append((a, at))
    roots = [port.node for port in network.ports]
    ends = np.flatnonzero(network.degrees() == 1).tolist()
    number: dict[int, int] = {}
    lines = [f"# {name}: {' '.join(value.split())}" for name, value in told.items()]
    lines += ["# id type x_um y_um z_um radius_um parent", "# type 7 artery, 8 vein, 9 capillary"]
    for root in [*roots, *ends, *range(len(beside))]:
        if root in number:
            continue
        lines += _tree(network, beside, root, number)
    return ("\n".join(lines) + "\n").encode("ascii", "replace")


def ensure_trees(network: Network) -> None:
    """Raises ConfigError for a network with loops, which SWC cannot hold."""
    loops = len(network.segments) - len(network.points_um) + pieces(network.segments, len(network.points_um))[0]
    if loops:
        raise ConfigError(
            f"export: SWC holds trees, and {loops} vessels of this network close loops; write .csv, or .3mf with "
            "--what beams"
        )


def _pairs(network: Network) -> list[tuple[int, int]]:
    return list(zip(network.segments[:, 0].tolist(), network.segments[:, 1].tolist(), strict=True))


def _tree(network: Network, beside: list[list[tuple[int, int]]], root: int, number: dict[int, int]) -> list[str]:
    """Lines of the tree at `root`, which gets into `number`."""
    first = beside[root][0][1]
    lines: list[str] = []
    waiting = [(root, -1, first)]
    while waiting:
        point, parent, segment = waiting.pop()
        if point in number:
            continue
        number[point] = len(number) + 1
        x, y, z = network.points_um[point].tolist()
        kind = _FIRST_KIND + int(network.kind[segment])
        lines.append(f"{number[point]} {kind} {x:.6g} {y:.6g} {z:.6g} {network.radius_um[segment]:.6g} {parent}")
        waiting += [(other, number[point], at) for other, at in reversed(beside[point]) if other not in number]
    return lines


def csv_bytes(network: Network) -> bytes:
    """A line for each vessel: both ends, radius, kind, tree. Numbers are written so that they come back the
    same.
    """
    kinds = {int(kind): kind.name.lower() for kind in Kind}
    lines = ["x0_um,y0_um,z0_um,x1_um,y1_um,z1_um,radius_um,kind,tree"]
    rows = np.hstack([network.start_um, network.end_um, network.radius_um[:, None]]).tolist()
    for row, kind, tree in zip(rows, network.kind.tolist(), network.tree.tolist(), strict=True):
        lines.append(",".join([*(repr(value) for value in row), kinds[kind], str(tree)]))
    return ("\n".join(lines) + "\n").encode("ascii")
