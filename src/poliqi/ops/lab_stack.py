"""From the options of `poliqi lab echem stack` to a sizing: operating point, stack, course over a load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.lab_stack_toml import Plant, read_plant

if TYPE_CHECKING:
    from poliqi.lab.echem.polarisation.curve import Conditions
    from poliqi.lab.echem.polarisation.fit import PolarisationFit
    from poliqi.lab.echem.stack.design import Stack
    from poliqi.lab.echem.stack.load import Load
    from poliqi.lab.echem.stack.page import Sizing

__all__ = ["sizing_of"]

_POINTS: Final = ("current_density", "cell_voltage", "efficiency")
_ASSUMED: Final = (
    "all cells alike, at the same conditions and current; pumps, blowers and converters are not counted",
    "all current turns hydrogen over: no crossover; hydrogen that leaves unused or is purged is not counted",
    "below the smallest current that was measured, the model goes on to none",
)


def sizing_of(fit: PolarisationFit, options: Mapping[str, Any]) -> Sizing:
    """Raises ConfigError for options that contradict each other, DataRefused for what cannot be met."""
    from poliqi.lab.echem.stack.page import Sizing

    at = _conditions(fit, options)
    cautions = [f"{one.name} is not identified: {one.why}" for one in fit.fitted.verdicts if one.why]
    plant = Plant() if options["plant"] is None else read_plant(options["plant"])
    load = _load(options["load"], plant)
    stack, density = _stack(fit, at, options, plant, load)
    point = stack.at_current_density(density)
    assumptions = (*_ASSUMED, *(f"{one.name} held at {one.value:g}: {one.why}" for one in fit.held))
    made = Sizing(stack, point, load, assumptions=assumptions, cautions=tuple(cautions))
    if load is not None:
        made = _course(made, plant)
    return replace(made, cautions=(*_extrapolations(made), *made.cautions))


def _extrapolations(sizing: Sizing) -> list[str]:
    """Conditions and currents that nobody measured, at the operating point and over the load."""
    fit, at = sizing.stack.fit, sizing.stack.conditions
    told = [f"{one}: an extrapolation" for one in fit.outside(at)]
    point = sizing.point.current_density_a_m2
    if words := fit.beyond(at, point):
        told.append(f"operating point at {words}: an extrapolation")
    if sizing.is_extrapolated:
        told.append("how wrong the model is outside the curves nobody knows: its doubt is told as a lower limit")
    if sizing.stack_w is not None:
        most = float(sizing.stack.current_density_of(sizing.stack_w).max())
        if words := fit.beyond(at, most):
            told.append(f"the load's peak at {words}: an extrapolation")
    return told


def _conditions(fit: PolarisationFit, options: Mapping[str, Any]) -> Conditions:
    """Those of the curve that is named (or the only one), with what --at changes."""
    from poliqi.lab.echem.polarisation.file import conditions_with

    names = [one.name for one in fit.curves]
    like = options["like"] or (names[0] if len(names) == 1 else "")
    if like not in names:
        has = f"there is no curve {like!a:.60}" if like else "there are several curves"
        raise ConfigError(f"--like: {has}; name the one whose conditions hold: {', '.join(names)[:400]}")
    at = conditions_with(fit.curves[names.index(like)].conditions, options["at"])
    at.check(fit.device, "--at")
    return at


def _load(path: Path | None, plant: Plant) -> Load | None:
    from poliqi.lab.echem.stack.load import DriveCycle, load_of, read_profile

    if path is None:
        if plant != Plant():
            raise ConfigError("--plant: tells how a load is met; give the --load with it")
        return None
    read = read_profile(path)
    if not isinstance(read, DriveCycle):
        if plant.vehicle is not None:
            raise ConfigError(f"--load {path}: is power already; leave out the vehicle of --plant")
        return read
    if plant.vehicle is None:
        raise ConfigError(f"--load {path}: is speed; describe the vehicle in --plant FILE.toml, as [vehicle]")
    return load_of(read, plant.vehicle)


def _density(fit: PolarisationFit, at: Conditions, options: Mapping[str, Any]) -> float | None:
    """The current density that is asked for in A/m2, None where none is."""
    from poliqi.lab.echem.stack.design import cell_at_efficiency, cell_at_voltage

    given = [name for name in _POINTS if options[name] is not None]
    if len(given) > 1:
        raise ConfigError(f"{_flag(given[0])} and {_flag(given[1])}: each says where to work; give one")
    if not given:
        return None
    value: float = options[given[0]]
    if given[0] == "current_density":
        return value * 1e4
    return (cell_at_voltage if given[0] == "cell_voltage" else cell_at_efficiency)(fit, at, value)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _stack(
    fit: PolarisationFit, at: Conditions, options: Mapping[str, Any], plant: Plant, load: Load | None
) -> tuple[Stack, float]:
    """The stack, and the current density that it was made for."""
    from poliqi.lab.echem.stack.design import Stack, sized

    density = _density(fit, at, options)
    cells: int | None = options["cells"]
    area = None if options["area"] is None else options["area"] * 1e-4
    power = None if options["power"] is None else options["power"] * 1e3
    hydrogen = None if options["hydrogen"] is None else options["hydrogen"] / 3600
    if power is not None and hydrogen is not None:
        raise ConfigError("--power and --hydrogen: each says how much; give one")
    if cells is not None and area is not None:
        whole = Stack(fit, at, cells, area)
        if hydrogen is not None or (power is None) == (density is None):
            raise ConfigError(
                "--cells and --area: the stack is known; say its --power, or where to work, one of them"
            )
        return whole, density if density is not None else whole.at_power(power or 0.0).current_density_a_m2
    if cells is None and area is None:
        raise ConfigError("--cells or --area: say how many cells, or how large one is (in cm2)")
    if density is None:
        raise ConfigError(
            "--current-density, --cell-voltage or --efficiency: say where the stack works at that power"
        )
    if power is None and hydrogen is None:
        power = _needed_power(fit, plant, load)
    made = sized(fit, at, density, power_w=power, hydrogen_kg_s=hydrogen, cells=cells, area_m2=area)
    if power is not None:
        return made, made.at_power(power).current_density_a_m2
    assert hydrogen is not None
    one = Stack(fit, at, made.cells, made.area_m2).at_current_density(density)
    return made, density * hydrogen / one.hydrogen_kg_s


def _needed_power(fit: PolarisationFit, plant: Plant, load: Load | None) -> float:
    """The least that meets the load: its peak, or with a battery what the linear program finds."""
    from poliqi.lab.echem.stack.hybrid import least_stack_power

    if load is None:
        raise ConfigError("--power (kW), --hydrogen (kg/h) or --load FILE: say what the stack is for")
    if plant.battery is not None and fit.device.gives_power:
        return least_stack_power(load, plant.battery, plant.ramp_w_s)
    return float(load.power_w.max())


def _course(sizing: Sizing, plant: Plant) -> Sizing:
    """Over the load: shared with the battery, or followed by the stack alone."""
    import numpy as np

    from poliqi.lab.echem.stack.hybrid import least_hydrogen

    stack, load = sizing.stack, sizing.load
    assert load is not None
    most = float(stack.power_curve()[1][-1])
    if not stack.fit.device.gives_power:
        if plant.battery is not None or plant.vehicle is not None:
            raise ConfigError("--plant: a load is shared with the battery of a fuel cell, not of an electrolyser")
        if bool(np.any(load.power_w < 0)):
            raise DataRefused(
                f"{load.title!r}: power offered to an electrolyser is below 0 somewhere; mend the profile"
            )
        taken = np.minimum(load.power_w, most)
        return replace(sizing, stack_w=taken, unused_w=load.power_w - taken)
    if plant.battery is not None:
        split = least_hydrogen(load, stack, plant.battery, plant.ramp_w_s)
        told = (
            "the split knows the whole load beforehand: no controller takes less",
            "the battery's efficiencies are constant, and it ends at least as full as it began",
            "no loss by standing still or starting",
        )
        return replace(sizing, stack_w=split.stack_w, split=split, assumptions=(*sizing.assumptions, *told))
    follows = np.maximum(load.power_w, 0.0)
    stack.current_density_of(follows)
    told = "the stack follows the load at once; braking power is not kept: there is no battery"
    return replace(sizing, stack_w=follows, assumptions=(*sizing.assumptions, told))
