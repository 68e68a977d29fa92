"""Functions of BPX files: right ones are what Python would say, wrong ones are refused, none is run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.models.bpxexpression import calculated, program_of

FUNCTIONS = {"exp": math.exp, "tanh": math.tanh, "cosh": math.cosh}
numbers = st.floats(0, 3, allow_nan=False).map(lambda value: f"{value:.4g}")
expressions = st.recursive(
    numbers | st.just("x"),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", "-", "*", " / "]), inner).map("".join),
        st.tuples(st.sampled_from(["exp", "tanh", "cosh", "", "-"]), inner).map(
            lambda part: f"{part[0]}({part[1]})"
        ),
        st.tuples(inner, st.integers(-4, 4)).map(lambda part: f"({part[0]})**{part[1]}"),
    ),
    max_leaves=12,
)


@given(expressions, st.floats(-2, 2))
def test_an_expression_is_what_python_says(text: str, x: float) -> None:
    program = program_of(text, "F")
    try:
        expected = eval(text, {**FUNCTIONS, "x": x, "__builtins__": {}})  # made here
    except ArithmeticError:
        with pytest.raises(ArithmeticError):
            calculated(program, x, FUNCTIONS)
        return
    assert calculated(program, x, FUNCTIONS) == pytest.approx(float(expected), rel=1e-12, nan_ok=True)


@given(st.text(max_size=60) | st.text(alphabet="x0123456789.eE+-*/() expjtanhcosh,_'\"[]{}:=<>", max_size=60))
def test_any_text_is_calculated_or_refused(text: str) -> None:
    try:
        program = program_of(text, "F")
    except DataRefused as refused:
        assert str(refused).startswith("F: ")
        return
    try:
        calculated(program, 0.5, FUNCTIONS)
    except ArithmeticError:
        return
