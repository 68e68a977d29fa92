"""A single PEM fuel cell from its parts: current, power, gases, catalyst and masses, as one function of all doubts.

Current at the cell's voltage: as stated, or of Tafel's law with a resistance,
V = V_ref - b log10(j / (i L)) - j R (Neyerlin et al., J. Electrochem. Soc. 153, A1955, 2006): i is the mass
activity of the cathode at V_ref, free of resistance, L its loading. A specific activity (per area of metal) is made
one by the metal's surface: as stated, or 6 / (density x diameter), that of spheres of which nothing is covered
(Gasteiger et al., Appl. Catal. B 56, 9, 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.constants import FARADAY_C_MOL, LOWER_HEATING_J_MOL
from poliqi.lab.echem.prototype.parts import CatalystLayer, FuelCell, material_named

__all__ = ["LAYERS", "fuel_cell_model", "tafel_current_density"]

Floats = NDArray[np.float64]
Values = Mapping[str, Floats]
LAYERS: Final = ("cathode", "anode")
_OXYGEN_SHARE: Final = 0.209476
"""Of dry air (U.S. Standard Atmosphere, 1976)."""
_WATER_KG_MOL: Final = 18.015e-3
_LOWER_HEATING_V: Final = LOWER_HEATING_J_MOL / (2 * FARADAY_C_MOL)
"""Enthalpy of formation of water vapour at 25 degrees Celsius over 2 F (CODATA 1989)."""
_NEWTON: Final = 80
_CLOSE: Final = 1e-12  # of ln j
_TINY: Final = 1e-300
_KINETIC: Final = ("reference_voltage", "tafel_slope", "resistance")


def tafel_current_density(
    voltage: Floats, reference: Floats, slope: Floats, resistance: Floats, at_reference: Floats
) -> Floats:
    """j in A/m2 where V = V_ref - b log10(j / j_ref) - j R; b in V a decade, R in ohm m2.

    By Newton's method in ln j, for which the law is convex.
    """
    a = slope / np.log(10)
    c = reference - voltage + a * np.log(at_reference)
    ohmic = np.log(np.maximum(c, _TINY) / np.maximum(resistance, _TINY))
    u: Floats = np.minimum(c / a, np.maximum(ohmic, 0.0))  # above the root of a convex law: steps go down to it
    for _ in range(_NEWTON):
        drop: Floats = resistance * np.exp(u)
        step: Floats = (a * u + drop - c) / (a + drop)
        u = np.subtract(u, step)
        if float(np.max(np.abs(step))) < _CLOSE:
            break
    return np.exp(u)


def fuel_cell_model(cell: FuelCell) -> Callable[[Values], dict[str, Floats]]:
    """Results by name; those that begin with "mass " are of items. Raises DataRefused for what lacks."""
    density_of = _current_density(cell)
    for layer in LAYERS:
        one = _layer(cell, layer)
        for name in (one.metal, one.support, one.ionomer):
            material_named(cell, name, layer)
        if one.ionomer in (one.metal, one.support):
            raise DataRefused(
                f"{layer}.ionomer = {one.ionomer!a:.80} is the metal or the support too; give the ionomer its own "
                "[material], so that both are weighed"
            )
    if material_named(cell, cell.membrane.material, "membrane.material").density is None:
        raise DataRefused(f"material.{cell.membrane.material}.density is not stated; give it")

    def model(v: Values) -> dict[str, Floats]:
        area = v["width"] * v["height"]
        found: dict[str, Floats] = {}
        for layer in LAYERS:
            found |= _surface(cell, layer, v)
        found["current density"] = density_of(v, found)
        found["current"] = found["current density"] * area
        found["power"] = found["current"] * v["operation.voltage"]
        for layer in LAYERS:
            found |= _layer_masses(_layer(cell, layer), layer, area, v)
        over = 2 * v["membrane.overhang"] if "membrane.overhang" in v else 0.0
        sheet = (v["width"] + over) * (v["height"] + over)
        membrane = cell.membrane.material
        found[f"mass membrane.{membrane}"] = sheet * v["membrane.thickness"] * v[f"material.{membrane}.density"]
        found[f"mass diffusion.{cell.diffusion.material}"] = 2 * area * v["diffusion.areal_mass"]
        for part in cell.parts:
            found[f"mass part.{part.name}"] = part.count * v[f"part.{part.name}.mass"]
        found["catalyst metal"] = area * (v["cathode.loading"] + v["anode.loading"])
        found["power per metal"] = found["power"] / found["catalyst metal"]
        found["mass"] = np.sum([mass for name, mass in found.items() if name.startswith("mass ")], axis=0)
        found |= _flows(found["current"], v)
        if "operation.lifetime" in v:
            found["energy"] = found["power"] * v["operation.lifetime"]
        return found

    return model


def _layer(cell: FuelCell, layer: str) -> CatalystLayer:
    return cell.cathode if layer == "cathode" else cell.anode


def _current_density(cell: FuelCell) -> Callable[[Values, Mapping[str, Floats]], Floats]:
    """As stated, or by Tafel's law. Raises DataRefused where both or neither can be had."""
    at = cell.operation
    kinetic = [one for one in (*_KINETIC, "mass_activity", "specific_activity") if getattr(at, one) is not None]
    if at.current_density is not None:
        if kinetic:
            raise DataRefused(
                f"operation: current_density is stated, and so is {kinetic[0]}; give one or the other"
            )
        return lambda v, _found: v["operation.current_density"]
    missing = [one for one in _KINETIC if getattr(at, one) is None]
    if (at.mass_activity is None) == (at.specific_activity is None):
        missing.append("either mass_activity or specific_activity")
    if missing:
        raise DataRefused(
            f"operation: no current_density, and Tafel's law lacks {', '.join(missing)}; a current is not assumed"
        )
    assert at.reference_voltage is not None
    if at.voltage.value >= at.reference_voltage.value:
        raise DataRefused(
            f"operation.voltage: {at.voltage.value:g} V is not below reference_voltage "
            f"{at.reference_voltage.value:g} V; give the voltage at which the cell works"
        )
    if at.specific_activity is not None and cell.cathode.surface is None and cell.cathode.particle_diameter is None:
        raise DataRefused(
            "operation.specific_activity needs the metal's surface: give cathode.surface or "
            "cathode.particle_diameter, or have it of X-rays"
        )

    def current_density(v: Values, found: Mapping[str, Floats]) -> Floats:
        if "operation.mass_activity" in v:
            at_reference = v["operation.mass_activity"] * v["cathode.loading"]
        else:
            at_reference = v["operation.specific_activity"] * found["cathode roughness"]
        return tafel_current_density(
            v["operation.voltage"],
            v["operation.reference_voltage"],
            v["operation.tafel_slope"],
            v["operation.resistance"],
            at_reference,
        )

    return current_density


def _surface(cell: FuelCell, layer: str, v: Values) -> dict[str, Floats]:
    """Surface of the metal per its mass, and over the cell's area, where it is told."""
    one = _layer(cell, layer)
    if one.surface is not None:
        surface = v[f"{layer}.surface"]
    elif one.particle_diameter is not None:
        if material_named(cell, one.metal, f"{layer}.metal").density is None:
            raise DataRefused(f"material.{one.metal}.density is not stated; {layer}.particle_diameter needs it")
        surface = 6 / (v[f"material.{one.metal}.density"] * v[f"{layer}.particle_diameter"])
    else:
        return {}
    return {f"{layer} surface": surface, f"{layer} roughness": surface * v[f"{layer}.loading"]}


def _layer_masses(one: CatalystLayer, layer: str, area: Floats, v: Values) -> dict[str, Floats]:
    metal = v[f"{layer}.loading"] * area
    support = metal * (1 / v[f"{layer}.metal_share"] - 1)
    ionomer = support * v[f"{layer}.ionomer_to_support"]
    found = {f"mass {layer}.{one.metal}": metal}
    for name, mass in ((one.support, support), (one.ionomer, ionomer)):
        key = f"mass {layer}.{name}"  # a metal without a support is its own
        found[key] = found.get(key, 0.0) + mass
    return found | {f"{layer} powder": metal + support}


def _flows(current: Floats, v: Values) -> dict[str, Floats]:
    """Gases that go in (mol/s), water that is made (kg/s), heat (W) where the water leaves as vapour."""
    hydrogen = current / (2 * FARADAY_C_MOL)
    found = {"water": hydrogen * _WATER_KG_MOL, "heat": (_LOWER_HEATING_V - v["operation.voltage"]) * current}
    if "operation.hydrogen_stoichiometry" in v:
        found["hydrogen"] = hydrogen * v["operation.hydrogen_stoichiometry"]
    if "operation.air_stoichiometry" in v:
        found["air"] = hydrogen / 2 / _OXYGEN_SHARE * v["operation.air_stoichiometry"]
    return found
