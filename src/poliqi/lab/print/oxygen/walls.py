"""Walls of vessels wider than a cell: where links of the grid meet them, and what each link then conducts.

Cells whose centre lies in a lumen have no unknown. A link that meets a wall at a part s of its length conducts 1/s
(Gibou et al., J. Comput. Phys. 176 (2002) 205), and all such links of a cell are scaled together so that the
profile about a cylinder, ln(rho/R), fulfils the cell's equation exactly: without that, walls of one cell's radius
act 3 to 4 % narrower than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel

if TYPE_CHECKING:
    from poliqi.lab.print.oxygen.elements import Elements

__all__ = ["NEAREST", "THICK", "Walls", "walls_of"]

THICK: Final = 1.05
"""Radius over spacing from which a wall is met by the grid's links."""
NEAREST: Final = 0.01
"""A wall nearer than this part of a link counts as this near."""
_LEAST_SCALE: Final = 0.5
_MOST_SCALE: Final = 2.0
_PIECE: Final = 6.0


@dataclass(frozen=True, slots=True)
class Walls:
    """Links (l,) that end at a wall, in the order of elements.

    `first` (e + 1,): where the links of an element begin. `cell` (l,): flat, of arrays with their layer. `g` (l,):
    conductance in D h, the fluid's resistance included. `beside` (l,): tissue between cell and wall that no cell
    holds, in h^3. `share` (l,): how far away the wall is, over h. `lumen`: flat cells in a lumen; `lumen_owner`: an
    element near each.
    """

    first: NDArray[np.int64]
    cell: NDArray[np.int64]
    g: NDArray[np.float32]
    beside: NDArray[np.float32]
    share: NDArray[np.float32]
    lumen: NDArray[np.int64]
    lumen_owner: NDArray[np.int64]


@inlined
def _entry(
    px: float, py: float, pz: float, axis: int, sign: float,
    dx: float, dy: float, dz: float, length: float, r: float,
) -> float:  # fmt: skip
    """Where a ray from p along an axis enters the capsule along the unit vector d; 9 if it misses."""
    e = dx if axis == 0 else (dy if axis == 1 else dz)
    e *= sign
    p = sign * (px if axis == 0 else (py if axis == 1 else pz))
    t = px * dx + py * dy + pz * dz
    square = px * px + py * py + pz * pz
    best = 9.0
    a = 1.0 - e * e
    if a > 1e-12:
        b = p - t * e
        disc = b * b - a * (square - t * t - r * r)
        if disc >= 0.0:
            s = (-b - np.sqrt(disc)) / a
            along = t + s * e
            if s >= 0.0 and 0.0 <= along <= length:
                best = s
    for end in range(2):
        at = 0.0 if end == 0 else length
        b = p - at * e
        disc = b * b - (square - 2.0 * at * t + at * at - r * r)
        if disc >= 0.0:
            s = -b - np.sqrt(disc)
            if 0.0 <= s < best:
                best = s
    return best


@kernel
def wall_links(
    inside: NDArray[np.float32], start: NDArray[np.float64], end: NDArray[np.float64], radius: NDArray[np.float64],
    lumen: NDArray[np.int32], cell: NDArray[np.int64], way: NDArray[np.int64], owner: NDArray[np.int64],
    s_of: NDArray[np.float64], count: int, segment: int,
) -> int:  # fmt: skip
    """Mark cells in the capsule (their owner in `lumen`), list links that meet it; returns the count after it.

    Links beyond the room of the lists are counted only.
    """
    px, py, pz = start[segment]
    dx = end[segment, 0] - px
    dy = end[segment, 1] - py
    dz = end[segment, 2] - pz
    length = np.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = dx / length, dy / length, dz / length
    r = radius[segment]
    wide = r + 1.0
    pieces = max(1, int(np.ceil(length / max(_PIECE, 2.0 * r))))
    for piece in range(pieces):
        low = length * piece / pieces
        high = length * (piece + 1) / pieces
        i0 = max(1, int(np.ceil(px + min(dx * low, dx * high) - wide)))
        i1 = min(inside.shape[0] - 2, int(np.floor(px + max(dx * low, dx * high) + wide)))
        j0 = max(1, int(np.ceil(py + min(dy * low, dy * high) - wide)))
        j1 = min(inside.shape[1] - 2, int(np.floor(py + max(dy * low, dy * high) + wide)))
        k0 = max(1, int(np.ceil(pz + min(dz * low, dz * high) - wide)))
        k1 = min(inside.shape[2] - 2, int(np.floor(pz + max(dz * low, dz * high) + wide)))
        for i in range(i0, i1 + 1):
            for j in range(j0, j1 + 1):
                for k in range(k0, k1 + 1):
                    if inside[i, j, k] == 0:
                        continue
                    x, y, z = i - px, j - py, k - pz
                    t = x * dx + y * dy + z * dz
                    if (t < low and piece > 0) or (t >= high and piece < pieces - 1):
                        continue
                    near = min(max(t, 0.0), length)
                    square = (x - near * dx) ** 2 + (y - near * dy) ** 2 + (z - near * dz) ** 2
                    if square <= r * r:
                        lumen[i, j, k] = segment + 1
                    elif square <= wide * wide:
                        for face in range(6):
                            s = _entry(x, y, z, face // 2, 1.0 - 2.0 * (face % 2), dx, dy, dz, length, r)
                            if s <= 1.0:
                                if count < cell.size:
                                    cell[count] = (i * inside.shape[1] + j) * inside.shape[2] + k
                                    way[count] = face
                                    owner[count] = segment
                                    s_of[count] = s
                                count += 1
    return count


def walls_of(
    elements: Elements,
    inside: NDArray[np.float32],
    there: NDArray[np.float32],
    links: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    film: float | None,
) -> Walls:
    """Meet the walls of all thick vessels. Cells in lumens leave `there`, links that are cut leave `links`.

    `film`: conductance k h/D of the fluid at a wall of radius h (k falls as 1/r); None for none.
    """
    lumen = np.zeros(inside.shape, np.int32)
    cell, way, owner, s = _met(elements, inside, lumen)
    flat = lumen.reshape(-1)
    there[lumen > 0] = 0
    for link, step in zip(links, _steps(inside), strict=True):
        link.reshape(-1)[flat > 0] = 0
        link.reshape(-1)[np.flatnonzero(flat > 0) - step] = 0
    keep = flat[cell] == 0
    cell, way, owner, s = cell[keep], way[keep], owner[keep], s[keep]
    nearest = np.lexsort((s, way, cell))
    cell, way, owner, s = cell[nearest], way[nearest], owner[nearest], s[nearest]
    fresh = np.ones(cell.size, bool)
    fresh[1:] = (cell[1:] != cell[:-1]) | (way[1:] != way[:-1])
    cell, way, owner, s = cell[fresh], way[fresh], owner[fresh], s[fresh]
    for axis, step in enumerate(_steps(inside)):
        mine = way // 2 == axis
        links[axis].reshape(-1)[cell[mine] - step * (way[mine] % 2)] = 0
    g, beside, at = _conducted(elements, inside, links, cell, way, owner, s, film)
    order = np.argsort(at, kind="stable")
    first = np.searchsorted(at[order], np.arange(elements.count + 1))
    in_lumen = np.flatnonzero(flat)
    place = np.stack(np.unravel_index(in_lumen, inside.shape), axis=1).astype(np.float64)
    of = flat[in_lumen].astype(np.int64) - 1
    return Walls(
        first.astype(np.int64),
        cell[order],
        g[order].astype(np.float32),
        beside[order].astype(np.float32),
        s[order].astype(np.float32),
        in_lumen,
        _element_at(elements, of, place),
    )


def _steps(inside: NDArray[np.float32]) -> tuple[int, int, int]:
    return inside.shape[1] * inside.shape[2], inside.shape[2], 1


def _met(
    elements: Elements, inside: NDArray[np.float32], lumen: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    thick = np.flatnonzero(elements.radius >= THICK)
    span = np.linalg.norm(elements.end - elements.start, axis=1)[thick]
    room = int((30 * (elements.radius[thick] + 1) * (span + 2 * elements.radius[thick] + 2)).sum()) + 64
    while True:
        cell, way = np.empty(room, np.int64), np.empty(room, np.int64)
        owner, s = np.empty(room, np.int64), np.empty(room, np.float64)
        count = 0
        for segment in thick.tolist():
            count = wall_links(
                inside, elements.start, elements.end, elements.radius, lumen, cell, way, owner, s, count, segment
            )
        if count <= room:
            return cell[:count], way[:count], owner[:count], s[:count]
        room = count


def _element_at(elements: Elements, owner: NDArray[np.int64], place: NDArray[np.float64]) -> NDArray[np.int64]:
    """The element of a segment that is nearest to a place."""
    d = elements.end[owner] - elements.start[owner]
    t = ((place - elements.start[owner]) * d).sum(axis=1) / (d * d).sum(axis=1)
    count = np.diff(elements.first)[owner]
    return elements.first[owner] + np.clip((t * count).astype(np.int64), 0, count - 1)


def _conducted(
    elements: Elements,
    inside: NDArray[np.float32],
    links: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    cell: NDArray[np.int64],
    way: NDArray[np.int64],
    owner: NDArray[np.int64],
    s: NDArray[np.float64],
    film: float | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Conductance, tissue beside the wall, and element of each link."""
    place = np.stack(np.unravel_index(cell, inside.shape), axis=1).astype(np.float64)
    d = elements.end[owner] - elements.start[owner]
    d /= np.linalg.norm(d, axis=1)[:, None]
    ray = np.zeros_like(place)
    ray[np.arange(cell.size), way // 2] = 1.0 - 2.0 * (way % 2)
    met = place + s[:, None] * ray
    from_axis = met - elements.start[owner]
    t = (from_axis * d).sum(axis=1)
    length = np.linalg.norm(elements.end[owner] - elements.start[owner], axis=1)
    from_axis -= np.clip(t, 0, length)[:, None] * d
    slope = np.clip(np.abs((from_axis * ray).sum(axis=1)) / elements.radius[owner], 0.05, 1.0)
    g = 1.0 / np.maximum(s, NEAREST)
    g *= _scales(elements, inside, links, cell, owner, place, g)
    if film is not None:
        g = 1.0 / (1.0 / g + elements.radius[owner] / (film * slope))
    return g, 0.5 * s * slope**2, _element_at(elements, owner, met)


def _scales(
    elements: Elements,
    inside: NDArray[np.float32],
    links: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    cell: NDArray[np.int64],
    owner: NDArray[np.int64],
    place: NDArray[np.float64],
    g: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Factor of each link, one for all links of a cell, by the profile about its nearest vessel."""
    if not cell.size:
        return np.ones(0)
    d = elements.end[owner] - elements.start[owner]
    length = np.linalg.norm(d, axis=1)
    d /= length[:, None]
    off = place - elements.start[owner]
    t = (off * d).sum(axis=1)
    rho = np.linalg.norm(off - t[:, None] * d, axis=1)
    order = np.lexsort((rho - elements.radius[owner], cell))
    lead = np.ones(cell.size, bool)
    lead[1:] = cell[order][1:] != cell[order][:-1]
    one = order[lead]
    total = np.bincount(np.cumsum(lead) - 1, g[order])
    phi = np.log(np.maximum(rho[one] / elements.radius[owner[one]], 1.0 + NEAREST / elements.radius[owner[one]]))
    balance = np.zeros(one.size)
    for axis, step in enumerate(_steps(inside)):
        for sign in (1, -1):
            link = links[axis].reshape(-1)[cell[one] - (step if sign < 0 else 0)]
            beyond = off[one].copy()
            beyond[:, axis] += sign
            beyond -= (beyond * d[one]).sum(axis=1)[:, None] * d[one]
            ratio = np.linalg.norm(beyond, axis=1) / elements.radius[owner[one]]
            balance += link * (np.log(np.maximum(ratio, 1e-6)) - phi)
    scale = np.clip(balance / (phi * total), _LEAST_SCALE, _MOST_SCALE)
    scale[(t[one] < 0) | (t[one] > length[one])] = 1.0
    factor = np.empty(cell.size)
    factor[order] = scale[np.cumsum(lead) - 1]
    return factor
