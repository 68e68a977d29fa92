"""Reconcilers: two strings that differ become one, and every bit said is counted.

A reconciler is a file of its own and a line in `RECONCILERS`; contracts name it.
"""

from __future__ import annotations

from typing import Final

from poliqi.base.bits import BitString
from poliqi.base.ids import Role
from poliqi.distill.reconcile.cascade import Cascade
from poliqi.distill.reconcile.kind import ReconcilerKind
from poliqi.distill.reconcile.ldpc import ldpc, ldpc_blind
from poliqi.distill.reconcile.ldpc_rate import REACH, expected_leak
from poliqi.distill.reconcile.leak import efficiency, expected_leak_bits
from poliqi.distill.reconcile.plan import CascadeParameters
from poliqi.distill.reconcile.protocol import Reconciler, ReconcilerMaker, ReconcilerTerms

__all__ = [
    "DEFAULT_RECONCILER",
    "RECONCILERS",
    "Cascade",
    "CascadeParameters",
    "Reconciler",
    "ReconcilerKind",
    "ReconcilerMaker",
    "ReconcilerTerms",
    "efficiency",
    "expected_leak_bits",
]


_MARGIN: Final = 1.0  # a plan draws the number of errors itself
_LDPC_MARGIN: Final = 4.0  # how many increments its frames take is not among what a plan draws


def _cascade(role: Role, bits: BitString, terms: ReconcilerTerms) -> Reconciler:
    return Cascade(role, bits, terms, CascadeParameters())


def _cascade_few_rounds(role: Role, bits: BitString, terms: ReconcilerTerms) -> Reconciler:
    return Cascade(role, bits, terms, CascadeParameters(few_rounds=True))


def _cascade_leak(n: int, qber: float, _estimate: float, frame_bits: int) -> tuple[int, int]:
    said = expected_leak_bits(n, qber, _MARGIN, frame_bits=frame_bits)
    return said, said


def _cascade_few_rounds_leak(n: int, qber: float, _estimate: float, frame_bits: int) -> tuple[int, int]:
    said = expected_leak_bits(n, qber, _MARGIN, frame_bits=frame_bits, few_rounds=True)
    return said, said


def _ldpc_leak(n: int, qber: float, estimate: float, frame_bits: int) -> tuple[int, int]:
    return expected_leak(n, qber, estimate, blind=False, frame_bits=frame_bits, margin=_LDPC_MARGIN)


def _ldpc_blind_leak(n: int, qber: float, estimate: float, frame_bits: int) -> tuple[int, int]:
    return expected_leak(n, qber, estimate, blind=True, frame_bits=frame_bits, margin=_LDPC_MARGIN)


DEFAULT_RECONCILER: Final = "cascade"

RECONCILERS: Final[dict[str, ReconcilerKind]] = {
    DEFAULT_RECONCILER: ReconcilerKind(_cascade, _cascade_leak, (0.0, 0.5), 200e6, 1300),
    "cascade-few-rounds": ReconcilerKind(_cascade_few_rounds, _cascade_few_rounds_leak, (0.0, 0.5), 300e6, 320),
    "ldpc-blind": ReconcilerKind(ldpc_blind, _ldpc_blind_leak, REACH, 10e6, 30),
    "ldpc": ReconcilerKind(ldpc, _ldpc_leak, REACH, 30e6, 1),
}
"""Every reconciler by the name that contracts have for it."""
