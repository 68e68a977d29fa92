"""A cell as a BPX file (Battery Parameter eXchange, version 1), for other programs.

Functions become tables, fine enough that straight lines between their points stand within 0.02 mV (potentials) or
0.01 % (others). What BPX cannot say is refused: an exchange current that is not k (c_e c_s (c_max - c_s))^1/2, a
temperature law that is not Arrhenius', a thermodynamic factor other than 1, cells in series.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused, words_of
from poliqi.lab.echem.constants import FARADAY_C_MOL, GAS_J_MOL_K
from poliqi.lab.echem.models.cellparameters import ParameterSet
from poliqi.lab.echem.pybammdoor import pybamm

__all__ = ["bpx_bytes"]

Floats = NDArray[np.float64]
_VERSION: Final = "1.1.1"
_WARMER_K: Final = 10.0
_LIKE: Final = 1e-4
_MOST_POINTS: Final = 4000
_LITHIUM: Final = (0.001, 0.999)
_SALT: Final = (1.0, 3500.0)


def bpx_bytes(parameters: ParameterSet, *, title: str, description: str = "", references: str = "") -> bytes:
    """The document. Raises DataRefused, naming the parameter, for what BPX cannot say."""
    cell = _Cell(parameters)
    limits = cell.stoichiometries()
    negative, positive = (cell.electrode(side, limits) for side in ("Negative", "Positive"))
    user = {name: number for name in ("Contact resistance [Ohm]",) if (number := parameters.number(name))}
    document = {
        "Header": {
            "BPX": _VERSION,
            "Title": title[:200],
            "Description": description[:2000],
            "References": references[:2000] or parameters.source,
            "Model": "DFN",
        },
        "Parameterisation": {
            "Cell": cell.cell(),
            "Electrolyte": cell.electrolyte(),
            "Negative electrode": negative,
            "Positive electrode": positive,
            "Separator": {
                "Thickness [m]": cell.number("Separator thickness [m]"),
                "Porosity": cell.number("Separator porosity"),
                "Transport efficiency": cell.efficiency("Separator"),
            },
        }
        | ({"User-defined": user} if user else {}),
        "State": cell.state(limits),
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


class _Cell:
    """Numbers of a parameter set in the words of BPX."""

    def __init__(self, parameters: ParameterSet) -> None:
        self._set: Final = parameters
        self._kelvin: Final = self.number("Reference temperature [K]")

    def number(self, name: str) -> float:
        found = self._set.number(name)
        if found is None:
            raise DataRefused(f"{name} is no number in the {self._set.source}; BPX wants one")
        return found

    def cell(self) -> dict[str, float]:
        if (series := self.number("Number of cells connected in series to make a battery")) != 1:
            raise DataRefused(f"{series:g} cells in series: BPX describes one; set it to 1")
        area = self.number("Electrode height [m]") * self.number("Electrode width [m]")
        pairs = self.number("Number of electrodes connected in parallel to make a cell")
        if pairs != round(pairs):  # what was fitted as a number of pairs is an area
            area, pairs = area * pairs, 1.0
        return {
            "Electrode area [m2]": area,
            "External surface area [m2]": self._set.number("Cell cooling surface area [m2]") or 2 * area,
            "Volume [m3]": self._set.number("Cell volume [m3]") or area * self._thickness_m(),
            "Number of electrode pairs connected in parallel to make a cell": int(pairs),
            "Lower voltage cut-off [V]": self.number("Lower voltage cut-off [V]"),
            "Upper voltage cut-off [V]": self.number("Upper voltage cut-off [V]"),
            "Nominal cell capacity [A.h]": self.number("Nominal cell capacity [A.h]"),
            "Reference temperature [K]": self._kelvin,
        }

    def _thickness_m(self) -> float:
        parts = ("Negative electrode", "Positive electrode", "Separator")
        return sum(self.number(f"{part} thickness [m]") for part in parts)

    def electrolyte(self) -> dict[str, Any]:
        self._is_one("Thermodynamic factor")
        return {
            "Cation transference number": self._constant("Cation transference number"),
            **self._by_temperature("Diffusivity [m2.s-1]", "Electrolyte diffusivity [m2.s-1]", _SALT),
            **self._by_temperature("Conductivity [S.m-1]", "Electrolyte conductivity [S.m-1]", _SALT),
        }

    def electrode(self, side: str, limits: dict[str, tuple[float, float]]) -> dict[str, Any]:
        electrode = f"{side} electrode"
        porosity, radius = self.number(f"{electrode} porosity"), self.number(f"{side} particle radius [m]")
        active = self.number(f"{electrode} active material volume fraction")
        solid = (1 - porosity) ** self.number(f"{electrode} Bruggeman coefficient (electrode)")
        most = self.number(f"Maximum concentration in {electrode.lower()} [mol.m-3]")
        ocp = f"{electrode} OCP [V]"
        return {
            "Thickness [m]": self.number(f"{electrode} thickness [m]"),
            "Porosity": porosity,
            "Transport efficiency": self.efficiency(electrode),
            "Conductivity [S.m-1]": self._constant(f"{electrode} conductivity [S.m-1]") * solid,
            "Minimum stoichiometry": limits[side][0],
            "Maximum stoichiometry": limits[side][1],
            "Maximum concentration [mol.m-3]": most,
            "Particle radius [m]": radius,
            "Surface area per unit volume [m-1]": 3 * active / radius,
            "OCP [V]": self._table(lambda x: self._at(ocp, x), _LITHIUM, absolute=2e-5),
            "Entropic change coefficient [V.K-1]": self._entropy(f"{electrode} OCP entropic change [V.K-1]"),
            **self._by_temperature("Diffusivity [m2.s-1]", f"{side} particle diffusivity [m2.s-1]", _LITHIUM),
            **self._reaction(f"{electrode} exchange-current density [A.m-2]", most),
        }

    def efficiency(self, part: str) -> float:
        """Of transport through the pores."""
        if (porosity := self.number(f"{part} porosity")) >= 1:
            raise DataRefused(
                f"{part} porosity is {porosity:g}: readers of BPX want one below 1; choose such a set"
            )
        return porosity ** self.number(f"{part} Bruggeman coefficient (electrolyte)")

    def stoichiometries(self) -> dict[str, tuple[float, float]]:
        """Least and largest lithium content of each electrode, between the set's voltage limits."""
        package = pybamm()
        try:
            low_n, high_n, high_p, low_p = (
                float(one) for one in package.lithium_ion.get_min_max_stoichiometries(self._set.values)
            )
        except (ValueError, KeyError, package.SolverError) as error:
            raise DataRefused(
                f"the electrodes do not reach the set's voltage limits ({words_of(error)})"
            ) from error
        return {"Negative": (low_n, high_n), "Positive": (min(low_p, high_p), max(low_p, high_p))}

    def state(self, limits: dict[str, tuple[float, float]]) -> dict[str, Any]:
        """By the lithium in the negative electrode."""
        low, high = limits["Negative"]
        inside = self.number("Initial concentration in negative electrode [mol.m-3]") / self.number(
            "Maximum concentration in negative electrode [mol.m-3]"
        )
        charge = min(max((inside - low) / (high - low), 0.0), 1.0)
        return {
            "Initial conditions": {
                "Initial state-of-charge": charge,
                "Initial temperature [K]": self.number("Initial temperature [K]"),
                "Initial electrolyte concentration [mol.m-3]": self.number(
                    "Initial concentration in electrolyte [mol.m-3]"
                ),
            },
            "Thermal environment": {"Ambient temperature [K]": self.number("Ambient temperature [K]")},
        }

    def _at(self, name: str, *arguments: Floats | float) -> Floats:
        """The parameter at numbers; a constant where it is none of these."""
        held, package = self._set.values[name], pybamm()
        n = max(np.size(one) for one in arguments)
        if not callable(held):
            return np.full(n, self.number(name))
        symbols = [package.Vector(np.broadcast_to(np.asarray(one, float), n).copy()) for one in arguments]
        made: Any = self._set.values.process_symbol(held(*symbols))
        return np.broadcast_to(np.asarray(made.evaluate(), float).reshape(-1), n).copy()

    def _constant(self, name: str) -> float:
        """A number, also where it is a function that has one value."""
        if (found := self._set.number(name)) is not None:
            return found
        for arguments in ((np.linspace(*_SALT, 9), self._kelvin), (self._kelvin,)):
            try:
                values = self._at(name, *arguments)
            except TypeError:
                continue
            if np.ptp(values) <= _LIKE * abs(values[0]):
                return float(values[0])
        raise DataRefused(f"{name} depends on something, in BPX it is a number; hold it at one")

    def _is_one(self, name: str) -> None:
        if name in self._set.values and abs(self._constant(name) - 1) > _LIKE:
            raise DataRefused(f"{name} is not 1, which BPX takes it for")

    def _entropy(self, name: str) -> Any:
        if (found := self._set.number(name)) is not None:
            return found
        try:
            return self._table(lambda x: self._at(name, x), _LITHIUM, absolute=1e-7)
        except TypeError as error:
            raise DataRefused(f"{name} depends on more than the lithium content; BPX wants that alone") from error

    def _by_temperature(self, word: str, name: str, between: tuple[float, float]) -> dict[str, Any]:
        """A number or table at the reference temperature, with its activation energy."""
        x = np.linspace(*between, 11)
        energy = self._energy(name, lambda kelvin: self._at(name, x, kelvin))
        table = self._table(lambda at: self._at(name, at, self._kelvin), between, relative=_LIKE)
        stem = word.partition(" [")[0]
        return {word: table, f"{stem} activation energy [J.mol-1]": energy}

    def _energy(self, name: str, function: Callable[[float], Floats]) -> float:
        """Of Arrhenius' law. Raises DataRefused where the parameter does not follow it."""
        here, low, high = (function(self._kelvin + step) for step in (0.0, -_WARMER_K, _WARMER_K))
        by = [1 / self._kelvin - 1 / (self._kelvin + step) for step in (-_WARMER_K, _WARMER_K)]
        energies = np.concatenate([np.log(low / here) / by[0], np.log(high / here) / by[1]]) * GAS_J_MOL_K
        energy = float(energies.mean())
        if np.ptp(energies) > 1.0 + 1e-3 * abs(energy):
            raise DataRefused(f"{name} does not follow Arrhenius' law, which is the only one that BPX has")
        return energy if abs(energy) > 1e-6 else 0.0

    def _reaction(self, name: str, most: float) -> dict[str, float]:
        salt = self.number("Initial concentration in electrolyte [mol.m-3]")
        share, c = (one.reshape(-1) for one in np.meshgrid([0.1, 0.5, 0.9], [0.5 * salt, salt, 1.5 * salt]))
        form = np.sqrt(c * share * most * (1 - share) * most)

        def rate(kelvin: float) -> Floats:
            return self._at(name, c, share * most, np.full(c.size, most), kelvin) / form

        here = rate(self._kelvin)
        if np.ptp(here) > _LIKE * here[0]:
            raise DataRefused(f"{name} is not k (c_e c_s (c_max - c_s))^1/2, the only form that BPX has")
        return {
            "Reaction rate constant [mol.m-2.s-1]": float(here.mean()) * most * math.sqrt(salt) / FARADAY_C_MOL,
            "Reaction rate constant activation energy [J.mol-1]": self._energy(name, rate),
        }

    @staticmethod
    def _table(
        function: Callable[[Floats], Floats],
        between: tuple[float, float],
        *,
        absolute: float = 0.0,
        relative: float = 0.0,
    ) -> Any:
        """Points between which the function is straight within the tolerance; a number where it has one value."""
        x = np.linspace(*between, 65)
        y = function(x)
        if np.ptp(y) <= 1e-12 * np.abs(y).max():
            return float(y[0])
        while x.size < _MOST_POINTS:
            middle = (x[1:] + x[:-1]) / 2
            there = function(middle)
            off = np.abs(there - (y[1:] + y[:-1]) / 2) > absolute + relative * np.abs(there)
            if not bool(off.any()):
                break
            x, y = np.concatenate([x, middle[off]]), np.concatenate([y, there[off]])
            order = np.argsort(x)
            x, y = x[order], y[order]
        return {"x": x.tolist(), "y": y.tolist()}
