"""The kernels of each width against their plain definitions: what `poliqi doctor` asks of a machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from poliqi.base.bits import BitString
from poliqi.base.jit import Width, choose_width, width, widths
from poliqi.distill.amplify import AMPLIFIERS, amplify
from poliqi.distill.kernels.definitions import polyval, toeplitz_product
from poliqi.distill.kernels.polyval import PolyHash

__all__ = ["check_widths"]

_KEY: Final = bytes(range(100, 116))
_DATA: Final = bytes(i * i % 251 for i in range(16 * 150))

_BITS: Final = 1000
_LENGTH: Final = 300


def check_widths() -> dict[Width, str | None]:
    """For each width of this processor what is wrong with it; None where every answer is right."""
    chosen = width()
    found: dict[Width, str | None] = {}
    try:
        for each in widths():
            choose_width(each)
            found[each] = _fault()
    finally:
        choose_width(chosen)
    return found


def _fault() -> str | None:
    wrong = [name for name, right in _CHECKS.items() if not right()]
    return ", ".join(wrong) or None


def _polyval() -> bool:
    running = PolyHash(_KEY)
    running.update(_DATA)
    return running.digest_with_length() == polyval(_KEY, _DATA + (8 * len(_DATA)).to_bytes(16, "little"))


def _toeplitz() -> bool:
    generator = np.random.Generator(np.random.PCG64(1))
    bits, seed = (generator.integers(0, 2, n, np.uint8) for n in (_BITS, _BITS - 1))
    expected = bits[:_LENGTH] ^ toeplitz_product(seed, bits[_LENGTH:], _LENGTH)
    packed = BitString.from_bits(seed).to_bytes()
    return all(
        amplify(BitString.from_bits(bits), packed, _LENGTH, each).to_bits().tolist() == expected.tolist()
        for each in AMPLIFIERS.values()
    )


def _sift() -> bool:
    from poliqi.distill.kernels.sift import bit_plane, compress

    states = np.arange(_BITS, dtype=np.int64).astype(np.uint8)
    bits, mask = (BitString(bit_plane(states, place), _BITS) for place in (0, 1))
    kept = BitString(compress(bits.words, mask.words, mask.ones()), mask.ones())
    return kept.to_bits().tolist() == [s & 1 for s in states.tolist() if s & 2]


_CHECKS: Final[dict[str, Callable[[], bool]]] = {
    "polynomial hash": _polyval,
    "privacy amplification": _toeplitz,
    "sifting": _sift,
}
