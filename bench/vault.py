"""Shamir's sharing for the vault, 3 of 5: MB/s of secret, beside the relay's own plain definition, interleaved.

Blocks of 63 KiB, as the vault shares them. "with randomness": the coefficients are drawn from the operating system.
"""

from __future__ import annotations

import os
from typing import Any

from bench.report import Metric, best
from poliqi.apps.vault.parcel import BLOCK_BYTES, KeyMatrix, accepted, tagged
from poliqi.apps.vault.sharing import join, split
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.keys.shares import join_shamir, split_shamir

K, N = 3, 5
SYSTEM = OperatingSystemEntropy()


class Drawn:
    """Randomness that was drawn beforehand, so that sharing alone is timed."""

    source = "drawn beforehand"

    def __init__(self, size: int) -> None:
        self._bytes = os.urandom(size)

    def draw(self, count: int) -> bytes:
        return self._bytes[:count]


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    secret, drawn = os.urandom(BLOCK_BYTES), Drawn(BLOCK_BYTES)
    shares = dict(enumerate(split(secret, K, N, SYSTEM), start=1))
    chosen = {place: shares[place] for place in (1, 3, 5)}
    matrix = KeyMatrix.draw(N, SYSTEM)
    parcels = {str(p.place): p for p in tagged(list(shares.values()), matrix)}
    floor_s = 0.05 if quick else 0.5

    def rate(call: Any) -> float:
        return BLOCK_BYTES / best(call, runs=3, floor_s=floor_s) / 1e6

    plain = rate(lambda: split_shamir(secret, K, N, drawn))
    fast = rate(lambda: split(secret, K, N, drawn))
    system = rate(lambda: split(secret, K, N, SYSTEM))
    plain_join = rate(lambda: join_shamir(chosen))
    fast_join = rate(lambda: join(chosen))
    tags = rate(lambda: tagged(list(shares.values()), matrix))
    judged = rate(lambda: accepted({name: parcels[name] for name in "135"}, K, matrix))
    peer = "keys.shares"
    results = [
        Metric("vault split 3 of 5", fast, "MB/s", 100.0, "min", peer, plain),
        Metric("vault split 3 of 5 with randomness", system, "MB/s", 100.0, "min"),
        Metric("vault join 3 of 5", fast_join, "MB/s", 100.0, "min", peer, plain_join),
        Metric("vault tags of 5 shares", tags, "MB/s", None, "min"),
        Metric("vault judge 3 shares", judged, "MB/s", None, "min"),
    ]
    return results, {"block bytes": BLOCK_BYTES}
