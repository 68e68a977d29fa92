"""A job as GWL, the text that Nanoscribe's machines take; written from public descriptions and never run on one.

Used are: comments behind %, ContinuousMode, ConnectPointsOn, GalvoScanMode, PowerScaling, LaserPower in per cent
of the largest, ScanSpeed in um/s, MoveStageX and MoveStageY in um from where the stage is, points as X Y Z in um,
and Write after each vector. X and Y are relative to the middle of the tile, Z to the lowest plane that is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.export.digits import MOST_BYTES, lines_of
from poliqi.lab.print.hatch.jobformat import most_of

if TYPE_CHECKING:
    from poliqi.lab.print.hatch.jobformat import Header, Record

__all__ = ["UNVERIFIED", "JobSize", "gwl_size", "write_gwl"]

UNVERIFIED: Final = "unverified: written from public descriptions"
_UM_PER_MM: Final = 1000.0
_NM_PER_UM: Final = 1000
_HEAD_BYTES: Final = 4096
_RECORD_BYTES: Final = 200
_TRAVEL_UM: Final = 300.0
"""Of the piezo along z, from public descriptions; unverified."""


@dataclass(frozen=True, slots=True)
class JobSize:
    """A job that was read through and found right: what is in it, and the most bytes of its text."""

    records: int
    vectors: int
    length_um: float
    blake3: str
    most_bytes: int
    low_nm: int
    high_nm: int

    @property
    def cautions(self) -> list[str]:
        """What is known to be doubtful of it as GWL."""
        travel = (self.high_nm - self.low_nm) / _NM_PER_UM
        if travel <= _TRAVEL_UM:
            return []
        words = (
            f"z goes up to {travel:.6g} um, and the piezo that moves z in GalvoScanMode is said to reach "
            f"{_TRAVEL_UM:g} um (unverified): print it in parts that low"
        )
        return [words]


def gwl_size(path: Path, most_bytes: int) -> JobSize:
    """Read a job through. Raises DataRefused for one that is wrong, ConfigError where its text would be too
    large.
    """
    from poliqi.lab.print.hatch.jobreader import open_job

    with open_job(path) as job:
        planes = [record.z_nm for record in job.records() if len(record.vectors)]
        totals, digest = job.totals, job.blake3
        _most_power_mw(job.header)
    if totals is None:
        raise DataRefused(f"{path}: has no end; write it anew with `poliqi lab print slice`")
    size = _HEAD_BYTES + _RECORD_BYTES * totals.records + MOST_BYTES * totals.vectors
    if size > most_bytes:
        raise ConfigError(
            f"{path}: {totals.vectors} vectors are up to {size / 1e9:.2f} GB of GWL, and {most_bytes / 1e9:.2f} "
            "are allowed; raise --most-gb, or slice with walls only"
        )
    return JobSize(
        totals.records,
        totals.vectors,
        totals.length_nm / _NM_PER_UM,
        digest,
        size,
        min(planes, default=0),
        max(planes, default=0),
    )


def write_gwl(
    path: Path,
    file: BinaryIO,
    size: JobSize,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> int:
    """Write the job at `path` as GWL, record by record; the bytes written. Raises DataRefused."""
    from poliqi.lab.print.hatch.jobreader import open_job

    with open_job(path) as job:
        written = file.write(_head(job.header, size))
        now = _State()
        for at, record in enumerate(job.records()):
            written += file.write(now.commands(job.header, record))
            x, y = record.centre_nm
            written += file.write(lines_of(record.vectors, x, y, record.z_nm - size.low_nm))
            progress(at + 1, size.records)
        if job.blake3 != size.blake3:
            raise DataRefused(f"{path}: changed while it was worked on; run it again")
    return written


@dataclass(slots=True)
class _State:
    """What the machine was told last."""

    x_nm: int = 0
    y_nm: int = 0
    power_mw: float = -1.0
    speed_mm_s: float = -1.0

    def commands(self, header: Header, record: Record) -> bytes:
        """What has to be said before a record's vectors."""
        lines = [f"% block {record.block}, tile {record.tile}, layer {record.layer}"]
        x, y = record.centre_nm
        if x != self.x_nm:
            lines.append(f"MoveStageX {(x - self.x_nm) / _NM_PER_UM:.3f}")
        if y != self.y_nm:
            lines.append(f"MoveStageY {(y - self.y_nm) / _NM_PER_UM:.3f}")
        if record.power_mw != self.power_mw:
            lines.append(f"LaserPower {_percent(header, record.power_mw):.4f}")
        if record.speed_mm_s != self.speed_mm_s:
            lines.append(f"ScanSpeed {record.speed_mm_s * _UM_PER_MM:.6g}")
        self.x_nm, self.y_nm = x, y
        self.power_mw, self.speed_mm_s = record.power_mw, record.speed_mm_s
        return ("\n".join(lines) + "\n").encode("ascii")


def _most_power_mw(header: Header) -> float:
    """The largest power that the job's profile tells. Raises DataRefused where it tells none."""
    most = most_of(header.profile, "laser", "max_power_mw")
    if most is None:
        raise DataRefused("print job: its profile tells no laser.max_power_mw, which GWL counts in; slice it again")
    return most


def _percent(header: Header, power_mw: float) -> float:
    """Power in per cent of the largest. Raises DataRefused above it."""
    most = _most_power_mw(header)
    share = 100.0 * power_mw / most
    if not share <= 100.0 + 1e-9:
        raise DataRefused(f"print job: {power_mw:g} mW are above the laser's {most:g} mW; slice it with less")
    return share


def _head(header: Header, size: JobSize) -> bytes:
    low, high = header.bounds_nm
    name = str(header.profile.get("name", "")).encode("ascii", "replace").decode()
    box = "; ".join(
        f"{axis} {a / _NM_PER_UM:.3f} to {b / _NM_PER_UM:.3f}" for axis, a, b in zip("xyz", low, high, strict=True)
    )
    lines = (
        f"% {UNVERIFIED}; look at it in your machine's own software before you print",
        f"% simulated design; print job BLAKE3 {size.blake3}",
        f"% vessels BLAKE3 {header.vessels_blake3 or 'unknown'}",
        f"% mode {header.mode}; profile {' '.join(name.split())[:120]}",
        f"% {size.vectors} vectors, {size.length_um / 1e6:.3f} m; box in um: {box}",
        "% the stage begins at the design's x = 0, y = 0; find the interface yourself",
        f"% z = 0 is the lowest plane, {size.low_nm / _NM_PER_UM:.3f} in the design",
        *(f"% {one}" for one in size.cautions),
        "ContinuousMode",
        "ConnectPointsOn",
        "GalvoScanMode",
        "PowerScaling 1.0",
    )
    return ("\n".join(lines) + "\n").encode("ascii", "replace")
