"""Packed bits: the convention, round trips, and every encoding but the one is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.bits import pack_bits, packed_fault, packed_size, unpack_bits
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
