"""Reconcilers: two strings that differ become one, and every bit said is counted."""

from __future__ import annotations

from poliqi.distill.reconcile.cascade import Cascade
from poliqi.distill.reconcile.leak import efficiency, expected_leak_bits
from poliqi.distill.reconcile.plan import CascadeParameters
from poliqi.distill.reconcile.protocol import Reconciler

__all__ = ["Cascade", "CascadeParameters", "Reconciler", "efficiency", "expected_leak_bits"]
