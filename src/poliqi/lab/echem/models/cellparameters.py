"""Sets of parameters of a cell, published ones by name or out of a BPX file, and which of them may be fitted.

Names are those of PyBaMM, such as "Negative electrode active material volume fraction". A parameter that is a
function, of concentration say, is fitted by a factor on it, which is 1 for the set as it is.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, words_of
from poliqi.lab.echem.fitting import Parameter
from poliqi.lab.echem.pybammdoor import pybamm

__all__ = ["NAMED_SETS", "ParameterSet", "parameter_named", "parameter_set", "varied"]

NAMED_SETS: Final = (
    "Ai2020",
    "Chen2020",
    "Ecker2015",
    "Marquis2019",
    "Mohtat2020",
    "NCA_Kim2011",
    "OKane2022",
    "ORegan2022",
    "Prada2013",
    "Ramadass2004",
)
"""Sets of whole lithium-ion cells that come with PyBaMM."""
_FACTOR: Final = 20.0
_CELSIUS: Final = 273.15
_FRACTIONS: Final = ("volume fraction", "porosity", "transference number")
_LISTED: Final = 12
_NOT_FITTED: Final = re.compile(r"cut-off|^Current function|^Nominal cell|^Reference temperature|^Typical|OCP at")


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """`values` are PyBaMM's ParameterValues; `source` says whence they come."""

    name: str
    source: str
    values: Any

    def number(self, name: str) -> float | None:
        """The parameter where it is a number; None where it is a function, or there is none."""
        held = self.values[name] if name in self.values else None  # noqa: SIM401 - ParameterValues.get is not a dict's
        return float(held) if isinstance(held, (int, float)) and not isinstance(held, bool) else None

    def changed(self, numbers: dict[str, float]) -> ParameterSet:
        """The set with other numbers; functions are multiplied."""
        values = self.values.copy()
        for name, number in numbers.items():
            held = values[name]
            values[name] = _times(held, number) if callable(held) else number
        return replace(self, values=values)

    def at_temperature(self, celsius: float) -> ParameterSet:
        """The set with a cell and surroundings of that temperature."""
        kelvin = celsius + _CELSIUS
        return self.changed({"Ambient temperature [K]": kelvin, "Initial temperature [K]": kelvin})

    def at_start(self, state: str) -> ParameterSet:
        """The set with a cell at rest at a state of charge from 0 to 1, or at a voltage such as "4.1 V".

        The state of charge is between the set's own voltage limits. Raises ConfigError.
        """
        values = self.values.copy()
        text = state.strip().upper()
        is_volts = text.endswith("V")
        low, high = (
            (self.number(f"Open-circuit voltage at {charge}% SOC [V]") for charge in (0, 100))
            if is_volts
            else (0.0, 1.0)
        )
        remedy = "give a state of charge from 0 to 1, or a voltage such as 4.1V within the set's limits"
        try:
            number = float(text.removesuffix("V"))
        except ValueError as error:
            raise ConfigError(f"start {state!a:.40} is no number; {remedy}") from error
        if low is None or high is None or not low <= number <= high:
            raise ConfigError(f"start {state!a:.40} is not from {low:g} to {high:g}{' V' * is_volts}; {remedy}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                values.set_initial_state(f"{number} V" if is_volts else number)
            except (ValueError, KeyError, pybamm().SolverError) as error:
                raise ConfigError(f"start {state!a:.40}: {words_of(error)}; {remedy}") from error
        return replace(self, values=values)

    @property
    def temperature_c(self) -> float | None:
        """The cell's temperature in degrees Celsius, where it is a number."""
        kelvin = self.number("Initial temperature [K]")
        return None if kelvin is None else kelvin - _CELSIUS


def _times(function: Any, factor: float) -> Any:
    def scaled(*arguments: Any, **named: Any) -> Any:
        return factor * function(*arguments, **named)

    return scaled


def parameter_set(name: str) -> ParameterSet:
    """One of NAMED_SETS, or a BPX file by its path. Raises ConfigError, DataRefused."""
    if name in NAMED_SETS:
        return ParameterSet(name, f"parameter set {name} of PyBaMM", pybamm().ParameterValues(name))
    if name.lower().endswith(".json") or Path(name).is_file():
        from poliqi.lab.echem.models.bpxfile import read_bpx

        return ParameterSet(Path(name).name, f"BPX file {Path(name).name}", read_bpx(Path(name)))
    raise ConfigError(f"--parameters {name!a:.80}: give a BPX file (.json) or one of {', '.join(NAMED_SETS)}")


def parameter_named(parameters: ParameterSet, words: str) -> str:
    """The parameter of that name, or the only one whose name holds all these words. Raises ConfigError."""
    names = [name for name in parameters.values if not _NOT_FITTED.search(name) and _is_fitted(parameters, name)]
    if words in names:
        return words
    asked = words.lower().split()
    found = [name for name in names if all(word in name.lower() for word in asked)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"{words!a:.100} names no parameter of the {parameters.source} that can be fitted")
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise ConfigError(f"{words!a:.100} may be {'; '.join(sorted(found)[:_LISTED])}{more}: name one of them")


def _is_fitted(parameters: ParameterSet, name: str) -> bool:
    return callable(parameters.values[name]) or parameters.number(name) is not None


def varied(
    parameters: ParameterSet,
    name: str,
    start: float | None = None,
    lower: float | None = None,
    upper: float | None = None,
) -> Parameter:
    """How a parameter is fitted. What is not given: from the set, and a factor of 20 each way.

    Fractions stay within 0.01 and 0.99, concentrations in an electrode below its maximum. Raises ConfigError.
    """
    held = 1.0 if callable(parameters.values[name]) else parameters.number(name)
    begin = held if start is None else start
    if begin is None:
        raise ConfigError(f"{name} is neither a number nor a function in the {parameters.source}; name another")
    unit = "times the set's" if callable(parameters.values[name]) else _unit(name)
    if any(word in name for word in _FRACTIONS) and not callable(parameters.values[name]):
        return Parameter(name, begin, 0.01 if lower is None else lower, 0.99 if upper is None else upper, unit)
    if begin <= 0:
        if lower is None or upper is None:
            raise ConfigError(f"{name} begins at {begin:g}: give its limits, as NAME=START:LOW:HIGH")
        return Parameter(name, begin, lower, upper, unit)
    most = _most(parameters, name)
    high = min(begin * _FACTOR, most) if upper is None else upper
    low = begin / _FACTOR if lower is None else lower
    return Parameter(name, begin, low, high, unit, is_log=low > 0)


def _most(parameters: ParameterSet, name: str) -> float:
    if not name.startswith("Initial concentration in") or "electrode" not in name:
        return float("inf")
    limit = parameters.number(name.replace("Initial", "Maximum"))
    return float("inf") if limit is None else 0.999 * limit


def _unit(name: str) -> str:
    found = re.search(r"\[([^\]]+)\]$", name)
    return found[1] if found else "1"
