"""A design written into files: all refusals first, then the meshes once, then one file after another."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from poliqi.base.errors import ConfigError
from poliqi.edge.wholefile import check_target, whole_file
from poliqi.lab.print.export.centrelines import csv_bytes, ensure_trees, swc_bytes
from poliqi.lab.print.export.gwl import JobSize, gwl_size, write_gwl
from poliqi.lab.print.export.meshfiles import glb_bytes, write_stl
from poliqi.lab.print.export.targets import Target, What, needs_mesh
from poliqi.lab.print.export.threemf import beams_bytes, meshes_bytes

if TYPE_CHECKING:
    from poliqi.lab.print.export.measured import Volumes
    from poliqi.lab.print.export.solids import Solid, Solids
    from poliqi.lab.print.profile import Profile
    from poliqi.lab.print.vesselfile import Vessels

__all__ = ["Choice", "Meshed", "Written", "check_size", "mesh_of", "write_job", "write_vessels"]

Progress = Callable[[int, int], None]
_PROGRAM: Final = "poliqi"


def _silent(_done: int, _all: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How files are written. `most_bytes` bounds a file, and the memory that a mesh takes."""

    tolerance_um: float = 0.5
    most_bytes: int = 8 << 30
    overwrite: bool = False
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class Meshed:
    """Meshes, the volumes they were held against, and by how much the lumen differs, of the measured."""

    solids: Solids
    volumes: Volumes
    difference: float
    bound_um3: float


@dataclass(frozen=True, slots=True)
class Written:
    """A file that stands: its size, and what a reader of it will count."""

    target: Target
    bytes: int
    counts: dict[str, Any] = field(default_factory=dict[str, Any])


def check_size(vessels: Vessels, targets: Sequence[Target], choice: Choice) -> None:
    """Refuse before any work: names that are taken, memory, a .nano without a profile, loops in SWC
    (ConfigError)."""
    for target in targets:
        check_target(target.path, overwrite=choice.overwrite)
        if target.suffix == ".nano" and choice.profile is None:
            raise ConfigError(f"--to {target.path}: .nano holds speed, power, hatch and layer; give --profile")
        if target.suffix == ".swc":
            ensure_trees(vessels.network)
    if any(needs_mesh(target) for target in targets):
        from poliqi.lab.print.export.solids import work_of

        work_of(vessels.network, choice.tolerance_um, choice.most_bytes)


def mesh_of(vessels: Vessels, choice: Choice, progress: Progress = _silent) -> Meshed:
    """Tissue and lumen, held against exact lines. Raises ConfigError, DataRefused where they differ too much."""
    from poliqi.lab.print.export.measured import agree, bound_um3, volumes
    from poliqi.lab.print.export.solids import solids

    exact = volumes(vessels.domain, vessels.network)
    made = solids(vessels.domain, vessels.network, choice.tolerance_um, progress)
    bound = bound_um3(vessels.network, exact, choice.tolerance_um)
    return Meshed(made, exact, agree(made, vessels.network, exact), bound)


def write_vessels(
    vessels: Vessels, targets: Sequence[Target], choice: Choice, meshed: Meshed | None
) -> list[Written]:
    """One file after another; `meshed` is None where no target needs it. Raises ConfigError, DataRefused,
    StoreError.
    """
    told = {
        "Title": "tissue with vessels (simulated design)",
        "Application": _PROGRAM,
        "Description": f"simulated design; micrometres; vessels BLAKE3 {vessels.digest}",
    }
    found: list[Written] = []
    for target in targets:
        data, counts = _content(vessels, target, choice, meshed, told)
        if len(data) > choice.most_bytes:
            raise ConfigError(f"--to {target.path}: {len(data) / 1e9:.2f} GB are above --most-gb; raise it")
        with whole_file(target.path, overwrite=choice.overwrite) as file:
            file.write(data)
        found.append(Written(target, len(data), counts))
    return found


def write_job(path: Path, target: Target, choice: Choice, progress: Progress = _silent) -> tuple[Written, JobSize]:
    """A print job as GWL, streamed. Raises ConfigError (too large), DataRefused, StoreError."""
    check_target(target.path, overwrite=choice.overwrite)
    size = gwl_size(path, choice.most_bytes)
    with whole_file(target.path, overwrite=choice.overwrite) as file:
        count = write_gwl(path, file, size, progress)
    return Written(target, count, {"vectors": size.vectors, "length_um": size.length_um}), size


def _content(
    vessels: Vessels, target: Target, choice: Choice, meshed: Meshed | None, told: dict[str, str]
) -> tuple[bytes, dict[str, Any]]:
    """A file's bytes, and what is in it."""
    network = vessels.network
    counts: dict[str, Any] = {"vessels": len(network.segments)}
    if target.what is What.BEAMS:
        return beams_bytes(network, told), {"beams": len(network.segments), "balls": len(network.points_um)}
    if target.suffix == ".swc":
        return swc_bytes(network, told), counts
    if target.suffix == ".csv":
        return csv_bytes(network), counts
    if meshed is None:
        raise ConfigError(f"--to {target.path}: no mesh was made for it")
    bodies = _bodies(meshed.solids, target.what)
    counts = {name: {"triangles": len(one.triangles), "volume_um3": one.volume_um3} for name, one in bodies.items()}
    if target.suffix == ".3mf":
        return meshes_bytes(bodies, told), counts
    if target.suffix == ".glb":
        return glb_bytes(bodies, told), counts
    out = io.BytesIO()
    write_stl(out, next(iter(bodies.values())), f"{target.what}, simulated design, {vessels.digest[:16]}")
    if target.suffix == ".nano":
        from poliqi.lab.print.export.nano import nano_bytes

        if choice.profile is None:
            raise ConfigError(f"--to {target.path}: .nano needs --profile")
        return nano_bytes(out.getvalue(), choice.profile, vessels.digest), counts
    return out.getvalue(), counts


def _bodies(solids: Solids, what: What) -> dict[str, Solid]:
    both = {"tissue": solids.tissue, "lumen": solids.lumen}
    return both if what is What.BOTH else {str(what): both[str(what)]}
