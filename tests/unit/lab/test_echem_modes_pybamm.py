"""Degradation modes of a cell that PyBaMM ages: its own account of what is lost is the truth."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aged_cells import write_record
from click.testing import CliRunner

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.degradation.halfcell import half_cells_of_set
from poliqi.lab.echem.degradation.modes import CAPACITIES, fit_check_up
from poliqi.lab.echem.degradation.pseudo_ocv import slow_sweeps
from poliqi.lab.echem.degradation.trend import degradation
from poliqi.lab.echem.record import CyclingRecord
from poliqi.ops.commands.lab_echem_fit_modes import command

pytestmark = pytest.mark.skipif(find_spec("pybamm") is None, reason='the extra "echem" is not installed')
SET = "OKane2022"
_CHECK = ("Discharge at C/25 until 2.5V", "Rest for 1 hour")
_CYCLE = ("Charge at C/2 until 4.2V", "Hold at 4.2V until C/50", "Discharge at 1C until 2.5V")
_STORE = ("Charge at C/2 until 4.2V", "Rest for 30000 hours (1000 hour period)")
_FULL = ("Charge at C/2 until 4.2V", "Hold at 4.2V until C/100", "Rest for 1 hour")
_LIFE = [_CYCLE] * 4 + [_STORE]
_VARIABLES = {
    "lithium_ah": "Loss of lithium inventory [%]",
    "negative_ah": "Loss of active material in negative electrode [%]",
    "positive_ah": "Loss of active material in positive electrode [%]",
}


def _aged(model_name: str) -> tuple[CyclingRecord, list[dict[str, float]], tuple[float, float]]:
    """Record of three check-ups between cycles and storage; losses in the middle of each; electrodes' first Ah.

    Layers grow by diffusion as in the set; active material is lost by stress, much faster than in the set.
    """
    from poliqi.lab.echem.pybammdoor import pybamm

    pb = pybamm()
    options = {
        "SEI": "solvent-diffusion limited",
        "loss of active material": "stress-driven",
        "particle mechanics": "swelling only",
    }
    values: Any = pb.ParameterValues(SET)
    for side, times in (("Negative", 600), ("Positive", 1200)):
        values[f"{side} electrode LAM constant proportional term [s-1]"] *= times
    steps = [_CHECK, *_LIFE, _FULL + _CHECK, *_LIFE, _FULL + _CHECK]
    simulation = pb.Simulation(
        getattr(pb.lithium_ion, model_name)(options),
        parameter_values=values,
        experiment=pb.Experiment(steps, period="10 minutes"),
    )
    solution = simulation.solve(initial_soc=1.0)
    t, v, i = (solution[name].entries for name in ("Time [s]", "Voltage [V]", "Current [A]"))
    rising = np.concatenate((np.array([True]), np.diff(t) > 0))
    record = CyclingRecord(t[rising], v[rising], -i[rising], title="aged", simulated=True)
    checks = [solution.cycles[at].steps[-2] for at in (0, 6, 12)]
    truth = [
        {name: float(np.mean(one[variable].entries[[0, -1]])) for name, variable in _VARIABLES.items()}
        for one in checks
    ]
    electrodes = [
        float(checks[0][f"{side} electrode capacity [A.h]"].entries[0]) for side in ("Negative", "Positive")
    ]
    return record, truth, (electrodes[0], electrodes[1])


def _check(model_name: str, within_percent: float) -> CyclingRecord:
    record, truth, electrodes = _aged(model_name)
    negative, positive = half_cells_of_set(SET)
    sweeps = slow_sweeps(record)
    assert len(sweeps) == 3
    found = degradation([fit_check_up(one, negative, positive) for one in sweeps], [0, 1, 2], "lives")
    assert found.simulated
    first = found.check_ups[0].capacities
    assert (first["negative_ah"].value, first["positive_ah"].value) == pytest.approx(electrodes, rel=4e-3)
    assert truth[-1]["lithium_ah"] > 5
    for expected, losses in zip(truth[1:], found.losses, strict=True):
        for name in CAPACITIES:
            loss = losses[name]
            assert loss is not None
            assert loss.value == pytest.approx(expected[name] - truth[0][name], abs=within_percent)
            assert loss.sigma < within_percent
    return record


def test_losses_of_an_aged_single_particle_model(tmp_path: Path) -> None:
    record = _check("SPM", 0.3)
    path = write_record(tmp_path / "aged.csv", record)
    done = CliRunner().invoke(command, [str(path), "--half-cells", SET, "--plot", str(tmp_path / "modes.svg")])
    assert done.exit_code == 0, done.output
    assert "lost by check-up 3" in done.stdout
    assert "<svg" in (tmp_path / "modes.svg").read_text()


@pytest.mark.soak
def test_losses_of_an_aged_full_model() -> None:
    _check("DFN", 0.3)


def test_sets_of_other_cells_are_refused() -> None:
    with pytest.raises(DataRefused, match="name another set"):
        half_cells_of_set("Chen2020_composite")
    with pytest.raises(ConfigError, match="Chen2020"):
        half_cells_of_set("Chen1999")


def test_a_fitted_potential_is_used_where_it_falls() -> None:
    _, positive = half_cells_of_set("NCA_Kim2011")  # its fit has a pole beyond the cell's range
    assert 0 < positive.lithium[0] < 0.2
    assert positive.potential_v.max() < 6
    assert positive.notes
