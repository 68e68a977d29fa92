"""An uncertain source: the smallest length over a box of intensities.

The intensities of a block have one value each, known to lie in [mu_k (1 - u_k), mu_k (1 + u_k)]. The length that
may be promised is the smallest one over that box, with the same mu_k in tau_n, in w_k and in every prefactor.
The worst w_k alone, with prefactors left at their nominal value, promises more key than there is.

The length is piecewise smooth in two or three variables: the pieces are joined where min_k or a clamped count
changes over, and where there is no key it goes over into a negative constant. The search therefore looks at
the corners, at a grid between them, and descends from the three lowest points by compass search until its
step is a millionth of the box. In the blocks examined the smallest value stands at a corner, but nothing rests
on that. What is found is the smallest value seen, which the tests hold against random points of the box; it
is not a certificate in interval arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from typing import Final

from poliqi.base.errors import DataRefused

__all__ = ["Box", "box_of", "lowest_point"]

Box = tuple[tuple[float, float], ...]
_Point = tuple[float, ...]

_GRID: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_STARTS: Final = 3
_FIRST_STEP: Final = 0.25
_LAST_STEP: Final = 1e-6


def box_of(intensities: tuple[float, ...], uncertainty: float | tuple[float, ...]) -> Box:
    """The box of intensities; `uncertainty` is relative (0.02 for +-2 %), one for all or one for each.

    Raises DataRefused where it is not in [0, 1) or where intensities of the box overlap.
    """
    each = (uncertainty,) * len(intensities) if isinstance(uncertainty, float | int) else uncertainty
    if len(each) != len(intensities):
        raise DataRefused(
            f"intensity_uncertainty: {len(each)} given for {len(intensities)} intensities; give one, or one each"
        )
    for u in each:
        if not 0.0 <= u < 1.0:
            raise DataRefused(
                f"intensity_uncertainty: {u!r} is not a relative half-width in [0, 1); write 0.02 for +-2 %"
            )
    box = tuple((mu * (1.0 - u), mu * (1.0 + u)) for mu, u in zip(intensities, each, strict=True))
    for (lowest, _), (_, highest) in pairwise(box):
        if not lowest > highest:
            raise DataRefused(
                f"intensity_uncertainty: intensities overlap (one may fall to {lowest:g} while the next rises to "
                f"{highest:g}); measure them better or set them further apart"
            )
    return box


def lowest_point(length: Callable[[_Point], float], box: Box) -> _Point:
    """The intensities of `box` at which `length` is smallest."""
    lows = tuple(low for low, _ in box)
    widths = tuple(high - low for low, high in box)
    free = [axis for axis, width in enumerate(widths) if width > 0.0]

    def at(unit: _Point) -> float:
        return length(_point(lows, widths, unit))

    levels = [_GRID if width > 0.0 else (0.0,) for width in widths]
    seen = sorted((at(unit), unit) for unit in product(*levels))
    best, where = min(_descend(at, value, unit, free) for value, unit in seen[:_STARTS])
    del best
    return _point(lows, widths, where)


def _point(lows: _Point, widths: _Point, unit: _Point) -> _Point:
    return tuple(low + width * x for low, width, x in zip(lows, widths, unit, strict=True))


def _descend(at: Callable[[_Point], float], best: float, where: _Point, free: list[int]) -> tuple[float, _Point]:
    """Compass search from `where` inside the unit box."""
    step = _FIRST_STEP
    while step >= _LAST_STEP:
        moved = False
        for axis in free:
            for sign in (-1.0, 1.0):
                x = min(1.0, max(0.0, where[axis] + sign * step))
                if x == where[axis]:
                    continue
                trial = (*where[:axis], x, *where[axis + 1 :])
                value = at(trial)
                if value < best:
                    best, where, moved = value, trial, True
        if not moved:
            step /= 2.0
    return best, where
