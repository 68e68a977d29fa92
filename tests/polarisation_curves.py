"""Polarisation curves for tests: measured ones of two fuel-cell stacks and an electrolyser, and calculated ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from package_sources import packaged_file

from poliqi.lab.echem.polarisation.curve import Conditions, Curve, Device
from poliqi.lab.echem.polarisation.model import operation_at, parameters_of, voltage

STACKS = Path(__file__).resolve().parents[2] / "shared" / "data" / "pem-polarisation"
ULLEBERG = [
    "current_density=j [mA/cm2]",
    "voltage=V [V]",
    "temperature=T [K]",
    "pressure=P [bar]",
    "koh_mass_fraction=w",
]
NOMINAL = Conditions(341.15, 2.2e5, 2.0e5, 0.398, 0.5, 1.6, 1.6, 0.7, 0.2095)


def measured_stack(family: str) -> list[Curve]:
    """EH-31 or ZSW-2024 (collected by AlphaPEM, BSD-3-Clause; ZSW: Zenodo 14223364); skips where they are not."""
    files = sorted((STACKS / family).glob("*.yml"))
    if not files:
        pytest.skip(f"{STACKS / family} is not there: measured curves of fuel cells")
    return [_measured(path, family) for path in files]


def _measured(path: Path, family: str) -> Curve:
    text = path.read_text(encoding="utf-8")

    def number(name: str) -> float:
        found = re.search(rf"^\s*{name}:\s*([0-9.e+]+)", text, re.MULTILINE)
        assert found is not None
        return float(found[1])

    def column(name: str) -> np.ndarray:
        found = re.search(rf"{name}:\s*\[([^\]]*)\]", text)
        assert found is not None
        return np.array([float(one) for one in found[1].split(",")])

    at = Conditions(
        number("T_des") + 273.15,
        number("Pa_des"),
        number("Pc_des"),
        number("Phi_a_des"),
        number("Phi_c_des"),
        number("Sa"),
        number("Sc"),
        number("y_H2_in"),
        0.2095,
        number("i_min_stoich") * 1e4,
    )
    return Curve(
        Device.FUEL_CELL, path.stem, at, column("i_exp") * 1e4, column("U_exp"), cell=family, file=path.name
    )


def ulleberg_file(cache: Path, folder: Path) -> Path:
    """PHOEBUS electrolyser, Ulleberg 2003, 86 points (aec-modelling, MIT); skips where it cannot be had."""
    return packaged_file(
        "aec-modelling", "0.1.0", "src/aec_modelling/data/ulleberg.csv", 2487, cache=cache, folder=folder
    )


def drive_cycle(name: str, size: int, cache: Path, folder: Path) -> Path:
    """LA4 or US06 of beep (Apache-2.0); skips where it cannot be had."""
    member = f"beep/protocol/protocol_schemas/{name}_velocity_waveform.txt"
    return packaged_file("beep", "2026.2.7", member, size, cache=cache, folder=folder)


def calculated(
    at: Conditions, name: str, *, noise_v: float = 0.0, seed: int = 0, points: int = 20, most: float = 2.2e4
) -> Curve:
    """A fuel cell of known parameters, `TRUTH`."""
    i = np.geomspace(100.0, most, points)
    v = voltage(operation_at(Device.FUEL_CELL, at, i), TRUTH)
    noise = np.random.default_rng(seed).normal(0.0, noise_v, i.size) if noise_v else 0.0
    return Curve(Device.FUEL_CELL, name, at, i, v + noise, cell="calculated", simulated=True)


TRUTH = np.array([2e-3, 1.1, 0.8, 60.0, 8e-6, 12.0, 1.0e4, 1.5, -20.0, 2e-5])
assert TRUTH.size == len(parameters_of(Device.FUEL_CELL))
