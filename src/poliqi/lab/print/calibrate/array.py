"""An array of lone lines, power by speed, hung between rails so that their height can be seen too.

Each cell has lines of one power and one speed along x. Rails are printed with the profile's own power, speed, hatch
and layer; a material that light degrades needs none. A block in the corner of the first cell tells where the array
begins. Layers are those of a print job: even ones run along x, odd ones along y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.lab.print.calibrate.sheet import Row
from poliqi.lab.print.hatch.jobformat import FORMAT, Header, Record
from poliqi.lab.print.hatch.jobwriter import JobWriter
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.profile import Profile

__all__ = ["MOST_CELLS", "Array", "array_of", "values_of", "write_array"]

MOST_CELLS: Final = 400
_RAIL_UM: Final = 3.0
_APART: Final = 12.0
"""Distance of lines in 1/e radii: one has less than 1e-60 of the dose of the next."""
_HIGH: Final = 6.0
"""Height of a line above the substrate in 1/e half lengths."""


@dataclass(frozen=True, slots=True)
class Array:
    """Where everything is, um. `rows` of the sheet tell the lines' middles, in the order of printing."""

    powers_mw: tuple[float, ...]
    speeds_mm_s: tuple[float, ...]
    lines: int
    length_um: float
    spacing_um: float
    cell_um: tuple[float, float]
    size_um: tuple[float, float]
    line_layer: int
    layers: int
    rows: tuple[Row, ...]


def values_of(text: str, option: str) -> tuple[float, ...]:
    """LOW:HIGH:COUNT or a list with commas, ascending and above 0. Raises ConfigError."""
    try:
        if ":" in text:
            low, high, count = text.split(":")
            if not 1 <= int(count) <= MOST_CELLS:
                raise ValueError
            values = np.linspace(float(low), float(high), int(count)).tolist()
        else:
            values = [float(one) for one in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"{option} {text!a:.60}: give LOW:HIGH:COUNT (up to {MOST_CELLS}) or values with commas, such as 5:30:6"
        ) from None
    ascending = all(a < b for a, b in pairwise(values))
    if not all(0 < one < math.inf for one in values) or not ascending:
        raise ConfigError(f"{option} {text!a:.60}: values are above 0 and ascend")
    return tuple(values)


def array_of(
    profile: Profile,
    powers_mw: Sequence[float],
    speeds_mm_s: Sequence[float],
    *,
    lines: int = 3,
    length_um: float = 20.0,
) -> Array:
    """Lay the array out. Raises ConfigError where power, speed or size are beyond the profile's machine."""
    for name, values, most in (
        ("power", powers_mw, profile.laser.max_power_mw),
        ("speed", speeds_mm_s, profile.scanner.max_speed_mm_s),
    ):
        if max(values) > most:
            raise ConfigError(f"--{name} {max(values):g}: at most {most:g}, the profile's largest")
    if len(powers_mw) * len(speeds_mm_s) > MOST_CELLS or not 1 <= lines <= 20:
        raise ConfigError(f"array: at most {MOST_CELLS} cells of power x speed, of 1 to 20 lines each")
    if not 10 * profile.w_xy_um <= length_um <= 1000:
        raise ConfigError(f"--length {length_um:g}: from {10 * profile.w_xy_um:.3g} (ten radii) to 1000 um")
    spacing = max(_APART * profile.w_xy_um, 3.0)
    wide = length_um + 2 * _RAIL_UM + 4.0
    deep = lines * spacing + 4.0
    size = (len(speeds_mm_s) * wide + _RAIL_UM, len(powers_mw) * deep + _RAIL_UM)
    side = profile.objective.side_um
    if max(size) > side:
        raise ConfigError(
            f"array: {size[0]:.0f} x {size[1]:.0f} um is more than the field of {side:.0f} um; give fewer powers, "
            "speeds or lines, or a shorter --length"
        )
    layer = profile.hatch.layer_um
    line_layer = 2 * math.ceil(_HIGH * profile.w_z_um / layer / 2)
    layers = line_layer + 1 + math.ceil(profile.w_z_um / layer)
    height = layers * layer
    if height > profile.objective.working_distance_um:
        raise ConfigError(f"array: {height:.0f} um high, above the working distance; use thinner layers")
    rows = tuple(
        Row(
            f"{_letters(at)}{column + 1}.{line + 1}",
            power,
            speed,
            x_um=_RAIL_UM + column * wide + _RAIL_UM + length_um / 2,
            y_um=_RAIL_UM + at * deep + (line + 0.5) * spacing,
            z_um=(line_layer + 0.5) * layer,
        )
        for at, power in enumerate(powers_mw)
        for column, speed in enumerate(speeds_mm_s)
        for line in range(lines)
    )
    return Array(
        tuple(powers_mw),
        tuple(speeds_mm_s),
        lines,
        length_um,
        spacing,
        (wide, deep),
        size,
        line_layer,
        layers,
        rows,
    )


def _letters(at: int) -> str:
    """A to Z, then AA, AB and so on: digits would run into those of the column."""
    return (_letters(at // 26 - 1) if at >= 26 else "") + chr(65 + at % 26)


def write_array(array: Array, profile: Profile, file: BinaryIO) -> str:
    """The array as a print job; returns its BLAKE3. Raises DataRefused."""
    layer, is_solid = profile.hatch.layer_um, profile.material.action is Action.SOLIDIFY
    size_nm = (math.ceil(1000 * array.size_um[0]), math.ceil(1000 * array.size_um[1]))
    header = Header(
        FORMAT,
        "poliqi lab print calibrate array",
        True,
        "solid" if is_solid else "lumen",
        ((0, 0, 0), (*size_nm, math.ceil(1000 * array.layers * layer))),
        size_nm,
        1,
        1,
        array.layers,
        "tile",
        "up",
        0.0,
        layer,
        profile.hatch.pitch_um,
        {"powers_mw": list(array.powers_mw), "speeds_mm_s": list(array.speeds_mm_s), "lines": array.lines},
        profile.record,
        "",
    )
    writer = JobWriter(file, header)
    centre = (size_nm[0] // 2, size_nm[1] // 2)
    for k in range(array.layers):
        z_nm = round(1000 * (k + 0.5) * layer)

        def record(vectors: NDArray[np.int32], power: float, speed: float, k: int = k, z_nm: int = z_nm) -> Record:
            return Record(0, 0, k, z_nm, centre, power, speed, vectors)

        blocks = _blocks(array) if is_solid else _blocks(array)[:1]
        vectors = _hatched(blocks, profile.hatch.pitch_um, k % 2)
        writer.add(record(vectors, profile.laser.power_mw, profile.scanner.speed_mm_s))
        if k == array.line_layer:
            for row in array.rows:
                writer.add(record(_line(array, row), row.power_mw, row.speed_mm_s))
    return writer.finish()


def _blocks(array: Array) -> list[tuple[float, float, float, float]]:
    """Boxes that are printed solid, (x0, y0, x1, y1): the mark, then the rails of each cell."""
    blocks = [(0.0, 0.0, 2 * _RAIL_UM / 3, 2 * _RAIL_UM / 3)]
    wide, deep = array.cell_um
    for row in range(len(array.powers_mw)):
        for column in range(len(array.speeds_mm_s)):
            x, y = _RAIL_UM + column * wide, _RAIL_UM + row * deep
            high = y + array.lines * array.spacing_um
            far = x + _RAIL_UM + array.length_um
            blocks += [(x, y, x + _RAIL_UM, high), (far, y, far + _RAIL_UM, high)]
    return blocks


def _hatched(blocks: list[tuple[float, float, float, float]], pitch_um: float, axis: int) -> NDArray[np.int32]:
    found: list[NDArray[np.int32]] = []
    for x0, y0, x1, y1 in blocks:
        (low, high), (start, stop) = ((y0, y1), (x0, x1)) if axis == 0 else ((x0, x1), (y0, y1))
        across = np.arange(low + pitch_um / 2, high, pitch_um)
        vectors = np.empty((len(across), 4), dtype=np.int32)
        vectors[:, axis], vectors[:, 2 + axis] = round(1000 * start), round(1000 * stop)
        vectors[:, 1 - axis] = vectors[:, 3 - axis] = np.rint(1000 * across)
        found.append(vectors)
    return np.concatenate(found)


def _line(array: Array, row: Row) -> NDArray[np.int32]:
    """One lone line, half a rail into the rail at either end."""
    x, y = row.x_um or 0.0, row.y_um or 0.0
    half = array.length_um / 2 + _RAIL_UM / 2
    return np.array(
        [[round(1000 * (x - half)), round(1000 * y), round(1000 * (x + half)), round(1000 * y)]], np.int32
    )
