"""Runs in the environment of svVascularize: a tree in a cube, and its volume at the physics that is asked for.

Reads a JSON file: terminals, edge_um, inlet_um (in a cube around 0), flow_um3_s, pressure_drop_pa, viscosity_pa_s,
exponent, seed. Prints JSON: wall_s of the growth, volume_um3 with the radii recomputed, murray_residual of the
radii that it stored, and the geometry: points_um, segments (from the root outwards), radius_um.

Its stored radii do not obey Murray's law, so all radii are made anew on its geometry by the recurrences of Karch et
al., Comput. Biol. Med. 29 (1999) 19: terminals with the same flow at the same pressure.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("SVV_TELEMETRY_DISABLED", "1")

import numpy as np


def grown(asked: dict[str, Any]) -> tuple[Any, float]:
    """Its table of vessels in um, and the seconds of the growth alone. Its units are centimetres."""
    import pyvista
    from svv.domain.domain import Domain
    from svv.tree.tree import Tree

    edge_cm = asked["edge_um"] * 1e-4
    domain = Domain(pyvista.Cube(x_length=edge_cm, y_length=edge_cm, z_length=edge_cm).triangulate())
    domain.random_seed = asked["seed"]
    domain.create()
    domain.solve()
    domain.build()
    np.random.seed(asked["seed"])  # noqa: NPY002 - what it draws from
    tree = Tree()
    tree.random_seed = asked["seed"]
    parameters = tree.parameters
    parameters.kinematic_viscosity = asked["viscosity_pa_s"] * 10.0 / parameters.fluid_density
    parameters.terminal_flow = asked["flow_um3_s"] * 1e-12 / asked["terminals"]
    parameters.root_pressure = parameters.terminal_pressure + 10.0 * asked["pressure_drop_pa"]
    begun = time.perf_counter()
    tree.set_domain(domain)
    tree.set_root(np.array(asked["inlet_um"]) * 1e-4)
    tree.n_add(asked["terminals"] - 1)
    return np.asarray(tree.data), time.perf_counter() - begun


def radii(near: Any, far: Any, parent: Any, asked: dict[str, Any]) -> Any:
    """Radii in um; `parent` (m,), -1 for the root."""
    m = len(parent)
    children: list[list[int]] = [[] for _ in range(m)]
    for at, above in enumerate(parent):
        if above >= 0:
            children[above].append(at)
    order = [int(np.nonzero(parent < 0)[0][0])]
    for at in order:
        order.extend(children[at])
    resistance = np.linalg.norm(far - near, axis=1)
    count, ratio = np.ones(m), np.ones(m)
    g = asked["exponent"]
    for at in reversed(order):
        below = children[at]
        if not below:
            continue
        weight = (count[below] * resistance[below]) ** 0.25
        ratio[below] = weight / (weight**g).sum() ** (1.0 / g)
        resistance[at] += 1.0 / (ratio[below] ** 4 / resistance[below]).sum()
        count[at] = count[below].sum()
    flow = asked["flow_um3_s"] / count[order[0]]
    constant = 8.0 * asked["viscosity_pa_s"] * flow / (math.pi * asked["pressure_drop_pa"])
    radius = np.empty(m)
    radius[order[0]] = (constant * resistance[order[0]] * count[order[0]]) ** 0.25
    for at in order[1:]:
        radius[at] = radius[parent[at]] * ratio[at]
    return radius


def residual(parent: Any, radius: Any, exponent: float) -> float:
    """The largest part by which Murray's law is missed at a joint."""
    has = parent >= 0
    below = np.bincount(parent[has], weights=radius[has] ** exponent, minlength=len(parent))
    joint = below > 0.0
    return float(np.max(np.abs(radius[joint] ** exponent - below[joint]) / radius[joint] ** exponent))


def main() -> None:
    """Grow, recompute, print."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        table, wall_s = grown(asked)
    near, far = table[:, 0:3] * 1e4, table[:, 3:6] * 1e4
    parent = np.where(np.isnan(table[:, 17]), -1, np.nan_to_num(table[:, 17])).astype(np.int64)
    radius = radii(near, far, parent, asked)
    length = np.linalg.norm(far - near, axis=1)
    root = int(np.nonzero(parent < 0)[0][0])
    points = np.concatenate((near[root][None], far))
    segments = np.stack((np.where(parent < 0, 0, parent + 1), np.arange(len(parent)) + 1), axis=1)
    answer = {
        "wall_s": wall_s,
        "volume_um3": float(np.pi * (radius**2 * length).sum()),
        "murray_residual": residual(parent, table[:, 21], asked["exponent"]),
        "points_um": points.tolist(),
        "segments": segments.tolist(),
        "radius_um": radius.tolist(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
