"""The fluid in the vessels: a medium of one viscosity, or blood whose viscosity follows the vessel's diameter.

Blood: Pries et al., Circ. Res. 75 (1994) 904, the in vivo law, with the factor f = (D/(D - 1.1))^2 in both places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.network import Network

__all__ = [
    "LARGEST_HEMATOCRIT",
    "MEDIUM_PA_S",
    "NARROWEST_BLOOD_UM",
    "NARROWEST_CELL_UM",
    "PLASMA_PA_S",
    "Fluid",
    "pries_in_vivo",
]

MEDIUM_PA_S: Final = 0.7e-3
"""Cell culture medium at 37 degrees Celsius."""
PLASMA_PA_S: Final = 1.2e-3
NARROWEST_BLOOD_UM: Final = 1.1
"""Diameter at which the law's factor f has its pole."""
NARROWEST_CELL_UM: Final = 2.7
"""Diameter of the narrowest tube that a red cell passes whole (Canham and Burton, Circ. Res. 22 (1968) 405)."""
LARGEST_HEMATOCRIT: Final = 0.75
_VISCOSITY_PA_S: Final = (1e-5, 10.0)
_DENSITY_KG_M3: Final = (100.0, 5000.0)
_TOLD: Final = 3


def pries_in_vivo(diameter_um: NDArray[np.float64] | float, hematocrit: float) -> NDArray[np.float64]:
    """Viscosity of blood over that of plasma, in the shape of `diameter_um`.

    mu = [1 + (mu45 - 1) ((1-H)^C - 1)/((1-.45)^C - 1) f] f, discharge hematocrit H from 0 to .75 (Pries 1994).
    Raises DataRefused for diameters of 1.1 um, the pole of f, or less.
    """
    d = np.asarray(diameter_um, np.float64)
    if not bool((d > NARROWEST_BLOOD_UM).all()):
        raise DataRefused(
            f"flow: blood does not pass a vessel {float(d.min()):.3g} um wide; "
            f"its law holds above {NARROWEST_BLOOD_UM} um"
        )
    f: NDArray[np.float64] = (d / (d - NARROWEST_BLOOD_UM)) ** 2
    mu45 = 6.0 * np.exp(-0.085 * d) + 3.2 - 2.44 * np.exp(-0.06 * d**0.645)
    small = 1.0 / (1.0 + 1e-11 * d**12)
    c = (0.8 + np.exp(-0.075 * d)) * (small - 1.0) + small
    at_zero = np.log1p(-hematocrit) / np.log1p(-0.45)  # the limit where C goes through 0
    near = np.abs(c) < 1e-9
    safe = np.where(near, 1.0, c)
    share = np.expm1(safe * np.log1p(-hematocrit)) / np.expm1(safe * np.log1p(-0.45))
    cells = np.asarray(np.where(near, at_zero, share), np.float64)
    return (1.0 + (mu45 - 1.0) * cells * f) * f


@dataclass(frozen=True, slots=True)
class Fluid:
    """A Newtonian medium (`hematocrit` None), or blood of one discharge hematocrit in all vessels.

    `viscosity_pa_s`: of the medium, or of the plasma. Raises ConfigError for values that no such fluid has.
    """

    viscosity_pa_s: float = MEDIUM_PA_S
    hematocrit: float | None = None
    density_kg_m3: float = 1000.0

    def __post_init__(self) -> None:
        low, high = _VISCOSITY_PA_S
        if not low <= self.viscosity_pa_s <= high:
            raise ConfigError(
                f"fluid: viscosity {self.viscosity_pa_s} Pa s is not within {low:g} to {high:g}; water has .0007"
            )
        low, high = _DENSITY_KG_M3
        if not low <= self.density_kg_m3 <= high:
            raise ConfigError(f"fluid: density {self.density_kg_m3} kg/m3 is not within {low:g} to {high:g}")
        if self.hematocrit is not None and not 0.0 <= self.hematocrit <= LARGEST_HEMATOCRIT:
            raise ConfigError(
                f"fluid: hematocrit {self.hematocrit} is not within 0 to {LARGEST_HEMATOCRIT}; "
                "blood has .45 (not per cent)"
            )

    @classmethod
    def blood(cls, hematocrit: float = 0.45, plasma_pa_s: float = PLASMA_PA_S) -> Fluid:
        """Blood at 37 degrees Celsius."""
        return cls(plasma_pa_s, hematocrit, 1050.0)

    @property
    def is_blood(self) -> bool:
        """Whether the viscosity follows the diameter."""
        return self.hematocrit is not None

    def viscosity_in(self, radius_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apparent viscosity in Pa s in vessels of these radii, in their shape; for blood above .55 um."""
        radius_um = np.asarray(radius_um, np.float64)
        if self.hematocrit is None:
            return np.full(radius_um.shape, self.viscosity_pa_s)
        return self.viscosity_pa_s * pries_in_vivo(2.0 * radius_um, self.hematocrit)

    def viscosity_of(self, network: Network) -> NDArray[np.float64]:
        """Apparent viscosity in Pa s in each segment, (m,). Raises DataRefused where blood does not fit through."""
        if self.is_blood:
            narrow = np.flatnonzero(2.0 * network.radius_um <= NARROWEST_BLOOD_UM)
            if len(narrow):
                raise DataRefused(_too_narrow(network, narrow))
        return self.viscosity_in(network.radius_um)


def _too_narrow(network: Network, narrow: NDArray[np.int64]) -> str:
    middle = (network.start_um[narrow] + network.end_um[narrow]) / 2.0
    told = "; ".join(
        f"segment {s} ({2.0 * network.radius_um[s]:.3g} um wide) at ({x:.1f}, {y:.1f}, {z:.1f}) um"
        for s, (x, y, z) in zip(narrow[:_TOLD].tolist(), middle[:_TOLD].tolist(), strict=True)
    )
    more = f" and {len(narrow) - _TOLD} more" if len(narrow) > _TOLD else ""
    return (
        f"flow: blood does not pass vessels of {NARROWEST_BLOOD_UM} um or less: {told}{more}; "
        "widen the narrowest vessels of the design, or perfuse with medium"
    )
