"""Verification tags: vectors, collisions counted over a small field of points, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poliqi.base.bits import BitString
from poliqi.base.errors import DataRefused
from poliqi.distill.kernels.definitions import polyval
from poliqi.distill.verify import frame_tags, verification_epsilon, verification_tag

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "polyval" / "polyval.json").read_text())


@pytest.mark.parametrize("case", VECTORS["tags"], ids=lambda case: f"{case['bits']} bits")
def test_known_tags(case: dict[str, Any]) -> None:
    bits = BitString.from_bytes(bytes.fromhex(case["packed"]), case["bits"])
    tag = verification_tag(bits, bytes.fromhex(case["point"]))
    assert tag.hex() == case["tag"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_what_is_no_packed_string_or_no_point_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises((ValueError, DataRefused), match=r"point|key|bits"):
        bits = BitString.from_bytes(bytes.fromhex(case["packed"]), case["bits"])
        verification_tag(bits, bytes.fromhex(case["point"]))


def test_failures_outnumber_successes_in_the_vectors() -> None:
    assert len(VECTORS["refused"]) > len(VECTORS["tags"]) + len(VECTORS["polyval"])


@pytest.mark.parametrize("n", [1, 130, 1000])
def test_one_flipped_bit_changes_the_tag(n: int) -> None:
    rng = np.random.default_rng(n)
    bits = rng.integers(0, 2, n, dtype=np.uint8)
    point = rng.bytes(16)
    tag = verification_tag(BitString.from_bits(bits), point)
    for i in range(n):
        bits[i] ^= 1
        assert verification_tag(BitString.from_bits(bits), point) != tag
        bits[i] ^= 1


def test_a_string_and_the_same_with_a_zero_more_differ() -> None:
    assert verification_tag(BitString.from_bytes(b"\x05", 3), b"p" * 16) != verification_tag(
        BitString.from_bytes(b"\x05", 4), b"p" * 16
    )


def test_the_zero_point_is_the_one_that_sees_nothing() -> None:
    assert (
        verification_tag(BitString.from_bytes(b"\x05", 3), bytes(16))
        == verification_tag(BitString.from_bytes(b"\x02", 3), bytes(16))
        == bytes(16)
    )


@pytest.mark.parametrize(
    "bounds", [[(0, 320), (320, 960), (960, 1000)], [(64, 65), (0, 1000), (128, 128), (512, 700)]]
)
def test_frames_are_tagged_one_by_one(bounds: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(9)
    bits = rng.integers(0, 2, 1000, dtype=np.uint8)
    point = rng.bytes(16)
    tags = frame_tags(BitString.from_bits(bits), bounds, point)
    assert len(tags) == len(bounds)
    for tag, (start, stop) in zip(tags, bounds, strict=True):
        number = sum(int(bit) << i for i, bit in enumerate(bits[start:stop]))
        blocks = -(-(stop - start) // 128)
        data = number.to_bytes(16 * blocks, "little") + (stop - start).to_bytes(8, "little") + bytes(8)
        assert tag == polyval(point, data)


@pytest.mark.parametrize("bounds", [(1, 64), (32, 64), (64, 0), (0, 1001), (-64, 0), (1024, 1024)])
def test_a_frame_off_the_words_or_the_string_is_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="frames start at multiples of 64"):
        frame_tags(BitString.zeros(1000), [bounds], bytes(16))


def test_epsilon_adds_over_the_tags() -> None:
    assert verification_epsilon([128, 129, 0]) == (2 + 3 + 1) / 2**128
    assert verification_epsilon([]) == 0.0
