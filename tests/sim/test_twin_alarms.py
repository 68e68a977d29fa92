"""The alarm names the cause that was injected, first and in nearly all cases."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from twin_city import named_first

from poliqi.edge.sweep import sweep

LEAST = 0.95


def judge(found: list[tuple[str, bool, str]]) -> None:
    """At least 95 % of all; a failure shows what was said instead."""
    right, every = sum(ok for _, ok, _ in found), len(found)
    kinds, good = Counter(kind for kind, _, _ in found), Counter(kind for kind, ok, _ in found if ok)
    print(
        f"{right} of {every} faults named first; "
        + ", ".join(f"{k} {good[k]}/{n}" for k, n in sorted(kinds.items()))
    )
    assert right >= LEAST * every, "\n".join(said for _, ok, said in found if not ok)


@pytest.mark.slow
def test_the_first_alarm_names_the_fault() -> None:
    judge([named_first(seed) for seed in range(40)])


@pytest.mark.soak
def test_the_first_alarm_names_very_many_faults() -> None:
    """POLIQI_SOAK_FAULTS says how many (200)."""
    judge(sweep(named_first, range(1000, 1000 + int(os.environ.get("POLIQI_SOAK_FAULTS", "200")))))
