"""Circuits: the notation, elements against their formulas, derivatives."""

from __future__ import annotations

import cmath
import math
import re

import numpy as np
import pytest

from poliqi.base.errors import ConfigError
from poliqi.lab.echem.eis.circuit import parse_circuit

F = np.array([1e4, 37.0, 1.0, 0.002])


def z(text: str, *values: float) -> np.ndarray:
    return parse_circuit(text).impedance(F, np.array(values))


def by_hand(law: object) -> np.ndarray:
    assert callable(law)
    return np.array([law(2j * math.pi * f) for f in F])


@pytest.mark.parametrize(
    ("text", "values", "law"),
    [
        ("R", (3.0,), lambda _s: 3.0),
        ("L", (2e-6,), lambda s: s * 2e-6),
        ("C", (0.5,), lambda s: 1 / (s * 0.5)),
        ("CPE", (0.5, 0.8), lambda s: 1 / (0.5 * s**0.8)),
        ("W", (0.02,), lambda s: 0.02 * (1 - 1j) / math.sqrt(s.imag)),
        ("Wo", (0.3, 5.0), lambda s: 0.3 / (cmath.tanh(cmath.sqrt(s * 5)) * cmath.sqrt(s * 5))),
        ("Ws", (0.3, 0.01), lambda s: 0.3 * cmath.tanh(cmath.sqrt(s * 0.01)) / cmath.sqrt(s * 0.01)),
        ("G", (0.3, 5.0), lambda s: 0.3 / cmath.sqrt(1 + s * 5)),
    ],
)
def test_an_element_is_its_formula(text: str, values: tuple[float, ...], law: object) -> None:
    np.testing.assert_allclose(z(text, *values), by_hand(law), rtol=1e-12)


def test_series_binds_closer_than_parallel() -> None:
    np.testing.assert_allclose(z("R-C|R", 2.0, 0.1, 5.0), by_hand(lambda s: 1 / (1 / (2 + 1 / (0.1 * s)) + 1 / 5)))


def test_brackets_bind_first() -> None:
    np.testing.assert_allclose(z("R-(C|R)", 2.0, 0.1, 5.0), by_hand(lambda s: 2 + 1 / (0.1 * s + 1 / 5)))


def test_three_in_parallel() -> None:
    np.testing.assert_allclose(z("(R|R|R)", 2.0, 3.0, 6.0), np.ones(4))


def test_brackets_in_brackets() -> None:
    found = z("((R-C)|(R-(L|R)))", 2.0, 0.1, 5.0, 1e-3, 7.0)
    np.testing.assert_allclose(
        found, by_hand(lambda s: 1 / (1 / (2 + 1 / (0.1 * s)) + 1 / (5 + 1 / (1 / (1e-3 * s) + 1 / 7))))
    )


def test_names_count_from_the_left() -> None:
    names = [name for name, _ in parse_circuit("L-R-(R|CPE)-(R-Wo|CPE)").parameters]
    assert names == ["L1", "R1", "R2", "CPE1_q", "CPE1_n", "R3", "Wo1_r", "Wo1_tau", "CPE2_q", "CPE2_n"]


def test_numbers_that_are_written_are_kept() -> None:
    assert parse_circuit("R0 - (R7 | C2)").names == ("R0", "R7", "C2")


def test_diffusion_has_its_limits_at_both_ends() -> None:
    """Reflecting: a capacitor tau / r and r / 3 at low frequency; transmitting: r. Both infinite above."""
    f, high = np.array([1e-7]), np.array([1e8])
    low = parse_circuit("Wo").impedance(f, np.array([0.3, 5.0]))[0]
    assert low.real == pytest.approx(0.1, rel=1e-6)
    assert low.imag == pytest.approx(-0.3 / (2 * math.pi * 1e-7 * 5), rel=1e-6)
    assert parse_circuit("Ws").impedance(f, np.array([0.3, 5.0]))[0] == pytest.approx(0.3, rel=1e-5)
    for text in ("Wo", "Ws"):
        found = parse_circuit(text).impedance(high, np.array([0.3, 5.0]))[0]
        assert found == pytest.approx(0.3 / cmath.sqrt(2j * math.pi * 1e8 * 5), rel=1e-9)


def test_derivatives_are_those_of_the_impedance() -> None:
    circuit = parse_circuit("L-R-(R|CPE)-(R-Wo|CPE)-Ws-(G|C)-W")
    at = np.array([1e-7, 0.015, 0.01, 1, 0.8, 0.01, 0.02, 100, 30, 0.9, 0.01, 5, 0.02, 0.3, 40.0, 0.004])
    f = np.logspace(4, -2.5, 40)
    _, slopes = circuit.with_derivatives(f, at)
    for column in range(at.size):
        step = np.zeros_like(at)
        step[column] = 1e-6 * at[column]
        numeric = (circuit.impedance(f, at + step) - circuit.impedance(f, at - step)) / (2e-6 * at[column])
        np.testing.assert_allclose(slopes[:, column], numeric, rtol=1e-5, atol=1e-7 * np.abs(numeric).max())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the end at letter 1 where an element"),
        ("R-", "the end at letter 3 where an element"),
        ("R-(R|C", "the end at letter 7 where a )"),
        ("R)-C", "')' at letter 2 where a ( before it"),
        ("R--C", "'-' at letter 3 where an element"),
        ("R(C|R)", "'(' at letter 2 where - or |"),
        ("R-Q", "'Q' is no element; there are R, L, C, CPE, W, Wo, Ws, G"),
        ("R-RC", "'RC' is no element"),
        ("R+C", "'+' at letter 2"),
        ("R1-R1", "R1 stands there twice"),
        ("-".join(["R"] * 17), "17 elements; take at most 16"),
        ("R" * 201, "201 letters"),
        ("(" * 90 + "R" + ")" * 89, "where a )"),
    ],
)
def test_a_circuit_that_is_wrong_is_pointed_at(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_circuit(text)
