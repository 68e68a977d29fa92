"""What a device must not give: repeats at any byte, periods, bias; and how rarely a fair one is refused."""

from __future__ import annotations

import os
import random

import pytest

from poliqi.base.secret import SecretBytes
from poliqi.keys.devices.judging import Bias, Judge, Memory, malformed, stuck
from poliqi.link.keydevice import DeviceKey

SALT = bytes(range(32))
OLD = random.Random(1).randbytes(64)


def key(bits: bytes, name: str = "new") -> DeviceKey:
    return DeviceKey(name, SecretBytes(bits))


def memory(*keys: DeviceKey, most: int = 1 << 22) -> Memory:
    made = Memory(SALT, most=most)
    for each in keys:
        made.remember(made.marks([each]))
    return made


@pytest.mark.parametrize("shift", [0, 1, 7, 15, 16, 31])
@pytest.mark.parametrize("before", [0, 3, 16])
def test_31_bytes_of_an_old_key_are_found_wherever_they_stand(shift: int, before: int) -> None:
    seen = memory(key(OLD, "old"))
    piece = os.urandom(before) + OLD[shift : shift + 31] + os.urandom(9)
    assert "earlier block" in str(seen.check([key(piece)]))


@pytest.mark.parametrize("size", [8, 15, 16, 17, 33])
def test_the_same_bits_under_another_name_are_found_whatever_their_size(size: int) -> None:
    seen = memory(key(OLD[:size], "old"))
    assert "key new" in str(seen.check([key(os.urandom(24), "fine"), key(OLD[:size])]))


def test_the_last_bytes_of_a_key_count_too() -> None:
    assert memory(key(OLD[:23], "old")).check([key(OLD[7:23])]) is not None


def test_large_blocks_are_looked_at_by_16_bytes() -> None:
    seen = memory(key(OLD, "old"))
    large = os.urandom(1 << 17)
    assert seen.check([key(large + OLD[:32])]) is not None
    assert seen.check([key(large + b"123" + OLD[:31])]) is None, "as the specification says"


def test_a_name_comes_once() -> None:
    seen = memory(key(OLD, "old"))
    assert "name old" in str(seen.check([key(os.urandom(32), "old")]))
    assert "name a" in str(seen.check([key(os.urandom(32), "a"), key(os.urandom(32), "a")]))


def test_repeats_inside_a_block_are_found() -> None:
    fresh = os.urandom(48)
    assert "same block" in str(memory().check([key(fresh, "a"), key(os.urandom(5) + fresh[:31], "b")]))
    assert "same block" in str(memory().check([key(fresh, "a"), key(fresh, "b")]))


def test_the_memory_outlives_a_restart_and_forgets_the_oldest() -> None:
    first, second = key(OLD[:32], "1"), key(OLD[32:], "2")
    seen = memory()
    kept = [seen.marks([first]), seen.marks([second])]
    assert {len(marks) for marks in kept} == {8 * 3}, "a name and two windows"
    assert Memory(SALT, kept).check([key(OLD[:32])]) is not None
    assert Memory(SALT, kept, most=3).check([key(OLD[:32])]) is None
    assert Memory(SALT, kept, most=3).check([key(OLD[32:])]) is not None


def test_marks_tell_nothing_without_the_salt() -> None:
    assert memory().marks([key(OLD)]) != Memory(bytes(32)).marks([key(OLD)])


@pytest.mark.parametrize(
    "bits",
    [b"a" * 8, b"ab" * 5, b"abcdefgh" * 2, bytes(1 << 20), b"abcdefg" * 3],
    ids=["1", "2", "8", "megabyte", "7"],
)
def test_a_period_is_no_key(bits: bytes) -> None:
    assert stuck(key(bits)) is not None


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (random.Random(1).randbytes(64).hex().encode(), "biased"),
        (bytes(range(256)), "change of bit 0"),
        (bytes(b & 0xF7 for b in random.Random(2).randbytes(100)), "bit 3"),
        (bytes(b"\x0f\xff"[b & 1] for b in random.Random(3).randbytes(90)), "bit"),
    ],
    ids=["text", "counter", "dead bit", "two bytes"],
)
def test_text_counters_and_dead_bits_are_seen(bits: bytes, words: str) -> None:
    assert words in str(Bias().check([key(bits)]))


def test_bias_adds_up_over_small_blocks() -> None:
    bias, rng = Bias(), random.Random(4)
    found = [bias.check([key(bytes(b & 0x7F for b in rng.randbytes(16)))]) for _ in range(6)]
    assert found[:4] == [None] * 4
    assert "bit 7" in str(found[5])


def test_fair_keys_are_not_refused() -> None:
    """The stated rates are far below what this can see; 100 blocks of 256 bytes, seeded."""
    judge, rng = Judge(Memory(SALT)), random.Random(5)
    for block in range(100):
        keys = [key(rng.randbytes(32), f"{block}-{i}") for i in range(8)]
        assert judge.refusal(keys) is None
        judge.remember(judge.marks(keys))


@pytest.mark.parametrize(
    ("name", "size"), [("", 32), ("a b", 32), ("a\n", 32), ("x" * 129, 32), ("a", 7), ("a", (1 << 20) + 1)]
)
def test_what_is_no_key_at_all_is_named(name: str, size: int) -> None:
    assert malformed(key(bytes(size), name)) is not None
