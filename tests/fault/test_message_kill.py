"""kill -9 of either messenger at any time: no message lost or doubled, order kept, no pad used twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIVES = Path(__file__).with_name("message_lives.py")


@pytest.mark.parametrize(
    ("seed", "kills"),
    [(1, 40), pytest.param(2, 200, marks=pytest.mark.soak), pytest.param(3, 2000, marks=pytest.mark.soak)],
)
def test_kills_lose_double_and_repeat_nothing(tmp_path: Path, seed: int, kills: int) -> None:
    words = [sys.executable, LIVES, tmp_path, str(seed), str(kills)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    received = found["received"]
    assert found["status"] == 0, "the last life did not deliver everything"
    assert received == sorted(set(received)), "doubled, or out of order"
    assert set(found["written"]) <= set(received), "lost"
    assert set(found["delivered"]) == set(received)
    assert len(set(found["asked"])) == len(found["asked"]), "a key was asked for twice"
    assert len(received) >= kills // 4, f"too little happened between the kills: {len(received)} messages"
