"""Word kernels and the interleaver against what Python integers and plain lists say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.distill.kernels import words
from poliqi.distill.kernels.definitions import fold_parity
from poliqi.distill.kernels.interleave import interleave, position_from, position_to
from poliqi.distill.reconcile.plan import FramePlan, public_word, public_words, splitmix64
from poliqi.distill.reconcile.reference import lane_positions

EXTREMES = [0, 1, 1 << 63, (1 << 64) - 1, 0x5555555555555555, 1 << 31, 1 << 32]
word = st.one_of(st.sampled_from(EXTREMES), st.integers(0, (1 << 64) - 1))


@settings(deadline=None)  # the first call compiles
@given(word)
def test_counts_and_positions_of_ones(x: int) -> None:
    assert words.count_ones(np.uint64(x)) == x.bit_count()
    assert words.highest_one(np.uint64(x)) == x.bit_length() - 1
    ones = [i for i in range(64) if x >> i & 1]
    assert words.lowest_one(np.uint64(x)) == (ones[0] if ones else 64)
    for rank, place in enumerate(ones):
        assert words.select_one(np.uint64(x), rank) == place
    assert words.select_one(np.uint64(x), len(ones)) == 64


def test_masks_below_a_position() -> None:
    assert [int(words.bits_below(n)) for n in range(65)] == [(1 << n) - 1 for n in range(65)]


@settings(deadline=None)
@given(st.lists(word, min_size=5, max_size=5), st.lists(word, min_size=5, max_size=5), st.data())
def test_parity_of_a_range(text: list[int], mask: list[int], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, 319))
    stop = data.draw(st.integers(start + 1, 320))
    whole = sum((a & b) << 64 * i for i, (a, b) in enumerate(zip(text, mask, strict=True)))
    expected = (whole >> start & ((1 << stop - start) - 1)).bit_count() & 1
    arrays = np.array(text, np.uint64), np.array(mask, np.uint64)
    assert words.range_parity(arrays[0], 0, arrays[1], 0, start, stop) == expected
    shifted = np.concatenate([arrays[1], arrays[0]]), np.concatenate([arrays[0][:2], arrays[1]])
    assert words.range_parity(shifted[0], 5, shifted[1], 2, start, stop) == expected
    if (start, stop) == (0, 320):
        assert fold_parity(arrays[0] & arrays[1]) == expected


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


@pytest.mark.parametrize("bits", [1, 4095, 4096, 9000])
@pytest.mark.parametrize("p", [1, 2])
def test_the_interleaver_is_the_one_written_out_in_lists(bits: int, p: int) -> None:
    plan = FramePlan.make(bits, (16, 128, 8192), 1, seed=31)
    frame = np.random.default_rng(bits).integers(0, 1 << 64, plan.words, dtype=np.uint64)
    result, scratch = np.empty_like(frame), np.empty_like(frame)
    interleave(frame, plan.tables[p - 1], scratch, result)
    text = np.unpackbits(frame.view(np.uint8), bitorder="little")
    expected = text[lane_positions(64 * plan.words, 1, 31)[p]]
    assert np.array_equal(np.unpackbits(result.view(np.uint8), bitorder="little"), expected)


def test_positions_follow_the_interleaver_both_ways() -> None:
    plan = FramePlan.make(8192, (16, 128, 8192), 1, seed=5)
    for p in (1, 2):
        order = lane_positions(8192, 1, 5)[p]
        assert [position_from(plan.tables, p - 1, i) for i in range(0, 8192, 7)] == order[::7]
        assert all(position_to(plan.tables, p - 1, order[i]) == i for i in range(0, 8192, 7))


@pytest.mark.parametrize("bits", [1, 100, 5000, 8192])
def test_relevant_places_are_those_that_carry_a_bit(bits: int) -> None:
    plan = FramePlan.make(bits, (16, 128, 8192), 3, seed=8)
    for lane, order in enumerate(lane_positions(bits, 3, 8)):
        marked = np.unpackbits(plan.relevant[lane].view(np.uint8), bitorder="little")
        assert np.array_equal(marked == 1, np.array(order) >= 0)
        if lane < 3:
            assert sorted(i for i in order if i >= 0) == list(range(bits))


def test_a_mask_and_its_complement_share_no_bit_and_miss_none() -> None:
    plan = FramePlan.make(5000, (16, 128, 8192), 4, seed=8)
    for j in range(4):
        half, other = plan.relevant[3 + 2 * j], plan.relevant[4 + 2 * j]
        assert not (half & other).any()
        assert np.array_equal(half | other, plan.relevant[0])
        assert 2300 < sum(int(w).bit_count() for w in half) < 2700
