"""Printing: trees grown, a cubic millimetre hatched, dose, oxygen.

`python -m bench print`. All in a cube of 1 mm. Peers in environments of their own, in the same run: svVascularize
grows 1,001 terminals at the same flow, pressure and exponent, and its total volume is worked out by the same
recurrences (the same seeds on both sides, the median of each); the usual way of the hatch (manifold3d: tubes of 16
sides united and taken from the cube, slices filled with lines) works on the same vessels, and its slices are timed
on 20 of the 1,000 layers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.peers.environment import PeerMissing, measure
from bench.report import Metric, best

if TYPE_CHECKING:
    from poliqi.lab.print.network import Network

SVV, MANIFOLD = "svv==0.0.57 svv-accelerated==0.0.57", "manifold3d==3.5.4 numpy==2.4.6"
EDGE_UM, FLOW_UM3_S, DROP_PA = 1000.0, 1.67e7, 1000.0
SEEDS = (1, 2, 3)
_ALONE = "import sys; from bench.print import hatched; print(hatched(sys.argv[1]))"


def vessels(terminals: int, seed: int = 1, wall_um: float = 5.0, gap_um: float = 2.0) -> Network:
    """A tree from the middle of a face."""
    from poliqi.lab.print.domain.domain import box
    from poliqi.lab.print.growth.grow import grow
    from poliqi.lab.print.growth.settings import GrowthSettings, Inlet

    inlet = Inlet((-EDGE_UM / 2, 0.0, 0.0))
    settings = GrowthSettings((inlet,), terminals, FLOW_UM3_S, DROP_PA, wall_um=wall_um, gap_um=gap_um, seed=seed)
    return grow(box((EDGE_UM,) * 3), settings)


def growth(quick: bool, folder: Path, details: dict[str, Any]) -> list[Metric]:
    """Three sizes; svVascularize on the smallest."""
    from poliqi.lab.print.growth.contacts import contacts

    vessels(20)
    seeds = SEEDS[: 1 if quick else None]
    thousand = median(best(lambda seed=seed: vessels(1001, seed), runs=1) for seed in seeds)
    segments = best(lambda: vessels(5001), runs=1 if quick else 2)
    found = [
        Metric("grow 1e3 terminals s", thousand, "s", 0.5, "max"),
        Metric("grow 1e4 segments s", segments, "s", 3.0, "max"),
    ]
    if not quick:
        found.append(Metric("grow 1e5 segments s", best(lambda: vessels(50_001), runs=1), "s", 40.0, "max"))
    ours = [vessels(1001, seed) for seed in seeds]
    details["grown"] = {
        "contacts": [len(contacts(one, 2.0).pairs) for one in ours],
        "volume_um3": [round(one.cylinder_volume_um3) for one in ours],
    }
    try:
        asked = {
            "terminals": 1001, "edge_um": EDGE_UM, "inlet_um": [-EDGE_UM / 2, 0.0, 0.0], "flow_um3_s": FLOW_UM3_S,
            "pressure_drop_pa": DROP_PA, "viscosity_pa_s": 0.7e-3, "exponent": 3.0,
        }  # fmt: skip
        theirs = []
        for seed in seeds:
            path = folder / f"svv-{seed}.json"
            path.write_text(json.dumps({**asked, "seed": seed}), encoding="utf-8")
            theirs.append(measure(SVV, "run_svv.py", str(path)))
    except PeerMissing as missing:
        details["svv"] = {"skipped": str(missing)}
        return found
    seconds = median(one["wall_s"] for one in theirs)
    volume = sum(one["volume_um3"] for one in theirs) / len(theirs)
    details["svv"] = [{name: value for name, value in one.items() if not isinstance(value, list)} for one in theirs]
    mean = sum(one.cylinder_volume_um3 for one in ours) / len(ours)
    return [
        *found,
        Metric("grow / svv", seconds / thousand, "x", 20.0, "min", "svv, 1,001 terminals, s", seconds),
        Metric("vessel volume / svv", mean / volume, "1", 1.0, "max", "svv, um^3", volume),
    ]


def hatched(path: str) -> str:
    """JSON of a hatch in this process: seconds of the second run, vectors, peak memory, relative volume error."""
    import resource

    from poliqi.lab.print.hatch.settings import HatchSettings, Mode
    from poliqi.lab.print.hatch.slicing import prepare, slice_job
    from poliqi.lab.print.vesselfile import read_vessels
    from poliqi.ops.print_profile_toml import read_profile

    asked = json.loads(Path(path).read_text(encoding="utf-8"))
    read = read_vessels(Path(asked["vessels"]))
    settings = HatchSettings(
        Mode(asked["mode"]), layer_um=1.0, hatch_um=0.5, least_lumen_pitches=0.0, cut_vessels=True,
        most_ripple=0.35,
        tile_um=asked["tile_um"], wall_um=5.0,
    )  # fmt: skip
    profile = read_profile(asked["profile"])

    def once() -> Any:
        return slice_job(prepare(read.domain, read.network, profile, settings, most_memory_bytes=8 << 30))

    once()
    made: list[Any] = []
    seconds = best(lambda: made.append(once()), runs=2)
    written = None
    if asked["job"]:
        with Path(asked["job"]).open("wb") as file:
            prepared = prepare(read.domain, read.network, profile, settings)
            written = best(lambda: (file.seek(0), slice_job(prepared, file)), runs=1)
    return json.dumps(
        {
            "wall_s": seconds,
            "job_s": written,
            "vectors": made[0].vectors,
            "deviation": made[0].deviation,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )


def hatch(quick: bool, folder: Path, details: dict[str, Any]) -> list[Metric]:
    """Ten thousand segments, 1 um layers, 0.5 um hatch, as one tile: the scan lines, and the job on disk."""
    from poliqi.lab.print.domain.domain import box
    from poliqi.lab.print.vesselfile import vessels_bytes

    network = vessels(501 if quick else 5001)
    file = folder / "bench.vessels.json"
    file.write_bytes(vessels_bytes(network, box((EDGE_UM,) * 3), {}))
    profile = folder / "wide.toml"
    profile.write_text(_wide_profile(), encoding="utf-8")
    asked = {"vessels": str(file), "profile": str(profile), "tile_um": None, "mode": "solid", "job": ""}
    _alone(folder, asked)  # compiles: the next process is one as every later one
    solid = _alone(folder, asked | {"job": str(folder / "bench.job")})
    wall = _alone(folder, asked | {"mode": "wall"})
    details["hatch"] = {"solid": solid, "wall": wall}
    peer: tuple[str | None, float | None] = (None, None)
    more: list[Metric] = []
    try:
        path = folder / "segments.json"
        path.write_text(
            json.dumps(
                {
                    "bounds_um": [[-EDGE_UM / 2] * 3, [EDGE_UM / 2] * 3],
                    "start_um": network.start_um.tolist(),
                    "end_um": network.end_um.tolist(),
                    "radius_um": network.radius_um.tolist(),
                    "layer_um": 1.0,
                    "hatch_um": 0.5,
                    "layers": 20,
                    "facets": 16,
                }
            ),
            encoding="utf-8",
        )
        theirs = measure(MANIFOLD, "run_manifold_hatch.py", str(path))
        details["manifold3d"] = theirs
        peer = ("manifold3d, slices extrapolated, s", theirs["extrapolated_s"])
        more = [Metric("hatch / manifold3d", theirs["extrapolated_s"] / solid["wall_s"], "x", 50.0, "min")]
    except PeerMissing as missing:
        details["manifold3d"] = {"skipped": str(missing)}
    return [
        Metric("hatch 1 mm3 s", solid["wall_s"], "s", 2.0, "max", *peer),
        Metric("hatch 1 mm3, process MB", solid["peak_mb"], "MB", 300.0, "max"),
        Metric("hatch 1 mm3, job on disk s", solid["job_s"], "s", None, "max"),
        Metric("hatch 1 mm3, walls only s", wall["wall_s"], "s", 2.0, "max"),
        *more,
    ]


def _alone(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """`hatched` in a process of its own, whose memory is nobody else's."""
    path = folder / "hatch.json"
    path.write_text(json.dumps(asked), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, str(path)], capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _wide_profile() -> str:
    """The illustrative machine with a field of view as wide as the cube."""
    from importlib.resources import files

    text = files("poliqi.lab.print.profiles").joinpath("illustrative.toml").read_text(encoding="utf-8")
    return text.replace("field_um = 400", "field_um = 1100")


def dose(quick: bool, _folder: Path, details: dict[str, Any]) -> list[Metric]:
    """A region in the middle of a thousand terminals."""
    import numpy as np

    from poliqi.lab.print.domain.domain import box
    from poliqi.lab.print.dose.exposure import exposure_of
    from poliqi.lab.print.dose.field import dose_field, grid_of
    from poliqi.lab.print.hatch.settings import Mode, settings_for
    from poliqi.ops.print_profile_toml import read_profile

    network, domain = vessels(1001), box((EDGE_UM,) * 3)
    profile = read_profile("illustrative")
    exposure = exposure_of(profile, settings_for(profile, Mode.SOLID), domain.bounds_um)
    half = 15.0 if quick else 30.0
    grid = grid_of(np.array([[-half] * 3, [half] * 3]), exposure)
    seconds = best(lambda: dose_field(domain, network, exposure, grid), runs=1 if quick else 3)
    voxels = int(np.prod(grid.shape))
    details["dose"] = {"voxels": voxels, "s": seconds}
    return [Metric("dose ns/voxel", 1e9 * seconds / voxels, "ns", 100.0, "max")]


def oxygen(quick: bool, _folder: Path, details: dict[str, Any]) -> list[Metric]:
    """A thousand terminals perfused by medium, coupled both ways."""
    from poliqi.lab.print.domain.domain import box
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.flow.solve import solve_flow
    from poliqi.lab.print.oxygen.oxygen import oxygen as solve
    from poliqi.lab.print.oxygen.tissue import Tissue

    network, domain = vessels(1001), box((EDGE_UM,) * 3)
    flow = solve_flow(network, Fluid())
    tissue = Tissue(diffusivity_m2_s=2e-9, consumption_mol_m3_s=0.02, km_mol_m3=7.39e-3, inlet_mol_m3=0.2)
    cells = 64 if quick else 128
    found: list[Any] = []
    seconds = best(lambda: found.append(solve(domain, network, flow, tissue, cells=cells)), runs=1 if quick else 3)
    details["oxygen"] = {"hypoxic": found[0].hypoxic, "cells": cells}
    return [Metric("oxygen 128^3 s", seconds, "s", 2.0, "max")]


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """All of it, one after another."""
    results: list[Metric] = []
    details: dict[str, Any] = {"simulated": "everything"}
    with tempfile.TemporaryDirectory() as folder:
        for part in (growth, hatch, dose, oxygen):
            results += part(quick, Path(folder), details)
    return results, details
