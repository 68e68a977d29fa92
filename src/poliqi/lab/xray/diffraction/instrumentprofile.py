"""The width of an instrument's own lines against the angle, measured on a standard, kept in a file.

Gaussian FWHM squared is U tan^2(theta) + V tan(theta) + W, Lorentzian FWHM is X / cos(theta) + Y tan(theta), in
degrees of 2theta (G. Caglioti, A. Paoletti, F. P. Ricci 1958; P. Thompson, D. E. Cox, J. B. Hastings 1987).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.xray.diffraction.radiation import Geometry, Radiation

__all__ = ["FORMAT", "InstrumentProfile", "profile_bytes", "profile_from", "read_profile"]

FORMAT: Final = "poliqi-xrd-instrument-1"
_MOST_BYTES: Final = 1 << 16
_REMEDY: Final = "make it anew from a standard: poliqi lab xray xrd standard"


class InstrumentProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a standard told of an instrument. Widths in degrees (x, y) and degrees squared (u, v, w)."""

    radiation: str
    wavelengths_angstrom: tuple[float, ...]
    weights: tuple[float, ...]
    geometry: Geometry
    u: float
    v: float
    w: float
    x: float
    y: float
    axial_sl: float
    axial_hl: float
    zero_shift_deg: float
    range_deg: tuple[float, float]
    """From the first to the last line of the standard's pattern: nothing is known of widths outside."""
    standard: str
    rwp: float
    simulated: bool = False
    format: str = FORMAT

    @property
    def beam(self) -> Radiation:
        return Radiation(self.radiation, self.wavelengths_angstrom, self.weights)

    def fwhm_deg(self, two_theta_deg: float) -> float:
        """Full width at half maximum of a line (of one wavelength) at this angle.

        J. J. Olivero and R. L. Longbothum, J. Quant. Spectrosc. Radiat. Transfer 17 (1977) 233.
        """
        gauss, lorentz = self.parts_deg(two_theta_deg)
        return 0.5346 * lorentz + math.sqrt(0.2166 * lorentz**2 + gauss**2)

    def parts_deg(self, two_theta_deg: float) -> tuple[float, float]:
        """Gaussian and Lorentzian FWHM."""
        theta = math.radians(two_theta_deg / 2)
        tangent = math.tan(theta)
        gauss = math.sqrt(max(self.u * tangent**2 + self.v * tangent + self.w, 0.0))
        return gauss, max(self.x / math.cos(theta) + self.y * tangent, 0.0)

    def check_for(self, radiation: Radiation, geometry: Geometry) -> None:
        """DataRefused where a pattern was not measured as the standard was."""
        ours, theirs = self.wavelengths_angstrom[0], radiation.wavelength_angstrom
        if abs(ours / theirs - 1) > 1e-4 or len(self.wavelengths_angstrom) != len(radiation.wavelengths_angstrom):
            raise DataRefused(
                f"the standard was measured with {self.radiation} ({ours:g} A), the sample with {radiation.name} "
                f"({theirs:g} A): measure both with the same beam"
            )
        if geometry is not self.geometry:
            raise DataRefused(f"the standard was measured in {self.geometry} geometry, the sample in {geometry}")


def profile_bytes(profile: InstrumentProfile) -> bytes:
    """As JSON."""
    return msgspec.json.format(msgspec.json.encode(profile), indent=1) + b"\n"


def profile_from(data: bytes, name: str = "instrument") -> InstrumentProfile:
    """What JSON says. Raises DataRefused."""
    try:
        profile = msgspec.json.decode(data[: _MOST_BYTES + 1], type=InstrumentProfile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataRefused(f"{name}: no instrument profile ({words_of(error)}); {_REMEDY}") from error
    numbers = (*profile.wavelengths_angstrom, *profile.weights, *profile.range_deg, profile.rwp)
    widths = (profile.u, profile.v, profile.w, profile.x, profile.y, profile.axial_sl, profile.axial_hl)
    if profile.format != FORMAT or not 1 <= len(profile.weights) == len(profile.wavelengths_angstrom) <= 8:
        raise DataRefused(f"{name}: format {profile.format!a:.40} with {len(profile.weights)} lines; {_REMEDY}")
    if not all(math.isfinite(x) and x >= 0 for x in numbers) or min(profile.wavelengths_angstrom) < 0.05:
        raise DataRefused(f"{name}: a wavelength, weight or range in it is no such number; {_REMEDY}")
    if not all(math.isfinite(x) and abs(x) < 100 for x in (*widths, profile.zero_shift_deg)):
        raise DataRefused(f"{name}: a width in it is no number below 100; {_REMEDY}")
    low, high = profile.range_deg
    if not low < high < 180 or min(profile.w, profile.x, profile.axial_sl, profile.axial_hl) < 0:
        raise DataRefused(f"{name}: its range of {low:g} to {high:g} degrees, or a width, cannot be; {_REMEDY}")
    return profile


def read_profile(path: Path) -> InstrumentProfile:
    """The profile in a file. Raises ConfigError (cannot be opened), DataRefused."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}; name an instrument profile"
        ) from error
    return profile_from(data, str(path))
