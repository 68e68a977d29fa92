"""Meshes as files: binary STL, and glTF in one file (.glb). Both are the same bytes for the same mesh."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from poliqi.lab.print.export.solids import Solid

__all__ = ["STL_BYTES_PER_TRIANGLE", "glb_bytes", "write_stl"]

STL_BYTES_PER_TRIANGLE: Final = 50
_HEAD: Final = 80
_AT_ONCE: Final = 200_000
_TRIANGLE: Final = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_COLOURS: Final = {"tissue": (214, 178, 150, 90), "lumen": (176, 32, 40, 255)}
_METRES_PER_UM: Final = 1e-6


def write_stl(file: BinaryIO, solid: Solid, title: str) -> None:
    """Binary STL in micrometres, a part at a time; `title` (ASCII) stands in its head of 80 bytes.

    The format has no unit: the title says it.
    """
    head = f"{title}, unit um".encode("ascii", "replace")[:_HEAD]
    file.write(head.ljust(_HEAD, b" "))
    file.write(np.uint32(len(solid.triangles)).astype("<u4").tobytes())
    for begin in range(0, len(solid.triangles), _AT_ONCE):
        corners = solid.vertices_um[solid.triangles[begin : begin + _AT_ONCE]].astype(np.float64)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        size = np.linalg.norm(normal, axis=1)
        part = np.zeros(len(corners), dtype=_TRIANGLE)
        part["normal"] = normal / np.where(size > 0.0, size, 1.0)[:, None]
        part["corners"] = corners
        file.write(part.tobytes())


def glb_bytes(solids: Mapping[str, Solid], extras: Mapping[str, str]) -> bytes:
    """glTF 2.0 in one file, a node for each solid; metres with y up, as the format asks. ConfigError: no
    trimesh.
    """
    try:
        import trimesh
    except ImportError:
        raise ConfigError('export: .glb needs trimesh: pip install "poliqi[print]"') from None
    library: Any = trimesh  # its annotations are partial
    scene = library.Scene(metadata=dict(extras))
    for name, solid in solids.items():
        x, y, z = solid.vertices_um.astype(np.float64).T * _METRES_PER_UM
        mesh = library.Trimesh(np.stack([x, z, -y], axis=1), solid.triangles, process=False)
        look = library.visual.material.PBRMaterial(
            name=name,
            baseColorFactor=_COLOURS[name],
            metallicFactor=0.0,
            roughnessFactor=0.6,
            alphaMode="OPAQUE" if _COLOURS[name][3] == 255 else "BLEND",
            doubleSided=False,
        )
        mesh.visual = library.visual.TextureVisuals(material=look)
        scene.add_geometry(mesh, geom_name=name, node_name=name)
    out = io.BytesIO()
    scene.export(file_obj=out, file_type="glb")
    return out.getvalue()
