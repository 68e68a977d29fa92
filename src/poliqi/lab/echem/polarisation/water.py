"""Thermodynamics of splitting water: reversible and thermoneutral voltage, vapour over water and over lye.

Splitting liquid water, H2O -> H2 + 1/2 O2, two electrons. Temperatures in K, pressures in Pa, arrays welcome.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HYDROGEN_KG_MOL",
    "STANDARD_PA",
    "lye_vapour_pa",
    "lye_water_activity",
    "saturation_pa",
    "standard_voltage",
    "thermoneutral_voltage",
]

Floats = NDArray[np.float64]
HYDROGEN_KG_MOL: Final = 2.01588e-3
STANDARD_PA: Final = 1e5

# LeRoy, Bowen and LeRoy, J. Electrochem. Soc. 127 (1980) 1954: E = a + b T + c T ln T + d T^2
_E0: Final = (1.5184, -1.5421e-3, 9.523e-5, 9.84e-8)
# Wagner and Pruss, J. Phys. Chem. Ref. Data 22 (1993) 783, eq. 1
_CRITICAL_K: Final = 647.096
_CRITICAL_PA: Final = 22.064e6
_VAPOUR: Final = (
    (-7.85951783, 1.0),
    (1.84408259, 1.5),
    (-11.7866497, 3.0),
    (22.6807411, 3.5),
    (-15.9618719, 4.0),
    (1.80122502, 7.5),
)
_KOH_KG_MOL: Final = 56.1056e-3


def standard_voltage(temperature_k: Floats) -> Floats:
    """Reversible voltage with all gases at 1 bar and pure liquid water (LeRoy et al. 1980), 273 to 473 K."""
    a, b, c, d = _E0
    t = np.asarray(temperature_k, dtype=np.float64)
    return a + b * t + c * t * np.log(t) + d * t * t


def thermoneutral_voltage(temperature_k: Floats) -> Floats:
    """Voltage at which the reaction neither takes nor gives heat: E - T dE/dT of the same polynomial."""
    a, _, c, d = _E0
    t = np.asarray(temperature_k, dtype=np.float64)
    return a - c * t - d * t * t


def saturation_pa(temperature_k: Floats) -> Floats:
    """Vapour pressure of pure water (Wagner and Pruss 1993), 273.16 to 647 K."""
    t = np.asarray(temperature_k, dtype=np.float64)
    tau = 1.0 - t / _CRITICAL_K
    terms = sum((factor * tau**power for factor, power in _VAPOUR), np.zeros_like(tau))
    return _CRITICAL_PA * np.exp(_CRITICAL_K / t * terms)


def lye_vapour_pa(temperature_k: Floats, koh_mass_fraction: Floats) -> Floats:
    """Vapour pressure over aqueous KOH (Balej, Int. J. Hydrogen Energy 10 (1985) 233), to 18 mol/kg."""
    m = _molality(koh_mass_fraction)
    water_bar = saturation_pa(temperature_k) / STANDARD_PA
    log10 = -0.01508 * m - 0.0016788 * m**2 + 2.25887e-5 * m**3
    log10 = log10 + (1 - 0.0012062 * m + 5.6024e-4 * m**2 - 7.8228e-6 * m**3) * np.log10(water_bar)
    return STANDARD_PA * 10**log10


def lye_water_activity(temperature_k: Floats, koh_mass_fraction: Floats) -> Floats:
    """Activity of water in aqueous KOH (Balej 1985)."""
    m = _molality(koh_mass_fraction)
    t = np.asarray(temperature_k, dtype=np.float64)
    return 10 ** (-0.02255 * m + 0.001434 * m**2 + (1.38 * m - 0.9254 * m**2) / t)


def _molality(mass_fraction: Floats) -> Floats:
    """Mol of KOH in a kg of water."""
    w = np.asarray(mass_fraction, dtype=np.float64)
    return w / (_KOH_KG_MOL * (1.0 - w))
