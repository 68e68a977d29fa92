"""Word kernels and the interleaver against what Python integers and plain lists say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.distill.kernels import words
from poliqi.distill.kernels.interleave import interleave, natural_place, place_in_lane
from poliqi.distill.reconcile.plan import interleaver, masks, public_word, public_words, splitmix64
from poliqi.distill.reconcile.reference import lane_places, mask_places

EXTREMES = [0, 1, 1 << 63, (1 << 64) - 1, 0x5555555555555555, 1 << 31, 1 << 32]
word = st.one_of(st.sampled_from(EXTREMES), st.integers(0, (1 << 64) - 1))


def test_tables_of_masks_and_paths() -> None:
    assert words.UP_TO.tolist() == [(1 << p + 1) - 1 for p in range(64)]
    for place in range(64):
        start, size, cuts = 0, 64, {0}
        while size > 1:
            size //= 2
            cuts.add(start + size)
            start += size if place >= start + size else 0
        assert start == place
        assert {b for b in range(64) if int(words.PATHS[place]) >> b & 1} == cuts


@settings(deadline=None)  # the first call compiles
@given(word)
def test_counts_and_positions_of_ones(x: int) -> None:
    assert words.parity(np.uint64(x)) == x.bit_count() % 2
    assert words.highest_one(np.uint64(x)) == x.bit_length() - 1
    assert words.lowest_one(np.uint64(x)) == ((x & -x).bit_length() - 1 if x else 64)


def test_masks_of_a_place_and_below() -> None:
    assert [int(words.ones_below(np.uint64(n))) for n in range(64)] == [(1 << n) - 1 for n in range(64)]
    assert [int(words.bit_at(n)) for n in range(128)] == [1 << n % 64 for n in range(128)]


@settings(deadline=None)
@given(st.lists(word, min_size=4, max_size=4), word, st.integers(0, 191))
def test_bits_at_any_offset(text: list[int], bits: int, offset: int) -> None:
    whole = sum(a << 64 * i for i, a in enumerate(text))
    array = np.array(text, np.uint64)
    assert int(words.bits_from(array, offset)) == whole >> offset & (1 << 64) - 1
    words.put_bits(array, offset, np.uint64(bits))
    written = sum(int(a) << 64 * i for i, a in enumerate(array))
    assert written & (1 << offset) - 1 == whole & (1 << offset) - 1
    assert written >> offset & (1 << 64) - 1 == bits


def test_transposition_of_64_by_64_bits() -> None:
    rng = np.random.default_rng(1)
    text = rng.integers(0, 1 << 64, 192, dtype=np.uint64)
    before = np.unpackbits(text[64:128].view(np.uint8), bitorder="little").reshape(64, 64)
    turned = text.copy()
    words.transpose64(turned, 64)
    after = np.unpackbits(turned[64:128].view(np.uint8), bitorder="little").reshape(64, 64)
    assert np.array_equal(after, before.T)
    assert np.array_equal(turned[:64], text[:64])
    assert np.array_equal(turned[128:], text[128:])


def test_splitmix64_gives_the_published_outputs() -> None:
    # the first outputs for state 1234567, as listed at https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [splitmix64(1234567, i) for i in range(4)] == published


@pytest.mark.parametrize("seed", [0, 1, (1 << 64) - 1])
def test_a_public_stream_is_its_words_one_by_one(seed: int) -> None:
    assert public_words(seed, 256, 20).tolist() == [public_word(seed, 256, i) for i in range(20)]


@pytest.mark.parametrize("places", [4096, 12288])
@pytest.mark.parametrize("lane", [1, 2])
def test_the_interleaver_is_the_one_written_out_in_lists(places: int, lane: int) -> None:
    count = places // 64
    tables = interleaver(31, lane, count).ravel()
    frame = np.random.default_rng(places).integers(0, 1 << 64, count, dtype=np.uint64)
    cells = np.zeros(6 * count, np.uint64)
    cells[: 3 * count : 3] = frame
    interleave(cells, 0, tables, 0, count, 5 * count, 3 * count, np.uint64(7))
    order = lane_places(places, lane, 31)
    text = np.unpackbits(frame.view(np.uint8), bitorder="little")
    result = np.ascontiguousarray(cells[3 * count : 5 * count : 2]).view(np.uint8)
    assert np.array_equal(np.unpackbits(result, bitorder="little"), text[order])
    assert (cells[3 * count + 1 : 5 * count : 2] == 7).all()
    assert sorted(order) == list(range(places))


def test_places_follow_the_interleaver_both_ways() -> None:
    for lane in (1, 2):
        tables, order = interleaver(5, lane, 128).ravel(), lane_places(8192, lane, 5)
        assert [natural_place(tables, 0, 128, i) for i in range(0, 8192, 7)] == order[::7]
        assert all(place_in_lane(tables, 0, 128, order[i]) == i for i in range(0, 8192, 7))


def test_masks_choose_half_of_the_places() -> None:
    for j, mask in enumerate(masks(8, 4, 128)):
        chosen = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
        assert set(chosen.tolist()) == mask_places(8192, j, 8)
        assert 3850 < chosen.size < 4350
