"""Error bars by closed forms and by scatter: fits, white noise, pulses, losses of check-ups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from aged_cells import NEGATIVE, POSITIVE, Cell

from poliqi.lab.echem.correlated import widening
from poliqi.lab.echem.degradation.modes import CheckUp, fit_check_up
from poliqi.lab.echem.degradation.trend import degradation
from poliqi.lab.echem.fitting import Fitted, Parameter, fit_least_squares
from poliqi.lab.echem.pulses.pulsefit import fit_pulse
from poliqi.lab.echem.pulses.pulses import Pulse
from poliqi.lab.echem.quantity import Quantity

SIGMA_V, CURRENT_A, R0, R1, TAU = 2e-4, -5.0, 0.010, 0.006, 8.0


def test_white_noise_widens_nothing() -> None:
    draw = np.random.default_rng(1)
    runs = [draw.normal(size=300) for _ in range(60)]
    within = [float(run[1:] @ run[:-1] / (run @ run)) < 2 / np.sqrt(300) for run in runs]
    assert sum(within) > 50
    assert all((widening(run) == 1) == inside for run, inside in zip(runs, within, strict=True))


def by_logarithm(sigma: float) -> Fitted:
    """One parameter whose logarithm is measured, as 0, with that error."""
    one = Parameter("q", 2.0, 1e-9, 1e9, is_log=True)
    return fit_least_squares(lambda p: np.array([np.log(p[0]) / sigma]), [one], known_sigma=True)


def test_what_is_known_to_a_factor_of_e_or_worse_has_no_value() -> None:
    known, unknown = by_logarithm(0.9).quantity("q"), by_logarithm(2.0)
    assert known is not None
    assert (known.value, known.sigma) == (pytest.approx(1.0), pytest.approx(0.9))
    assert unknown.quantity("q") is None
    assert unknown.verdicts[0].why == "known to a factor of 7.4 only"


def test_a_parameter_at_its_limit_has_no_value() -> None:
    held, free = Parameter("held", 0.5, 0.0, 1.0), Parameter("free", 0.0)
    found = fit_least_squares(lambda p: np.array([p[0] - 2, p[1] - 3]), [held, free], known_sigma=True)
    assert found["held"] == pytest.approx(1.0, abs=1e-3)
    assert found.unidentified == ("held",)
    assert found.verdicts[0].why == "stands at its limit"
    assert found["free"] == pytest.approx(3.0)


def pulse(noise_v: float, seed: int, step_s: float = 1.0) -> Pulse:
    """30 s into a resistor and one pair, from a rest that is known."""
    t = step_s * np.arange(1, round(30 / step_s) + 1)
    v = 3.8 + CURRENT_A * (R0 + R1 * (1 - np.exp(-t / TAU)))
    v += np.random.default_rng(seed).normal(0, noise_v, t.size)
    return Pulse(1, t, v, np.full(t.size, CURRENT_A), 3.8, 0.0, 1200.0, 0.0, 0.0, (1, t.size), "circuit")


def test_r0_is_known_no_better_than_the_voltage_at_rest() -> None:
    found = fit_pulse(pulse(0.0, 1, 0.1), sigma_v=SIGMA_V)
    inner, at_rest = float(found.fitted.sigma[0]), SIGMA_V / abs(CURRENT_A)
    assert inner < at_rest  # 300 points
    assert found.values["R0"].sigma == pytest.approx(np.hypot(inner, at_rest), rel=1e-6)
    assert found.values["R1"].sigma == pytest.approx(float(found.fitted.sigma[1]), rel=1e-6)


def test_capacitances_scatter_as_their_errors_say() -> None:
    found = [fit_pulse(pulse(SIGMA_V, seed), sigma_v=SIGMA_V).values["C1"] for seed in range(40)]
    told = float(np.mean([one.sigma for one in found]))
    assert float(np.std([one.value for one in found])) == pytest.approx(told, rel=0.3)
    assert float(np.mean([one.value for one in found])) == pytest.approx(TAU / R1, abs=3 * told)


@pytest.fixture(scope="module")
def check_up() -> CheckUp:
    return fit_check_up(Cell(3.0, 3.4, 3.1).sweep(5e-4, points=150), NEGATIVE, POSITIVE)


def test_an_electrode_is_known_as_well_as_both_its_ends_together(check_up: CheckUp) -> None:
    """Lithium at both ends drawn from the fit's own covariance."""
    ends = check_up.fitted.covariance[:4, :4] * check_up.widened
    x0, x1, y0, y1 = np.random.default_rng(1).multivariate_normal(check_up.fitted.value[:4], ends, 4000).T
    span = check_up.sweep.capacity_ah
    drawn = {"negative_ah": span / (x0 - x1), "positive_ah": span / (y1 - y0)}
    drawn["lithium_ah"] = x0 * drawn["negative_ah"] + y0 * drawn["positive_ah"]
    for name, values in drawn.items():
        assert check_up.capacities[name].sigma == pytest.approx(float(np.std(values)), rel=0.05)


def told(one: CheckUp, capacity_ah: float, sigma_ah: float) -> CheckUp:
    return replace(one, capacities={"lithium_ah": Quantity(capacity_ah, sigma_ah, "Ah", "told")})


def test_a_loss_has_the_errors_of_both_check_ups(check_up: CheckUp) -> None:
    found = degradation([told(check_up, 3.0, 0.06), told(check_up, 2.7, 0.027)], [0, 1], "years")
    loss = found.losses[0]["lithium_ah"]
    assert loss is not None
    assert loss.value == pytest.approx(10.0)
    assert loss.sigma == pytest.approx(90 * np.hypot(0.02, 0.01))


def test_check_ups_off_their_line_widen_the_error_of_the_rate(check_up: CheckUp) -> None:
    """The middle one of three stands 3 sigma off the line of the others: chi^2 = 2/3 9 with one degree left."""
    sigma = 0.01
    ones = [told(check_up, value, sigma) for value in (3.0, 2.9 + 3 * sigma, 2.8)]
    trend = degradation(ones, [0, 1, 2], "years").trends["lithium_ah"]
    assert trend.scatter == pytest.approx(np.sqrt(6))
    middle, slope = 2.9 + sigma, -0.1
    begin = middle - slope
    by_middle, by_slope = slope / begin**2, -middle / begin**2  # of the rate -slope / (middle - slope)
    expected = 100 * np.sqrt(6) * np.hypot(by_middle * sigma / np.sqrt(3), by_slope * sigma / np.sqrt(2))
    assert trend.rate is not None
    assert trend.rate.value == pytest.approx(100 * 0.1 / begin)
    assert trend.rate.sigma == pytest.approx(expected)
