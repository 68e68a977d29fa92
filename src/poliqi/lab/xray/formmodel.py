"""A form factor of sasmodels on the q of a curve: compiled, smeared, its parameters sorted into free and held."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, words_of
from poliqi.lab.xray.curve import Axis, Curve

__all__ = ["FormModel", "Values"]

_WIDEST: Final = 0.8

Values = Mapping[str, float]


class FormModel:
    """A model of sasmodels on the q of a curve, with the list of what is free; lengths in angstrom.

    Raises ConfigError: sasmodels or a compiler is missing, unknown model or parameter.
    """

    def __init__(
        self, curve: Curve, model: str, held: dict[str, float], vary: tuple[str, ...], polydisperse: bool
    ) -> None:
        core, direct, resolution = _sasmodels()
        use = curve.sigma > 0
        to_angstrom = 0.1 if curve.axis is Axis.Q_PER_NM else 1.0
        self.q: Final = curve.x[use] * to_angstrom
        self.wanted: Final = curve.intensity[use]
        self.weight: Final = 1 / curve.sigma[use]
        self.common: Final = [term.change[use] for term in curve.common]
        self.model: Final = model
        info, loaded = _loaded(core, model)
        width = None if curve.x_sigma is None else curve.x_sigma[use] * to_angstrom
        perfect = width is None or not bool(np.any(width > 0))
        self._smear: Any = resolution.Perfect1D(self.q) if perfect else resolution.Pinhole1D(self.q, width)
        self._kernel: Any = loaded.make_kernel([self._smear.q_calc])
        self._call: Any = direct.call_kernel
        self.units: Final[dict[str, str]] = {}
        self.limits: Final[dict[str, tuple[float, float]]] = {}
        self.fixed: Final[dict[str, float]] = {}
        self._how: Final[dict[str, Any]] = {}
        self.lengths: Final[list[str]] = []
        for parameter in info.parameters.call_parameters:
            if parameter.type != "magnetic" and not str(parameter.name).startswith("up_"):
                self._declare(parameter)
        self.units["background"] = curve.intensity_unit.value
        self.free: Final = self._choose(held, vary, polydisperse)

    def _declare(self, parameter: Any) -> None:
        name = str(parameter.name)
        self.units[name] = str(parameter.units).replace("Ang", "A") or "1"
        low, high = (float(value) for value in parameter.limits)
        self.limits[name] = (low, high)
        self.fixed[name] = float(parameter.default)
        if parameter.type == "volume" and parameter.units == "Ang":
            self.lengths.append(name)

    def _choose(self, held: dict[str, float], vary: tuple[str, ...], polydisperse: bool) -> list[str]:
        wide = [f"{name}_pd" for name in self.lengths]
        for name in (*held, *vary):
            if name not in self.fixed and name not in wide:
                known = ", ".join((*self.fixed, *wide))
                raise ConfigError(f"the model {self.model} has no parameter {name!a}; it has {known}")
        for name in wide:
            self.units[name], self.limits[name], self.fixed[name] = "1", (0.0, _WIDEST), 0.0
            self._how.update({f"{name}_n": 60, f"{name}_nsigma": 6, f"{name}_type": "schulz"})
        self.fixed.update(held)
        self.limits["background"] = (-math.inf, math.inf)
        wanted = ["scale", "background", *self.lengths, *(wide[:1] if polydisperse else ()), *vary]
        return [name for name in dict.fromkeys(wanted) if name not in held]

    def intensity(self, values: Values) -> NDArray[np.float64]:
        """(n,), smeared."""
        called = self._call(self._kernel, {**self.fixed, **self._how, **values})
        return np.asarray(self._smear.apply(called), np.float64)

    def straight(self, values: Values) -> tuple[dict[str, float], float]:
        """Scale and background by linear least squares, for the other values; chi-square."""
        shape = self.intensity({**values, "scale": 1.0, "background": 0.0}) * self.weight
        flat, wanted = self.weight, self.wanted * self.weight
        ss, sf, ff = float((shape**2).sum()), float((shape * flat).sum()), float((flat**2).sum())
        sw, fw = float((shape * wanted).sum()), float((flat * wanted).sum())
        scale, ground = self.fixed["scale"], self.fixed["background"]
        norm = ss * ff - sf * sf
        if "scale" in self.free and "background" in self.free and norm > 0:
            scale = (sw * ff - fw * sf) / norm
            ground = (fw - scale * sf) / ff
        elif "scale" in self.free and ss > 0:
            scale = (sw - ground * sf) / ss
        chi2 = float(((wanted - scale * shape - ground * flat) ** 2).sum())
        return {"scale": max(scale, 1e-300), "background": ground}, chi2

    def sizes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """How large a change of each free parameter matters."""
        ground = 1e-6 * float(np.max(np.abs(self.wanted)))
        least = [1e-3 if n.endswith("_pd") else ground if n == "background" else 1e-12 for n in self.free]
        return np.maximum(np.abs(values), least)


def _sasmodels() -> tuple[Any, Any, Any]:
    import platformdirs

    os.environ.setdefault("SAS_DLL_PATH", str(platformdirs.user_cache_path("poliqi") / "sasmodels"))
    os.environ.setdefault("SAS_OPENCL", "none")
    try:
        from sasmodels import core, direct_model, resolution
    except ImportError as error:
        raise ConfigError('form factors need the package sasmodels: pip install "poliqi[xray]"') from error
    return core, direct_model, resolution


def _loaded(core: Any, model: str) -> tuple[Any, Any]:
    if not model.replace("_", "").isalnum():  # sasmodels would read a file of that name, and run it
        raise ConfigError(
            f"{model!a} is no name of a model of sasmodels; such as sphere, cylinder, core_shell_sphere"
        )
    try:
        info = core.load_model_info(model)
    except Exception as error:  # a module of that name that is no model fails in ways of its own
        raise ConfigError(
            f"{model!a} is no model of sasmodels ({words_of(error)}); such as sphere, cylinder, core_shell_sphere"
        ) from error
    try:
        return info, core.build_model(info, dtype="double", platform="dll")
    except Exception as error:  # what compilers, and loaders of what they made, raise
        raise ConfigError(
            f"the model {model} could not be compiled ({words_of(error)}); install a C compiler and its headers"
            " (gcc, libc6-dev), or use the size distribution, which needs none"
        ) from error
