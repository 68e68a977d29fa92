"""`python -m codes.measure ROWS`: threshold of a stored code, and how many random frames it decodes."""

from __future__ import annotations

import argparse
import time

import numpy as np

from codes.construct import COLUMNS, LIFT, degrees
from codes.density import entropy, inverse_entropy, threshold
from poliqi.distill.reconcile.ldpc_code import base_codes, lifted
from poliqi.distill.reconcile.ldpc_frame import Decoder, syndrome

BITS = COLUMNS * LIFT


def measure(core: int, f: float, frames: int) -> str:
    """One line: `frames` random frames at the error rate at which the code's rows are f h(q)."""
    code = lifted(next(c for c in base_codes() if c.core == core), LIFT)
    qber = inverse_entropy(core / COLUMNS / f)
    decoder, random = Decoder(code, qber, 80), np.random.default_rng(7)
    iterations, spent = [], 0.0
    for _ in range(frames):
        errors = np.packbits(random.random(BITS) < qber, bitorder="little").view("<u8").astype(np.uint64)
        checks = syndrome(code, errors)[: core * LIFT // 64].copy()
        started = time.thread_time()
        found, taken = decoder.decode(checks, BITS)
        spent += time.thread_time() - started
        if found is not None:
            iterations.append(taken)
            assert (found == errors).all(), "decoded to other errors"
    mean = np.mean(iterations) if iterations else np.nan
    share, rate = 1 - len(iterations) / frames, BITS * frames / spent / 1e6
    return f"q {qber:.4f} f {f:.3f} failed {share:.3f} iterations {mean:.1f} Mbit/s {rate:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m codes.measure", description=__doc__)
    parser.add_argument("rows", type=int)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--f", type=float, nargs="*", default=[1.06, 1.08, 1.10, 1.12])
    args = parser.parse_args()
    limit = threshold(degrees(args.rows), args.rows)
    print(f"{args.rows} rows: threshold {limit:.5f}, f {args.rows / COLUMNS / entropy(limit):.4f}")
    for f in args.f:
        print(measure(args.rows, f, args.frames), flush=True)


if __name__ == "__main__":
    main()
