"""Formulas, ranges and findings: whatever is written, they are read or refused."""

from __future__ import annotations

import math
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.design.variables import VARIABLES, grid_of, read_range
from poliqi.lab.echem.formula import ATOMIC_WEIGHTS, composition, molar_mass_kg_mol
from poliqi.lab.echem.xrayfeed import particle_radius
from poliqi.lab.store.findings import Finding, Findings

ELEMENTS = st.sampled_from(sorted(ATOMIC_WEIGHTS))
COUNTS = st.integers(1, 30)


@given(st.text(alphabet="LiFePO4()0123456789.x", max_size=30) | st.text(max_size=30))
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    with suppress(DataRefused):
        assert 0 < molar_mass_kg_mol(text) < math.inf


@given(st.lists(st.tuples(ELEMENTS, COUNTS), min_size=1, max_size=5), COUNTS)
def test_a_group_weighs_as_often_as_it_stands_there(parts: list[tuple[str, int]], times: int) -> None:
    inside = "".join(f"{element}{count}" for element, count in parts)
    alone, grouped = composition(inside), composition(f"({inside}){times}")
    assert {name: times * atoms for name, atoms in alone.items()} == grouped


@given(
    st.text(max_size=40)
    | st.builds("{}={}".format, st.sampled_from(list(VARIABLES)), st.text("0123456789.:,e-", max_size=20))
)
def test_any_text_is_a_range_within_limits_or_refused(text: str) -> None:
    try:
        found = read_range(text)
        grid = grid_of([found])
    except ConfigError:
        return
    limit = VARIABLES[found.name]
    assert all(limit.lower <= one[found.name] <= limit.upper for one in grid)


@given(
    st.sampled_from(["diameter_mean_volume", "radius@sphere", "crystallite_size@A", "strain@A"]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["nm", "A", "um", "1/nm", "1"]),
    st.none() | st.floats(0, 1e300),
)
def test_any_finding_is_a_radius_above_0_or_refused(
    name: str, value: float, unit: str, sigma: float | None
) -> None:
    try:
        fed = particle_radius(Findings((Finding(name, value, unit, sigma),), "test"), name)
    except DataRefused:
        return
    assert 0 <= fed.quantity.sigma < fed.quantity.value < math.inf
