"""Molar masses of chemical formulas, such as LiNi0.8Mn0.1Co0.1O2 or Ca10(PO4)6(OH)2."""

from __future__ import annotations

import math
import re
from typing import Final

from poliqi.base.errors import DataRefused

__all__ = ["ATOMIC_WEIGHTS", "composition", "molar_mass_kg_mol"]

ATOMIC_WEIGHTS: Final = {
    "H": 1.008, "He": 4.0026, "Li": 6.94, "Be": 9.0122, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999,
    "F": 18.998, "Ne": 20.180, "Na": 22.990, "Mg": 24.305, "Al": 26.982, "Si": 28.085, "P": 30.974, "S": 32.06,
    "Cl": 35.45, "Ar": 39.95, "K": 39.098, "Ca": 40.078, "Sc": 44.956, "Ti": 47.867, "V": 50.942, "Cr": 51.996,
    "Mn": 54.938, "Fe": 55.845, "Co": 58.933, "Ni": 58.693, "Cu": 63.546, "Zn": 65.38, "Ga": 69.723, "Ge": 72.630,
    "As": 74.922, "Se": 78.971, "Br": 79.904, "Kr": 83.798, "Rb": 85.468, "Sr": 87.62, "Y": 88.906, "Zr": 91.222,
    "Nb": 92.906, "Mo": 95.95, "Ru": 101.07, "Rh": 102.91, "Pd": 106.42, "Ag": 107.87, "Cd": 112.41, "In": 114.82,
    "Sn": 118.71, "Sb": 121.76, "Te": 127.60, "I": 126.90, "Xe": 131.29, "Cs": 132.91, "Ba": 137.33, "La": 138.91,
    "Ce": 140.12, "Pr": 140.91, "Nd": 144.24, "Sm": 150.36, "Eu": 151.96, "Gd": 157.25, "Tb": 158.93, "Dy": 162.50,
    "Ho": 164.93, "Er": 167.26, "Tm": 168.93, "Yb": 173.05, "Lu": 174.97, "Hf": 178.49, "Ta": 180.95, "W": 183.84,
    "Re": 186.21, "Os": 190.23, "Ir": 192.22, "Pt": 195.08, "Au": 196.97, "Hg": 200.59, "Tl": 204.38, "Pb": 207.2,
    "Bi": 208.98,
}  # fmt: skip
"""g/mol of one element, abridged standard atomic weights (IUPAC, Pure Appl. Chem. 94, 573, 2022)."""

_TOKEN: Final = re.compile(r"(?P<element>[A-Z][a-z]?)|(?P<open>\()|(?P<close>\))")
_NUMBER: Final = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,6})?")
_MOST_CHARACTERS: Final = 120
_MOST_ATOMS: Final = 1e6


def composition(formula: str) -> dict[str, float]:
    """Atoms of each element in one formula unit. Raises DataRefused for what is no formula."""
    if not 0 < len(formula) <= _MOST_CHARACTERS:
        raise DataRefused(f"a formula has 1 to {_MOST_CHARACTERS} characters, not {len(formula)}")
    open_groups: list[dict[str, float]] = [{}]
    at = 0
    while at < len(formula):
        found = _TOKEN.match(formula, at)
        if found is None:
            raise _refused(formula, at, "an element or a parenthesis was expected")
        start, at = at, found.end()
        if found["open"]:
            open_groups.append({})
            continue
        if found["close"]:
            if len(open_groups) == 1:
                raise _refused(formula, start, "a parenthesis is closed that was not opened")
            group = open_groups.pop()
        elif found["element"] in ATOMIC_WEIGHTS:
            group = {found["element"]: 1.0}
        else:
            raise _refused(formula, start, f"{found['element']} is no element with a standard atomic weight")
        times = _NUMBER.match(formula, at)
        count = 1.0 if times is None else float(times[0])
        at = at if times is None else times.end()
        for element, atoms in group.items():
            open_groups[-1][element] = open_groups[-1].get(element, 0.0) + atoms * count
    if len(open_groups) > 1:
        raise _refused(formula, len(formula), "a parenthesis is not closed")
    atoms = open_groups[0]
    if not 0 < math.fsum(atoms.values()) <= _MOST_ATOMS:
        raise _refused(formula, len(formula), f"it has no atom, or more than {_MOST_ATOMS:g}")
    return atoms


def molar_mass_kg_mol(formula: str) -> float:
    """Of one formula unit, in kg/mol. Raises DataRefused for what is no formula."""
    return 1e-3 * math.fsum(ATOMIC_WEIGHTS[element] * atoms for element, atoms in composition(formula).items())


def _refused(formula: str, at: int, why: str) -> DataRefused:
    return DataRefused(
        f"formula {formula!a:.140}, character {at + 1}: {why}; write it such as LiNi0.8Mn0.1Co0.1O2 or LiFePO4"
    )
