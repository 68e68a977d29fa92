"""The layout of a print job in a file, and what writer and reader hold it to; docs/spec/print-job.md."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import msgspec
import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.hatch.kernels import measure_kernel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "END",
    "END_BYTES",
    "END_MARK",
    "FORMAT",
    "HEAD",
    "HEAD_BYTES",
    "MAGIC",
    "MOST_JSON",
    "MOST_VECTORS",
    "PREFIX",
    "RECORD_MARK",
    "Header",
    "Record",
    "Sequence",
    "Totals",
    "check_header",
    "check_record",
    "most_of",
]

FORMAT: Final = "poliqi-print-job-1"
MAGIC: Final = b"\x89POLIQJ\n"
PREFIX: Final = struct.Struct("<8sII")
HEAD: Final = struct.Struct("<4sIIIIiiiddQI")
"""Without its own checksum, which follows."""
END: Final = struct.Struct("<4sIQQQ")
"""Without the BLAKE3, which follows."""
HEAD_BYTES: Final = 64
END_BYTES: Final = 64
RECORD_MARK: Final = b"VECT"
END_MARK: Final = b"JEND"
MOST_JSON: Final = 1 << 20
MOST_VECTORS: Final = 1 << 20
_MOST_PARTS: Final = 1 << 24
_LIMIT: Final = 1 << 31
_MODES: Final = ("solid", "wall", "lumen", "shell")
_HEX: Final = frozenset("0123456789abcdef")
_LONGEST_UM: Final = 1e6
_ROUNDING: Final = 1e-9
_LARGEST: Final = 1e12
"""Of powers, speeds and what a profile limits, in their units: no machine comes near."""

Place = tuple[int, int, int]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON at the beginning; the specification says what each member is."""

    format: str
    program: str
    simulated: bool
    mode: str
    bounds_nm: tuple[Place, Place]
    field_nm: tuple[int, int]
    blocks: int
    tiles: int
    layers: int
    order: str
    direction: str
    z0_um: float
    layer_um: float
    hatch_um: float
    settings: dict[str, Any]
    profile: dict[str, Any]
    vessels_blake3: str


@dataclass(frozen=True, slots=True)
class Record:
    """Vectors, int32 (n, 4): x0, y0, x1, y1 in nm, of one block, tile, layer, power and speed."""

    block: int
    tile: int
    layer: int
    z_nm: int
    centre_nm: tuple[int, int]
    power_mw: float
    speed_mm_s: float
    vectors: NDArray[np.int32]


class Totals(NamedTuple):
    """What the end of a file says of all records."""

    records: int
    vectors: int
    length_nm: int


def check_header(header: Header) -> None:
    """Raises DataRefused for a header that the specification does not allow."""
    if header.format != FORMAT:
        raise DataRefused(f"print job: format {header.format[:40]!a} is not known; it is {FORMAT!r}")
    for name, known in (("mode", _MODES), ("order", ("tile", "layer")), ("direction", ("up", "down"))):
        if getattr(header, name) not in known:
            raise DataRefused(f"print job: {name} {getattr(header, name)[:40]!a} is none of {', '.join(known)}")
    low, high = header.bounds_nm
    if not all(-_LIMIT <= a <= b < _LIMIT for a, b in zip(low, high, strict=True)):
        raise DataRefused(f"print job: bounds_nm {header.bounds_nm} do not ascend within 32 bits")
    if not all(1 <= side < _LIMIT for side in header.field_nm):
        raise DataRefused(f"print job: field_nm {header.field_nm}; from 1 to {_LIMIT - 1} is possible")
    for name in ("blocks", "tiles", "layers"):
        if not 1 <= getattr(header, name) <= _MOST_PARTS:
            raise DataRefused(f"print job: {name} {getattr(header, name)}; from 1 to {_MOST_PARTS} are possible")
    for name in ("layer_um", "hatch_um"):
        if not 0 < getattr(header, name) <= _LONGEST_UM:
            raise DataRefused(f"print job: {name} {getattr(header, name)}; above 0 to {_LONGEST_UM:g} is possible")
    if not math.isfinite(header.z0_um):
        raise DataRefused("print job: z0_um is not finite")
    digest = header.vessels_blake3
    if digest and not (len(digest) == 64 and set(digest) <= _HEX):
        raise DataRefused(f"print job: vessels_blake3 {digest[:70]!a} is not 64 hexadecimal digits in lower case")


class Sequence:
    """The order of records: `follow` refuses one that comes too early or too late."""

    def __init__(self, header: Header) -> None:
        self._is_by_tile: Final = header.order == "tile"
        self._sign: Final = 1 if header.direction == "up" else -1
        self._last = (-1, 0, 0)

    def follow(self, record: Record) -> None:
        """Raises DataRefused for a record out of order."""
        layer = self._sign * record.layer
        inner = (record.tile, layer) if self._is_by_tile else (layer, record.tile)
        if (record.block, *inner) < self._last:
            raise DataRefused(
                f"print job: block {record.block}, tile {record.tile}, layer {record.layer} is out of order; the "
                "header says in which order records follow"
            )
        self._last = (record.block, *inner)


def most_of(profile: Mapping[str, Any], group: str, name: str) -> float | None:
    """The largest value that a job's profile tells; None where it tells none. Raises DataRefused for no number."""
    table = profile.get(group)
    most = cast("dict[str, Any]", table).get(name) if isinstance(table, dict) else None
    if most is None:
        return None
    if isinstance(most, bool) or not isinstance(most, int | float) or not 0 < most <= _LARGEST:
        raise DataRefused(f"print job: its profile's {group}.{name} is {most!a:.40}; give a number above 0")
    return float(most)


def check_record(header: Header, record: Record) -> int:
    """Length of its vectors in nm. Raises DataRefused for what does not fit the header, or may not be at all."""
    where = f"print job: block {record.block}, tile {record.tile}, layer {record.layer}"
    if not (0 <= record.block < header.blocks and 0 <= record.tile < header.tiles):
        raise DataRefused(f"{where}: the header has {header.blocks} blocks and {header.tiles} tiles")
    if not 0 <= record.layer < header.layers:
        raise DataRefused(f"{where}: the header has {header.layers} layers")
    plane = 1000.0 * (header.z0_um + (record.layer + 0.5) * header.layer_um)
    if not abs(record.z_nm - plane) <= 1.0:
        raise DataRefused(f"{where}: z {record.z_nm} nm; the header puts the layer at {plane:.0f} nm")
    for name, value in (("power_mw", record.power_mw), ("speed_mm_s", record.speed_mm_s)):
        if not 0.0 < value <= _LARGEST:
            raise DataRefused(f"{where}: {name} {value:g}; above 0 to {_LARGEST:g} is possible")
    for group, name, value in (
        ("laser", "max_power_mw", record.power_mw),
        ("scanner", "max_speed_mm_s", record.speed_mm_s),
    ):
        most = most_of(header.profile, group, name)
        if most is not None and value > most * (1.0 + _ROUNDING):
            raise DataRefused(
                f"{where}: {value:g} is above the profile's {group}.{name} of {most:g}; slice with less"
            )
    if not 1 <= len(record.vectors) <= MOST_VECTORS:
        raise DataRefused(f"{where}: {len(record.vectors)} vectors; a record has 1 to {MOST_VECTORS}")
    return _check_vectors(header, record, where)


def _check_vectors(header: Header, record: Record, where: str) -> int:
    found = np.zeros(5, dtype=np.int64)
    wrong = measure_kernel(record.vectors, found)
    if wrong >= 0:
        raise DataRefused(f"{where}: vector {wrong} {record.vectors[wrong].tolist()} is oblique or of no length")
    low_x, low_y, high_x, high_y, length = found.tolist()
    low, high = (low_x, low_y), (high_x, high_y)
    least, most = header.bounds_nm
    places = zip((*low, record.z_nm), (*high, record.z_nm), least, most, strict=True)
    if not all(a <= one and two <= b for one, two, a, b in places):
        raise DataRefused(f"{where}: vectors from {low} to {high} nm lie beyond the bounds {least} to {most}")
    for axis in (0, 1):
        reach = max(high[axis] - record.centre_nm[axis], record.centre_nm[axis] - low[axis])
        if reach > -(-header.field_nm[axis] // 2):
            raise DataRefused(
                f"{where}: a vector lies {reach} nm from the middle of a field of {header.field_nm[axis]} nm"
            )
    return length
