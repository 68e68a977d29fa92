"""What a mesh must be before it is a body: closed, not inside out, free of cuts, and one body or a named choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.print.domain.hierarchy import hierarchy_of
from poliqi.lab.print.domain.lattice import crossings
from poliqi.lab.print.domain.meshform import MeshForm
from poliqi.lab.print.domain.selfcross import first_cut

__all__ = ["Choice", "chosen_bodies", "ensure_closed", "ensure_uncut", "mesh_volume_um3", "pieces_of"]

Choice = str | int | None
MOST_PIECES: Final = 1000
_AT_ONCE: Final = 20_000
_SHOWN: Final = 5


def ensure_closed(form: MeshForm, what: str) -> None:
    """Raise DataRefused where an edge is open, or where two faces go along it in the same direction."""
    n = len(form.steps)
    a = form.triangles.ravel()
    b = form.triangles[:, [1, 2, 0]].ravel()
    if not a.size:
        raise DataRefused(f"{what}: no triangle has an area; export the mesh again")
    keys, place, count = np.unique(np.minimum(a, b) * n + np.maximum(a, b), return_inverse=True, return_counts=True)
    odd = np.flatnonzero(count % 2)
    if odd.size:
        low, high = divmod(int(keys[odd[0]]), n)
        raise DataRefused(
            f"{what}: not watertight: {odd.size} open edges, the first between {form.place(low)} and "
            f"{form.place(high)}; close the holes (a mesh editor's 'make solid') and export again"
        )
    balance = np.bincount(place, weights=np.where(a < b, 1.0, -1.0), minlength=keys.size)
    turned = np.flatnonzero(balance)
    if turned.size:
        low, high = divmod(int(keys[turned[0]]), n)
        raise DataRefused(
            f"{what}: faces on both sides of {turned.size} edges disagree which side is outside, the first between "
            f"{form.place(low)} and {form.place(high)}; make the normals consistent and export again"
        )


def mesh_volume_um3(form: MeshForm) -> float:
    """Signed volume of a closed mesh, from tetrahedra that meet at one of its corners."""
    p = np.float64(form.step_um) * (form.steps[form.triangles] - form.steps[form.triangles[0, 0]])
    return float(np.einsum("ij,ij->i", p[:, 0], np.cross(p[:, 1], p[:, 2])).sum() / 6)


def with_area(form: MeshForm) -> NDArray[np.int64]:
    """Which triangles are not a line, (k,); exact."""
    p = form.steps[form.triangles]
    one, two = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    cross = [one[:, i] * two[:, j] - one[:, j] * two[:, i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.flatnonzero((cross[0] != 0) | (cross[1] != 0) | (cross[2] != 0))


def ensure_uncut(form: MeshForm, what: str, progress: Callable[[int, int], None] | None = None) -> None:
    """Raise DataRefused where two triangles cut or touch each other away from the corners they share; exact."""
    triangles = form.triangles[with_area(form)]
    corners = form.steps[triangles]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    tree = hierarchy_of(boxes.astype(np.float64))
    triangles, boxes, nodes = triangles[tree.order], boxes[tree.order], tree.nodes.astype(np.int64)
    for begin in range(0, len(triangles), _AT_ONCE):
        stop = min(begin + _AT_ONCE, len(triangles))
        one, two = first_cut(form.steps, triangles, boxes, nodes, tree.first, begin, stop)
        if one >= 0:
            raise DataRefused(
                f"{what}: it cuts or touches itself: the triangles at {form.place(int(triangles[one, 0]))} and "
                f"{form.place(int(triangles[two, 0]))} share more than corners; unite the bodies (a mesh editor's "
                f"'boolean union' or 'remesh') and export again"
            )
        if progress is not None:
            progress(stop, len(triangles))


def pieces_of(form: MeshForm) -> list[NDArray[np.int64]]:
    """Triangles (their rows) of each connected surface."""
    from scipy.sparse import coo_matrix, csgraph

    engine: Any = csgraph  # it carries no annotations
    a, b = form.triangles[:, [0, 1]].ravel(), form.triangles[:, [1, 2]].ravel()
    graph: Any = coo_matrix((np.ones(a.size, dtype=np.int8), (a, b)), shape=(len(form.steps),) * 2)
    names: NDArray[np.int32] = engine.connected_components(graph, directed=False)[1]
    owner = names[form.triangles[:, 0]]
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)


def chosen_bodies(form: MeshForm, choice: Choice, what: str) -> MeshForm:
    """The bodies that `choice` names: "largest", "all", or a number from 1, largest first; None where there is one.

    A piece that is inside out and lies within another is a cavity and stays with it. Raises DataRefused for an
    inverted piece, bodies one within another, and several bodies without a choice.
    """
    pieces = pieces_of(form)
    if len(pieces) > MOST_PIECES:
        raise DataRefused(f"{what}: {len(pieces)} separate surfaces; {MOST_PIECES} are the most: clean the mesh")
    volumes = [mesh_volume_um3(replace(form, triangles=form.triangles[rows])) for rows in pieces]
    for rows, volume in zip(pieces, volumes, strict=True):
        if volume == 0.0:
            place = form.place(int(form.triangles[rows[0], 0]))
            raise DataRefused(f"{what}: a surface at {place} encloses no volume; delete it and export again")
    owner_of_cavity = _nesting(form, pieces, volumes, what)
    bodies = sorted((k for k, volume in enumerate(volumes) if volume > 0), key=lambda k: -volumes[k])
    kept = {bodies[k] for k in _wanted(choice, [volumes[k] for k in bodies], what)}
    kept |= {k for k, owner in owner_of_cavity.items() if owner in kept}
    if len(kept) == len(pieces):
        return form
    return form.only(form.triangles[np.concatenate([pieces[k] for k in sorted(kept)])])


def _nesting(form: MeshForm, pieces: list[NDArray[np.int64]], volumes: list[float], what: str) -> dict[int, int]:
    """The body that each cavity lies in, by the crossings of a line up from a corner of each piece."""
    if len(pieces) == 1:
        if volumes[0] < 0:
            raise DataRefused(
                f"{what}: inverted: its volume is {volumes[0]:.4g} um3; turn all normals and export again"
            )
        return {}
    corners = form.points_um[form.triangles]
    tree = hierarchy_of(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
    sorted_corners = np.ascontiguousarray(corners[tree.order].reshape(-1, 9))
    owners = np.empty(len(corners), dtype=np.int64)
    for k, rows in enumerate(pieces):
        owners[rows] = k
    owners = owners[tree.order]
    starts = corners[[int(rows[0]) for rows in pieces], 0]
    offsets = np.zeros(2, dtype=np.int64)
    heights, hit = np.empty(len(corners)), np.empty(len(corners), dtype=np.int64)
    found: dict[int, int] = {}
    for k, start in enumerate(starts):
        crossings(
            tree.nodes, tree.first, sorted_corners, form.origin_um, 1 / form.step_um, 2,
            start[:1].copy(), start[1:2].copy(), 0, 1, offsets, heights, hit,
        )  # fmt: skip
        above = owners[hit[: offsets[1]][heights[: offsets[1]] > start[2]]]
        names, times = np.unique(above[above != k], return_counts=True)
        around = [int(name) for name, count in zip(names, times, strict=True) if count % 2]
        _ensure_turned(
            volumes, k, around, f"{what}: the surface at {form.place(int(form.triangles[pieces[k][0], 0]))}"
        )
        if volumes[k] < 0:
            found[k] = min((i for i in around if volumes[i] > 0), key=lambda i: volumes[i])
    return found


def _ensure_turned(volumes: list[float], k: int, around: list[int], where: str) -> None:
    """A body lies within nothing (or a cavity), a cavity within one body."""
    turns = sum(1 if volumes[i] > 0 else -1 for i in around)
    if volumes[k] > 0 and turns != 0:
        raise DataRefused(f"{where} lies within another body; unite or remove one of them")
    if volumes[k] < 0 and turns != 1:
        raise DataRefused(f"{where} is inverted; turn its normals and export again")


def _wanted(choice: Choice, volumes: list[float], what: str) -> list[int]:
    shown = ", ".join(f"{k + 1}: {volume:.4g} um3" for k, volume in enumerate(volumes[:_SHOWN]))
    more = f" and {len(volumes) - _SHOWN} more" if len(volumes) > _SHOWN else ""
    if choice is None and len(volumes) > 1:
        raise DataRefused(
            f'{what}: {len(volumes)} bodies ({shown}{more}); choose one by body = its number, "largest" or "all"'
        )
    if choice == "all":
        return list(range(len(volumes)))
    if choice is None or choice == "largest":
        return [0]
    if isinstance(choice, str) or not 1 <= choice <= len(volumes):
        raise DataRefused(
            f'{what}: body = {choice!r} is not there ({shown}{more}); give a number, "largest" or "all"'
        )
    return [choice - 1]
