"""How a design is printed, for its report: time, vectors, and the lines of one layer near a vessel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.hatch.duration import Duration
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.profile import Profile

__all__ = ["LayerLines", "Printing", "printing_of", "printing_of_job"]

_AROUND: Final = 3.0


@dataclass(frozen=True, slots=True)
class LayerLines:
    """Lines (n, 4) in nm of the middle layer, its height, a vessel in it to look at, and how far around it."""

    vectors_nm: NDArray[np.int32]
    z_um: float
    near_um: tuple[float, float]
    half_um: float = 0.0


@dataclass(frozen=True, slots=True)
class Printing:
    """`words` say what it is of: a job, or an estimate."""

    words: str
    vectors: int
    duration: Duration
    mode: str
    hatch_um: float
    layer_um: float
    layer: LayerLines | None
    digest: str = ""

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Label and words."""
        time = self.duration.total_s
        shown = f"{time / 3600:.2f} h" if time >= 3600 else f"{time / 60:.1f} min"
        facts = [
            ("print", f"{shown}, {self.vectors} vectors ({self.words})"),
            ("hatch", f"{self.mode}, lines {self.hatch_um:g} um apart, layers {self.layer_um:g} um"),
        ]
        return [*facts, ("job file", f"BLAKE3 {self.digest[:32]}")] if self.digest else facts


def printing_of(domain: Domain, network: Network, profile: Profile, mode: str | None = None) -> Printing:
    """An estimate with the profile's own settings; `mode` None: what its material asks for.

    Raises ConfigError, DataRefused where it cannot be printed."""
    from poliqi.lab.print.hatch.settings import Mode, settings_for
    from poliqi.lab.print.hatch.slicing import estimate_job, prepare
    from poliqi.lab.print.hatch.tiling import Part

    settings = settings_for(profile, None if mode is None else Mode(mode), cut_vessels=True)
    prepared = prepare(domain, network, profile, settings)
    vectors, duration = estimate_job(prepared)
    slicer, plan = prepared.slicer(), prepared.plan
    middle = plan.layers // 2
    parts = [slicer.part(Part(0, tile, range(middle, middle + 1)))[0] for tile in range(plan.tiles)]
    lines = np.concatenate([one.vectors for one in parts])
    layer = _lines(lines, parts[0].z_um, network)
    words = f"estimated for {profile.name}"
    return Printing(words, vectors, duration, str(settings.mode), settings.hatch_um, settings.layer_um, layer)


def printing_of_job(path: Path, network: Network, vessels_digest: str) -> tuple[Printing, Profile]:
    """What a job says, read whole, with the profile that stands in it.

    Raises DataRefused for a job of other vessels, or that is damaged.
    """
    from poliqi.lab.print.hatch.duration import Clock, job_clock
    from poliqi.lab.print.hatch.jobreader import open_job
    from poliqi.lab.print.profile import profile_from

    with open_job(path) as job:
        header = job.header
        of = header.vessels_blake3
        if not of:
            raise DataRefused(
                f"{path}: this job does not tell of which vessels it is; write it with poliqi lab print slice"
            )
        if of != vessels_digest:
            raise DataRefused(f"{path}: this job is of other vessels ({of[:16]}...); give the file it was made of")
        profile = profile_from(header.profile, str(path))
        middle, z_um, clock = header.layers // 2, 0.0, Clock(profile)
        lines: list[NDArray[np.int32]] = []
        for record in job_clock(job.records(), clock, profile):
            if record.layer == middle:
                lines.append(record.vectors)
                z_um = record.z_nm * 1e-3
        vectors = 0 if job.totals is None else job.totals.vectors
        layer = _lines(np.concatenate(lines), z_um, network) if lines else None
        words = f"job {path.name}"
        printing = Printing(
            words, vectors, clock.duration(), header.mode, header.hatch_um, header.layer_um, layer, job.blake3
        )
        return printing, profile


def _lines(vectors: NDArray[np.int32], z_um: float, network: Network) -> LayerLines | None:
    """Near the widest vessel that the layer's height crosses; else in the middle of the lines."""
    if not len(vectors):
        return None
    z = np.stack([network.start_um[:, 2], network.end_um[:, 2]])
    crossed = np.flatnonzero((z.min(axis=0) <= z_um) & (z.max(axis=0) >= z_um))
    half = 0.0
    if len(crossed):
        one = int(crossed[np.argmax(network.radius_um[crossed])])
        a, b = network.start_um[one], network.end_um[one]
        share = 0.5 if a[2] == b[2] else (z_um - a[2]) / (b[2] - a[2])
        place = a + share * (b - a)
        near, half = (float(place[0]), float(place[1])), _AROUND * float(network.radius_um[one])
    else:
        middle = vectors.reshape(-1, 2).mean(axis=0) * 1e-3
        near = (float(middle[0]), float(middle[1]))
    return LayerLines(vectors, z_um, near, half)
