"""Carbon of materials and energy from a table that its owner keeps, each factor with its source.

No factor is in this program. What the table does not have is named, and the sum is told as a part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poliqi.lab.echem.quantity import Quantity

__all__ = ["Carbon", "CarbonTable", "Factor"]


@dataclass(frozen=True, slots=True)
class Factor:
    """kg of CO2 equivalent for a kg of a material, or for a kWh of energy."""

    factor: Quantity
    source: str


@dataclass(frozen=True, slots=True)
class CarbonTable:
    """Factors by the names that a prototype's file has for its materials, and for the energies of its processes."""

    materials: Mapping[str, Factor]
    energies: Mapping[str, Factor]
    where: str = ""


@dataclass(frozen=True, slots=True)
class Carbon:
    """The sum over what the table has, None where it has nothing of the prototype.

    `covered_share`: of its mass; `has_making`: whether it tells the energy of making it.

    `each` are kg CO2e by material or process; `per` by what it is divided by, with sigma to first order.
    """

    total: Quantity | None
    per: Mapping[str, Quantity]
    each: Mapping[str, float]
    sources: Mapping[str, str]
    missing: Sequence[str]
    covered_share: float
    has_making: bool

    @property
    def is_partial(self) -> bool:
        """Whether a factor is missing, or the energy of making."""
        return bool(self.missing) or not self.has_making
