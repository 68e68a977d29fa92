"""Label volumes with a short header, then voxels, plain or packed: NRRD, MetaImage (.mha) and NIfTI-1 (.nii)."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.domain.labelvolume import Bytes, Voxels, array_of, ensure_bytes, ensure_shape, inflated

__all__ = ["mha_voxels", "nii_voxels", "nrrd_voxels"]

_GZIP: Final = 16 + zlib.MAX_WBITS
_UNITS: Final = {
    "mm": "mm",
    "um": "um",
    "µm": "um",
    "cm": "cm",
    "m": "m",
    "nm": "nm",
    "micron": "um",
    "microns": "um",
}
_NRRD: Final = {
    "int8": "i1", "int8_t": "i1", "signed char": "i1", "uint8": "u1", "uint8_t": "u1", "uchar": "u1",
    "unsigned char": "u1", "short": "i2", "int16": "i2", "int16_t": "i2", "signed short": "i2", "uint16": "u2",
    "uint16_t": "u2", "ushort": "u2", "unsigned short": "u2", "int": "i4", "int32": "i4", "int32_t": "i4",
    "signed int": "i4", "uint": "u4", "uint32": "u4", "uint32_t": "u4", "unsigned int": "u4", "float": "f4",
    "double": "f8",
}  # fmt: skip
_META: Final = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NIFTI: Final = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
_NIFTI_UNITS: Final = {1: "m", 2: "mm", 3: "um"}
_HEADER: Final = 65536
_Triple = tuple[float, float, float]


def _three(numbers: list[float], what: str) -> _Triple:
    if len(numbers) != 3:
        raise DataRefused(f"{what}: {len(numbers)} spacings, not 3; save it again as a volume")
    return numbers[0], numbers[1], numbers[2]


def _directions(text: str, what: str) -> _Triple:
    rows = [[float(n) for n in part.split(",")] for part in text.replace(" ", "").strip("()").split(")(")]
    matrix = np.array(rows)
    if matrix.shape != (3, 3) or bool(np.any(matrix[~np.eye(3, dtype=bool)] != 0)):
        raise DataRefused(f"{what}: its axes are turned ({text[:80]}); resample it to upright axes")
    return _three([abs(float(number)) for number in np.diag(matrix)], what)


def nrrd_voxels(data: bytes, what: str) -> Voxels:
    """A NRRD with its data in the same file, raw or gzip; names of segments as 3D Slicer writes them."""
    end = data[:_HEADER].find(b"\n\n")
    if not data.startswith(b"NRRD000") or end < 0:
        raise DataRefused(f"{what}: not a NRRD file, or its header is cut off")
    facts: dict[str, str] = {}
    for line in data[:end].decode("utf-8", "replace").splitlines()[1:]:
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            facts[key.strip().lower()] = value.removeprefix("=").strip()
    try:
        shape = ensure_shape(tuple(int(number) for number in facts["sizes"].split()), what)
        kind = (">" if facts.get("endian") == "big" else "<") + _NRRD[facts["type"].lower()]
        spacing = None
        if "spacings" in facts:
            spacing = _three([float(number) for number in facts["spacings"].split()], what)
        elif "space directions" in facts:
            spacing = _directions(facts["space directions"], what)
        units = facts.get("space units", "").replace('"', " ").split()
        names = {
            facts[f"segment{k}_name"]: int(facts[f"segment{k}_labelvalue"])
            for k in range(1000)
            if f"segment{k}_name" in facts and f"segment{k}_labelvalue" in facts
        }
        packing = facts.get("encoding", "raw").lower()
    except (KeyError, ValueError) as error:
        raise DataRefused(f"{what}: its header lacks or spoils {str(error)[:60]}; save it again") from None
    if packing not in {"raw", "gzip", "gz"} or "data file" in facts:
        raise DataRefused(
            f"{what}: encoding {packing[:20]!r}, or data in another file; save it raw or gzip, in one"
        )
    size = ensure_bytes(shape, np.dtype(kind).itemsize, what)
    raw: Bytes = (
        memoryview(data)[end + 2 :]
        if packing == "raw"
        else inflated(memoryview(data)[end + 2 :], size, what, _GZIP)
    )
    return Voxels(array_of(raw, kind, shape, what), spacing, _UNITS.get(units[0]) if units else None, names)


def mha_voxels(data: bytes, what: str) -> Voxels:
    """A MetaImage with its data in the same file, raw or packed by zlib. It has no unit."""
    mark = data[:_HEADER].find(b"ElementDataFile")
    end = data[:_HEADER].find(b"\n", mark)
    if mark < 0 or end < 0:
        raise DataRefused(f"{what}: not a MetaImage, or its header is cut off")
    lines = data[:end].decode("utf-8", "replace").splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    try:
        shape = ensure_shape(tuple(int(number) for number in facts["DimSize"].split()), what)
        kind = (">" if facts.get("BinaryDataByteOrderMSB", "False").lower() == "true" else "<") + _META[
            facts["ElementType"]
        ]
        spacing = _three([float(number) for number in facts.get("ElementSpacing", "1 1 1").split()], what)
        turn = [float(number) for number in facts.get("TransformMatrix", "1 0 0 0 1 0 0 0 1").split()]
    except (KeyError, ValueError) as error:
        raise DataRefused(f"{what}: its header lacks or spoils {str(error)[:60]}; save it again") from None
    if turn != [1, 0, 0, 0, 1, 0, 0, 0, 1] or facts.get("ElementDataFile") != "LOCAL":
        raise DataRefused(f"{what}: its axes are turned, or its data in another file; save it upright, in one file")
    size = ensure_bytes(shape, np.dtype(kind).itemsize, what)
    body = memoryview(data)[end + 1 :]
    packed = facts.get("CompressedData", "False").lower() == "true"
    raw: Bytes = inflated(body, size, what) if packed else body
    return Voxels(array_of(raw, kind, shape, what), spacing)


def nii_voxels(data: Bytes, what: str) -> Voxels:
    """A NIfTI-1 file, packed or not: shape, spacing and unit of its header; the affine's turn is not applied."""
    if data[:2] == b"\x1f\x8b":
        engine = zlib.decompressobj(_GZIP)
        try:
            head = engine.decompress(data, 352)
        except zlib.error as error:
            raise DataRefused(f"{what}: it cannot be unpacked ({error}); save it again") from None
        data = inflated(data, _nii_size(head, what), what, _GZIP)
    size = _nii_size(data, what)
    order = "<" if struct.unpack("<i", data[:4])[0] == 348 else ">"
    dims = struct.unpack(f"{order}8h", data[40:56])
    kind = order + _NIFTI[struct.unpack(f"{order}h", data[70:72])[0]]
    x, y, z = (abs(float(number)) for number in struct.unpack(f"{order}3f", data[80:92]))
    start = int(struct.unpack(f"{order}f", data[108:112])[0])
    if len(data) != size:
        raise DataRefused(f"{what}: {len(data)} bytes instead of {size}; it is cut off or damaged")
    values = array_of(memoryview(data)[start:], kind, (dims[1], dims[2], dims[3]), what)
    return Voxels(values, (x, y, z), _NIFTI_UNITS.get(data[123] & 7))


def _nii_size(head: Bytes, what: str) -> int:
    """How long the unpacked file must be, from a header that is worth believing."""
    if len(head) < 352 or head[344:348] != b"n+1\0":
        raise DataRefused(f"{what}: not a NIfTI-1 file in one piece (.nii), or cut off")
    order = "<" if struct.unpack("<i", head[:4])[0] == 348 else ">"
    dims = struct.unpack(f"{order}8h", head[40:56])
    shape = ensure_shape(tuple(dims[1:4]), what)
    kind = _NIFTI.get(struct.unpack(f"{order}h", head[70:72])[0])
    (start,) = struct.unpack(f"{order}f", head[108:112])
    if (
        kind is None
        or dims[0] < 3
        or any(n not in {0, 1} for n in dims[4 : dims[0] + 1])
        or not 352 <= start <= _HEADER
    ):
        raise DataRefused(
            f"{what}: its header ({dims}, data at {start:g}) is not one volume of labels; save it again"
        )
    return int(start) + ensure_bytes(shape, np.dtype(kind).itemsize, what)
