"""Reconcilers: two strings that differ become one, and every bit said is counted.

A reconciler is a file of its own and a line in `RECONCILERS`; contracts name it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.distill.reconcile.cascade import Cascade
from poliqi.distill.reconcile.leak import efficiency, expected_leak_bits
from poliqi.distill.reconcile.plan import CascadeParameters
from poliqi.distill.reconcile.protocol import Reconciler

__all__ = [
    "DEFAULT_RECONCILER",
    "RECONCILERS",
    "Cascade",
    "CascadeParameters",
    "Reconciler",
    "efficiency",
    "expected_leak_bits",
]

_RANDOM_PASSES: Final = 16
"""Each pass halves the frames that stay wrong, for one bit a frame: at 12, about 6e-5 of frames at 1 % do."""

Maker = Callable[[NDArray[np.uint8], float, int, int], Reconciler]


def _cascade(bits: NDArray[np.uint8], qber: float, seed: int, frame_bits: int) -> Reconciler:
    parameters = CascadeParameters(frame_bits=frame_bits, random_passes=_RANDOM_PASSES)
    return Cascade(bits, qber=qber, seed=seed, parameters=parameters)


DEFAULT_RECONCILER: Final = Cascade.name

RECONCILERS: Final[dict[str, Maker]] = {Cascade.name: _cascade}
"""Name in a contract -> maker of one party's half from own bits, public QBER estimate, public seed, frame bits."""
