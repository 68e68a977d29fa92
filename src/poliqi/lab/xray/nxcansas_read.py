"""Reading curves from NXcanSAS and similar HDF5 files, whoever wrote them.

Old spellings that are about are taken: SASdata as NX_class, `unit`, `uncertainty`, `I_uncertainty`. Nothing outside
of the file is followed, and no more is unpacked than a curve may have.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.xray.curve import Axis, Common, Curve, Step
from poliqi.lab.xray.points import MOST_POINTS, axis_of, curve_of_points, intensity_unit_of, unit_refused

__all__ = ["MOST_ENTRIES", "read_curves"]

MOST_ENTRIES: Final = 100_000
_MOST_BYTES: Final = 4 << 30
_MOST_VALUES: Final = 50_000_000
_MOST_CHUNK: Final = 16 << 20
_MOST_NAMES: Final = 200_000
_MOST_STEPS: Final = 200
_MOST_SETTINGS: Final = 200
_MOST_TEXT: Final = 4096
_OPENED: Final = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


def read_curves(path: Path, *, unit: Axis | None = None) -> list[Curve]:
    """Every curve of the file in its order; several intensities over one q are a curve each.

    `unit` says what q is in where the file does not. Raises ConfigError (h5py is not installed, the file cannot be
    opened), DataRefused (no curve in it, unit of q unknown, negative sigma, links that lead out of the file, more
    than the limits).
    """
    try:
        importlib.import_module("hdf5plugin")  # registers filters
        import h5py
    except ImportError as error:
        raise ConfigError(
            'NXcanSAS files need the packages h5py and hdf5plugin: pip install "poliqi[xray]"'
        ) from error
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name a file with curves") from error
    if size > _MOST_BYTES:
        raise DataRefused(f"{path} has {size} bytes, at most {_MOST_BYTES} are taken; split it")
    curves: list[Curve] = []
    try:
        with h5py.File(path, "r") as file:
            budget = _Budget(path)
            for entry, data in _data_groups(_Inside(path, h5py), file):
                curves.extend(_curves(_Inside(path, h5py), budget, entry, data, unit))
                if len(curves) > MOST_ENTRIES:
                    raise DataRefused(f"{path}: more than {MOST_ENTRIES} curves; split it")
    except _OPENED as error:
        raise DataRefused(f"{path} is no readable HDF5 file of curves ({words_of(error)})") from error
    if not curves:
        raise DataRefused(
            f"{path}: no SASdata or NXdata with a curve in it; give an NXcanSAS file, or columns of text"
        )
    return curves


class _Budget:
    """How many values of a file may still be unpacked."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._left = _MOST_VALUES

    def take(self, n: int) -> None:
        self._left -= n
        if self._left < 0:
            raise DataRefused(f"{self._path}: more than {_MOST_VALUES} values; split it")


class _Inside:
    """Members of a group that are inside of this very file."""

    def __init__(self, path: Path, h5py: Any) -> None:
        self._path: Final = path
        self._h5py: Final = h5py

    def get(self, group: Any, name: str) -> Any | None:
        """The member, or None; raises DataRefused where it leads out of the file."""
        if "/" in name or name not in group:
            return None
        link = group.get(name, getlink=True)
        if isinstance(link, self._h5py.ExternalLink):
            raise DataRefused(
                f"{self._path}: {name[:60]!a} leads to another file, which is not followed; copy it in"
            )
        return group[name]

    def groups(self, group: Any) -> Iterator[Any]:
        for number, name in enumerate(group):
            if number >= _MOST_NAMES:
                raise DataRefused(f"{self._path}: more than {_MOST_NAMES} names in one group; split it")
            if isinstance(group.get(name, getlink=True), self._h5py.HardLink):
                member = group[name]
                if isinstance(member, self._h5py.Group):
                    yield member

    def dataset(self, group: Any, name: str) -> Any | None:
        found = self.get(group, name)
        if found is None or not isinstance(found, self._h5py.Dataset):
            return None
        if found.external or found.is_virtual:
            raise DataRefused(f"{self._path}: {name[:60]!a} is kept in another file, which is not read; copy it in")
        if found.chunks is not None and math.prod(found.chunks) * found.dtype.itemsize > _MOST_CHUNK:
            raise DataRefused(f"{self._path}: {name[:60]!a} has chunks of more than {_MOST_CHUNK} bytes; repack it")
        return found

    def numbers(self, budget: _Budget, group: Any, name: str) -> NDArray[np.float64] | None:
        found = self.dataset(group, name)
        if found is None or found.dtype.kind not in "fiu":
            return None
        if found.ndim == 0 or found.shape[-1] > MOST_POINTS:
            return None
        budget.take(math.prod(found.shape))
        return np.asarray(found[...], np.float64)

    def text(self, group: Any, name: str) -> str:
        found = self.dataset(group, name)
        if found is None or found.size != 1 or found.dtype.itemsize > _MOST_TEXT:
            return ""
        return _word(found[()])


def _word(value: Any) -> str:
    """Text of an attribute or dataset, which may be bytes, text, or an array with one of them."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value)[:_MOST_TEXT] if isinstance(value, str) else ""


def _attribute(thing: Any, *names: str) -> str:
    for name in names:
        if name in thing.attrs:
            return _word(thing.attrs[name])
    return ""


def _kind(group: Any) -> set[str]:
    return {_attribute(group, "canSAS_class"), _attribute(group, "NX_class")}


def _data_groups(inside: _Inside, file: Any) -> Iterator[tuple[Any, Any]]:
    """Entries (one may stand in another) and the groups of data in them."""
    waiting = [(entry, 0) for entry in inside.groups(file)]
    waiting.reverse()
    while waiting:
        entry, depth = waiting.pop()
        if not _kind(entry) & {"NXentry", "SASentry", "NXsubentry"}:
            continue
        later: list[tuple[Any, int]] = []
        for group in inside.groups(entry):
            if _kind(group) & {"SASdata", "NXdata"} and "SAStransmission_spectrum" not in _kind(group):
                yield entry, group
            elif depth < 2:
                later.append((group, depth + 1))
        waiting.extend(reversed(later))


def _curves(inside: _Inside, budget: _Budget, entry: Any, data: Any, unit: Axis | None) -> list[Curve]:
    """The curves of one group of data; none where it holds something else, such as an image."""
    signal = _attribute(data, "signal") or "I"
    stored = inside.dataset(data, signal)
    x_name = next((n for n in ("Q", "two_theta") if inside.dataset(data, n) is not None), "")
    if stored is None or not x_name:
        return []
    x_stored = inside.dataset(data, x_name)
    if x_stored is None or x_stored.ndim != 1 or stored.shape[-1:] != x_stored.shape or stored.ndim > 3:
        return []
    path = Path(data.file.filename)
    x, intensity = inside.numbers(budget, data, x_name), inside.numbers(budget, data, signal)
    if x is None or intensity is None:
        return []
    dev_name = _attribute(stored, "uncertainties", "uncertainty") or _attribute(
        data, "I_uncertainties", "I_uncertainty"
    )
    sigma = inside.numbers(budget, data, dev_name or "Idev")
    resolution = _attribute(x_stored, "resolutions", "uncertainties") or f"{x_name}dev"
    if "," in resolution or "dQl" in data:
        raise DataRefused(f"{path}: {data.name} is smeared by a slit, which is not undone here; desmear it first")
    width = inside.numbers(budget, data, resolution)
    if sigma is not None and sigma.shape != intensity.shape:
        raise DataRefused(f"{path}: {data.name}: sigma has shape {sigma.shape}, the intensity {intensity.shape}")
    axis, x_scale = _axis(path, x_stored, x_name, unit)
    width = None if width is None or width.shape != x.shape else width * x_scale
    intensity_unit, scale = intensity_unit_of(_attribute(stored, "units", "unit"))
    steps, made_here = _steps(inside, entry)
    title = inside.text(entry, "title") or _word(entry.name.rsplit("/", 1)[-1])
    rows = intensity.reshape(-1, x.size)
    curves: list[Curve] = []
    for number, row in enumerate(rows):
        dev = None if sigma is None else sigma.reshape(rows.shape)[number] * scale
        named = title if len(rows) == 1 else f"{title} #{number + 1}"
        if made_here and len(rows) == 1 and dev is not None and x_scale == scale == 1 and np.all(np.isfinite(row)):
            common = _common(inside, budget, data, x.size)
            simulated = bool(inside.dataset(entry, "simulated") is not None)
            curves.append(Curve(axis, x, row, dev, intensity_unit, width, steps, named, common, simulated))
        else:
            columns = (x * x_scale, row * scale, dev, width)
            curves.append(
                curve_of_points(path, axis, columns, intensity_unit=intensity_unit, steps=steps, title=named)
            )
    return curves


def _axis(path: Path, stored: Any, name: str, unit: Axis | None) -> tuple[Axis, float]:
    said = _attribute(stored, "units", "unit")
    if name == "two_theta":
        if said not in ("degree", "degrees", "deg"):
            raise DataRefused(f"{path}: 2theta in {said[:40]!a}; only degree is read")
        return Axis.TWO_THETA_DEG, 1.0
    found = axis_of(said)
    if found is not None and unit is not None and found[0] is not unit:
        raise DataRefused(f"{path} says that q is in {said}, --unit says {unit.value}; leave --unit out")
    if found is None and unit is not None:
        return unit, 1.0
    if found is None:
        raise unit_refused(path, said)
    return found


def _common(inside: _Inside, budget: _Budget, data: Any, n: int) -> tuple[Common, ...]:
    terms: list[Common] = []
    for number in range(1, 100):
        name = f"Icommon_{number:02d}"
        change = inside.numbers(budget, data, name)
        if change is None or change.shape != (n,):
            break
        terms.append(Common(_attribute(data[name], "name"), change))
    return tuple(terms)


def _steps(inside: _Inside, entry: Any) -> tuple[tuple[Step, ...], bool]:
    """What was done before, in its order, and whether POLIQI wrote the file."""
    found: list[tuple[int, Step]] = []
    for group in inside.groups(entry):
        if not _kind(group) & {"SASprocess", "NXprocess"} or len(found) >= _MOST_STEPS:
            continue
        index = inside.dataset(group, "sequence_index")
        at = int(index[()]) if index is not None and index.shape == () and index.dtype.kind in "iu" else len(found)
        found.append((at, Step(inside.text(group, "name") or _word(group.name), _settings(inside, group))))
    made_here = _attribute(entry.file, "creator").startswith("poliqi ")
    return tuple(step for _, step in sorted(found, key=lambda pair: pair[0])), made_here


def _settings(inside: _Inside, group: Any) -> dict[str, str | int | float | bool | None]:
    own = inside.get(group, "settings")
    settings: dict[str, str | int | float | bool | None] = {}
    if own is None:
        with contextlib.suppress(DataRefused):
            for name in list(group)[:_MOST_SETTINGS]:
                word = "" if name == "name" else inside.text(group, name)
                if word:
                    settings[str(name)] = word
        return settings
    for name in list(own.attrs)[:_MOST_SETTINGS]:
        if name in ("NX_class", "canSAS_class"):
            continue
        value: Any = own.attrs[name]
        if isinstance(value, np.generic):
            value = cast("Any", value.item())
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        settings[str(name)] = value if isinstance(value, str | int | float | bool) else None
    return settings
