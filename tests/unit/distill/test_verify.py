"""Verification tags: vectors, collisions counted over a small field of points, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poliqi.distill.kernels.definitions import polyval
from poliqi.distill.verify import frame_tags, verification_epsilon, verification_tag

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "polyval" / "polyval.json").read_text())


@pytest.mark.parametrize("case", VECTORS["tags"], ids=lambda case: f"{case['bits']} bits")
def test_known_tags(case: dict[str, Any]) -> None:
    tag = verification_tag(bytes.fromhex(case["packed"]), case["bits"], bytes.fromhex(case["point"]))
    assert tag.hex() == case["tag"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_what_is_no_packed_string_or_no_point_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"point|key|bits"):
        verification_tag(bytes.fromhex(case["packed"]), case["bits"], bytes.fromhex(case["point"]))


def test_failures_outnumber_successes_in_the_vectors() -> None:
    assert len(VECTORS["refused"]) > len(VECTORS["tags"]) + len(VECTORS["polyval"])


@pytest.mark.parametrize("n", [1, 130, 1000])
def test_one_flipped_bit_changes_the_tag(n: int) -> None:
    rng = np.random.default_rng(n)
    packed = bytearray(np.packbits(rng.integers(0, 2, n, dtype=np.uint8), bitorder="little").tobytes())
    point = rng.bytes(16)
    tag = verification_tag(bytes(packed), n, point)
    for i in range(n):
        packed[i // 8] ^= 1 << i % 8
        assert verification_tag(bytes(packed), n, point) != tag
        packed[i // 8] ^= 1 << i % 8


def test_a_string_and_the_same_with_a_zero_more_differ() -> None:
    assert verification_tag(b"\x05", 3, b"p" * 16) != verification_tag(b"\x05", 4, b"p" * 16)


def test_the_zero_point_is_the_one_that_sees_nothing() -> None:
    assert verification_tag(b"\x05", 3, bytes(16)) == verification_tag(b"\x02", 3, bytes(16)) == bytes(16)


def test_frames_are_tagged_one_by_one() -> None:
    rng = np.random.default_rng(9)
    bits = rng.integers(0, 2, 1000, dtype=np.uint8)
    point = rng.bytes(16)
    tags = frame_tags(bits, [(0, 300), (300, 996), (996, 1000)], point)
    assert len(tags) == 3
    for tag, (start, stop) in zip(tags, [(0, 300), (300, 996), (996, 1000)], strict=True):
        number = sum(int(bit) << i for i, bit in enumerate(bits[start:stop]))
        blocks = -(-(stop - start) // 128)
        data = number.to_bytes(16 * blocks, "little") + (stop - start).to_bytes(8, "little") + bytes(8)
        assert tag == polyval(point, data)


def test_epsilon_adds_over_the_tags() -> None:
    assert verification_epsilon([128, 129, 0]) == (2 + 3 + 1) / 2**128
    assert verification_epsilon([]) == 0.0
