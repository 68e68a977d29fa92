"""Tissue and lumen as closed triangle meshes, by Boolean operations of manifold3d on few large bodies.

Capsules that do not touch are one body from the start: neighbours in a tree need three or four such groups, so a
network of any size takes three or four unions, in place of one for each vessel. Lumen and tissue are then both
sides of one cut of the domain: their volumes add up to the domain's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.export.facets import Facets, capsule_mesh, facets_for
from poliqi.lab.print.export.nearpairs import near_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network

__all__ = ["Solid", "Solids", "Work", "defects", "groups_of", "solids", "work_of"]

_BYTES_PER_TRIANGLE: Final = 1900
"""Of capsules; measured 1,550 at 0.66 million."""
_SECONDS_PER_TRIANGLE: Final = 1.0e-5
_MOST_BYTES: Final = 12 << 30
_SIMPLE: Final = 1e-3
"""Edges shorter than this part of the tolerance are collapsed: single precision could not tell their ends apart."""


@dataclass(frozen=True, slots=True)
class Solid:
    """A closed mesh: `vertices_um` float32 (v, 3), `triangles` int64 (t, 3) outward; its volume."""

    vertices_um: NDArray[np.float32]
    triangles: NDArray[np.int64]
    volume_um3: float


@dataclass(frozen=True, slots=True)
class Solids:
    """`tissue` is the domain without the lumen, `lumen` the vessels within the domain."""

    tissue: Solid
    lumen: Solid
    domain_volume_um3: float
    tolerance_um: float


@dataclass(frozen=True, slots=True)
class Work:
    """What the Boolean operations will take, told before they begin."""

    triangles: int
    memory_bytes: int
    seconds: float


def work_of(network: Network, tolerance_um: float, most_bytes: int = _MOST_BYTES) -> Work:
    """From measured costs of a triangle. Raises ConfigError where more memory is needed than `most_bytes`."""
    triangles = sum(one.triangles * len(at) for one, at in _kinds(network, tolerance_um))
    work = Work(triangles, _BYTES_PER_TRIANGLE * triangles, _SECONDS_PER_TRIANGLE * triangles)
    if work.memory_bytes > most_bytes:
        raise ConfigError(
            f"export: a mesh of {len(network.segments)} vessels within {tolerance_um:g} um takes about "
            f"{work.memory_bytes / 1e9:.3g} GB, and {most_bytes / 1e9:.3g} GB are allowed; give a larger "
            "--tolerance-um, or export --what beams"
        )
    return work


def _kinds(network: Network, tolerance_um: float) -> list[tuple[Facets, NDArray[np.int64]]]:
    """Vessels by how many facets they get."""
    radii, of_radius = np.unique(network.radius_um, return_inverse=True)
    kinds: dict[Facets, list[int]] = {}
    for at, radius in enumerate(radii.tolist()):
        kinds.setdefault(facets_for(radius, tolerance_um), []).append(at)
    return [(one, np.flatnonzero(np.isin(of_radius, at))) for one, at in kinds.items()]


def groups_of(network: Network, gap_um: float) -> NDArray[np.int64]:
    """A group for each vessel, (m,): within one, no two come nearer than `gap_um`. The first that is free, in
    order.
    """
    pairs = near_pairs(network, gap_um)
    ends = np.concatenate([pairs.first, pairs.second])
    others = np.concatenate([pairs.second, pairs.first])
    order = np.argsort(ends, kind="stable")
    beside: list[int] = others[order].tolist()
    cuts: list[int] = np.searchsorted(ends[order], np.arange(len(network.segments) + 1)).tolist()
    group = [-1] * len(network.segments)
    for i in range(len(group)):
        taken: set[int] = {group[j] for j in beside[cuts[i] : cuts[i + 1]]}
        group[i] = next(one for one in range(len(taken) + 1) if one not in taken)
    return np.asarray(group, dtype=np.int64)


def solids(
    domain: Domain,
    network: Network,
    tolerance_um: float,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Solids:
    """Tissue and lumen; surfaces part from the round ones by at most `tolerance_um`.

    Raises ConfigError (too fine, too much memory, manifold3d not installed), DataRefused where no vessel lies
    within the domain, or a result is not closed.
    """
    engine = _engine()
    work_of(network, tolerance_um)
    kinds = _kinds(network, tolerance_um)
    group = groups_of(network, 2.0 * tolerance_um)
    last = int(group.max())
    steps = last + 3
    lumen: Any = None
    for one in range(last + 1):
        body = _body(engine, network, kinds, group == one)
        lumen = body if lumen is None else lumen + body
        _checked(lumen, "lumen")
        progress(one + 1, steps)
    shape: Any = domain.manifold()
    inside, outside = shape.split(lumen)
    del lumen
    _checked(inside, "lumen")
    _checked(outside, "tissue")
    progress(last + 2, steps)
    if inside.is_empty():
        raise DataRefused("export: no vessel lies within the domain; look at the design's units and places")
    found = Solids(
        _solid(outside, tolerance_um, "tissue"),
        _solid(inside, tolerance_um, "lumen"),
        float(shape.volume()),
        tolerance_um,
    )
    progress(steps, steps)
    return found


def _engine() -> Any:
    try:
        import manifold3d
    except ImportError:
        raise ConfigError('export: meshes need manifold3d: pip install "poliqi[print]"') from None
    return manifold3d


def _body(
    engine: Any, network: Network, kinds: list[tuple[Facets, NDArray[np.int64]]], chosen: NDArray[np.bool_]
) -> Any:
    """Capsules that do not touch, as one body."""
    vertices: list[NDArray[np.float64]] = []
    triangles: list[NDArray[np.int64]] = []
    begin = 0
    for facets, members in kinds:
        at = members[chosen[members]]
        if len(at):
            points, faces = capsule_mesh(network.start_um[at], network.end_um[at], network.radius_um[at], facets)
            vertices.append(points)
            triangles.append(faces + begin)
            begin += len(points)
    mesh = engine.Mesh64(
        vert_properties=np.concatenate(vertices), tri_verts=np.concatenate(triangles).astype(np.uint64)
    )
    return _checked(engine.Manifold(mesh), "vessels")


def _checked(body: Any, name: str) -> Any:
    status = str(body.status()).rpartition(".")[2]
    if status != "NoError":
        raise DataRefused(f"export: {name} is no closed solid ({status}); give another --tolerance-um")
    return body


def _solid(body: Any, tolerance_um: float, name: str) -> Solid:
    """In single precision, as files hold it, without what that would fold onto itself; closed or refused."""
    volume = float(body.volume())
    mesh = body.simplify(_SIMPLE * tolerance_um).to_mesh()
    vertices = np.ascontiguousarray(mesh.vert_properties[:, :3], dtype=np.float32)
    solid = Solid(vertices, np.asarray(mesh.tri_verts, dtype=np.int64), volume)
    wrong = defects(solid.vertices_um, solid.triangles)
    if wrong:
        raise DataRefused(f"export: the mesh of the {name} has {wrong} open edges; give another --tolerance-um")
    return solid


def defects(vertices_um: NDArray[np.float32], triangles: NDArray[np.int64]) -> int:
    """How many edges are not passed as often one way as the other, points of the same place being one."""
    _, same = np.unique(vertices_um, axis=0, return_inverse=True)
    corners = same.reshape(-1)[triangles]
    tails, heads = corners.ravel(), np.roll(corners, -1, axis=1).ravel()
    real = tails != heads
    low, high = np.minimum(tails, heads)[real], np.maximum(tails, heads)[real]
    way = np.where(tails[real] < heads[real], 1, -1)
    _, edge = np.unique(low.astype(np.int64) * len(vertices_um) + high, return_inverse=True)
    return int(np.count_nonzero(np.bincount(edge.reshape(-1), way)))
