"""Electrochemistry: from a spectrum to a circuit, from a cycler's file to cycles, models, polarisation, a campaign.

`python -m bench echem`. Spectrum, discharge and curves are simulated with known truth; the .mpr is a real file of
46,102 points, out of the source package of navani on the package index. Peers run in environments of their own:
impedance.py fits the circuit (it needs guesses: it is given two, and its faster one counts), PyBOP the same two
parameters of the same DFN to the same discharge.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is loaded, as `poliqi lab echem` does
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import platformdirs

from bench.echem_inputs import cycling, eight_curves, spectrum, thousand_cells
from bench.peers.environment import PeerMissing, measure
from bench.peers.sources import packaged_file
from bench.report import Metric, best

IMPEDANCE, PYBOP = "impedance==1.7.1 pandas", "pybop==26.3"
MPR = ("navani", "0.1.22", "Example_data/jdb11-1_c3_gcpl_5cycles_2V-3p8V_C-24_data_C09.mpr")
GUESSES = ([1e-7, 0.015, 0.005, 1, 0.9, 0.01, 0.02, 200, 20, 0.9], [1e-7, 0.01, 0.01, 1, 1, 0.01, 0.01, 100, 10, 1])


def in_file(folder: Path, name: str, data: dict[str, Any]) -> str:
    path = folder / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return str(path)


def impedance(quick: bool, folder: Path, details: dict[str, Any]) -> list[Metric]:
    """KK, DRT and circuit, and the peer's circuit."""
    from poliqi.lab.echem.eis.analysis import Wanted, analyse

    measured = spectrum()
    circuit = Wanted(circuits=("L-R-(R|CPE)-((R-Wo)|CPE)",))
    seconds = best(lambda: analyse(measured, circuit), runs=2 if quick else 10)
    chosen = best(lambda: analyse(measured), runs=1 if quick else 5)
    fit = analyse(measured, circuit).fit
    assert fit is not None
    details["circuit"] = {"rms": round(fit.rms, 5), "circuit": fit.circuit.text}
    peer: tuple[str | None, float | None] = (None, None)
    try:
        theirs = measure(
            IMPEDANCE,
            "run_impedance.py",
            in_file(
                folder,
                "spectrum.json",
                {
                    "frequency_hz": measured.frequency_hz.tolist(),
                    "real_ohm": measured.impedance_ohm.real.tolist(),
                    "imag_ohm": measured.impedance_ohm.imag.tolist(),
                    "circuit": "L0-R0-p(R1,CPE1)-p(R2-Wo1,CPE2)",
                    "guesses": GUESSES,
                    "runs": 2 if quick else 5,
                },
            ),
        )
        details["impedance.py"] = theirs
        right = [one["wall_s"] for one in theirs if one.get("rms", 1.0) <= 1.01 * fit.rms]
        if right:
            peer = ("impedance.py, circuit alone", min(right))
    except PeerMissing as missing:
        details["impedance.py"] = {"skipped": str(missing)}
    return [
        Metric("KK + DRT + circuit of 66 points s", seconds, "s", 0.5, "max", *peer),
        Metric("the same, circuit chosen s", chosen, "s", None, "max"),
    ]


def records(quick: bool, folder: Path, details: dict[str, Any]) -> list[Metric]:
    """A real .mpr to its table of cycles, and ten million rows, from memory and from a file."""
    from poliqi.lab.echem.bdf import bdf_bytes
    from poliqi.lab.echem.cycling.cycles import cycles
    from poliqi.lab.echem.readers.reading import read_record

    found: list[Metric] = []
    cache = platformdirs.user_cache_path("poliqi") / "bench-peers" / "files"
    try:
        path = packaged_file(*MPR, 2_465_718, cache=cache, folder=folder)
        took = best(lambda: cycles(read_record(path)), runs=3 if quick else 20)
        details["half cycles of the .mpr"] = len(cycles(read_record(path)).found.halves)
        found.append(Metric("46k-row .mpr to cycle table s", took, "s", 0.1, "max"))
    except PeerMissing as missing:
        details[".mpr"] = {"skipped": str(missing)}
    rows = 10**6 if quick else 10**7
    record = cycling(rows)
    took = best(lambda: cycles(record), runs=2 if quick else 3)
    found.append(Metric(f"{rows:.0e} rows in memory to cycle table s".replace("e+0", "e"), took, "s", None, "max"))
    path = folder / "cycles.bdf.parquet"
    path.write_bytes(bdf_bytes(record, ".parquet"))
    took = best(lambda: cycles(read_record(path)), runs=1 if quick else 3)
    found.append(Metric(f"{rows:.0e} rows of Parquet to cycle table s".replace("e+0", "e"), took, "s", 1.0, "max"))
    return found


def models(quick: bool, folder: Path, details: dict[str, Any]) -> list[Metric]:
    """Two active fractions of a whole DFN discharge with 5 mV of noise; the peer on the same 400 points."""
    from bench.echem_models import TRUTH, noisy_discharge, two_parameters
    from poliqi.lab.echem.models.drive import chosen_points

    record = noisy_discharge()
    fits = [two_parameters(record) for _ in range(1 if quick else 3)]
    details["DFN fit"] = {"errors over sigma": [round(one, 2) for one in fits[0].pulls], "runs": fits[0].runs}
    peer: tuple[str | None, float | None] = (None, None)
    points = chosen_points(record, 400)
    asked = {
        "time_s": record.time_s[points].tolist(),
        "current_a": (-record.current_a[points]).tolist(),
        "voltage_v": record.voltage_v[points].tolist(),
        "set": "Chen2020",
        "model": "DFN",
        "names": list(TRUTH),
        "start": [0.75, 0.665],
        "lower": [0.6, 0.55],
        "upper": [0.9, 0.9],
    }
    try:
        theirs = measure(PYBOP, "run_pybop.py", in_file(folder, "discharge.json", asked))
        details["PyBOP"] = theirs
        right = [one for one in theirs.values() if np.allclose(one["values"], list(TRUTH.values()), atol=0.01)]
        if right:
            peer = ("PyBOP, its faster one that arrives", min(one["wall_s"] for one in right))
    except PeerMissing as missing:
        details["PyBOP"] = {"skipped": str(missing)}
    return [Metric("two-parameter DFN fit s", min(one.wall_s for one in fits), "s", 2.0, "max", *peer)]


def polarisation(quick: bool, _folder: Path, details: dict[str, Any]) -> list[Metric]:
    """Eight curves of one simulated fuel cell at other temperatures and pressures."""
    from poliqi.lab.echem.polarisation.fit import fit_polarisation

    curves = eight_curves()
    took = best(lambda: fit_polarisation(curves), runs=2 if quick else 5)
    details["spread of the polarisation fit, mV"] = round(1e3 * fit_polarisation(curves).spread_v, 3)
    return [Metric("8 polarisation curves jointly s", took, "s", 1.0, "max")]


def campaign(quick: bool, _folder: Path, details: dict[str, Any]) -> list[Metric]:
    """A thousand cells with three protocols each on 96 channels, with chambers and bookings."""
    from poliqi.lab.echem.campaign.schedule import schedule

    wanted = thousand_cells()
    took = best(lambda: schedule(wanted), runs=1 if quick else 2)
    made = schedule(wanted)
    details["campaign"] = {"end_s": made.end_s, "bound_s": made.bound_s, "unplaced": len(made.unplaced)}
    return [Metric("1,000-cell campaign planned s", took, "s", 10.0, "max")]


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """All of it, one after another."""
    results: list[Metric] = []
    details: dict[str, Any] = {"simulated": "all but the .mpr"}
    with tempfile.TemporaryDirectory() as folder:
        for part in (impedance, records, models, polarisation, campaign):
            results += part(quick, Path(folder), details)
    return results, details
