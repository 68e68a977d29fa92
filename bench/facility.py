"""Access to instruments: bookings a second, each on the disk before the next, by one client and by a hundred."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.report import Metric

TESTS = Path(__file__).resolve().parents[1] / "tests"
PROCESSES = 4


def run(*, quick: bool = False) -> tuple[list[Metric], dict[str, Any]]:
    sys.path.insert(0, str(TESTS))
    try:
        from facility_rig import START, make_world
    finally:
        sys.path.remove(str(TESTS))
    bookings = 1000 if quick else 10_000
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder) / "one")
        ann = world.users["ann"]
        begun = time.perf_counter()
        alone = bookings // 10
        for number in range(alone):
            world.facility.book("saxs", START + 120 * number, START + 120 * number + 60, by=ann)
        alone_s = time.perf_counter() - begun
        begun = time.perf_counter()
        for _ in range(20):
            world.facility.calendar("saxs", START, START + 31 * 86_400, ann)
        calendar_s = (time.perf_counter() - begun) / 20
        world.facility.close()
        crowd = make_world(Path(folder) / "crowd")
        crowd.facility.close()
        words = [sys.executable, str(TESTS / "facility_crowd.py"), str(crowd.root)]
        environment = os.environ | {"PYTHONPATH": str(TESTS)}
        begun = time.perf_counter()
        clients = [
            subprocess.Popen(
                [*words, str(seed), "25", str(bookings // 100)], stdout=subprocess.PIPE, env=environment
            )
            for seed in range(PROCESSES)
        ]
        answers = [json.loads(client.communicate()[0]) for client in clients]
        crowd_s = time.perf_counter() - begun
    booked = sum(len(answer["booked"]) for answer in answers)
    assert booked == bookings
    metrics = [
        Metric("bookings, one client", alone / alone_s, "1/s", None, "min"),
        Metric("bookings, 100 clients in 4 processes", booked / crowd_s, "1/s", None, "min"),
        Metric(f"a month's calendar of {alone} bookings", 1e3 * calendar_s, "ms", None, "max"),
    ]
    return metrics, {"bookings": booked, "refused": sum(answer["refused"] for answer in answers)}
