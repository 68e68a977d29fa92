"""Strategic and critical raw materials of the European Union: Regulation (EU) 2024/1252, annexes I and II.

The annexes name substances, some of them by grade; a formula tells elements. Which entry an element falls under,
and what that assumes, stands in the table beside it: an entry that is listed as a grade is flagged as possible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.formula import ATOMIC_WEIGHTS, composition

__all__ = ["ANNEX_I", "ANNEX_II", "SOURCE", "Listed", "check_entries", "listed_in", "mass_shares"]

SOURCE: Final = "Regulation (EU) 2024/1252 of 11 April 2024, OJ L, 2024/1252, 3.5.2024, annexes I and II, section 1"
ANNEX_I: Final[Mapping[str, str]] = {
    "bauxite/alumina/aluminium": "a",
    "bismuth": "b",
    "boron": "c, metallurgy grade",
    "cobalt": "d",
    "copper": "e",
    "gallium": "f",
    "germanium": "g",
    "lithium": "h, battery grade",
    "magnesium": "i, as metal",
    "manganese": "j, battery grade",
    "graphite": "k, battery grade",
    "nickel": "l, battery grade",
    "platinum group metals": "m",
    "rare earth elements for permanent magnets": "n",
    "silicon metal": "o",
    "titanium metal": "p",
    "tungsten": "q",
}
"""Strategic raw materials by their letter, with the grade where the annex names one."""
ANNEX_II: Final[Mapping[str, str]] = {
    "antimony": "a",
    "arsenic": "b",
    "bauxite/alumina/aluminium": "c",
    "baryte": "d",
    "beryllium": "e",
    "bismuth": "f",
    "boron": "g",
    "cobalt": "h",
    "coking coal": "i",
    "copper": "j",
    "feldspar": "k",
    "fluorspar": "l",
    "gallium": "m",
    "germanium": "n",
    "hafnium": "o",
    "helium": "p",
    "heavy rare earth elements": "q",
    "light rare earth elements": "r",
    "lithium": "s",
    "magnesium": "t",
    "manganese": "u",
    "graphite": "v",
    "nickel": "w, battery grade",
    "niobium": "x",
    "phosphate rock": "y",
    "phosphorus": "z",
    "platinum group metals": "aa",
    "scandium": "ab",
    "silicon metal": "ac",
    "strontium": "ad",
    "tantalum": "ae",
    "titanium metal": "af",
    "tungsten": "ag",
    "vanadium": "ah",
}
"""Critical raw materials by their letter, with the grade where the annex names one."""

_ENTRY: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("Ru", "Rh", "Pd", "Os", "Ir", "Pt"), ("platinum group metals",)),
    **dict.fromkeys(("La", "Ce", "Pr", "Nd", "Sm"), ("light rare earth elements",)),
    **dict.fromkeys(("Y", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu"), ("heavy rare earth elements",)),
    "Al": ("bauxite/alumina/aluminium",),
    "As": ("arsenic",),
    "B": ("boron",),
    "Ba": ("baryte",),
    "Be": ("beryllium",),
    "Bi": ("bismuth",),
    "Co": ("cobalt",),
    "Cu": ("copper",),
    "F": ("fluorspar",),
    "Ga": ("gallium",),
    "Ge": ("germanium",),
    "He": ("helium",),
    "Hf": ("hafnium",),
    "Li": ("lithium",),
    "Mg": ("magnesium",),
    "Mn": ("manganese",),
    "Nb": ("niobium",),
    "Ni": ("nickel",),
    "P": ("phosphorus",),
    "Sb": ("antimony",),
    "Sc": ("scandium",),
    "Sr": ("strontium",),
    "Ta": ("tantalum",),
    "V": ("vanadium",),
    "W": ("tungsten",),
}
_AS_METAL: Final[Mapping[str, str]] = {"Si": "silicon metal", "Ti": "titanium metal"}
"""Listed as metals: flagged for a material of that element alone."""
_MAGNETS: Final = frozenset({"Nd", "Pr", "Tb", "Dy", "Gd", "Sm", "Ce"})
_MAGNET_ENTRY: Final = "rare earth elements for permanent magnets"
_ASSUMED: Final[Mapping[str, str]] = {
    "fluorspar": "fluorine is taken to come from it",
    "phosphorus": "made from phosphate rock (annex II y), which is listed too",
    "baryte": "barium is taken to come from it",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of the annexes that a material falls under. `strategic`, `critical`: letters, empty where not."""

    entry: str
    elements: tuple[str, ...]
    strategic: str
    critical: str
    assumed: str = ""

    @property
    def words(self) -> str:
        """Such as "cobalt: strategic (I d), critical (II h)"."""
        where = [f"strategic (I {self.strategic})"] if self.strategic else []
        where += [f"critical (II {self.critical})"] if self.critical else []
        return f"{self.entry}: {', '.join(where)}{'; ' + self.assumed if self.assumed else ''}"


def check_entries(entries: Sequence[str], name: str) -> None:
    """Refuse names that the annexes do not have (DataRefused); `name` is told in the error."""
    known = sorted({*ANNEX_I, *ANNEX_II})
    for entry in entries:
        if entry not in known:
            raise DataRefused(f"{name}: {entry!a:.80} is no entry of the annexes; they have {', '.join(known)}")


def mass_shares(formula: str) -> dict[str, float]:
    """Share of the mass that each element has. Raises DataRefused for what is no formula."""
    atoms = composition(formula)
    whole = sum(ATOMIC_WEIGHTS[element] * count for element, count in atoms.items())
    return {element: ATOMIC_WEIGHTS[element] * count / whole for element, count in atoms.items()}


def listed_in(formula: str, entries: Sequence[str] = ()) -> tuple[Listed, ...]:
    """What of the annexes a material of this formula falls under, and what its owner names in `entries`.

    Either may be empty. Carbon alone tells nothing: graphite has to be named. Raises DataRefused.
    """
    check_entries(entries, "raw_materials")
    found: dict[str, list[str]] = {}
    elements = composition(formula) if formula else {}
    for element in elements:
        names = _ENTRY.get(element, ())
        if element in _AS_METAL and len(elements) == 1:
            names = (*names, _AS_METAL[element])
        if element in _MAGNETS:
            names = (*names, _MAGNET_ENTRY)
        for entry in names:
            found.setdefault(entry, []).append(element)
    for entry in entries:
        found.setdefault(entry, ["C"] if entry == "graphite" else [])
    return tuple(
        Listed(entry, tuple(of), ANNEX_I.get(entry, ""), ANNEX_II.get(entry, ""), _ASSUMED.get(entry, ""))
        for entry, of in found.items()
    )
