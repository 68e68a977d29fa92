"""Crystal structures from CIF files, read by gemmi within limits.

Occupancies in a CIF are chemical: how full a site is. gemmi sums over all symmetry operations, so that an atom on a
special position would count as often as operations leave it where it is; `read_crystal` turns occupancies into
crystallographic ones, once. Left out, the intensities of LiCoO2 (lithium and cobalt on sites that 12 operations
leave alone, oxygen on one that 6 do) come out wrong by factors of .75 to 2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, DataRefused, words_of
from poliqi.lab.xray.diffraction.packages import gemmi_package

__all__ = ["MOST_CIF_BYTES", "Cell", "Crystal", "cif_bytes", "crystal_from", "read_crystal"]

MOST_CIF_BYTES: Final = 4 << 20
_MOST_SITES: Final = 2_000
_LENGTHS_ANGSTROM: Final = (1.0, 200.0)
_ANGLES_DEG: Final = (15.0, 165.0)
_USUAL_B: Final = 0.5
"""Square angstroms; what inorganic solids have at room temperature, within a factor of two."""
_MOST_OCCUPANCY: Final = 1.05


@dataclass(frozen=True, slots=True)
class Cell:
    """Lengths in angstroms, angles in degrees."""

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float


@dataclass(frozen=True, slots=True)
class Crystal:
    """A structure; `structure` is gemmi's SmallStructure with crystallographic occupancies."""

    name: str
    formula: str
    space_group: str
    cell: Cell
    volume_angstrom3: float
    structure: Any
    path: Path | None = None
    cautions: tuple[str, ...] = ()


def read_crystal(path: Path) -> Crystal:
    """The first structure with atoms in a CIF file. Raises ConfigError (cannot be opened), DataRefused."""
    return crystal_from(cif_bytes(path), path)


def cif_bytes(path: Path) -> bytes:
    """What the file holds. Raises ConfigError, DataRefused where it is larger than a structure is."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_CIF_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name a CIF file") from error
    if len(data) > MOST_CIF_BYTES:
        raise DataRefused(f"{path}: more than {MOST_CIF_BYTES} bytes; cut measured data out of it")
    return data


def crystal_from(data: bytes, path: Path) -> Crystal:
    """The first structure with atoms in a CIF's bytes; `path` names it. Raises DataRefused."""
    gemmi = gemmi_package()
    try:
        document = gemmi.cif.read_string(data.decode("utf-8", "replace"))
        block = next((each for each in document if each.find_values("_atom_site_fract_x")), None)
        structure = None if block is None else gemmi.make_small_structure_from_block(block)
    except Exception as error:  # gemmi raises what its parsers do
        raise DataRefused(
            f"{path}: no CIF that can be read ({words_of(error)}); mend it, or take another"
        ) from error
    if block is None or structure is None or not len(structure.sites):
        raise DataRefused(f"{path}: no atom sites with fractional coordinates in it; give a structure")
    group = _checked(path, structure)
    _make_crystallographic(path, structure)
    cautions = _displacements(structure)
    c = structure.cell
    return Crystal(
        name=_name(block, path),
        formula=_formula(block, structure),
        space_group=str(group.xhm()),
        cell=Cell(c.a, c.b, c.c, c.alpha, c.beta, c.gamma),
        volume_angstrom3=float(c.volume),
        structure=structure,
        path=path,
        cautions=tuple(cautions),
    )


def _checked(path: Path, structure: Any) -> Any:
    """The space group, once cell and sites are such as crystals have."""
    c = structure.cell
    low, high = _LENGTHS_ANGSTROM
    if not all(math.isfinite(x) and low <= x <= high for x in (c.a, c.b, c.c)):
        raise DataRefused(f"{path}: cell lengths {c.a:g} {c.b:g} {c.c:g} A, must be {low:g} to {high:g} A")
    low, high = _ANGLES_DEG
    if not all(math.isfinite(x) and low <= x <= high for x in (c.alpha, c.beta, c.gamma)) or not c.volume > 1:
        raise DataRefused(f"{path}: cell angles {c.alpha:g} {c.beta:g} {c.gamma:g} degrees make no cell")
    if len(structure.sites) > _MOST_SITES:
        raise DataRefused(f"{path}: {len(structure.sites)} atom sites, must be at most {_MOST_SITES}")
    group = structure.spacegroup
    if group is None:
        said = structure.spacegroup_hm or structure.spacegroup_number or "none"
        raise DataRefused(
            f"{path}: its space group ({said!a:.40}) is not known; state _space_group_name_H-M_alt, or its "
            f"symmetry operations"
        )
    for site in structure.sites:
        if site.element.atomic_number < 1:
            raise DataRefused(
                f"{path}: {site.label!a:.20} is no chemical element; state its _atom_site_type_symbol"
            )
        numbers: tuple[float, ...] = (site.fract.x, site.fract.y, site.fract.z, site.occ, site.u_iso)
        if not all(math.isfinite(x) for x in numbers) or max(abs(x) for x in numbers[:3]) > 100:
            raise DataRefused(f"{path}: {site.label!a:.20} stands at {numbers[:3]}, which are no coordinates")
        if not 0 <= site.occ <= _MOST_OCCUPANCY:
            raise DataRefused(f"{path}: {site.label!a:.20} has occupancy {site.occ:g}, must be 0 to 1")
    return group


def _make_crystallographic(path: Path, structure: Any) -> None:
    before = [site.occ for site in structure.sites]
    try:
        structure.setup_cell_images()
        structure.change_occupancies_to_crystallographic()
    except Exception as error:  # gemmi raises what its geometry does
        raise DataRefused(f"{path}: sites and symmetry do not fit each other ({words_of(error)})") from error
    if all(occupancy == 0 for occupancy in before):
        raise DataRefused(f"{path}: every site is empty; state occupancies above 0")


def _displacements(structure: Any) -> list[str]:
    """Give sites without a displacement parameter the usual one; tells which."""
    bare: list[str] = []
    for site in structure.sites:
        if not site.u_iso > 0 and not site.aniso.nonzero():
            site.u_iso = _USUAL_B / (8 * math.pi**2)
            bare.append(str(site.label))
    if not bare:
        return []
    named = ", ".join(bare[:4]) + (", ..." if len(bare) > 4 else "")
    return [f"no displacement parameter is stated for {named}: B = {_USUAL_B:g} square angstroms taken"]


def _name(block: Any, path: Path) -> str:
    for tag in ("_chemical_name_mineral", "_chemical_name_common", "_pd_phase_name"):
        value = block.find_value(tag)
        text = value.strip("'\";\n\t ") if value else ""
        if text and text not in ("?", "."):
            return " ".join(text.split())[:60]
    return path.stem[:60]


def _formula(block: Any, structure: Any) -> str:
    value = block.find_value("_chemical_formula_sum") or ""
    text = " ".join(value.strip("'\";\n\t ").split())
    if text and text not in ("?", "."):
        return text[:80]
    counts: dict[str, float] = {}
    for site in structure.sites:  # crystallographic occupancies count a site as often as it stands in the cell
        counts[site.element.name] = counts.get(site.element.name, 0.0) + site.occ
    least = min((count for count in counts.values() if count > 0), default=1.0)
    return " ".join(f"{name}{count / least:.3g}" for name, count in sorted(counts.items()))[:80]
