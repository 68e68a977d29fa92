"""Curves in files of a dataset, as points to be drawn: text is read here, HDF5 by a process of its own.

A file that came from elsewhere may be made to break its reader. Text is read by a few lines of Python, HDF5 by a
large library: that runs in a child with bounded memory and time, which can take nothing down with it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from poliqi.base.errors import PoliqiError
from poliqi.lab.store.records import StoredFile
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit
from poliqi.ops.lab_web.curvechart import Point, thinned

__all__ = ["Points", "curve_points", "may_be_curve", "points_of"]

_TEXT_BYTES: Final = 2 << 20
_HDF5_BYTES: Final = 64 << 20
_TEXT: Final = (".csv", ".dat", ".txt", ".chi", ".xye")
_HDF5: Final = (".h5", ".hdf5", ".nxs")
_CHILD_S: Final = 10.0
_MOST_ANSWER: Final = 1 << 20
_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Points:
    """A curve, thinned: what it runs over, what it counts."""

    axis: Axis
    unit: IntensityUnit
    is_simulated: bool
    points: tuple[Point, ...]


def may_be_curve(file: StoredFile) -> bool:
    """By its name and size."""
    name = file.path.lower()
    if name.endswith(_TEXT):
        return 0 < file.size_bytes <= _TEXT_BYTES
    return name.endswith(_HDF5) and 0 < file.size_bytes <= _HDF5_BYTES


_known: Final[OrderedDict[tuple[str, str, Path], Points | None]] = OrderedDict()
"""By hash, name and place: a content never changes, and what cannot be drawn is not tried again and again."""
_knowing: Final = threading.Lock()
_reading: Final = threading.Lock()
"""One child at a time, however many look."""


def curve_points(file: StoredFile, path: Path, until_s: float | None = None) -> Points | None:
    """The first curve of a file whose content stands at `path`; None where there is none to be drawn.

    HDF5 is not begun after `until_s` of the monotonic clock: None then, and the next visitor may see it.
    """
    name = PurePosixPath(file.path).name
    key = file.blake3, name, path
    with _knowing:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    if name.lower().endswith(_HDF5):
        left_s = -1 if until_s is None else max(0.0, until_s - time.monotonic())
        if not _reading.acquire(timeout=left_s):
            return None
        try:
            found = _from_child(path)
        finally:
            _reading.release()
    else:
        found = _from_text(path, name)
    with _knowing:
        _known[key] = found
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return found


def _from_text(path: Path, name: str) -> Points | None:
    from poliqi.lab.xray.curvefiles import curve_from_text

    try:
        return points_of(curve_from_text(path.read_bytes(), Path(name)))
    except (PoliqiError, OSError):
        return None


def points_of(curve: Curve) -> Points:
    """Few enough of its points to be drawn."""
    columns = (curve.x.tolist(), curve.intensity.tolist(), curve.sigma.tolist())
    return Points(
        curve.axis, curve.intensity_unit, curve.simulated, tuple(thinned(list(zip(*columns, strict=True))))
    )


def _from_child(path: Path) -> Points | None:
    words = [sys.executable, "-I", "-m", "poliqi.ops.lab_web.curvechild", str(path)]
    try:
        done = _run(words)
        if done.returncode or not done.stdout or len(done.stdout) > _MOST_ANSWER:
            return None
        return msgspec.json.decode(done.stdout, type=Points)
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError):
        return None


def _run(words: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603  # our own program, a path of our own
        words, capture_output=True, timeout=_CHILD_S, check=False, stdin=subprocess.DEVNULL
    )
