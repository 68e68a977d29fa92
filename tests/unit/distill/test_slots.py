"""Slots as gaps: read in parts or at once, they are the slots that were encoded."""

from __future__ import annotations

import numpy as np
import pytest

from poliqi.distill import slots as slots_module
from poliqi.distill.slots import Slots


@pytest.mark.parametrize("n", [0, 1, 9, 10, 11, 20, 57])
def test_parts_follow_each_other(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "_PART", 10)
    gaps = np.random.default_rng(n).choice([0, 1, 7, 254, 255, 256, 100_000], n)
    expected = np.cumsum(gaps + 1) + 41
    held = Slots.of(expected, 42)
    parts = list(held.parts())
    assert len(held) == n
    assert [part.size for part in parts] == [min(10, n - k) for k in range(0, n, 10)]
    assert held.array().tolist() == [slot for part in parts for slot in part.tolist()] == expected.tolist()


def test_slots_take_a_byte_each() -> None:
    held = Slots.of(np.arange(0, 100_000, 3, dtype=np.int64), 0)
    assert held.gaps.nbytes + held.wide.nbytes == 33_334


def test_no_slot_is_shown() -> None:
    assert repr(Slots.of(np.array([5, 9], np.int64), 0)) == "Slots(first_slot=0)"
