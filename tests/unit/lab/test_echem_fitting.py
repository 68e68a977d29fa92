"""Least squares of straight models: who is told, and who is not."""

from __future__ import annotations

import numpy as np
import pytest

from poliqi.lab.echem.fitting import Parameter, fit_least_squares

X = np.linspace(0, 1, 50)
NOISE = 1e-3


@pytest.mark.parametrize("start", [1.0, 100.0, -300.0])
def test_a_small_part_in_an_unknown_direction_has_no_value(start: float) -> None:
    """With a + t, b + t and c + .12 t nothing changes: c is anything, though it is a tenth of the direction."""
    wave = np.cos(7 * X)
    columns = np.stack([np.ones(50), -(1 + 0.12 * wave), wave], axis=1) / NOISE
    data = columns @ [1, 0, 0.5] + np.random.default_rng(1).normal(size=50)
    parameters = [Parameter("a", start), Parameter("b", start / 2), Parameter("c", 0.0)]
    found = fit_least_squares(lambda x: columns @ x - data, parameters, known_sigma=True)
    assert found.rank == 2
    assert found.unidentified == ("a", "b", "c")
    assert found.quantity("c") is None


def test_as_many_points_as_parameters_tell_no_doubt() -> None:
    columns = np.array([[1.0, 0.0], [1.0, 1.0]])
    parameters = [Parameter("offset", 0.0), Parameter("slope", 0.0)]

    def off(x: np.ndarray) -> np.ndarray:
        return columns @ x - [1.0, 3.0]

    found = fit_least_squares(off, parameters, known_sigma=False)
    assert found.unidentified == ("offset", "slope")
    assert {one.why for one in found.verdicts} == {"no point is left to tell its doubt"}
    assert not fit_least_squares(off, parameters, known_sigma=True).unidentified
