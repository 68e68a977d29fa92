"""Privacy amplification: Mbit/s of input at 1e6 to 1e8 bits on one core, peak memory, and peers beside it.

Each size runs in a process of its own, so that its peak is that of a whole process, inputs included. Rates are per
second of CPU; everything here uses one thread.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.environment import PeerMissing, measure
from bench.report import Metric
from poliqi.base.bits import BitString
from poliqi.base.jit import choose_width, widths
from poliqi.distill.amplify import AMPLIFIERS, DEFAULT_AMPLIFIER, Amplifier, amplify, seed_bits

RATIO = 0.3
GOALS = {10**6: 500.0, 10**7: None, 10**8: 300.0}
PEAK_GOAL_MB = 512.0
CRYPTOMITE_GOAL = 100.0
CRYPTOMITE_WORDS = "cryptomite 0.3.0, Toeplitz: lists of bits, a seed of n + m - 1 bits; one run, CPU seconds"
SCIPY_WORDS = "one real convolution in scipy.fft on arrays of a byte a bit; the best of three runs, CPU seconds"


def block(bits: int) -> tuple[BitString, bytes, int]:
    """A block, its seed and the length that it is amplified to; the same for every implementation."""
    source = np.random.default_rng(bits)
    x = source.integers(0, 1 << 64, -(-bits // 64), dtype=np.uint64)
    seed = source.integers(0, 1 << 64, -(-bits // 64), dtype=np.uint64)
    for words, count in ((x, bits), (seed, seed_bits(bits))):
        if count % 64:
            words[-1] &= np.uint64((1 << count % 64) - 1)
    return BitString(x, bits), BitString(seed, seed_bits(bits)).to_bytes(), round(RATIO * bits)


def seconds(amplifier: Amplifier, bits: int, floor_s: float) -> tuple[float, BitString]:
    """CPU seconds of the fastest run, compiled beforehand, and the result."""
    x, seed, length = block(bits)
    small = block(20_000)
    amplify(*small, amplifier)
    fastest, spent, runs, result = float("inf"), 0.0, 0, BitString.zeros(0)
    while spent < floor_s or runs < 2:
        started = time.process_time()
        result = amplify(x, seed, length, amplifier)
        took = time.process_time() - started
        fastest, spent, runs = min(fastest, took), spent + took, runs + 1
    return fastest, result


def alone(bits: int, name: str, width: str, floor_s: float) -> dict[str, Any]:
    """One size in a process of its own."""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "bench.amplify", str(bits), name, width, str(floor_s)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def run(quick: bool, candidate: Amplifier | None = None) -> tuple[list[Metric], dict[str, Any]]:
    """All sizes, the other amplifier and widths at 1e6, peers; `candidate` on the same blocks as ours."""
    widest, floor_s = str(widths()[-1]), 0.5 if quick else 2.0
    points = [alone(bits, DEFAULT_AMPLIFIER, widest, floor_s) for bits in GOALS]
    results = [
        Metric(f"Mbit/s at {p['bits']:.0e}".replace("e+0", "e"), p["mbit_s"], "Mbit/s", GOALS[p["bits"]], "min")
        for p in points
    ]
    results.append(Metric("peak MB at 1e8", points[-1]["peak_mb"], "MB", PEAK_GOAL_MB, "max"))
    others = [alone(10**6, DEFAULT_AMPLIFIER, str(w), 0.2) for w in widths()[:-1]]
    others.append(alone(10**6, "real-fft", widest, 0.2))
    details: dict[str, Any] = {"points": points, "others at 1e6": others, "peers": {}}
    if candidate is not None:
        results += compare(candidate, quick)
    for bits in (10**6,) if quick else (10**6, 10**7):
        ours = next(p["mbit_s"] for p in points if p["bits"] == bits)
        for requirement, script, words in (
            ("cryptomite==0.3.0", "run_cryptomite.py", CRYPTOMITE_WORDS),
            ("scipy==1.17.1", "run_scipyfft.py", SCIPY_WORDS),
        ):
            name = requirement.split("==")[0]
            at = f"{name} at {bits:.0e}".replace("e+0", "e")
            try:
                theirs = measure(requirement, script, str(bits))
            except PeerMissing as missing:
                details["peers"][at] = {"skipped": str(missing)}
                continue
            rate = bits / theirs["cpu_s"] / 1e6
            details["peers"][at] = theirs | {"mbit_s": round(rate, 3), "compared": words}
            goal = CRYPTOMITE_GOAL if name == "cryptomite" else None
            results.append(Metric(f"x {at}", ours / rate, "", goal, "min", name, rate))
    return results, details


def compare(candidate: Amplifier, quick: bool) -> list[Metric]:
    """An outsider beside every amplifier of the table, on identical blocks; its bits must be ours."""
    results: list[Metric] = []
    for bits in (10**6,) if quick else (10**6, 10**7):
        at = f"{bits:.0e}".replace("e+0", "e")
        took, result = seconds(candidate, bits, 0.2)
        for name, amplifier in AMPLIFIERS.items():
            ours, expected = seconds(amplifier, bits, 0.2)
            if result.size != expected.size or (result ^ expected).ones():
                raise SystemExit(f"{candidate.name} gives other bits than {name} at {bits} bits")
            rates = bits / took / 1e6, bits / ours / 1e6
            metric = f"Mbit/s at {at}, {candidate.name} beside {name}"
            results.append(Metric(metric, rates[0], "Mbit/s", None, "min", name, rates[1]))
    return results


def _peak_mb() -> float:
    """The most this program held; what the kernel reports of a process still counts the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        kept = [line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:")]
        return int(kept[0].split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _child(bits: int, name: str, width: str, floor_s: float) -> None:
    choose_width(width)
    took, _ = seconds(AMPLIFIERS[name], bits, floor_s)
    peak_mb = _peak_mb()
    point = {"bits": bits, "ratio": RATIO, "seconds": took, "mbit_s": round(bits / took / 1e6, 1)}
    print(json.dumps(point | {"peak_mb": round(peak_mb), "amplifier": name, "width": width}))


if __name__ == "__main__":
    _child(int(float(sys.argv[1])), sys.argv[2], sys.argv[3], float(sys.argv[4]))
