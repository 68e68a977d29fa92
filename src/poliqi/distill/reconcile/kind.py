"""What a plan must know of a reconciler before there is anything to reconcile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poliqi.base.bits import BitString
from poliqi.base.ids import Role
from poliqi.distill.reconcile.protocol import Reconciler, ReconcilerMaker, ReconcilerTerms

__all__ = ["ReconcilerKind"]


@dataclass(frozen=True, slots=True)
class ReconcilerKind:
    """A reconciler as contracts name it: called, it makes one end's half; and what to expect of it.

    `leak(n, qber, estimate, frame_bits)` is how many bits Alice and Bob will say over n bits whose error rate
    turns out to be `qber`, with what varies even then allowed for; the block's tag and counts are not among them.
    `reach`: the estimates it is made for. `bits_per_s`: sifted bits that one core of one end reconciles in a
    second; `rounds`: how many times a long block waits for the other end. The last two are the worst that was
    measured over the reach; they choose, they promise nothing.
    """

    make: ReconcilerMaker
    leak: Callable[[int, float, float, int], tuple[int, int]]
    reach: tuple[float, float]
    bits_per_s: float
    rounds: int

    def __call__(self, role: Role, bits: BitString, terms: ReconcilerTerms) -> Reconciler:
        """One party's half. ValueError for what cannot be reconciled."""
        return self.make(role, bits, terms)
