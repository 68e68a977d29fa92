"""STL, binary and text: corners of triangles, nothing else. The format has no unit."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.print.domain.meshform import MOST_TRIANGLES

__all__ = ["stl_corners"]

_HEADER: Final = 84
_FACET: Final = 50
_VERTEX: Final = re.compile(
    rb"^[ \t]*vertex[ \t]+(\S{1,40})[ \t]+(\S{1,40})[ \t]+(\S{1,40})[ \t]*\r?$", re.MULTILINE
)


def stl_corners(data: bytes, what: str) -> NDArray[np.float64]:
    """Corners (n, 3, 3) of the triangles, in the file's unit. Raises DataRefused for truncated or other bytes."""
    count = int.from_bytes(data[80:84], "little") if len(data) >= _HEADER else -1
    if count >= 0 and len(data) == _HEADER + _FACET * count:
        _ensure_few(count, what)
        rows = np.frombuffer(data, dtype=np.uint8, offset=_HEADER).reshape(count, _FACET)
        found = np.ascontiguousarray(rows[:, 12:48]).view("<f4").reshape(count, 3, 3)
        with np.errstate(invalid="ignore"):  # a signalling NaN stays a NaN, and is refused with its place later
            return found.astype(np.float64)
    if data[:512].lstrip()[:5] == b"solid" and b"facet" in data[:2048]:
        return _text(data, what)
    named = f"its header says {count} triangles, {_HEADER + _FACET * count} bytes" if count >= 0 else "no header"
    raise DataRefused(f"{what}: not an STL file, or cut off: {len(data)} bytes, {named}; export it again")


def _ensure_few(count: int, what: str) -> None:
    if count > MOST_TRIANGLES:
        raise DataRefused(f"{what}: {count} triangles; {MOST_TRIANGLES} are the most: decimate the mesh")


def _text(data: bytes, what: str) -> NDArray[np.float64]:
    facets = len(re.findall(rb"^[ \t]*endfacet\b", data, re.MULTILINE))
    _ensure_few(facets, what)
    found = _VERTEX.findall(data)
    if len(found) != 3 * facets or b"endsolid" not in data[-512:]:
        raise DataRefused(
            f"{what}: {facets} facets with {len(found)} readable corners, which are not 3 each, or no endsolid; "
            "export it again"
        )
    try:
        return np.array([float(number) for row in found for number in row]).reshape(-1, 3, 3)
    except ValueError as error:
        raise DataRefused(f"{what}: a corner cannot be read ({error}); export it again") from None
