"""Sifting: detections a second, packed bases and bits to a packed key; and from bytes, with all that is said."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.report import Metric, best
from poliqi.base.bits import BitString
from poliqi.base.ids import BlockNumber
from poliqi.base.jit import choose_width, widths
from poliqi.distill.kernels.sift import compress
from poliqi.distill.sift import PackedDetections, alice_sift, bob_sift, detect_message
from poliqi.link.device import Detections

KEY_BASIS = 0.9
GAP = 20


def draw(n: int) -> tuple[Detections, np.ndarray]:
    """n detections, a slot in twenty, and Alice's states: nine in ten of each end's in the key basis."""
    generator = np.random.Generator(np.random.PCG64(1))
    slots = np.cumsum(generator.integers(1, 2 * GAP, n, dtype=np.int64))
    bases = (generator.random((2, n)) > KEY_BASIS).astype(np.uint8)
    bits = generator.integers(0, 2, n, np.uint8)
    level = generator.integers(0, 2, n, np.uint8)
    outcomes = bits ^ (generator.random(n) < 0.02).astype(np.uint8) | bases[0] << np.uint8(1)
    return Detections(0, int(slots[-1]) + 1, slots, outcomes), bits | bases[1] << np.uint8(1) | level << np.uint8(2)


def packed_key(bits: BitString, mine: BitString, theirs: BitString) -> np.ndarray:
    """Key bits where both ends chose the key basis (0): what is squeezed out of three packed strings."""
    mask = ~(mine.words | theirs.words)
    if bits.size % 64:
        mask[-1] &= np.uint64((1 << bits.size % 64) - 1)
    return compress(bits.words, mask, int(np.bitwise_count(mask).sum(dtype=np.int64)))


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Packed, the whole of each end's sifting, and numpy's boolean mask beside it."""
    n = 10_000_000 if quick else 100_000_000
    seen, states = draw(n)
    bits = BitString.from_bits(states & np.uint8(1))
    mine, theirs = (BitString.from_bits(column >> np.uint8(1) & np.uint8(1)) for column in (states, seen.outcomes))
    packed: dict[str, float] = {}
    for width in widths():
        choose_width(width)
        packed_key(bits, mine, theirs)
        packed[str(width)] = n / best(lambda: packed_key(bits, mine, theirs)) / 1e9
    choose_width(None)
    held = PackedDetections.of(seen)
    announced = detect_message(BlockNumber(1), held)
    _, answer = alice_sift(announced, states, 2, bytes(8))
    stages = {
        "Bob packs (slots to gaps, bytes to planes)": lambda: PackedDetections.of(seen),
        "Alice reads the slots": lambda: [part.size for part in held.slots.parts()],
        "Alice sifts": lambda: alice_sift(announced, states, 2, bytes(8)),
        "Bob sifts": lambda: bob_sift(held, BlockNumber(1), answer, 2),
        "numpy boolean mask, the key alone": lambda: (states & 1)[(states | seen.outcomes) & 2 == 0],
    }
    details = {name: round(n / best(call, runs=3) / 1e9, 3) for name, call in stages.items()}
    value = max(packed.values())
    return [Metric("Gdetections/s", value, "G/s", 10.0, "min")], {
        "detections": n,
        "packed Gdetections/s": packed,
        "Gdetections/s from bytes": details,
    }
