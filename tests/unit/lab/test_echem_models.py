"""Physical cell models: published capacities, PyBaMM's own answers, known parameters found again, and refusals."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from echem_truth import NEGATIVE, POSITIVE, TRUTH, discharge

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.fitting import Parameter
from poliqi.lab.echem.models import modelfit
from poliqi.lab.echem.models.cellmodel import CellModel, ModelKind
from poliqi.lab.echem.models.cellparameters import ParameterSet, parameter_named, parameter_set, varied
from poliqi.lab.echem.models.drive import Drive, constant_drive
from poliqi.lab.echem.models.modelcheck import ModelCheck, check_model
from poliqi.lab.echem.models.modelfit import ModelFit, fit_model
from poliqi.lab.echem.models.modelpage import curve_csv, model_cautions, model_findings, model_lines, model_record
from poliqi.lab.echem.pybammdoor import pybamm
from poliqi.lab.echem.record import CyclingRecord
from poliqi.lab.store.findings import findings_bytes, findings_from

pytestmark = pytest.mark.skipif(find_spec("pybamm") is None, reason='the extra "echem" is not installed')
THICKNESS, WIDTH = "Negative electrode thickness [m]", "Electrode width [m]"
CONDUCTIVITY = "Electrolyte conductivity [S.m-1]"
NOISE_V = 0.002


@pytest.fixture(scope="module")
def chen() -> ParameterSet:
    return parameter_set("Chen2020")


@pytest.fixture(scope="module")
def truth_record() -> CyclingRecord:
    return discharge("DFN", TRUTH, noise_v=NOISE_V, seed=7)


@pytest.fixture(scope="module")
def dfn(chen: ParameterSet, truth_record: CyclingRecord) -> ModelFit:
    return fit_model(truth_record, chen, fractions(chen), kind=ModelKind.DFN, sigma_v=NOISE_V)


@pytest.fixture(scope="module")
def spme(chen: ParameterSet, truth_record: CyclingRecord) -> ModelFit:
    return fit_model(truth_record, chen, fractions(chen), kind=ModelKind.SPME, sigma_v=NOISE_V)


@pytest.fixture(scope="module")
def spme_check(spme: ModelFit) -> ModelCheck:
    return check_model(spme)


def fractions(parameters: ParameterSet) -> list[Parameter]:
    return [varied(parameters, NEGATIVE), varied(parameters, POSITIVE)]


@pytest.mark.parametrize(("kind", "capacity_ah"), [("SPM", 4.955), ("SPMe", 4.939), ("DFN", 4.938)])
def test_capacity_at_1c_is_the_published_set_s(chen: ParameterSet, kind: str, capacity_ah: float) -> None:
    model = CellModel(ModelKind(kind), chen, [], constant_drive(-5.0, 4000.0), stop_at_cutoff=True)
    trace = model.run({})
    assert trace.time_s[-1] * 5 / 3600 == pytest.approx(capacity_ah, abs=6e-4)
    assert trace.ended == "Minimum voltage [V]"


def test_a_thickness_told_at_the_run_is_as_a_model_built_with_it(chen: ParameterSet) -> None:
    package = pybamm()
    values = package.ParameterValues("Chen2020")
    values[THICKNESS] = 95e-6
    own = package.Simulation(package.lithium_ion.SPMe(), parameter_values=values).solve([0, 3000])
    time = np.linspace(0, 3000, 50)
    model = CellModel(ModelKind.SPME, chen, [THICKNESS], constant_drive(-5.0, 3000.0))
    model.run({THICKNESS: 85e-6})
    assert model.run({THICKNESS: 95e-6}, time_s=time).voltage_v == pytest.approx(own["Voltage [V]"](time), abs=9e-4)


def test_slopes_are_derivatives(chen: ParameterSet) -> None:
    names = [NEGATIVE, CONDUCTIVITY]
    model = CellModel(ModelKind.SPME, chen, names, constant_drive(-5.0, 3000.0, 60), relative_tolerance=1e-7)
    at = {NEGATIVE: 0.72, CONDUCTIVITY: 1.0}
    slopes = model.run(at, slopes=True).slopes
    assert slopes is not None
    for column, (name, value) in enumerate(at.items()):
        up, down = (model.run({**at, name: value * step}).voltage_v for step in (1.001, 0.999))
        assert slopes[:, column] == pytest.approx((up - down) / (0.002 * value), rel=1e-3, abs=1e-4)


def test_a_pulse_between_asked_times_is_not_stepped_over(chen: ParameterSet) -> None:
    knots = np.array([0.0, 1000.0, 1000.001, 1010.0, 1010.001, 4000.0])
    drive = Drive(np.array([0.0, 999.0, 1010.0, 4000.0]), knots, np.array([0.0, 0.0, -5.0, -5.0, 0.0, 0.0]))
    trace = CellModel(ModelKind.SPM, chen, [], drive).run({})
    assert trace.voltage_v[1] - trace.voltage_v[2] > 0.05
    assert abs(trace.voltage_v[3] - trace.voltage_v[1]) < 0.01


def test_a_cell_that_runs_empty_ends_the_trace(chen: ParameterSet) -> None:
    trace = CellModel(ModelKind.SPM, chen, [], constant_drive(-5.0, 8000.0)).run({})
    assert trace.ended
    assert 3500 < trace.time_s[-1] < 4300
    assert trace.voltage_v.min() > 1.4


def test_two_fractions_of_a_noisy_discharge_are_found_within_their_doubt(dfn: ModelFit) -> None:
    for name, true in TRUTH.items():
        found = dfn.fitted.quantity(name)
        assert found is not None
        assert abs(found.value - true) < 3.5 * found.sigma
        assert found.sigma < 1e-3
    assert dfn.fitted.rank == 2
    assert dfn.fitted.reduced_chi2 == pytest.approx(1, abs=0.25)


def test_a_grid_twice_as_fine_confirms_the_dfn(dfn: ModelFit) -> None:
    check = check_model(dfn)
    assert check.rms_v < 1e-3
    assert not check.beyond


def test_a_simpler_model_owns_up_to_its_error(spme: ModelFit, spme_check: ModelCheck) -> None:
    assert spme.fitted.reduced_chi2 > 3
    assert spme_check.rms_v > NOISE_V
    assert spme.doubt_factor > 1.5
    said = "\n".join(model_cautions(spme, spme_check))
    assert "SPMe with this set does not describe the record within its sigma" in said
    assert f"{POSITIVE}: the error of SPMe moves it" in said


def test_the_shift_by_the_model_s_error_is_what_the_better_model_finds(
    spme: ModelFit, spme_check: ModelCheck, dfn: ModelFit
) -> None:
    moved = dfn.fitted[POSITIVE] - spme.fitted[POSITIVE]
    assert abs(moved) > 1e-3
    assert spme_check.shift[POSITIVE] == pytest.approx(moved, rel=0.05)


def test_what_is_told_apart_by_nothing_has_no_value(chen: ParameterSet, truth_record: CyclingRecord) -> None:
    height = "Electrode height [m]"
    vary = [varied(chen, WIDTH), varied(chen, height), varied(chen, "Separator porosity")]
    fit = fit_model(truth_record, chen, vary, kind=ModelKind.SPM)
    assert set(fit.fitted.unidentified) == {WIDTH, height, "Separator porosity"}
    record = model_record(fit, None)
    assert [one["value"] for one in record["parameters"]] == [None, None, None]
    assert not model_findings(fit, None, "cell", simulated=True).findings
    assert any("cannot be told apart from Electrode height [m]" in line for line in model_lines(fit, None))
    with pytest.raises(DataRefused, match="not identified, so there is no fitted set"):
        fit.fitted_set()


def test_a_start_that_ends_early_is_left_for_a_better_one(chen: ParameterSet, truth_record: CyclingRecord) -> None:
    vary = [varied(chen, WIDTH, 0.3, 0.2, 4.0)]
    fit = fit_model(truth_record, chen, vary, kind=ModelKind.SPM)
    assert fit.fitted[WIDTH] == pytest.approx(1.58, rel=0.1)


def test_a_record_beyond_the_cell_is_refused_with_its_charge(chen: ParameterSet) -> None:
    time = np.linspace(0, 7200, 300)
    record = CyclingRecord(time, np.full(300, 3.5), np.full(300, -5.0), title="large")
    with pytest.raises(DataRefused, match=r"the model ends after .* of 7200 s .* moves -10 Ah"):
        fit_model(record, chen, [varied(chen, CONDUCTIVITY)], kind=ModelKind.SPM)


def test_outputs_hold_what_was_found(spme: ModelFit, spme_check: ModelCheck) -> None:
    findings = findings_from(findings_bytes(model_findings(spme, spme_check, "cell", simulated=True)))
    one = findings.named("positive_electrode_active_material_volume_fraction")
    assert one.value == spme.fitted[POSITIVE]
    rows = curve_csv(spme, spme_check).decode().splitlines()
    assert rows[0] == "time_s,voltage_v,model_v,residual_v,model_error_v"
    assert len(rows) == spme.voltage_v.size + 1


def test_a_function_is_fitted_by_a_factor(chen: ParameterSet) -> None:
    one = varied(chen, CONDUCTIVITY)
    assert (one.start, one.unit) == (1.0, "times the set's")


def test_words_of_a_name_are_enough(chen: ParameterSet) -> None:
    assert parameter_named(chen, "negative active fraction") == NEGATIVE
    with pytest.raises(ConfigError, match="may be Negative electrode thickness"):
        parameter_named(chen, "electrode thickness")
    with pytest.raises(ConfigError, match="names no parameter"):
        parameter_named(chen, "flux capacitor")


@pytest.mark.parametrize("name", ["Chen2019", "../Chen2020", "Sulzer2019"])
def test_an_unknown_set_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=r"give a BPX file .* Chen2020"):
        parameter_set(name)


def test_a_start_in_volts_is_that_voltage_at_rest(chen: ParameterSet) -> None:
    model = CellModel(ModelKind.SPM, chen.at_start("3.8V"), [], constant_drive(0.0, 10.0, 5))
    assert model.run({}).voltage_v[0] == pytest.approx(3.8, abs=1e-3)


@pytest.mark.parametrize("state", ["full", "1.5", "9V", "nan"])
def test_a_start_that_is_none_is_refused(chen: ParameterSet, state: str) -> None:
    with pytest.raises(ConfigError, match="state of charge from 0 to 1"):
        chen.at_start(state)


@pytest.mark.parametrize("seeds", [8, pytest.param(200, marks=pytest.mark.soak)])
def test_doubts_hold_what_they_promise(chen: ParameterSet, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chi^2 of (found - true) / sigma over seeds: within 4 standard deviations of its mean."""
    built: list[tuple[CellModel, Drive]] = []

    def once(kind: ModelKind, parameters: ParameterSet, names: list[str], drive: Drive) -> CellModel:
        """The current is the same every time, and so is the model."""
        if not built:
            built.append((CellModel(kind, parameters, names, drive), drive))
        model, first = built[0]
        assert all(np.array_equal(getattr(drive, one), getattr(first, one)) for one in Drive.__slots__)
        return model

    monkeypatch.setattr(modelfit, "CellModel", once)
    quiet = discharge("SPM", TRUTH, noise_v=0.0, seed=0)
    pulls: list[float] = []
    for seed in range(seeds):
        noise = np.random.default_rng(seed).normal(0, NOISE_V, quiet.time_s.size)
        noisy = CyclingRecord(quiet.time_s, quiet.voltage_v + noise, quiet.current_a)
        fit = fit_model(noisy, chen, fractions(chen), kind=ModelKind.SPM, sigma_v=NOISE_V, most_points=200)
        found = [fit.fitted.quantity(name) for name in TRUTH]
        pulls += [(one.value - true) / one.sigma for one, true in zip(found, TRUTH.values(), strict=True) if one]
    assert len(pulls) == 2 * seeds
    chi2 = float(np.sum(np.square(pulls)))
    assert abs(chi2 - len(pulls)) < 4 * np.sqrt(2 * len(pulls))
