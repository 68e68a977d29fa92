"""Files of laboratory diffractometers: .xrdml, .brml, .raw, .rasx and older ones, read by rietx within limits.

rietx recognises a file by its content, follows what each vendor says about attenuators, counting time and the axis
that was scanned, and forms sigma from the counts as they fell; it refuses what is no single scan of 2theta. Here
the size is limited, archives are looked at before anything in them is unpacked, and XML that defines entities (of
which a few lines can become gigabytes) is refused, as no diffractometer writes it.
"""

from __future__ import annotations

import io
import math
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.xray.diffraction.packages import rietx_package

__all__ = ["SUFFIXES", "Scan", "read_scan"]

SUFFIXES: Final = frozenset(
    (".xrdml", ".brml", ".raw", ".rasx", ".ras", ".uxd", ".udf", ".rd", ".sd", ".fxye", ".gsa", ".gss", ".gda")
)
"""Endings, in lower case, of files that are read here."""

_MOST_BYTES: Final = 64 << 20
_MOST_MEMBERS: Final = 2_000
_MOST_UNPACKED: Final = 256 << 20
_MOST_XML: Final = 32 << 20
_MOST_POINTS: Final = 2_000_000
_ENTITIES: Final = tuple("<!ENTITY".encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))
_REMEDY: Final = "save it from the instrument's program as .xrdml, or as two or three columns (.xye)"


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: `two_theta_deg` rising, `intensity`, `sigma` (n,); what else the file says of the beam."""

    two_theta_deg: NDArray[np.float64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64] | None
    """None where the file holds plain counts, whose sigma is their root."""
    anode: str | None
    wavelength_angstrom: float | None
    has_doublet: bool
    sample: str
    remarks: tuple[str, ...]


def read_scan(path: Path) -> Scan:
    """The scan in a diffractometer's file. Raises ConfigError (cannot be opened), DataRefused (anything else)."""
    data = _bytes_of(path)
    if path.suffix.lower() in (".brml", ".rasx"):
        _check_archive(path, data)
    else:
        _check_entities(path, data, path.name)
    pattern, remarks = _pattern(path, data)
    x, y = np.asarray(pattern.two_theta, np.float64), np.asarray(pattern.intensity, np.float64)
    sigma = None if pattern.sigma is None else np.asarray(pattern.sigma, np.float64)
    if not 10 <= x.size <= _MOST_POINTS or y.shape != x.shape or (sigma is not None and sigma.shape != x.shape):
        raise DataRefused(
            f"{path}: {x.size} angles with {y.size} intensities, must be 10 to {_MOST_POINTS} of each"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (np.diff(x) > 0).all() and 0 <= x[0] < x[-1] <= 180):
        raise DataRefused(f"{path}: its angles do not rise from 0 to 180 degrees; {_REMEDY}")
    facts: dict[str, str] = dict(pattern.metadata)
    second = _number(facts.get("wavelength_alpha2"))
    return Scan(
        two_theta_deg=x,
        intensity=y,
        sigma=sigma,
        anode=facts.get("anode", "").strip()[:2].capitalize() or None,
        wavelength_angstrom=_number(facts.get("wavelength")),
        has_doublet=second is None or second > 0,
        sample=facts.get("sample", "")[:200],
        remarks=remarks,
    )


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name a pattern") from error
    if len(data) > _MOST_BYTES:
        raise DataRefused(f"{path}: more than {_MOST_BYTES} bytes, which no scan of a powder has")
    return data


def _check_archive(path: Path, data: bytes) -> None:
    """Refuse what would unpack to more than a measurement holds. Sizes are counted, not believed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise DataRefused(f"{path}: {len(members)} files in it, must be at most {_MOST_MEMBERS}; {_REMEDY}")
            if len({member.filename for member in members}) != len(members):
                raise DataRefused(f"{path}: two files in it share a name; {_REMEDY}")
            left = _MOST_UNPACKED
            for member in members:
                if member.is_dir():
                    continue
                is_xml = member.filename.lower().endswith(".xml")
                with archive.open(member) as file:
                    left -= _look_through(path, member.filename, file, min(left, _MOST_XML) if is_xml else left)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise DataRefused(f"{path}: its archive is corrupt ({words_of(error)}); copy it again") from error
    except Exception as error:
        if isinstance(error, DataRefused):
            raise
        raise DataRefused(f"{path}: its archive cannot be unpacked ({words_of(error)}); copy it again") from error


def _look_through(path: Path, name: str, file: Any, most: int) -> int:
    """How many bytes a member has, a stretch at a time; refuses one longer than `most`, or with entities."""
    count, last = 0, b""
    while stretch := file.read(1 << 18):
        count += len(stretch)
        if count > most:
            raise DataRefused(f"{path}: {name!a:.80} unpacks to more than {most} bytes; {_REMEDY}")
        _check_entities(path, last + stretch, name)
        last = stretch[-32:]
    return count


def _check_entities(path: Path, data: bytes, name: str) -> None:
    if any(word in data for word in _ENTITIES):
        raise DataRefused(f"{path}: {name!a:.80} defines XML entities, which no diffractometer writes; {_REMEDY}")


def _pattern(path: Path, data: bytes) -> tuple[Any, tuple[str, ...]]:
    """What rietx reads from a copy: the bytes that were looked at are the bytes that are read."""
    rietx = rietx_package()
    remarks: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="poliqi-scan-") as folder:
        copy = Path(folder) / f"scan{path.suffix.lower()}"
        copy.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pattern = rietx.read_pattern(copy, diagnostics=remarks)
        except Exception as error:  # rietx fails in ways of its own on what is damaged
            why = words_of(error).replace(str(copy), path.name).replace(copy.name, path.name)
            raise DataRefused(f"{path}: no pattern in it ({why}); {_REMEDY}") from error
    if pattern.two_theta is None:
        raise DataRefused(f"{path}: a pattern by time of flight; angles are asked for")
    return pattern, tuple(f"{each.message}"[:300].replace(copy.name, path.name) for each in remarks)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
