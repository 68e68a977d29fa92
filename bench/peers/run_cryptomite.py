"""Runs in the environment of cryptomite: its Toeplitz extractor, n bits to .3 n, once.

Prints JSON: bits, wall and CPU seconds, peak MB. It takes and returns Python lists of bits and a seed of n + m - 1
bits; making the lists is not timed.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time

from cryptomite import Toeplitz

n = int(float(sys.argv[1]))
m = 3 * n // 10
source = random.Random(1)  # noqa: S311  # bits to be timed, not a secret
bits = [int(b) for b in f"{source.getrandbits(n):0{n}b}"]
seed = [int(b) for b in f"{source.getrandbits(n + m - 1):0{n + m - 1}b}"]
extractor = Toeplitz(n, m)
started, spent = time.perf_counter(), time.process_time()
result = extractor.extract(bits, seed)
wall, cpu = time.perf_counter() - started, time.process_time() - spent
assert len(result) == m
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"bits": n, "wall_s": wall, "cpu_s": cpu, "peak_mb": round(peak_mb)}))
