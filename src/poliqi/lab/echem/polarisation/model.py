"""What a cell's voltage is made of: reversible, activation, ohmic and transport, each with its laws.

A fuel cell's losses are taken off the reversible voltage, an electrolyser's are added to it:

    E     = E0(T) + RT/2F ln(activities)                                           Nernst
    act   = RT/(alpha F) asinh(i / 2 i0),  i0 = i0_ref a^gamma exp(-Ea x)          Butler-Volmer, one electrode
    ohm   = i R_ref exp(ER x)
    trans = s w [softplus((i - i_t)/w) - softplus(-i_t/w)],  i_t = i_ref (p_dry / 1 bar)^m exp(-ET x)   fuel cells

with x = (1/T - 1/T_ref)/R_gas. For a fuel cell `a` is the partial pressure of oxygen over 1 bar, the logarithmic
mean along the channel: with a reaction of first order that mean is what a channel's current follows (Kulikovsky,
Electrochem. Commun. 4 (2002) 845); `p_dry` is the cathode's pressure less that of saturated vapour. For an
electrolyser `a` is the cathode's pressure over 1 bar. The transport term is empirical: beyond i_t the curve is
steeper by s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.echem.constants import FARADAY_C_MOL, GAS_J_MOL_K
from poliqi.lab.echem.fitting import Parameter
from poliqi.lab.echem.polarisation.curve import Conditions, Curve, Device
from poliqi.lab.echem.polarisation.water import (
    STANDARD_PA,
    lye_vapour_pa,
    lye_water_activity,
    saturation_pa,
    standard_voltage,
)

__all__ = [
    "REFERENCE_K",
    "SIGNS",
    "TRANSPORT_WIDTH_A_M2",
    "Operation",
    "losses",
    "operation_at",
    "operation_of",
    "parameters_of",
    "reversible_voltage",
    "voltage",
]

Floats = NDArray[np.float64]
REFERENCE_K: Final = 343.15
"""Temperature that the parameters are told at."""
TRANSPORT_WIDTH_A_M2: Final = 3000.0
"""Over which the transport loss sets in; held, as no curve tells it apart from the onset."""
SIGNS: Final = {Device.FUEL_CELL: -1.0, Device.PEM_ELECTROLYSER: 1.0, Device.ALKALINE_ELECTROLYSER: 1.0}
_LEAST_PA: Final = 1.0

_KINETICS: Final = (
    Parameter("exchange_current_density", 1e-2, 1e-9, 1e4, "A/m2", is_log=True),
    Parameter("transfer_coefficient", 0.8, 0.05, 4.0),
)
_OHMIC: Final = (
    Parameter("area_resistance", 8e-6, 0.0, 1e-3, "ohm m2"),
    Parameter("resistance_energy", 10.54, -100.0, 150.0, "kJ/mol"),
)
_FUEL_CELL: Final = (
    *_KINETICS,
    Parameter("oxygen_order", 0.54, 0.0, 4.0),
    Parameter("activation_energy", 67.0, 0.0, 300.0, "kJ/mol"),
    *_OHMIC,
    Parameter("transport_onset", 1e4, 300.0, 1e5, "A/m2", is_log=True),
    Parameter("transport_order", 2.4, 0.0, 6.0),
    Parameter("transport_energy", -20.0, -150.0, 100.0, "kJ/mol"),
    Parameter("transport_slope", 1.5e-5, 0.0, 1e-3, "ohm m2"),
)
_ELECTROLYSER: Final = (
    Parameter("exchange_current_density", 1.0, 1e-9, 1e4, "A/m2", is_log=True),
    Parameter("transfer_coefficient", 0.5, 0.05, 4.0),
    Parameter("pressure_order", 0.0, -3.0, 3.0),
    Parameter("activation_energy", 50.0, 0.0, 300.0, "kJ/mol"),
    Parameter("area_resistance", 4e-5, 0.0, 1e-3, "ohm m2"),
    _OHMIC[1],
)


def parameters_of(device: Device) -> tuple[Parameter, ...]:
    """All parameters of the model of a device, in the order that `losses` takes them."""
    return _FUEL_CELL if device is Device.FUEL_CELL else _ELECTROLYSER


@dataclass(frozen=True, slots=True)
class Operation:
    """What the model needs to know of n points, each (n,): all but the parameters."""

    device: Device
    current_density_a_m2: Floats
    temperature_k: Floats
    reversible_v: Floats
    log_activity: Floats
    """Logarithm of what the exchange current follows by its order."""
    log_dry: Floats
    """Logarithm of the cathode's dry pressure over 1 bar; zeros for electrolysers."""


def operation_of(curves: Sequence[Curve]) -> Operation:
    """The points of all curves, one after another. They are of one device."""
    parts = [operation_at(one.device, one.conditions, one.current_density_a_m2) for one in curves]
    names = ("current_density_a_m2", "temperature_k", "reversible_v", "log_activity", "log_dry")
    return Operation(parts[0].device, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def operation_at(device: Device, at: Conditions, current_density_a_m2: Floats) -> Operation:
    """Points (n,) at one set of conditions."""
    i = np.asarray(current_density_a_m2, dtype=np.float64)
    temperature = np.full(i.shape, at.temperature_k)
    vapour = saturation_pa(temperature)
    if device is Device.FUEL_CELL:
        hydrogen, oxygen = _fuel_gas(at, i, vapour)
        activity = np.log(oxygen / STANDARD_PA)
        dry = np.log(np.maximum(at.cathode_pressure_pa - vapour, _LEAST_PA) / STANDARD_PA)
    else:
        lye = (
            np.full(i.shape, at.koh_mass_fraction) if device is Device.ALKALINE_ELECTROLYSER else np.zeros(i.shape)
        )
        over = lye_vapour_pa(temperature, lye)
        hydrogen = np.maximum(at.cathode_pressure_pa - over, _LEAST_PA)
        oxygen = np.maximum(at.anode_pressure_pa - over, _LEAST_PA)
        activity = np.full(i.shape, np.log(at.cathode_pressure_pa / STANDARD_PA))
        dry = np.zeros(i.shape)
    reversible = _nernst(device, at, temperature, hydrogen, oxygen)
    return Operation(device, i, temperature, reversible, activity, dry)


def reversible_voltage(device: Device, at: Conditions) -> float:
    """At no current, with the gases as they enter: no fuel cell gives more, no electrolyser takes less."""
    entering = Conditions(
        **{name: getattr(at, name) for name in Conditions.__slots__}
        | {"anode_stoichiometry": 1e6, "cathode_stoichiometry": 1e6}
    )
    return float(operation_at(device, entering, np.zeros(1)).reversible_v[0])


def _fuel_gas(at: Conditions, i: Floats, vapour: Floats) -> tuple[Floats, Floats]:
    """Partial pressures of hydrogen (at the inlet) and oxygen (logarithmic mean along the channel)."""
    flow = np.maximum(1.0, at.least_flow_a_m2 / np.maximum(i, 1e-9))
    stoichiometry = np.minimum(at.cathode_stoichiometry * flow, 1e9)
    x = at.oxygen_fraction
    dry_in = stoichiometry / x  # mol of dry gas for each mol of oxygen that reacts
    vapour_in = at.cathode_humidity * vapour
    water_out = dry_in * vapour_in / (at.cathode_pressure_pa - vapour_in) + 2.0
    vapour_out = np.minimum(at.cathode_pressure_pa * water_out / (water_out + dry_in - 1.0), vapour)
    entering = x * (at.cathode_pressure_pa - vapour_in)
    leaving = (stoichiometry - 1.0) / (dry_in - 1.0 + (x >= 1.0) * 1e-12) * (at.cathode_pressure_pa - vapour_out)
    ratio = np.maximum(entering, _LEAST_PA) / np.maximum(leaving, _LEAST_PA)
    log_ratio = np.log(ratio)
    mean = np.where(
        np.abs(log_ratio) < 1e-6,
        (entering + leaving) / 2,
        (entering - leaving) / np.where(np.abs(log_ratio) < 1e-6, 1.0, log_ratio),
    )
    hydrogen = np.full(i.shape, at.hydrogen_fraction) * (at.anode_pressure_pa - at.anode_humidity * vapour)
    return np.maximum(hydrogen, _LEAST_PA), np.maximum(mean, _LEAST_PA)


def _nernst(device: Device, at: Conditions, t: Floats, hydrogen: Floats, oxygen: Floats) -> Floats:
    water = (
        lye_water_activity(t, np.full(t.shape, at.koh_mass_fraction))
        if device is Device.ALKALINE_ELECTROLYSER
        else np.ones(t.shape)
    )
    ratio = np.log(hydrogen / STANDARD_PA) + 0.5 * np.log(oxygen / STANDARD_PA) - np.log(water)
    return standard_voltage(t) + GAS_J_MOL_K * t / (2 * FARADAY_C_MOL) * ratio


def losses(at: Operation, parameters: Floats) -> tuple[Floats, Floats, Floats]:
    """Activation, ohmic and transport loss in V, each (n,); `parameters` in the order of `parameters_of`."""
    i, x = at.current_density_a_m2, (1.0 / at.temperature_k - 1.0 / REFERENCE_K) / GAS_J_MOL_K * 1e3
    exchange, alpha, order, energy, resistance, resistance_energy = parameters[:6]
    log_exchange = np.log(exchange) + order * at.log_activity - energy * x
    tafel = GAS_J_MOL_K * at.temperature_k / (alpha * FARADAY_C_MOL)
    activation = tafel * np.arcsinh(0.5 * i * np.exp(-np.clip(log_exchange, -80.0, 80.0)))
    ohmic = i * resistance * np.exp(resistance_energy * x)
    if at.device is not Device.FUEL_CELL:
        return activation, ohmic, np.zeros(i.shape)
    onset, onset_order, onset_energy, slope = parameters[6:]
    log_onset = np.log(onset) + onset_order * at.log_dry - onset_energy * x
    from_onset = np.exp(np.clip(log_onset, -20.0, 20.0)) / TRANSPORT_WIDTH_A_M2
    beyond = np.logaddexp(0.0, i / TRANSPORT_WIDTH_A_M2 - from_onset) - np.logaddexp(0.0, -from_onset)
    return activation, ohmic, slope * TRANSPORT_WIDTH_A_M2 * beyond


def voltage(at: Operation, parameters: Floats) -> Floats:
    """Voltage of one cell (n,)."""
    activation, ohmic, transport = losses(at, parameters)
    return at.reversible_v + SIGNS[at.device] * (activation + ohmic + transport)
