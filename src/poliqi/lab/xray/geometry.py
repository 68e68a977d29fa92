"""Where the detector stands: read and written as PONI text, the format of pyFAI, without importing pyFAI.

Distances in metres, rotations in radians, wavelength in metres, as in the file. The six numbers and their signs are
those of pyFAI's geometry (J. Kieffer and J. P. Wright, Powder Diffraction 28, S339 (2013)).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.wholefile import whole_file

__all__ = ["HC_EV_M", "Geometry", "chosen_wavelength", "load_geometry", "parse_poni", "save_geometry"]

HC_EV_M: Final = 6.62607015e-34 * 299_792_458.0 / 1.602176634e-19
"""Energy times wavelength of a photon, from the exact constants of the SI."""

_MOST_BYTES: Final = 1 << 20
_MOST_PIXELS_A_SIDE: Final = 32_768
_AGREE: Final = 1e-4
"""Relative difference up to which energy and wavelength count as the same."""
_VERSIONS: Final = (1.0, 2.0, 2.1, 3.0)
_GENERIC: Final = "Detector"
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. ")


@dataclass(frozen=True, slots=True)
class Geometry:
    """A detector's place and the wavelength.

    `poni1_m` and `poni2_m` are along y (rows) and x (columns) of a frame, from the outer corner of pixel (0, 0).
    `detector` is a name that pyFAI knows ("Eiger4M", "Pilatus1M") or "Detector" for square-grid pixels of the sizes
    given; `shape` (rows, columns) where the file tells. `orientation` as in pyFAI, 3 is the usual one.
    """

    distance_m: float
    poni1_m: float
    poni2_m: float
    wavelength_m: float | None
    rot1_rad: float = 0.0
    rot2_rad: float = 0.0
    rot3_rad: float = 0.0
    detector: str = _GENERIC
    pixel1_m: float | None = None
    pixel2_m: float | None = None
    shape: tuple[int, int] | None = None
    orientation: int = 3

    def __post_init__(self) -> None:
        """Raises DataRefused for numbers that no detector can have."""
        _check_number("distance", self.distance_m, 1e-4, 1e4)
        for name, value in (("poni1", self.poni1_m), ("poni2", self.poni2_m)):
            _check_number(name, value, -1e3, 1e3)
        for name, value in (("rot1", self.rot1_rad), ("rot2", self.rot2_rad), ("rot3", self.rot3_rad)):
            _check_number(name, value, -2 * math.pi, 2 * math.pi)
        if self.wavelength_m is not None:
            _check_number("wavelength", self.wavelength_m, 1e-14, 1e-6)
        for name, value in (("pixel1", self.pixel1_m), ("pixel2", self.pixel2_m)):
            if value is not None:
                _check_number(name, value, 1e-7, 0.1)
        if not 0 < len(self.detector) <= 60 or not _NAME_CHARACTERS.issuperset(self.detector):
            raise DataRefused(
                f"geometry: detector {self.detector[:60]!r} is no name of a detector; write a plain one"
            )
        if self.detector == _GENERIC and (self.pixel1_m is None or self.pixel2_m is None):
            raise DataRefused("geometry: detector 'Detector' has no pixel size; give pixel1 and pixel2 in metres")
        if self.shape is not None and not all(0 < n <= _MOST_PIXELS_A_SIDE for n in self.shape):
            raise DataRefused(f"geometry: shape {self.shape}; each side has 1 to {_MOST_PIXELS_A_SIDE} pixels")
        if self.orientation not in (0, 1, 2, 3, 4):
            raise DataRefused(f"geometry: orientation {self.orientation}; it is 0 to 4, usually 3")

    @property
    def energy_ev(self) -> float | None:
        """Photon energy in electronvolts."""
        return None if self.wavelength_m is None else HC_EV_M / self.wavelength_m

    def with_wavelength(self, wavelength_m: float) -> Geometry:
        """The same place under another wavelength."""
        return replace(self, wavelength_m=wavelength_m)

    def poni_text(self, comment: str = "") -> str:
        """PONI text, version 2.1. `comment` becomes lines that begin with #."""
        config: dict[str, Any] = {}
        if self.pixel1_m is not None and self.pixel2_m is not None:
            config |= {"pixel1": self.pixel1_m, "pixel2": self.pixel2_m}
        if self.detector == _GENERIC and self.shape is not None:
            config["max_shape"] = list(self.shape)
        config["orientation"] = self.orientation
        lines = ["# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis"]
        lines += [f"# {line}" for line in comment.splitlines()]
        lines += ["poni_version: 2.1", f"Detector: {self.detector}", f"Detector_config: {json.dumps(config)}"]
        for name, value in (
            ("Distance", self.distance_m),
            ("Poni1", self.poni1_m),
            ("Poni2", self.poni2_m),
            ("Rot1", self.rot1_rad),
            ("Rot2", self.rot2_rad),
            ("Rot3", self.rot3_rad),
            ("Wavelength", self.wavelength_m),
        ):
            if value is not None:
                lines.append(f"{name}: {value!r}")
        return "\n".join(lines) + "\n"

    def integrator(self) -> Any:
        """pyFAI's AzimuthalIntegrator. Raises ConfigError (extra missing), DataRefused (unknown detector)."""
        try:
            from pyFAI.detectors import detector_factory  # pyright: ignore[reportUnknownVariableType]  # untyped
            from pyFAI.integrator.azimuthal import AzimuthalIntegrator
        except ImportError as error:
            raise ConfigError(f'pyFAI cannot be imported ({error}); run: pip install "poliqi[xray]"') from error
        config: dict[str, Any] = {"orientation": self.orientation}
        if self.pixel1_m is not None and self.pixel2_m is not None:
            config |= {"pixel1": self.pixel1_m, "pixel2": self.pixel2_m}
        if self.detector == _GENERIC and self.shape is not None:
            config["max_shape"] = list(self.shape)
        try:
            detector: Any = detector_factory(self.detector, config)  # pyright: ignore[reportUnknownVariableType]  # untyped
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise DataRefused(
                f"geometry: pyFAI has no detector {self.detector!r} with {config} ({error});"
                " use one of its names, or Detector with pixel sizes"
            ) from error
        return AzimuthalIntegrator(
            dist=self.distance_m,
            poni1=self.poni1_m,
            poni2=self.poni2_m,
            rot1=self.rot1_rad,
            rot2=self.rot2_rad,
            rot3=self.rot3_rad,
            detector=detector,
            wavelength=self.wavelength_m,
        )


def parse_poni(text: str, name: str = "PONI text") -> Geometry:
    """The last geometry of a PONI text of version 1, 2, 2.1 or 3 (parallax off). Raises DataRefused."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and not line.lstrip().startswith("#"):
            found[key.strip().lower()] = value.strip()
    version = _number(found, "poni_version", name, 1.0)
    if version not in _VERSIONS:
        raise DataRefused(f"{name}: PONI version {version:g}; 1, 2, 2.1 and 3 are read: save it anew with pyFAI")
    if found.get("parallax", "false").lower() not in ("false", "none"):
        raise DataRefused(f"{name}: asks for the parallax correction, which is not made here; save it without")
    if found.get("splinefile", "none").lower() not in ("", "none"):
        raise DataRefused(f"{name}: names a distortion file, which is not used here; use pixel sizes")
    config = _config(found, name)
    distance = _number(found, "dist" if "dist" in found else "distance", name, None)
    wavelength = found.get("wavelength", "none")
    shape = config.get("max_shape")
    try:
        return Geometry(
            distance_m=distance,
            poni1_m=_number(found, "poni1", name, None),
            poni2_m=_number(found, "poni2", name, None),
            wavelength_m=None if wavelength.lower() == "none" else _number(found, "wavelength", name, None),
            rot1_rad=_number(found, "rot1", name, 0.0),
            rot2_rad=_number(found, "rot2", name, 0.0),
            rot3_rad=_number(found, "rot3", name, 0.0),
            detector=found.get("detector", _GENERIC) or _GENERIC,
            pixel1_m=config.get("pixel1"),
            pixel2_m=config.get("pixel2"),
            shape=None if shape is None else (shape[0], shape[1]),
            orientation=config.get("orientation", 3),
        )
    except DataRefused as error:
        raise DataRefused(f"{name}: {error}") from error


def load_geometry(path: Path) -> Geometry:
    """Read a PONI file. Raises ConfigError where it cannot be read, DataRefused for what is in it."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}; name a PONI file (poliqi lab xray calibrate)"
        ) from error
    if len(content) > _MOST_BYTES:
        raise DataRefused(f"{path}: more than {_MOST_BYTES:,} bytes; a PONI file is a page of text")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataRefused(f"{path}: not text ({error.reason}); name a PONI file") from error
    return parse_poni(text, str(path))


def save_geometry(geometry: Geometry, path: Path, comment: str = "", *, overwrite: bool = True) -> None:
    """Write a PONI file, whole or not at all. Raises ConfigError, StoreError."""
    with whole_file(path, overwrite=overwrite) as file:
        file.write(geometry.poni_text(comment).encode())


def chosen_wavelength(wavelength_m: float | None, energy_ev: float | None) -> float | None:
    """The wavelength in metres from either of the two, None from none.

    Raises ConfigError where both are given and differ by more than one in ten thousand, or one is not positive.
    """
    for name, value in (("wavelength", wavelength_m), ("energy", energy_ev)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name}: {value} is not a positive number")
    if energy_ev is None:
        return wavelength_m
    of_energy_m = HC_EV_M / energy_ev
    if wavelength_m is not None and abs(of_energy_m / wavelength_m - 1) > _AGREE:
        raise ConfigError(
            f"energy {energy_ev:g} eV is a wavelength of {of_energy_m * 1e10:.6g} A, but the wavelength given is"
            f" {wavelength_m * 1e10:.6g} A; give one of them"
        )
    return of_energy_m if wavelength_m is None else wavelength_m


def _check_number(name: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise DataRefused(f"geometry: {name} is {value}; it must be {least:g} to {most:g} (metres, radians)")


def _number(found: dict[str, str], key: str, name: str, default: float | None) -> float:
    text = found.get(key)
    if text is None or text.lower() == "none":
        if default is None:
            raise DataRefused(f"{name}: no line {key!r}; this is not a whole PONI file")
        return default
    try:
        return float(text)
    except ValueError:
        raise DataRefused(f"{name}: {key} is {text[:40]!r}, which is no number") from None


def _config(found: dict[str, str], name: str) -> dict[str, Any]:
    """The settings of the detector that are taken: pixel1, pixel2, max_shape, orientation; no file is opened."""
    if "detector_config" not in found:
        pixels = {k: _number(found, f"pixelsize{k[-1]}", name, 0.0) for k in ("pixel1", "pixel2")}
        return {k: v for k, v in pixels.items() if v > 0}
    try:
        config: Any = json.loads(found["detector_config"])
    except (ValueError, RecursionError):
        raise DataRefused(f"{name}: Detector_config is not JSON; save it anew with pyFAI") from None
    if not isinstance(config, dict):
        raise DataRefused(f"{name}: Detector_config is not an object; save it anew with pyFAI")
    pairs: dict[str, Any] = {str(key): value for key, value in config.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    taken: dict[str, Any] = {}
    for key, value in pairs.items():
        if value is None:
            continue
        if key in ("pixel1", "pixel2") and isinstance(value, int | float) and not isinstance(value, bool):
            taken[key] = float(value)
        elif key == "orientation" and isinstance(value, int):
            taken[key] = value
        elif key in ("max_shape", "shape") and _is_shape(value):
            taken["max_shape"] = value
        else:
            raise DataRefused(
                f"{name}: Detector_config has {key[:40]!r} = {str(value)[:60]!r}, which is not taken here;"
                " use a detector by name, or pixel1, pixel2, max_shape and orientation"
            )
    return taken


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and list(map(type, value)) == [int, int]  # pyright: ignore[reportUnknownArgumentType]  # JSON
