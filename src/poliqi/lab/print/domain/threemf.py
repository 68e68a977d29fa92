"""3MF: meshes placed by a build, with a unit. Read by lib3mf, after the container's sizes have been checked."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.meshform import MOST_TRIANGLES
from poliqi.lab.print.localekept import locale_kept

__all__ = ["MOST_UNPACKED", "threemf_mesh"]

MOST_UNPACKED: Final = 400_000_000
_MOST_ENTRIES: Final = 200
_DEEPEST: Final = 8
_UNITS: Final = {
    "MicroMeter": "um", "MilliMeter": "mm", "CentiMeter": "cm", "Meter": "m", "Inch": "in", "Foot": "ft",
}  # fmt: skip

Mesh = tuple[NDArray[np.float64], NDArray[np.int64]]


@locale_kept()
def threemf_mesh(data: bytes, what: str) -> tuple[NDArray[np.float64], NDArray[np.int64], str]:
    """Corners (n, 3), triangles (m, 3) and the unit of everything that is built. Raises DataRefused."""
    _ensure_container(data, what)
    library = _library()
    try:
        model = library.get_wrapper().CreateModel()
        reader = model.QueryReader("3mf")
        reader.SetStrictModeActive(False)
        reader.ReadFromBuffer(data)
        _ensure_valid(reader, what)
        unit = _UNITS[model.GetUnit().name]
        return (*_built(model, what), unit)
    except (library.ELib3MFException, KeyError, ValueError, UnicodeError) as error:
        raise DataRefused(f"{what}: lib3mf cannot read it ({str(error)[:120]}); export it again") from None


def _ensure_valid(reader: Any, what: str) -> None:
    """Refuse what lib3mf replaces by a default with a mere warning, as it does a unit that it does not know."""
    for number in range(int(reader.GetWarningCount())):
        words = str(reader.GetWarning(number)[1])
        if "nvalid" in words:
            raise DataRefused(f"{what}: lib3mf says {words[:80]!r}; export it again")


def _library() -> Any:
    try:
        import lib3mf
    except ImportError as error:
        raise ConfigError(f'lib3mf cannot be imported ({error}); run: pip install "poliqi[print]"') from error
    return lib3mf


def _ensure_container(data: bytes, what: str) -> None:
    """Unpack every entry once, within limits: sizes that are declared are not believed."""
    left = MOST_UNPACKED
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_ENTRIES or sum(entry.file_size for entry in entries) > left:
                raise DataRefused(
                    f"{what}: {len(entries)} entries, or more than {left} bytes unpacked; simplify it"
                )
            for entry in entries:
                with archive.open(entry) as file:
                    content = file.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise DataRefused(f"{what}: more than {MOST_UNPACKED} bytes unpacked; simplify it")
                if b"<!" in content.replace(b"\0", b"").replace(b"<!--", b"") and b"<" in content[:8]:
                    raise DataRefused(f"{what}: {entry.filename[:60]!r} declares XML entities; export it again")
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        RuntimeError,
        NotImplementedError,
        ValueError,
        EOFError,
    ) as error:
        raise DataRefused(f"{what}: not a 3MF container, or damaged ({str(error)[:80]}); export it again") from None


def _built(model: Any, what: str) -> Mesh:
    points: list[NDArray[np.float64]] = []
    triangles: list[NDArray[np.int64]] = []
    budget = [MOST_TRIANGLES, _MOST_ENTRIES, 3 * MOST_TRIANGLES]
    known: dict[int, Mesh] = {}

    def take(thing: Any, turn: NDArray[np.float64], depth: int) -> None:
        budget[1] -= 1
        if depth > _DEEPEST or budget[1] < 0:
            raise DataRefused(f"{what}: its parts are nested too deep, or more than {_MOST_ENTRIES}; flatten it")
        if thing.IsComponentsObject():
            for k in range(thing.GetComponentCount()):
                component = thing.GetComponent(k)
                take(component.GetObjectResource(), _matrix(component.GetTransform()) @ turn, depth + 1)
            return
        count = int(thing.GetTriangleCount())
        budget[0] -= count
        if budget[0] < 0:
            raise DataRefused(f"{what}: more than {MOST_TRIANGLES} triangles; decimate the mesh")
        if count == 0:
            return
        budget[2] -= int(thing.GetVertexCount())
        if budget[2] < 0:
            raise DataRefused(f"{what}: more than {3 * MOST_TRIANGLES} corners; decimate the mesh")
        number = int(thing.GetUniqueResourceID())
        if number not in known:
            known[number] = (
                np.array([list(vertex.Coordinates) for vertex in thing.GetVertices()], dtype=np.float64),
                np.array([list(face.Indices) for face in thing.GetTriangleIndices()], dtype=np.int64),
            )
        corners, faces = known[number]
        placed = np.concatenate([corners, np.ones((len(corners), 1))], axis=1) @ turn
        if np.linalg.det(turn[:3, :3]) < 0:
            faces = faces[:, ::-1]
        triangles.append(faces + sum(map(len, points)))
        points.append(placed[:, :3])

    items = model.GetBuildItems()
    while items.MoveNext():
        item = items.GetCurrent()
        turn = _matrix(item.GetObjectTransform()) if item.HasObjectTransform() else np.eye(4)
        take(item.GetObjectResource(), turn, 0)
    if not points:
        raise DataRefused(
            f"{what}: nothing with triangles is built; put the object on the build plate and export again"
        )
    return np.concatenate(points), np.concatenate(triangles)


def _matrix(transform: Any) -> NDArray[np.float64]:
    """Rows of 3MF's 4 x 3 transform, for points as rows."""
    rows = np.array([[transform.Fields[i][j] for j in range(3)] for i in range(4)])
    return np.concatenate([rows, [[0.0], [0.0], [0.0], [1.0]]], axis=1)
