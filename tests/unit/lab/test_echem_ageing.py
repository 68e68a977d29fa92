"""Long ageing runs: growth by diffusion goes by the root of time, every end is a value with what stood before."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

import pytest

from poliqi.base.errors import ConfigError
from poliqi.lab.echem.models import ageing
from poliqi.lab.echem.models.ageing import age
from poliqi.lab.echem.models.cellparameters import ParameterSet, parameter_set
from poliqi.lab.echem.pybammdoor import pybamm

pytestmark = pytest.mark.skipif(find_spec("pybamm") is None, reason='the extra "echem" is not installed')
DIFFUSIVITY = "SEI solvent diffusivity [m2.s-1]"


@pytest.fixture(scope="module")
def okane() -> ParameterSet:
    return parameter_set("OKane2022")


def faster(parameters: ParameterSet, times: float) -> ParameterSet:
    now = parameters.number(DIFFUSIVITY)
    assert now is not None
    return parameters.changed({DIFFUSIVITY: now * times})


def test_an_sei_that_grows_by_diffusion_takes_lithium_by_the_root_of_time(okane: ParameterSet) -> None:
    run = age(faster(okane, 1e5), 4)
    first, *_, fourth = run.cycles
    assert run.ended == ""
    assert fourth.lost_lithium / first.lost_lithium == pytest.approx(math.sqrt(4), rel=0.02)
    assert fourth.lost_negative == pytest.approx(0, abs=1e-9)


def test_a_worn_out_cell_ends_the_run_with_what_stood_before(okane: ParameterSet) -> None:
    run = age(faster(okane, 1e7), 5)
    assert len(run.cycles) == 1
    assert run.ended.startswith("cycle 2: the cell cannot do 'Charge at 0.5C until 4.2 V'")


def test_a_failing_solver_is_tried_again_and_then_told(
    okane: ParameterSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ageing._Run._simulation

    class Failing:
        def __init__(self, run: Any, tries: int) -> None:
            self.run, self.tries = run, tries

        def solve(self, starting_solution: Any) -> Any:
            if self.tries < needed[0 if starting_solution is None else 1]:
                raise pybamm().SolverError("no convergence")
            return made(self.run, self.tries).solve(starting_solution=starting_solution)

    needed = [1, 99]
    monkeypatch.setattr(ageing._Run, "_simulation", lambda run, tries: Failing(run, tries))
    run = age(okane, 3)
    assert run.retried == (1,)
    assert len(run.cycles) == 1
    assert run.ended.startswith("cycle 2: the solver failed: SolverError: no convergence")


def test_an_unknown_mechanism_is_refused(okane: ParameterSet) -> None:
    with pytest.raises(ConfigError, match="'magic' is not recognized"):
        age(okane, 1, mechanisms={"SEI": "magic"})
