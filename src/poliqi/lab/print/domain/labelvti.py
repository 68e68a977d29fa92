"""VTK's ImageData (.vti): one array of labels, inline or appended, as it is or compressed by zlib."""

from __future__ import annotations

import base64
import math
import re
from typing import Any, Final
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.print.domain.labelvolume import Voxels, array_of, ensure_bytes, ensure_shape, inflated

__all__ = ["vti_voxels"]

_TYPES: Final = {
    "Int8": "i1", "UInt8": "u1", "Int16": "i2", "UInt16": "u2", "Int32": "i4", "UInt32": "u4", "Int64": "i8",
    "UInt64": "u8", "Float32": "f4", "Float64": "f8",
}  # fmt: skip
_APPENDED: Final = re.compile(rb"<AppendedData[^>]{0,200}encoding=\"(raw|base64)\"[^>]{0,200}>\s*_")
_MOST_BLOCKS: Final = 1_000_000
_MOST_ELEMENTS: Final = 100_000
_MOST_WRITTEN: Final = 16_000_000


def vti_voxels(data: bytes, what: str) -> Voxels:
    """Labels of the first array of the points, or of the cells. Raises DataRefused for anything else."""
    appended = _APPENDED.search(data)
    head = data[: appended.start()] + b"</VTKFile>" if appended else data
    root = _tree(head, what)
    image = root.find("ImageData")
    pieces = [] if image is None else image.findall("Piece")
    if image is None or len(pieces) != 1:
        raise DataRefused(f"{what}: {len(pieces)} pieces of ImageData; one can be read")
    try:
        return _piece(root, image, pieces[0], data[appended.end() :] if appended else b"", appended, what)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise DataRefused(f"{what}: it cannot be read ({str(error)[:80]}); save it again") from None


def _tree(head: bytes, what: str) -> ElementTree.Element:
    """The elements. A document type, which could declare entities, is refused where it begins, in any encoding."""
    builder, left = ElementTree.TreeBuilder(), _MOST_ELEMENTS

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise DataRefused(f"{what}: more than {_MOST_ELEMENTS} XML elements; save it again as one volume")
        builder.start(tag, attributes)

    def refuse(*_declared: object) -> None:
        raise DataRefused(f"{what}: it declares XML entities; save it again")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(head, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DataRefused(f"{what}: not a .vti file, or cut off ({error}); save it again") from None
    return builder.close()


def _piece(
    root: ElementTree.Element, image: ElementTree.Element, piece: ElementTree.Element, rest: bytes,
    appended: re.Match[bytes] | None, what: str,
) -> Voxels:  # fmt: skip
    extent = [int(number) for number in piece.attrib["Extent"].split()]
    x, y, z = (float(number) for number in image.attrib.get("Spacing", "1 1 1").split())
    turn = [float(number) for number in image.attrib.get("Direction", "1 0 0 0 1 0 0 0 1").split()]
    if turn != [1, 0, 0, 0, 1, 0, 0, 0, 1]:
        raise DataRefused(f"{what}: its axes are turned ({turn}); resample it to upright axes")
    points, cells = piece.find("PointData/DataArray"), piece.find("CellData/DataArray")
    found = points if points is not None else cells
    if found is None or int(found.attrib.get("NumberOfComponents", "1")) != 1:
        raise DataRefused(f"{what}: no array of one number a voxel; save the labels with it")
    more = 1 if points is not None else 0
    shape = ensure_shape(tuple(extent[2 * k + 1] - extent[2 * k] + more for k in range(3)), what)
    order = ">" if root.attrib.get("byte_order") == "BigEndian" else "<"
    kind = order + _TYPES[found.attrib["type"]]
    size = ensure_bytes(shape, np.dtype(kind).itemsize, what)
    form = found.attrib.get("format", "ascii")
    if form == "ascii":
        count = math.prod(shape)
        if count > _MOST_WRITTEN:
            raise DataRefused(
                f"{what}: {count} voxels; at most {_MOST_WRITTEN} voxels can be read as text: save it as binary"
            )
        words = (found.text or "").split(None, count)
        numbers: NDArray[Any] = np.array([int(word) for word in words], dtype=np.int64)
        return Voxels(array_of(numbers.astype("<i8").tobytes(), "<i8", shape, what), (x, y, z))
    header = order + {"UInt32": "u4", "UInt64": "u8"}[root.attrib.get("header_type", "UInt32")]
    packing = root.attrib.get("compressor", "")
    if packing not in {"", "vtkZLibDataCompressor"}:
        raise DataRefused(f"{what}: it is packed by {packing[:40]}; save it with zlib or without packing")
    plain = form == "appended" and appended is not None and appended[1] == b"raw"
    if form == "appended":
        source = rest[int(found.attrib["offset"]) :]
    else:
        source = "".join((found.text or "").split()).encode("ascii")
    raw = _unpacked(source, plain, np.dtype(header), bool(packing), size, what)
    return Voxels(array_of(raw, kind, shape, what), (x, y, z))


def _take(source: bytes, plain: bool, start: int, size: int) -> tuple[bytes, int]:
    """`size` bytes of a stretch that begins at `start`, and where the next stretch begins."""
    if plain:
        return source[start : start + size], start + size
    wide = -(-size // 3) * 4
    return base64.b64decode(source[start : start + wide], validate=True)[:size], start + wide


def _unpacked(source: bytes, plain: bool, header: np.dtype[Any], packed: bool, size: int, what: str) -> bytes:
    wide = header.itemsize
    if not packed:
        stretch, _ = _take(source, plain, 0, wide + size)
        if int(np.frombuffer(stretch[:wide], header)[0]) != size:
            raise DataRefused(f"{what}: its array is not {size} bytes; it is cut off or damaged")
        return stretch[wide:]
    head, _ = _take(source, plain, 0, 3 * wide)
    blocks, block, last = (int(number) for number in np.frombuffer(head, header))
    if not 0 < blocks <= _MOST_BLOCKS or (blocks - 1) * block + (last or block) != size:
        raise DataRefused(
            f"{what}: {blocks} blocks of {block} bytes are not the {size} of its shape; save it again"
        )
    head, start = _take(source, plain, 0, (3 + blocks) * wide)
    sizes = np.frombuffer(head, header)[3:].astype(np.int64)
    if sizes.size != blocks or sizes.min() < 0 or int(sizes.max()) > len(source) or int(sizes.sum()) > len(source):
        raise DataRefused(f"{what}: its blocks are longer than the file; it is cut off")
    body, _ = _take(source, plain, start, int(sizes.sum()))
    ends = np.cumsum(sizes)
    parts: list[bytearray] = []
    for k in range(blocks):
        long = (last or block) if k == blocks - 1 else block
        parts.append(inflated(body[int(ends[k] - sizes[k]) : int(ends[k])], long, what))
    return b"".join(parts)
