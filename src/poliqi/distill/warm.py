"""Compiling, or loading from the cache, every kernel of a block before the first one is under way."""

from __future__ import annotations

import numpy as np

from poliqi.base.bits import BitString
from poliqi.base.ids import BlockNumber, Role
from poliqi.distill.amplify import amplify, seed_bits
from poliqi.distill.reconcile import RECONCILERS, ReconcilerTerms
from poliqi.distill.sift import PackedDetections, alice_sift, bob_sift, detect_message
from poliqi.distill.verify import verification_tag
from poliqi.link.device import Detections

__all__ = ["warm_up"]

_BITS = 8192
_ERRORS = 160


def warm_up(role: Role, reconciler: str) -> None:
    """Run a small block of nothing through all stages; no byte of it is used.

    Alice's end goes through the stages in one order, Bob's in the other: two ends that start side by side on a
    fresh machine share the compiled kernels, so each compiles about half of them.
    """
    stages = (_sift, _reconcile, _verify, _amplify)
    for stage in stages if role is Role.ALICE else reversed(stages):
        stage(reconciler)


def _sift(_reconciler: str) -> None:
    slots = np.array([3, 700, 702], np.int64)
    seen = PackedDetections.of(Detections(0, 1000, slots, np.array([0, 1, 3], np.uint8)))
    announced = detect_message(BlockNumber(1), seen)
    list(seen.slots.parts())
    _, answer = alice_sift(announced, np.array([0, 1, 2], np.uint8), 2, bytes(8))
    bob_sift(seen, BlockNumber(1), answer, 2)


def _reconcile(reconciler: str) -> None:
    errors = np.zeros(_BITS, np.uint8)
    errors[:: _BITS // _ERRORS] = 1
    strings = {Role.ALICE: BitString.zeros(_BITS), Role.BOB: BitString.from_bits(errors)}
    terms = ReconcilerTerms(qber=_ERRORS / _BITS, seed=1, frame_bits=_BITS)
    ends = {role: RECONCILERS[reconciler](role, bits, terms) for role, bits in strings.items()}
    while not all(end.done for end in ends.values()):
        said = {role: end.message() or b"" for role, end in ends.items()}
        for role, end in ends.items():
            end.receive(memoryview(said[role.peer]))


def _verify(_reconciler: str) -> None:
    verification_tag(BitString.zeros(_BITS), bytes(16))


def _amplify(_reconciler: str) -> None:
    amplify(BitString.zeros(_BITS), bytes(-(-seed_bits(_BITS) // 8)), _BITS // 3)
