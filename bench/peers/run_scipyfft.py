"""Runs in the environment of scipy: the modified Toeplitz hash by one real convolution, n bits to .3 n.

Prints JSON: bits, wall and CPU seconds of the fastest of three runs, peak MB. Double precision rounds without a
bound here; bits are numpy arrays of one byte each.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
from scipy import fft

n = int(float(sys.argv[1]))
m = 3 * n // 10
c = n - m
source = np.random.default_rng(1)
bits, seed = source.integers(0, 2, n, dtype=np.uint8), source.integers(0, 2, n - 1, dtype=np.uint8)
wall, cpu = float("inf"), float("inf")
for _ in range(3):
    started, spent = time.perf_counter(), time.process_time()
    size = fft.next_fast_len(n - 1, real=True)  # cyclic: what wraps around falls on coefficients below c - 1
    product = fft.irfft(fft.rfft(seed.astype(float), size) * fft.rfft(bits[m:].astype(float), size), size)
    result = bits[:m] ^ (np.rint(product[c - 1 : c - 1 + m]).astype(np.int64) & 1).astype(np.uint8)
    wall, cpu = min(wall, time.perf_counter() - started), min(cpu, time.process_time() - spent)
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"bits": n, "wall_s": wall, "cpu_s": cpu, "peak_mb": round(peak_mb)}))
