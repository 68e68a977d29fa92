"""The sifting kernels against numpy's boolean masks, differences and sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.bits import BitString
from poliqi.base.jit import choose_width, widths
from poliqi.distill.kernels.sift import bit_plane, compress, decode_gaps, encode_gaps, tally_gaps


@pytest.fixture(params=widths())
def width(request: pytest.FixtureRequest) -> Iterator[str]:
    choose_width(request.param)
    yield request.param
    choose_width(None)


def random_bytes(seed: int, n: int, top: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).integers(0, top, n, np.uint8)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 127, 128, 1000])
@pytest.mark.parametrize("place", [0, 1, 2, 3, 7])
def test_a_plane_is_one_bit_of_each_byte(n: int, place: int) -> None:
    states = random_bytes(n + place, n, 255)
    assert BitString(bit_plane(states, place), n).to_bits().tolist() == (states >> place & 1).tolist()


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 127, 128, 129, 5000])
@pytest.mark.parametrize("share", [0, 1, 50, 99, 100])
def test_compress_is_a_boolean_mask(width: str, n: int, share: int) -> None:
    bits, mask = random_bytes(n, n, 2), (random_bytes(n + 1, n, 100) < share).astype(np.uint8)
    count = int(mask.sum())
    squeezed = compress(BitString.from_bits(bits).words, BitString.from_bits(mask).words, count)
    assert BitString(squeezed, count).to_bits().tolist() == bits[mask == 1].tolist()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=12))
def test_every_width_compresses_alike(words: list[tuple[int, int]]) -> None:
    bits, mask = (np.array([pair[k] for pair in words], np.uint64) for k in (0, 1))
    count = sum(pair[1].bit_count() for pair in words)
    kept = [bit >> i & 1 for bit, chosen in words for i in range(64) if chosen >> i & 1]
    for name in widths():
        choose_width(name)
        try:
            assert BitString(compress(bits, mask, count), count).to_bits().tolist() == kept
        finally:
            choose_width(None)


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 1 << 40)), max_size=80), st.integers(0, 1 << 50))
def test_gaps_and_slots_are_each_others_inverse(gaps: list[int], before: int) -> None:
    slots = np.cumsum(np.array(gaps, np.int64) + 1) + before
    narrow, wide = encode_gaps(slots, before)
    assert narrow.tolist() == [min(gap, 255) for gap in gaps]
    assert wide.tolist() == [gap for gap in gaps if gap >= 255]
    assert tally_gaps(narrow) == (wide.size, sum(gap for gap in gaps if gap < 255))
    assert decode_gaps(narrow, wide, before).tolist() == slots.tolist()
