"""Impedance files of each vendor: made here in each layout, and real ones out of source packages (MIT licence)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from package_sources import packaged_file

from poliqi.lab.echem.spectrum import Spectrum

AUTOEIS = "src/autoeis/assets"
SIZES = {
    "exampleDataGamry.DTA": 36_889,
    "exampleDataBioLogic.mpt": 14_142,
    "exampleDataAutolab.txt": 2_545,
    "exampleDataZPlot.z": 5_878,
    "exampleDataVersaStudio.par": 19_465,
    "exampleDataPowersuite.txt": 1_057,
    "exampleDataCHInstruments.txt": 3_717,
    "exampleDataParstat.txt": 44_670,
    "data.dfr": 2_591,
    "data.idf": 43_850,
    "data.ids": 83_562,
    "data.pssession": 205_676,
    "test_data.txt": 8_879,
}
"""Real files of autoeis 0.0.44 and their bytes."""


def real_file(name: str, cache: Path, folder: Path) -> Path:
    """One of them; skips where the package index cannot be reached."""
    return packaged_file("autoeis", "0.0.44", f"{AUTOEIS}/{name}", SIZES[name], cache=cache, folder=folder)


def real_cell(cache: Path, folder: Path) -> Spectrum:
    """A Li-ion cell from 3.16 mHz to 10 kHz, 66 points (first harmonic), of nleis 0.2."""
    parts: list[NDArray[np.float64]] = []
    for name, size in (("freq_30a.txt", 1650), ("Z1s_30a.txt", 10_074)):
        private = folder / name
        private.mkdir()
        path = packaged_file("nleis", "0.2", f"nleis/data/{name}", size, cache=cache, folder=private)
        line = path.read_text() if name.startswith("freq") else path.read_text().splitlines()[0]
        parts.append(np.array(line.split(), dtype=np.float64))
    z = parts[1][::2] + 1j * parts[1][1::2]
    return Spectrum(parts[0][::-1].copy(), z[::-1].copy(), title="nleis")


def arcs(f: NDArray[np.float64], *told: tuple[float, float, float], ohmic: float = 0.01) -> NDArray[np.complex128]:
    """R and in series arcs of resistance, time constant and exponent, by Cole's formula: R / (1 + (j w tau)^n)."""
    z = np.full(f.size, ohmic, dtype=np.complex128)
    for resistance, tau, exponent in told:
        z += resistance / (1 + (2j * np.pi * f * tau) ** exponent)
    return z


def noisy(z: NDArray[np.complex128], share: float, seed: int) -> NDArray[np.complex128]:
    """Gaussian noise of that share of |Z| on each part."""
    drawn = np.random.default_rng(seed).normal(size=(2, z.size))
    return z + share * np.abs(z) * (drawn[0] + 1j * drawn[1])


def grid(high: float = 1e4, low: float = 10**-2.5, count: int = 66) -> NDArray[np.float64]:
    """Frequencies in even steps of their logarithm, falling."""
    return np.logspace(np.log10(high), np.log10(low), count)
