"""A mesh file as a domain: STL, whose unit must be told, and 3MF, which carries it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.regularfile import open_regular
from poliqi.lab.print.domain.domain import Domain
from poliqi.lab.print.domain.meshbody import mesh_body
from poliqi.lab.print.domain.meshcheck import Choice
from poliqi.lab.print.domain.stlfile import stl_corners
from poliqi.lab.print.domain.threemf import threemf_mesh

__all__ = ["MOST_BYTES", "UNITS_UM", "file_bytes", "from_mesh", "mesh_of", "unit_um"]

MOST_BYTES: Final = 300_000_000
UNITS_UM: Final = {"nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "in": 25400.0, "ft": 304800.0}


def unit_um(unit: str, what: str) -> float:
    """Micrometres in a unit. Raises ConfigError for one that is not known."""
    if unit not in UNITS_UM:
        raise ConfigError(f"{what}: unit {unit!r} is not known; give one of {', '.join(UNITS_UM)}")
    return UNITS_UM[unit]


def file_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a file. Raises DataRefused where it cannot be read or is larger."""
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise DataRefused(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise DataRefused(f"{str(path)!a:.200}: not the name of a file ({error})") from None
    if len(data) > most:
        raise DataRefused(f"{path}: more than {most} bytes; make it coarser")
    return data


def mesh_of(
    data: bytes,
    name: str,
    unit: str | None = None,
    body: Choice = None,
    center_um: tuple[float, float, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Domain:
    """The domain of a file's content; `name` tells its kind by its end. See `from_mesh`."""
    kind = Path(name).suffix.lower()
    if kind == ".stl":
        if unit is None:
            raise DataRefused(f"{name}: STL carries no unit; say it: unit = {', '.join(map(repr, UNITS_UM))}")
        factor = unit_um(unit, name)
        points = factor * stl_corners(data, name).reshape(-1, 3)
        triangles = np.arange(len(points), dtype=np.int64).reshape(-1, 3)
    elif kind == ".3mf":
        points, triangles, carried = threemf_mesh(data, name)
        if unit is not None and unit_um(unit, name) != UNITS_UM[carried]:
            raise DataRefused(f"{name}: it carries the unit {carried}, not {unit}; leave the unit out")
        points = points * UNITS_UM[carried]
    else:
        raise DataRefused(
            f"{name}: a mesh of the kind {kind or 'without a name'} cannot be read; give .stl or .3mf"
        )
    if center_um is not None and np.isfinite(points).all() and len(points):
        points = points + (np.array(center_um) - (points.min(axis=0) + points.max(axis=0)) / 2)
    return Domain((mesh_body(points, triangles, body, name, progress),))


def from_mesh(
    path: Path,
    unit: str | None = None,
    body: Choice = None,
    center_um: tuple[float, float, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Domain:
    """The domain of a mesh file, .stl (with its `unit`) or .3mf (which carries it).

    `body`: "largest", "all" or a number from 1 (largest first) where there are several. `center_um`: where the
    middle of its box is to be; None leaves it where it is. Raises DataRefused, naming file, place and remedy, for a
    mesh that is cut off, without unit, not watertight, inverted, cutting itself, or too large; ConfigError for a
    setting.
    """
    return mesh_of(file_bytes(path), path.name, unit, body, center_um, progress)
