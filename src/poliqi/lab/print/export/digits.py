"""Numbers as text, millions at a time: `line_of` says what the kernel writes for one vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.jit import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST_BYTES", "line_of", "lines_of"]

MOST_BYTES: Final = 86
"""Of one vector: six numbers of up to 12 characters, six separators, Write and a line's end."""
_TAB: Final = 9
_NEWLINE: Final = 10
_WRITE: Final = np.frombuffer(b"Write\n", dtype=np.uint8)


@inlined
def _put(text: NDArray[np.uint8], at: int, value: int, behind: int) -> int:
    """A number of nanometres in micrometres with three decimals, and a character behind it."""
    if value < 0:
        text[at] = 45
        at += 1
        value = -value
    whole = value // 1000
    digits = 1
    top = 10
    while whole >= top:
        top *= 10
        digits += 1
    rest = whole
    for k in range(digits - 1, -1, -1):
        text[at + k] = 48 + rest % 10
        rest //= 10
    at += digits
    part = value - whole * 1000
    text[at] = 46
    text[at + 1] = 48 + part // 100
    text[at + 2] = 48 + part // 10 % 10
    text[at + 3] = 48 + part % 10
    text[at + 4] = behind
    return at + 5


@kernel
def _lines(
    vectors: NDArray[np.int32], x: int, y: int, z: int, write: NDArray[np.uint8], text: NDArray[np.uint8]
) -> int:
    at = 0
    for i in range(vectors.shape[0]):
        for end in range(0, 4, 2):
            at = _put(text, at, int(vectors[i, end]) - x, _TAB)
            at = _put(text, at, int(vectors[i, end + 1]) - y, _TAB)
            at = _put(text, at, z, _NEWLINE)
        for one in write:
            text[at] = one
            at += 1
    return at


def lines_of(vectors: NDArray[np.int32], x_nm: int, y_nm: int, z_nm: int) -> bytes:
    """Vectors (n, 4) in nm as GWL lines in um, relative to (x_nm, y_nm), at z_nm: both ends, then Write."""
    text = np.empty(len(vectors) * MOST_BYTES, dtype=np.uint8)
    used = _lines(np.ascontiguousarray(vectors, dtype=np.int32), x_nm, y_nm, z_nm, _WRITE, text)
    return text[:used].tobytes()


def line_of(vector: tuple[int, int, int, int], x_nm: int, y_nm: int, z_nm: int) -> str:
    """What `lines_of` writes for one vector."""

    def number(value_nm: int) -> str:
        whole, part = divmod(abs(value_nm), 1000)
        return f"{'-' if value_nm < 0 else ''}{whole}.{part:03d}"

    x0, y0, x1, y1 = vector
    ends = ((x0 - x_nm, y0 - y_nm, z_nm), (x1 - x_nm, y1 - y_nm, z_nm))
    return "".join("\t".join(number(value) for value in end) + "\n" for end in ends) + "Write\n"
