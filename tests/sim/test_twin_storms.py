"""Hundreds of short lives of small cities in which anything breaks at any moment; what must hold, holds.

A life is named by its seed: `TWIN=<seed> pytest tests/sim/test_twin_storms.py -k replay` lives it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from twin_city import outcome, storm

from poliqi.edge.sweep import sweep
from poliqi.twin.world import run

GROUPS, EACH = 8, 25
ROOT = Path(__file__).resolve().parents[2]

DIGESTS = """
import sys
sys.path.insert(0, "tests")
from twin_city import storm
from poliqi.twin.world import run
print(*(run(storm(seed), seed).digest for seed in (3, 11)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_no_storm_breaks_an_invariant(group: int) -> None:
    broken = [said for seed in range(group * EACH, (group + 1) * EACH) if (said := outcome(seed))]
    assert not broken, "\n".join(broken)


def test_storms_are_storms() -> None:
    results = [run(storm(seed), seed) for seed in (3, 11)]
    assert sum(len(r.injected) for r in results) >= 5
    assert all(r.keys_fetched > 20 for r in results)
    assert all(r.scanned_bytes > 100_000 for r in results)


@pytest.mark.slow
def test_a_seed_gives_the_same_log_in_any_process() -> None:
    found = []
    for hash_seed in ("1", "77"):
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        found.append(done.stdout.split())
    assert found[0] == found[1] == [run(storm(seed), seed).digest for seed in (3, 11)]


@pytest.mark.skipif("TWIN" not in os.environ, reason="TWIN names no seed")
def test_replay() -> None:
    said = outcome(int(os.environ["TWIN"]))
    assert not said, said


@pytest.mark.soak
def test_very_many_storms() -> None:
    """POLIQI_SOAK_SEEDS says how many (20,000), POLIQI_SOAK_FIRST from which on; on all cores."""
    first, count = (
        int(os.environ.get("POLIQI_SOAK_FIRST", "1000")),
        int(os.environ.get("POLIQI_SOAK_SEEDS", "20000")),
    )
    broken = [said for said in sweep(outcome, range(first, first + count)) if said]
    assert not broken, "\n".join(broken[:20])
