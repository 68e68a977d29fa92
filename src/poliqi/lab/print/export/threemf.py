"""3MF by the consortium's own library: meshes of tissue and lumen, or the vessels as a beam lattice.

A beam is a segment with a radius at each end and a ball at each point: exactly the capsules of a network, in a
thousandth of a mesh's bytes. Unit: micrometre. Files hold no time, and their identifiers follow from the design.
"""

from __future__ import annotations

import ctypes
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.localekept import locale_kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.export.solids import Solid
    from poliqi.lab.print.network import Network

__all__ = ["BEAM_BYTES", "MESH_BYTES", "beams_bytes", "meshes_bytes"]

MESH_BYTES: Final = 25
"""Of a triangle in the file, about."""
BEAM_BYTES: Final = 40
_LEAST_LENGTH_UM: Final = 1e-4
_DIGITS: Final = 9


@locale_kept()
def meshes_bytes(solids: Mapping[str, Solid], told: Mapping[str, str]) -> bytes:
    """An object for each solid, named; `told` is metadata with names that 3MF knows (Title, Description,
    Application). Raises ConfigError without lib3mf, DataRefused."""
    library, wrapper, model = _model(told)
    for name, solid in solids.items():
        body = _object(model, name, told)
        body.SetGeometry(
            _filled(library.Position, solid.vertices_um, ctypes.c_float),
            _filled(library.Triangle, solid.triangles, ctypes.c_uint32),
        )
        if not body.IsManifoldAndOriented():
            raise DataRefused(f"export: the {name} is no closed solid for 3MF; give another --tolerance-um")
        _build(wrapper, model, body, name, told)
    return _written(model)


@locale_kept()
def beams_bytes(network: Network, told: Mapping[str, str]) -> bytes:
    """The vessels as beams: radii at both ends, round caps, a ball of the thickest vessel at every point."""
    library, wrapper, model = _model(told)
    body = _object(model, "lumen", told)
    nothing = _filled(library.Triangle, np.empty((0, 3)), ctypes.c_uint32)
    body.SetGeometry(_filled(library.Position, network.points_um, ctypes.c_float), nothing)
    lattice = body.BeamLattice()
    lattice.SetMinLength(_LEAST_LENGTH_UM)
    ball = float(network.radius_um.max())
    lattice.SetBallOptions(library.BeamLatticeBallMode.All, ball)
    lattice.SetBeams(_beams(library, network))
    lattice.SetBalls(_balls(library, network))
    _build(wrapper, model, body, "lumen", told)
    return _written(model)


def _beams(library: Any, network: Network) -> Any:
    kind = np.dtype([("ends", "<u4", (2,)), ("radii", "<f8", (2,)), ("caps", "<i4", (2,))])
    beams = np.zeros(len(network.segments), dtype=kind)
    beams["ends"] = network.segments
    beams["radii"] = network.radius_um[:, None]
    beams["caps"] = int(library.BeamLatticeCapMode.Sphere)
    return _structures(library.Beam, beams)


def _balls(library: Any, network: Network) -> Any:
    kind = np.dtype([("point", "<u4"), ("radius", "<f8")])
    balls = np.zeros(len(network.points_um), dtype=kind)
    balls["point"] = np.arange(len(balls))
    radius = np.zeros(len(balls))
    np.maximum.at(radius, network.segments.ravel(), np.repeat(network.radius_um, 2))
    balls["radius"] = radius
    return _structures(library.Ball, balls)


def _structures(structure: Any, values: NDArray[Any]) -> Any:
    """An array of the library's structures, filled from an array with the same fields."""
    if ctypes.sizeof(structure) != values.dtype.itemsize:
        raise ConfigError(f"export: this lib3mf lays {structure.__name__} out in another way; install version 2.5")
    return (structure * len(values)).from_buffer_copy(values.tobytes())


def _filled(structure: Any, values: NDArray[Any], number: Any) -> Any:
    """An array of the library's structures of three numbers."""
    wanted = np.ascontiguousarray(values, dtype=np.dtype(number))
    if ctypes.sizeof(structure) != 3 * ctypes.sizeof(number):
        raise ConfigError(f"export: this lib3mf lays {structure.__name__} out in another way; install version 2.5")
    return (structure * len(wanted)).from_buffer_copy(wanted.tobytes())


def _model(told: Mapping[str, str]) -> tuple[Any, Any, Any]:
    """The library, its wrapper, and an empty model in micrometres with metadata."""
    try:
        import lib3mf
    except ImportError:
        raise ConfigError('export: .3mf needs lib3mf: pip install "poliqi[print]"') from None
    library: Any = lib3mf
    wrapper = library.get_wrapper()
    model = wrapper.CreateModel()
    model.SetUnit(library.ModelUnit.MicroMeter)
    model.SetBuildUUID(_uuid(told, "build"))
    group = model.GetMetaDataGroup()
    for name, value in told.items():
        group.AddMetaData("", name, value, "xs:string", True)
    return library, wrapper, model


def _uuid(told: Mapping[str, str], name: str) -> str:
    """The same for the same design; the library would draw one."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join((*told.values(), name))))


def _object(model: Any, name: str, told: Mapping[str, str]) -> Any:
    body = model.AddMeshObject()
    body.SetName(name)
    body.SetUUID(_uuid(told, name))
    return body


def _build(wrapper: Any, model: Any, body: Any, name: str, told: Mapping[str, str]) -> None:
    model.AddBuildItem(body, wrapper.GetIdentityTransform()).SetUUID(_uuid(told, f"{name} item"))


def _written(model: Any) -> bytes:
    """The archive. The library tells no time in it, so that the same design gives the same bytes."""
    writer = model.QueryWriter("3mf")
    writer.SetDecimalPrecision(_DIGITS)
    with tempfile.TemporaryDirectory() as folder:  # its buffers are lists of numbers, many times as large
        path = Path(folder) / "design.3mf"
        writer.WriteToFile(str(path))
        return path.read_bytes()
