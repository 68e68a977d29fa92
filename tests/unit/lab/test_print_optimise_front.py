"""What none beats, what is varied, what is kept to: against definitions."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from poliqi.base.errors import ConfigError
from poliqi.lab.print.optimise.front import front_of, knee_of
from poliqi.lab.print.optimise.targets import MEASURES, missed, read_target, shown
from poliqi.lab.print.optimise.variables import VARIABLES, grid_of, read_range, sampled


@given(arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 6).map(float)))
def test_the_front_is_what_no_row_dominates(rows: Any) -> None:
    wanted = [
        at
        for at in range(len(rows))
        if not any(all(b <= a for a, b in zip(rows[at], other, strict=True)) and tuple(other) != tuple(rows[at])
                   for other in rows)
    ]  # fmt: skip
    assert front_of(rows).tolist() == wanted


def test_a_known_front_and_its_knee() -> None:
    rows = np.array([[0.0, 10], [1, 4], [2, 3], [9, 0], [5, 5], [1, 4]])
    assert front_of(rows).tolist() == [0, 1, 2, 3, 5]
    assert knee_of(rows[[0, 1, 2, 3]]) == 2  # (2/9)^2 + .3^2 is below (1/9)^2 + .4^2


def test_a_knee_does_not_depend_on_units() -> None:
    rows = np.random.default_rng(3).uniform(size=(20, 3))
    assert knee_of(rows) == knee_of(rows * np.array([1e-6, 1, 1e9]) + 5)
    assert knee_of(np.array([[1.0, 1.0]])) == 0


@pytest.mark.parametrize(
    ("text", "name", "low", "high"),
    [
        ("hypoxic<1%", "hypoxic", -math.inf, 0.01),
        ("hypoxic <= 0.02", "hypoxic", -math.inf, 0.02),
        ("print<2h", "print", -math.inf, 7200),
        ("print<30min", "print", -math.inf, 1800),
        ("shear=0.5:2Pa", "shear", 0.5, 2),
        ("thinnest>3um", "thinnest", 3, math.inf),
        ("volume<0.01mm3", "volume", -math.inf, 1e7),
        ("power<5nW", "power", -math.inf, 5e-9),
    ],
)
def test_targets_are_read_with_their_units(text: str, name: str, low: float, high: float) -> None:
    target = read_target(text)
    assert (target.name, target.low) == (name, low)
    assert target.high == pytest.approx(high)


@pytest.mark.parametrize(
    "text",
    ["", "hypoxic", "hypoxic<", "hypoxic<1h", "hypoxia<1%", "print<two", "shear=0.5", "shear=2:1Pa", "print<1:2h",
     "print<nan", "hypoxic<1%;rm", "shear=1:2:3Pa", "print<infh", "hypoxic!1%"],
)  # fmt: skip
def test_targets_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="target"):
        read_target(text)


@given(st.text(max_size=40))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    with suppress(ConfigError):
        assert read_target(text).name in MEASURES


def test_what_is_missed_is_told_with_its_number() -> None:
    measures = {"hypoxic": 0.03, "print": 3600.0, "shear_low": 0.4, "shear_high": 1.0}
    targets = [read_target(one) for one in ("hypoxic<1%", "print<2h", "shear=0.5:2Pa")]
    assert missed(measures, targets) == [
        ("hypoxic<1%: it is 3 %", pytest.approx(2.0)),
        ("shear=0.5:2Pa: it is 0.4 Pa", pytest.approx(0.2)),
    ]
    assert missed({}, [read_target("print<2h")]) == [("print<2h: not known", math.inf)]
    assert missed({"hypoxic": 0.01}, [read_target("hypoxic<1%")]) == []
    assert shown("print", 5400) == "1.5 h"
    assert shown("print", 90) == "1.5 min"


def test_ranges_make_every_combination() -> None:
    ranges = [read_range("terminals=20:60:3"), read_range("flow_nl_min=100,200"), read_range("mode=solid,wall")]
    designs = grid_of(ranges)
    assert len(designs) == 12
    assert designs[0] == {"terminals": 20, "flow_nl_min": 100.0, "mode": "solid"}
    assert {one["terminals"] for one in designs} == {20, 40, 60}
    assert all(isinstance(one["terminals"], int) for one in designs)


def test_samples_fill_the_ranges_evenly() -> None:
    designs = sampled(
        [read_range("exponent=2:4"), read_range("terminals=1:100"), read_range("mode=solid,wall")], 64
    )
    exponents = np.array([one["exponent"] for one in designs], float)
    assert np.histogram(exponents, 8, (2, 4))[0] == pytest.approx([8] * 8, abs=1)
    assert {one["mode"] for one in designs} == {"solid", "wall"}
    assert designs == sampled(
        [read_range("exponent=2:4"), read_range("terminals=1:100"), read_range("mode=solid,wall")], 64
    )


def test_a_variable_that_counts_takes_whole_numbers() -> None:
    with pytest.raises(ConfigError, match=r"1\.5 is no whole number\).*whole, from 1"):
        read_range("terminals=1.5,2")
    with pytest.raises(ConfigError, match=r"2\.5 is no whole number"):
        read_range("seed=1:2.5:2")
    assert read_range("terminals=2,2e1").values == (2, 20)
    assert read_range("terminals=1:4:3").values == (1, 2, 4)  # 2.5 between the ends is rounded to even
    assert read_range("exponent=2.5,3").values == (2.5, 3.0)


@pytest.mark.parametrize(
    "text",
    ["terminals", "terminal=1,2", "terminals=0:5:3", "terminals=5:1:3", "terminals=1:5:1", "exponent=nan,3",
     "terminals=1:2:3:4", "mode=glow", "exponent=2:inf", "terminals=1:9:5000", "terminals=1e999"],
)  # fmt: skip
def test_ranges_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--vary"):
        read_range(text)


def test_what_cannot_be_combined_is_refused() -> None:
    with pytest.raises(ConfigError, match="what to vary"):
        grid_of([])
    with pytest.raises(ConfigError, match="given twice"):
        grid_of([read_range("seed=1,2"), read_range("seed=3")])
    with pytest.raises(ConfigError, match="how many"):
        grid_of([read_range("exponent=2:3")])
    with pytest.raises(ConfigError, match="at most 20000"):
        grid_of([read_range("exponent=2:3:1000"), read_range("wall_um=1:2:1000")])
    with pytest.raises(ConfigError, match="--samples 0"):
        sampled([read_range("exponent=2:3")], 0)


def test_every_variable_says_what_it_is() -> None:
    assert all(one.what and (one.words or one.low < one.high) for one in VARIABLES.values())
