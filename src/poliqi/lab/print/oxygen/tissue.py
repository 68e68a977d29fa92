"""What the tissue takes, and what the fluid in its vessels carries.

Consumption follows Michaelis and Menten, M = M0 c/(K + c); a red cell's haemoglobin follows Hill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ConfigError

__all__ = ["BLOOD", "PRESETS", "Carrier", "Tissue"]

_RANGES: Final = {
    "diffusivity_m2_s": (1e-12, 1e-7),
    "consumption_mol_m3_s": (0.0, 1e3),
    "km_mol_m3": (1e-6, 1e3),
    "inlet_mol_m3": (0.0, 1e3),
    "hypoxic_below_mol_m3": (0.0, 1e3),
    "bath_mol_m3": (0.0, 1e3),
}


def _within(thing: object, name: str, value: float) -> None:
    low, high = _RANGES[name]
    if not low <= value <= high:
        raise ConfigError(f"{thing}: {name} {value:g} is not within {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class Tissue:
    """A tissue that takes oxygen. Raises ConfigError for values that none has.

    `hypoxic_below_mol_m3`: .0135 is about 10 mmHg in water at 37 degrees Celsius. `bath_mol_m3`: None closes the
    outer boundary; a number holds it there, as in culture medium that is stirred.
    """

    diffusivity_m2_s: float
    consumption_mol_m3_s: float
    km_mol_m3: float
    inlet_mol_m3: float = 0.2
    hypoxic_below_mol_m3: float = 0.0135
    bath_mol_m3: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for name in _RANGES:
            value = getattr(self, name)
            if value is not None:
                _within("tissue", name, value)

    @classmethod
    def of_cells(
        cls, diffusivity_m2_s: float, per_cell_mol_s: float, cells_per_m3: float, km_mol_m3: float, source: str = ""
    ) -> Tissue:
        """M0 as what one cell takes, times how many there are."""
        return cls(diffusivity_m2_s, per_cell_mol_s * cells_per_m3, km_mol_m3, source=source)

    @property
    def reach_um(self) -> float:
        """Depth to which oxygen of the inlet's concentration comes through a plane wall at a constant consumption.

        sqrt(2 D c0/M0); infinite without consumption.
        """
        if not self.consumption_mol_m3_s:
            return float("inf")
        return 1e6 * (2 * self.diffusivity_m2_s * self.inlet_mol_m3 / self.consumption_mol_m3_s) ** 0.5


_EHSAN: Final = "fibrin, per cell: Ehsan and George, Tissue Eng. A 19 (2013) 1433"
_HEPATOCYTES: Final = "hepatocytes: Sci. Rep. 7 (2017) 42113"

PRESETS: Final = {
    "fibrin-1e12": Tissue.of_cells(1.7e-9, 1.3e-17, 1e12, 8.0e-3, f"{_EHSAN}; 1e12 cells/m3 chosen"),
    "fibrin-1e13": Tissue.of_cells(1.7e-9, 1.3e-17, 1e13, 8.0e-3, f"{_EHSAN}; 1e13 cells/m3 chosen"),
    "hepatocytes-5.14e12": Tissue.of_cells(3e-9, 4.8e-17, 5.14e12, 7.39e-3, f"{_HEPATOCYTES}, 5.14e12 cells/m3"),
    "hepatocytes-5.14e13": Tissue.of_cells(3e-9, 4.8e-17, 5.14e13, 7.39e-3, f"{_HEPATOCYTES}, 5.14e13 cells/m3"),
    "hepatocytes-5.14e14": Tissue.of_cells(3e-9, 4.8e-17, 5.14e14, 7.39e-3, f"{_HEPATOCYTES}, 5.14e14 cells/m3"),
}
"""Tissues whose diffusivity, consumption of a cell and Michaelis constant have a source; densities are choices."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """How much oxygen a fluid carries at a concentration c of dissolved oxygen: c + capacity c^n/(c^n + c50^n).

    `capacity_mol_m3` is 0 for medium. `diffusivity_m2_s` and `sherwood` give the fluid's resistance between its
    mean and its wall, k = Sh D/(2 r): Sh is 3.66 for a constant wall and 4.36 for a constant flux in developed
    laminar flow (Graetz's limits, as in textbooks of heat transfer); None leaves it out. Red cells are not
    resolved.
    """

    capacity_mol_m3: float = 0.0
    half_mol_m3: float = 0.035
    exponent: float = 2.7
    diffusivity_m2_s: float = 2.7e-9
    sherwood: float | None = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.capacity_mol_m3 <= 1e3:
            raise ConfigError(f"carrier: capacity_mol_m3 {self.capacity_mol_m3:g} is not within 0 to 1000")
        if not 1e-6 <= self.half_mol_m3 <= 1e3 or not 1 <= self.exponent <= 5:
            raise ConfigError(f"carrier: half_mol_m3 {self.half_mol_m3:g} or exponent {self.exponent:g} cannot be")
        if not 1e-12 <= self.diffusivity_m2_s <= 1e-7:
            raise ConfigError(f"carrier: diffusivity_m2_s {self.diffusivity_m2_s:g} is not within 1e-12 to 1e-7")
        if self.sherwood is not None and not 0.1 <= self.sherwood <= 1e6:
            raise ConfigError(f"carrier: sherwood {self.sherwood:g} is not within .1 to 1e6; None leaves it out")

    @classmethod
    def blood(cls, hematocrit: float) -> Carrier:
        """Red cells of about 20 mol/m3 at saturation, half saturated at 27 mmHg with n = 2.7: textbook values."""
        return cls(capacity_mol_m3=BLOOD * hematocrit)


BLOOD: Final = 20.0
"""Oxygen that red cells bind when saturated, mol per m3 of cells (.34 kg of haemoglobin per litre, 1.34 mL/g)."""
