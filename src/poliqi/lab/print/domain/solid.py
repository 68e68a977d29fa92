"""A domain as a solid of manifold3d, for booleans, meshes and pictures.

Curved primitives become polyhedra whose corners stand on the surface: with 128 segments a turn a volume is too
small by less than .2 %. Meshes and voxels are taken as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain import depths
from poliqi.lab.print.domain.primitive import Primitive

__all__ = ["SEGMENTS", "manifold3d", "solid_of_mesh", "solid_of_primitive", "united"]

SEGMENTS: Final = 128


def manifold3d() -> Any:
    """The package. Raises ConfigError where the extra is missing."""
    try:
        import manifold3d as package
    except ImportError as error:
        raise ConfigError(f'manifold3d cannot be imported ({error}); run: pip install "poliqi[print]"') from error
    return package


def _outline(a: float, b: float, corner: float) -> NDArray[np.float64]:
    """A rectangle of half sides a and b with rounded corners, anticlockwise."""
    turns = np.linspace(0, math.pi / 2, SEGMENTS // 4 + 1)
    arcs: list[NDArray[np.float64]] = []
    for quarter, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        angle = turns + quarter * math.pi / 2
        middle = np.array([sx * (a - corner), sy * (b - corner)])
        arcs.append(middle + corner * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return np.concatenate(arcs)


def solid_of_primitive(part: Primitive) -> Any:
    """A primitive as a solid; its axis and centre included."""
    package = manifold3d()
    solid = package.Manifold
    a, b, c, corner = (float(size) for size in part.frame[12:])
    if part.kind == depths.BOX or (part.kind == depths.CHIP and corner == 0.0):
        made = solid.cube((2 * a, 2 * b, 2 * c), True)
    elif part.kind == depths.SPHERE:
        made = solid.sphere(a, SEGMENTS)
    elif part.kind == depths.CYLINDER:
        made = solid.cylinder(2 * b, a, a, SEGMENTS, True)
    elif part.kind == depths.ELLIPSOID:
        made = solid.sphere(1.0, SEGMENTS).scale((a, b, c))
    elif part.kind == depths.TORUS:
        made = package.CrossSection.circle(b, SEGMENTS).translate((a, 0.0)).revolve(SEGMENTS)
    elif part.kind == depths.CHIP:
        outline = package.CrossSection([_outline(a, b, corner)])
        made = outline.extrude(2 * c).translate((0.0, 0.0, -c))
    else:
        ball = solid.sphere(a, SEGMENTS)
        made = solid.batch_hull([ball.translate((0.0, 0.0, -b)), ball.translate((0.0, 0.0, b))])
    turn = part.frame[3:12].reshape(3, 3).T
    return made.transform(np.concatenate([turn, part.frame[:3, None]], axis=1))


def solid_of_mesh(points_um: NDArray[np.float64], triangles: NDArray[np.int64], what: str) -> Any:
    """A closed mesh as a solid, in double precision. Raises DataRefused where manifold3d does not take it."""
    package = manifold3d()
    made = package.Manifold(package.Mesh64(points_um, triangles.astype(np.uint64)))
    if made.status() != package.Error.NoError:
        raise DataRefused(
            f"{what}: manifold3d does not take its mesh ({made.status().name}); repair and export it again"
        )
    return made


def united(solids: Sequence[Any]) -> Any:
    """The union of some solids."""
    package = manifold3d()
    return solids[0] if len(solids) == 1 else package.Manifold.batch_boolean(list(solids), package.OpType.Add)
