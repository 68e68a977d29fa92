"""The EU's lists of strategic and critical raw materials, and what of them a formula falls under."""

from __future__ import annotations

import string

import pytest

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.prototype.rawmaterials import ANNEX_I, ANNEX_II, listed_in, mass_shares

LETTERS = [*string.ascii_lowercase, *(f"a{one}" for one in string.ascii_lowercase)]


def entries(formula: str) -> set[str]:
    return {one.entry for one in listed_in(formula)}


def test_the_annexes_have_their_seventeen_and_thirty_four_entries_in_order() -> None:
    assert [letter.partition(",")[0] for letter in ANNEX_I.values()] == LETTERS[:17]
    assert [letter.partition(",")[0] for letter in ANNEX_II.values()] == LETTERS[:34]
    assert ANNEX_II["hafnium"] == "o"
    assert ANNEX_II["platinum group metals"] == "aa"
    assert ANNEX_II["vanadium"] == "ah"


def test_what_is_strategic_is_critical_too() -> None:
    """Rare earths for magnets are among the light and heavy ones."""
    assert set(ANNEX_I) - set(ANNEX_II) == {"rare earth elements for permanent magnets"}


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("LiNi0.8Mn0.1Co0.1O2", {"lithium", "nickel", "manganese", "cobalt"}),
        ("LiFePO4", {"lithium", "phosphorus"}),
        ("Li4Ti5O12", {"lithium"}),  # titanium is listed as metal alone
        ("Ti", {"titanium metal"}),
        ("Si", {"silicon metal"}),
        ("SiO2", set()),
        ("Pt", {"platinum group metals"}),
        ("IrO2", {"platinum group metals"}),
        ("C2H2F2", {"fluorspar"}),
        ("La2O3", {"light rare earth elements"}),
        ("Nd2Fe14B", {"light rare earth elements", "rare earth elements for permanent magnets", "boron"}),
        ("Y2O3", {"heavy rare earth elements"}),
        ("FeOOH", set()),
    ],
)
def test_a_formula_falls_under_entries(formula: str, expected: set[str]) -> None:
    assert entries(formula) == expected


def test_graphite_has_to_be_named() -> None:
    assert entries("C") == set()
    (found,) = listed_in("C", ["graphite"])
    assert (found.strategic, found.critical, found.elements) == ("k, battery grade", "v", ("C",))


def test_a_name_that_no_annex_has_is_refused() -> None:
    with pytest.raises(DataRefused, match="'gold' is no entry of the annexes"):
        listed_in("Au", ["gold"])


def test_shares_of_mass() -> None:
    shares = mass_shares("LiFePO4")
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["Li"] == pytest.approx(6.94 / 157.757, rel=1e-4)
