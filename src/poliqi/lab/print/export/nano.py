"""A .nano project for Nanoscribe's Quantum X align, packed by npxpy: the tissue's STL with a preset.

The machine's own software slices it. Never loaded into one: unverified, as the text for other machines is.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import uuid
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.lab.print.profile import Profile

__all__ = ["nano_bytes"]

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_NO_DATE: Final = "1980-01-01T00:00:00"
_UM_S_PER_MM_S: Final = 1000.0
_HEAD: Final = 84
_FACET: Final = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("more", "<u2")])


def _lowest_um(stl: bytes) -> float:
    """Least z of a binary STL."""
    facets = np.frombuffer(stl, dtype=_FACET, offset=_HEAD)
    return float(facets["corners"][:, :, 2].min())


def nano_bytes(stl: bytes, profile: Profile, digest: str) -> bytes:
    """The archive; speed, power, hatch and layer are the profile's. Raises ConfigError where npxpy is missing.

    The mesh is moved so that its lowest plane is z = 0, the substrate.
    """
    try:
        import npxpy
    except ImportError:
        raise ConfigError('export: .nano needs npxpy: pip install "poliqi[print]"') from None
    import pytomlpp
    from npxpy.nodes.node import Node

    library: Any = npxpy
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        path = Path(name) / "tissue.stl"
        path.write_bytes(stl)
        preset = library.Preset(
            name="poliqi",
            valid_objectives=["*"],
            valid_resins=["*"],
            valid_substrates=["*"],
            writing_speed=profile.scanner.speed_mm_s * _UM_S_PER_MM_S,
            writing_power=profile.laser.power_mw,
            slicing_spacing=profile.hatch.layer_um,
            hatching_spacing=profile.hatch.pitch_um,
        )
        lift = [0.0, 0.0, -_lowest_um(stl)]
        mesh = library.Mesh(str(path), name="tissue", translation=lift, enhance_mesh=False)
    project: Any = Node(
        node_type="project", name="Project"
    )  # its own class asks who is logged in, and what time it is
    scene = library.Scene(name="tissue")
    structure = library.Structure(preset=preset, mesh=mesh, name="tissue")
    for at, one in enumerate((preset, mesh, project, scene, structure)):
        one.id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{digest} {at}"))
    structure.preset, structure.mesh = preset, mesh
    scene.add_child(structure)
    project.add_child(scene)
    anything = {"objective": "*", "resin": "*", "substrate": "*"}
    whole = {
        "presets": [preset.to_dict()],
        "resources": [mesh.to_dict()],
        "nodes": [project.to_dict() | anything, scene.to_dict(), structure.to_dict()],
    }
    about = {"author": "poliqi (simulated design)", "objective": "*", "resist": "*", "substrate": "*"}
    parts = {
        "__main__.toml": pytomlpp.dumps(whole).encode(),
        "project_info.json": json.dumps(about | {"creation_date": _NO_DATE}, indent=4).encode(),
        mesh.safe_path: stl,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for part, data in parts.items():
            archive.writestr(zipfile.ZipInfo(part, _EPOCH), data)
    return out.getvalue()
