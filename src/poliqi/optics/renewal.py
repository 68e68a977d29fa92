"""Dead time and afterpulses as a renewal process: every click starts the same story anew.

After a click come `t_d` dead slots. With probability p_ap a carrier sits in a trap of the detector that clicked;
from the end of the dead time on it leaves in each slot with probability rho = 1 - r and makes a click. The next
click, of whatever cause, ends the cycle and forgets the trap. With D the probability that light or darkness clicks
in a live slot, the cycle has, on average,

    live slots             E[J] = (1 - p_ap)/D + p_ap / (1 - (1 - D) r)
    slots with a release   F    = p_ap (1 - r) / (1 - (1 - D) r)

and D (E[J] - F) + F = 1: each cycle ends once. Long-run frequencies are exact; over n slots from a live start the
mean number of clicks differs from n / E[cycle] by at most E[cycle^2] / E[cycle]^2 (G. Lorden, Ann. Math. Stat. 41,
520 (1970)): by two clicks or so.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from poliqi.base.errors import ConfigError

__all__ = ["Cycle", "cycle", "paralysable_cycle"]

_SATURATED: Final = 1e-15  # registered clicks a slot: a click in eleven days at 1 GHz


class Cycle(NamedTuple):
    """Slots from a click to the next: mean and variance, live slots without and with a carrier released."""

    mean: float
    variance: float
    plain: float
    released: float


def cycle(click: float, dead_slots: int, afterpulse: float, release: float) -> Cycle:
    """The cycle for D = `click` > 0, t_d = `dead_slots`, p_ap = `afterpulse` and rho = `release`."""
    a = click
    b = click + release - click * release  # 1 - (1 - D) r: light or the trap
    share = afterpulse if release > 0.0 else 0.0
    live = (1.0 - share) / a + share / b
    # E[J^2] from sum over j of (2 j - 1) x^(j-1) = 2/(1-x)^2 - 1/(1-x)
    square = (1.0 - share) * (2.0 / (a * a) - 1.0 / a) + share * (2.0 / (b * b) - 1.0 / b)
    released = share * release / b
    return Cycle(dead_slots + live, max(square - live * live, 0.0), live - released, released)


def paralysable_cycle(click: float, dead_slots: int) -> Cycle:
    """The cycle where clicks inside the dead time are lost and prolong it.

    A click is registered if the t_d slots before it were silent: the wait for a run of t_d silent slots
    (W. Feller, An Introduction to Probability Theory I, XIII.7), then for a click.
    """
    q = 1.0 - click
    run = q**dead_slots
    rate = click * run
    if rate < _SATURATED:
        raise ConfigError(
            f"detector: saturated; a paralysable dead time of {dead_slots} slots at {click:.3g} clicks a slot "
            "leaves no counts: shorten detector.dead_time or attenuate the light"
        )
    variance = (1.0 - (2 * dead_slots + 1) * rate - run * run * q) / (rate * rate) + q / (click * click)
    return Cycle(1.0 / rate, variance, 1.0 / click, 0.0)
