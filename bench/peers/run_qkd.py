"""Runs in the environment of `qkd`: decoy BB84, one block of pulses, counted by its Rust core.

Prints JSON: pulses, wall and CPU seconds of the fastest of three runs, clicks. No click list comes out of it, only
counts; three intensities, no dead time (that family takes none), two threads.
"""

from __future__ import annotations

import json
import sys
import time

import qkd

pulses = int(float(sys.argv[1]))
link = qkd.Link(
    modulation=qkd.BasisKeying(decoy=qkd.Decoy(intensities=(0.5, 0.15, 0.0), probs=(0.65, 0.3, 0.05))),
    channel=qkd.Fiber(T=0.2),
    alice=qkd.Alice(),
    bob=qkd.Bob(detector=qkd.ClickDetector(eta=0.5, dark=1e-7), receiver=qkd.BasisAnalyser(misalign=0.01)),
    security=qkd.SplittingAttack(),
)
wall, cpu, clicks = float("inf"), float("inf"), 0
for seed in range(3):
    started, spent = time.perf_counter(), time.process_time()
    clicks = link.run(symbols=pulses, seed=seed).clicks
    wall, cpu = min(wall, time.perf_counter() - started), min(cpu, time.process_time() - spent)
print(json.dumps({"pulses": pulses, "wall_s": wall, "cpu_s": cpu, "clicks": int(clicks)}))
