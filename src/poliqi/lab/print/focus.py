"""The focus of a two-photon writer: how wide its squared intensity is, and how even the lines it writes are.

The squared intensity is taken as a Gaussian, I^2 = exp(-(x^2 + y^2)/w_xy^2 - z^2/w_z^2): w_xy and w_z are 1/e
radii of the SQUARED intensity (Zipfel, Williams, Webb, Nat. Biotechnol. 21, 1369, 2003). Its standard deviation is
w/sqrt(2). Serbin's beam radius w0, the 1/e^2 radius of the intensity, is 2 w_xy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MOST_RIPPLE",
    "WHOLE_RIPPLE",
    "blur_along_um",
    "check_na",
    "check_ripple",
    "largest_pitch_um",
    "ripple_of",
    "ripple_together",
    "zipfel_w_xy_um",
    "zipfel_w_z_um",
]

MOST_RIPPLE: Final = 0.10
"""Of the mean dose, between lines and layers together: more is refused unless it is asked for."""
WHOLE_RIPPLE: Final = 1000.0
"""More cannot be asked for: of lines 56 w_xy and layers 56 w_z apart."""
_TERMS: Final = 4
_HIGH_NA: Final = 0.7


def check_na(na: float, immersion_index: float) -> None:
    """Raises ConfigError where no light could leave a lens of that aperture."""
    if not 0 < na < immersion_index:
        raise ConfigError(
            f"objective: na {na:g} is not between 0 and the index of refraction, {immersion_index:g}; "
            "mend na or immersion_index (water 1.33, oil 1.52)"
        )


def zipfel_w_xy_um(na: float, wavelength_nm: float) -> float:
    """1/e radius across of I^2, um: .325 lambda/(sqrt2 NA^.91) for NA > .7, else .32 lambda/(sqrt2 NA)."""
    wavelength_um = wavelength_nm / 1000.0
    if na > _HIGH_NA:
        return 0.325 * wavelength_um / (math.sqrt(2.0) * na**0.91)
    return 0.32 * wavelength_um / (math.sqrt(2.0) * na)


def zipfel_w_z_um(na: float, wavelength_nm: float, immersion_index: float) -> float:
    """1/e half length along the light of I^2, um: .532 lambda/sqrt2 / (n - sqrt(n^2 - NA^2)).

    Raises ConfigError for NA >= n.
    """
    check_na(na, immersion_index)
    depth = immersion_index - math.sqrt(immersion_index**2 - na**2)
    return 0.532 * wavelength_nm / 1000.0 / math.sqrt(2.0) / depth


def ripple_of(pitch_um: float, w_um: float) -> float:
    """Largest deviation from the mean dose between lines (or layers) a pitch apart, as a part of the mean.

    By Poisson's sum the dose of lines w wide is 1 + 2 sum_k exp(-(pi k w/p)^2) cos(2 pi k y/p), largest in the
    middle of a line. Of coarse lines that is the sum of the lines itself, p/(sqrt(pi) w) (1 + 2 sum_k
    exp(-(k p/w)^2)). Whichever converges faster is taken: its fifth term is below 1e-33.
    """
    fine = math.pi * (w_um / pitch_um) ** 2
    nome = math.exp(-math.pi * max(fine, 1.0 / fine))
    rest = 2.0 * sum(nome ** (k * k) for k in range(1, _TERMS + 1))
    return rest if fine >= 1.0 else (1.0 + rest) / math.sqrt(fine) - 1.0


def largest_pitch_um(w_um: float, most_ripple: float = MOST_RIPPLE) -> float:
    """The pitch at which the ripple is `most_ripple` (above 0): 2.57 s, or 1.815 w, for 10 %."""
    low, high = 0.0, math.sqrt(math.pi) * (1.0 + most_ripple) * w_um  # a line's own dose is 1 + ripple there
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if ripple_of(middle, w_um) < most_ripple else (low, middle)
    return low


def ripple_together(hatch_um: float, layer_um: float, w_xy_um: float, w_z_um: float) -> tuple[float, float, float]:
    """Ripple between lines, a, between layers, b, and of both at once, (1 + a)(1 + b) - 1 of the mean.

    That is reached in the middle of a layer, where its lines cross those of the layers beside it.
    """
    lines, layers = ripple_of(hatch_um, w_xy_um), ripple_of(layer_um, w_z_um)
    return lines, layers, (1.0 + lines) * (1.0 + layers) - 1.0


def check_ripple(
    hatch_um: float, layer_um: float, w_xy_um: float, w_z_um: float, most_ripple: float = MOST_RIPPLE
) -> None:
    """Raises ConfigError where the dose between lines and layers, both at once, ripples by more than that."""
    lines, layers, together = ripple_together(hatch_um, layer_um, w_xy_um, w_z_um)
    if together <= most_ripple:
        return
    both = (("hatch", hatch_um, w_xy_um, lines), ("layer", layer_um, w_z_um, layers))
    coarse, fine = both if lines >= layers else both[::-1]
    left = (1.0 + most_ripple) / (1.0 + fine[3]) - 1.0
    with_it = f"with {fine[0]} {fine[1]:g} um"
    if left <= 0:  # both are too coarse: each may have the root of what is allowed
        left, with_it = math.sqrt(1.0 + most_ripple) - 1.0, f"as for {fine[0]}, which is too coarse as well"
    most_um = math.floor(1000 * largest_pitch_um(coarse[2], left)) / 1000
    raise ConfigError(
        f"{coarse[0]} {coarse[1]:g} um: the dose ripples by {100 * lines:.0f} % between lines and "
        f"{100 * layers:.2g} % between layers, {100 * together:.0f} % together, more than "
        f"{100 * most_ripple:.0f} % (focus {w_xy_um:.3g} x {w_z_um:.3g} um, 1/e of I^2); "
        f"at most {most_um:g} um is even enough {with_it}, or "
        "allow the ripple (--allow-ripple PERCENT)"
    )


def blur_along_um(unit: NDArray[np.float64], w_xy_um: float, w_z_um: float) -> NDArray[np.float64]:
    """1/e radius of a plane's blur across it, for unit normals (n, 3)."""
    rise = unit[:, 2] ** 2
    return np.sqrt(w_xy_um**2 * (1.0 - rise) + w_z_um**2 * rise)
