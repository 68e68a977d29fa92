"""Runs where manifold3d is: scan lines of a block less its vessels by way of a mesh.

Reads a JSON file: bounds_um (2 x 3), start_um, end_um (m x 3), radius_um (m), hatch_um, layer_um, layers (how many
to slice), facets (of a tube's circle). Prints JSON: seconds of tubes, boolean, and of the layers that were sliced
and filled; vectors and volume of those; layers of the whole job, and its seconds, where slicing and filling is the
mean of the measured layers times all of them. The boolean is measured whole.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from manifold3d import Manifold, OpType

asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
low, high = np.array(asked["bounds_um"])
start, end, radius = (np.array(asked[name]) for name in ("start_um", "end_um", "radius_um"))
hatch, layer, facets = asked["hatch_um"], asked["layer_um"], asked["facets"]


def capsule(a: np.ndarray, b: np.ndarray, r: float) -> Manifold:
    """The hull of two spheres: what a capsule is."""
    ball = Manifold.sphere(r, facets)
    return Manifold.batch_hull([ball.translate(a), ball.translate(b)])


def filled(part: Manifold, z: float, axis: int) -> tuple[int, float]:
    """Vectors and their length of one layer: each edge of a contour gives its crossings with all lines at once.

    The even-odd rule; crossings of a line are sorted and taken in pairs.
    """
    lines: list[np.ndarray] = []
    places: list[np.ndarray] = []
    first = low[1 - axis] + hatch / 2
    for ring in part.slice(z).to_polygons():
        points = np.asarray(ring, dtype=float)[:, [axis, 1 - axis]]
        a, b = points, np.roll(points, -1, axis=0)
        bottom, top = np.minimum(a[:, 1], b[:, 1]), np.maximum(a[:, 1], b[:, 1])
        begin = np.ceil((bottom - first) / hatch).astype(int)
        stop = np.ceil((top - first) / hatch).astype(int)
        many = np.maximum(stop - begin, 0)
        owner = np.repeat(np.arange(len(a)), many)
        line = np.arange(len(owner)) - np.repeat(np.cumsum(many) - many, many) + begin[owner]
        share = (first + line * hatch - a[owner, 1]) / (b[owner, 1] - a[owner, 1])
        lines.append(line)
        places.append(a[owner, 0] + share * (b[owner, 0] - a[owner, 0]))
    if not lines:
        return 0, 0.0
    line, place = np.concatenate(lines), np.concatenate(places)
    order = np.lexsort((place, line))
    pairs = place[order].reshape(-1, 2)
    return len(pairs), float((pairs[:, 1] - pairs[:, 0]).sum())


begun = time.perf_counter()
tubes = [capsule(a, b, float(r)) for a, b, r in zip(start, end, radius, strict=True)]
tubes_s = time.perf_counter() - begun
begun = time.perf_counter()
block = Manifold.cube(high - low).translate(low)
lumen = Manifold.batch_boolean(tubes, OpType.Add)
tissue = block - lumen
triangles = tissue.num_tri()  # the boolean is done when it is asked for
boolean_s = time.perf_counter() - begun

total = int(np.ceil((high[2] - low[2]) / layer - 1e-9))
chosen = np.unique(np.linspace(0, total - 1, min(asked["layers"], total)).astype(int))
begun, vectors, length = time.perf_counter(), 0, 0.0
for k in chosen.tolist():
    found = filled(tissue, float(low[2] + (k + 0.5) * layer), k % 2)
    vectors += found[0]
    length += found[1]
layers_s = time.perf_counter() - begun
scale = total / len(chosen)
print(
    json.dumps(
        {
            "tubes_s": tubes_s,
            "boolean_s": boolean_s,
            "triangles": triangles,
            "layers_measured": len(chosen),
            "layers_measured_s": layers_s,
            "vectors_measured": vectors,
            "volume_by_lines_um3": length * hatch * layer * scale,
            "volume_of_mesh_um3": tissue.volume(),
            "layers": total,
            "extrapolated_s": tubes_s + boolean_s + layers_s * scale,
            "extrapolated": "slicing and filling only: the measured layers' mean times all layers",
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
    )
)
