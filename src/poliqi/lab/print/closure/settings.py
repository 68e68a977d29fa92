"""How arteries and veins are joined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ConfigError

__all__ = ["ClosureSettings"]

_MOST_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class ClosureSettings:
    """One capillary from each arterial terminal to a venous one.

    A capillary is straight, `shortest_um` to `longest_um` long. Its radius is `capillary_radius_um` at the
    shortest length and grows with the fourth root of the length, so that all resist alike: at most
    (longest/shortest)^(1/4) of it, 1.32 by default. `arterial_share`: what arteries take of the pressure that
    capillaries leave. `tries`: how often the veins are grown; `surplus`: how many more arterial terminals are
    grown than wanted, as a part; what is not needed is cut back; `most_left_out`: the largest part of the
    terminals that may be given up, as no vein reaches them. Raises ConfigError for what cannot be.
    """

    capillary_radius_um: float = 4.0
    shortest_um: float = 40.0
    longest_um: float = 120.0
    arterial_share: float = 0.5
    tries: int = 8
    surplus: float = 0.2
    most_left_out: float = 0.1

    def __post_init__(self) -> None:
        for name in ("capillary_radius_um", "shortest_um", "longest_um"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ConfigError(f"closure: {name} = {value!r}; give a number above 0")
        if not self.shortest_um <= self.longest_um:
            raise ConfigError(
                f"closure: shortest_um = {self.shortest_um} is above longest_um = {self.longest_um}; exchange them"
            )
        if not self.shortest_um > 2.0 * self.capillary_radius_um:
            raise ConfigError(
                f"closure: shortest_um = {self.shortest_um} is no more than the diameter of a capillary "
                f"({2.0 * self.capillary_radius_um:g} um); make capillaries longer or thinner"
            )
        if not 0.0 < self.arterial_share < 1.0:
            raise ConfigError(
                f"closure: arterial_share = {self.arterial_share}; give a part between 0 and 1, mostly .5"
            )
        if not 1 <= self.tries <= _MOST_TRIES:
            raise ConfigError(f"closure: tries = {self.tries}; give from 1 to {_MOST_TRIES}")
        if not 0.0 <= self.surplus <= 1.0:
            raise ConfigError(f"closure: surplus = {self.surplus}; give a part from 0 to 1, mostly .2")
        if not 0.0 <= self.most_left_out < 1.0:
            raise ConfigError(f"closure: most_left_out = {self.most_left_out}; give a part from 0 to below 1")
