"""Packed bits: the convention, round trips, and every encoding but the one is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.bits import BitString, pack_bits, packed_fault, packed_size, unpack_bits
from poliqi.base.errors import DataRefused

bit_lists = st.lists(st.integers(0, 1), max_size=70)


def test_bit_i_is_bit_i_mod_8_of_byte_i_div_8() -> None:
    bits = np.zeros(20, np.uint8)
    bits[[0, 3, 9, 19]] = 1
    assert pack_bits(bits) == bytes([0b00001001, 0b00000010, 0b00001000])


@given(bit_lists)
def test_packing_is_the_little_endian_integer(values: list[int]) -> None:
    number = sum(bit << i for i, bit in enumerate(values))
    assert pack_bits(np.array(values, np.uint8)) == number.to_bytes(packed_size(len(values)), "little")


@given(bit_lists)
def test_round_trip(values: list[int]) -> None:
    assert unpack_bits(pack_bits(np.array(values, np.uint8)), len(values)).tolist() == values


@given(st.binary(max_size=8), st.integers(0, 70))
def test_one_bit_string_has_one_encoding(data: bytes, count: int) -> None:
    try:
        bits = unpack_bits(data, count)
    except DataRefused:
        assert len(data) != packed_size(count) or int.from_bytes(data, "little") >= 1 << count
    else:
        assert pack_bits(bits) == data


@pytest.mark.parametrize("size", [0, 1, 3])
def test_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(DataRefused, match=r"12 packed bits take 2 bytes"):
        unpack_bits(bytes(size), 12)


@pytest.mark.parametrize("bit", [4, 5, 6, 7])
def test_padding_that_is_not_zero_is_refused(bit: int) -> None:
    with pytest.raises(DataRefused, match="padding"):
        unpack_bits(bytes([0, 1 << bit]), 12)


def test_no_bits_are_no_bytes() -> None:
    assert pack_bits(np.zeros(0, np.uint8)) == b""
    assert unpack_bits(b"", 0).size == 0


def test_a_negative_count_is_a_fault() -> None:
    assert packed_fault(b"", -1) == "a count of -1 bits is negative"


@pytest.mark.parametrize("bad", [np.array([0, 2], np.uint8), np.zeros((2, 2), np.uint8), np.zeros(3, np.int64)])
def test_packing_takes_zeros_and_ones_alone(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="bits must be"):
        pack_bits(bad)


def test_a_view_of_wider_items_is_read_as_bytes() -> None:
    words = memoryview(np.array([1], np.uint64))
    assert unpack_bits(words, 64)[0] == 1


bit_lists = st.lists(st.integers(0, 1), max_size=200)


@given(bit_lists)
def test_a_bit_string_is_its_bits_packed(bits: list[int]) -> None:
    made = BitString.from_bits(np.array(bits, np.uint8))
    assert made.to_bits().tolist() == bits
    assert int.from_bytes(made.to_bytes(), "little") == sum(b << i for i, b in enumerate(bits))
    assert made.ones() == sum(bits)
    assert BitString.from_bytes(made.to_bytes(), len(bits)).words.tolist() == made.words.tolist()


@given(bit_lists, st.data())
def test_a_part_of_a_bit_string_is_a_slice(bits: list[int], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(bits)))
    stop = data.draw(st.integers(start, len(bits)))
    part = BitString.from_bits(np.array(bits, np.uint8)).part(start, stop)
    assert part.to_bits().tolist() == bits[start:stop]


@given(bit_lists, st.integers(0, 2**32))
def test_xor_is_bit_by_bit(bits: list[int], seed: int) -> None:
    a = np.array(bits, np.uint8)
    b = np.random.default_rng(seed).integers(0, 2, a.size, np.uint8)
    assert (BitString.from_bits(a) ^ BitString.from_bits(b)).to_bits().tolist() == (a ^ b).tolist()


@pytest.mark.parametrize(
    ("words", "size"), [([1], 0), ([], 1), ([2], 1), ([0, 1], 64), ([0, 2], 65), ([0], -1), ([0], 65)]
)
def test_words_that_are_not_the_bits_are_refused(words: list[int], size: int) -> None:
    with pytest.raises(ValueError, match="bit"):
        BitString(np.array(words, np.uint64), size)


def test_a_bit_string_shows_no_bit() -> None:
    assert repr(BitString.from_bits(np.ones(70, np.uint8))) == "BitString(size=70)"


@given(st.binary(max_size=9), st.integers(0, 70))
def test_bytes_from_outside_are_a_bit_string_or_refused(data: bytes, size: int) -> None:
    try:
        assert BitString.from_bytes(data, size).to_bytes() == data
    except DataRefused:
        assert len(data) != packed_size(size) or data[-1] >> (size % 8)
