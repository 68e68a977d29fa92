"""What X-rays found, into a prototype's file: density of the crystal, size of the particles, surface of a catalyst.

It is written where a person would have written it, with its doubt and its source, so that the file tells it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from poliqi.base.doubt import doubted
from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.amount_text import amount_text, parse_amount
from poliqi.ops.prototype_tables import BatteryTable, CatalystTable, ElectrodeTable, MaterialTable, PrototypeTable

if TYPE_CHECKING:
    from poliqi.lab.echem.xrayfeed import Fed
    from poliqi.lab.store.findings import Findings

__all__ = ["Feed", "feeds_of", "file_of", "with_feeds"]

_PER_METRE: Final = {"1/nm": 1e9, "1/A": 1e10, "1/m": 1.0}
_MOST_SAID: Final = 400
_FAR: Final = 3.0


@dataclass(frozen=True, slots=True)
class Feed:
    """Findings for one side: `dataset` is their identifier in the store, or `path` their file."""

    side: str
    findings: Findings
    source: str
    dataset: str = ""
    path: Path | None = None

    @property
    def simulated(self) -> bool:
        """Whether they say so of themselves, or their dataset does."""
        return self.findings.simulated

    @property
    def told(self) -> dict[str, str]:
        """What decides a result, beside the content."""
        return {"side": self.side, "dataset": self.dataset, "file": "" if self.path is None else self.path.name}


def feeds_of(datasets: Sequence[str], files: Sequence[str], store: Path | None, tenant: str) -> tuple[Feed, ...]:
    """SIDE=ID and SIDE=FILE as they are written. Raises ConfigError, DataRefused, StoreError."""
    from poliqi.lab.store.findings import findings_in, read_findings
    from poliqi.ops.commands.lab_store_open import open_tenant

    found: list[Feed] = []
    if datasets:
        with open_tenant(store, tenant) as part:
            for text in datasets:
                side, start = _split(text, "--dataset")
                dataset, findings = findings_in(part, start)
                found.append(Feed(side, findings, f"dataset {dataset.id}", str(dataset.id)))
    for text in files:
        side, path = file_of(text)
        found.append(Feed(side, read_findings(path), f"findings {path.name}", path=path))
    return tuple(found)


def file_of(text: str) -> tuple[str, Path]:
    """SIDE=FILE as it is written. Raises ConfigError."""
    side, name = _split(text, "--findings")
    return side, Path(name)


def _split(text: str, option: str) -> tuple[str, str]:
    side, equals, value = text.partition("=")
    if not equals or not value:
        raise ConfigError(f"{option} {text!a:.80}: write SIDE={option[2:].upper()}, such as positive=...")
    return side, value


def with_feeds(table: PrototypeTable, feeds: Sequence[Feed]) -> tuple[PrototypeTable, tuple[str, ...]]:
    """The table with what was found, and what contradicts what it stated. Raises ConfigError, DataRefused."""
    cautions: list[str] = []
    for feed in feeds:
        sides = ("positive", "negative") if isinstance(table, BatteryTable) else ("cathode", "anode")
        if feed.side not in sides:
            raise ConfigError(f"{feed.side!a:.40}={feed.source}: a {table.kind} has {' and '.join(sides)}")
        dense = _with_density(table, feed, cautions)
        sized = _with_size(dense or table, feed)
        if dense is None and sized is None:
            names = ", ".join(one.name for one in feed.findings.findings)[:300] or "nothing"
            raise DataRefused(
                f"{feed.source}: neither volume@PHASE nor a size of particles among {names}; give what "
                "poliqi lab xray xrd refine, xrd size or saxs --sizes found"
            )
        fed = sized or dense or table
        table = msgspec.structs.replace(fed, simulated=fed.simulated or feed.simulated)
    return table, tuple(cautions)


def _active(table: PrototypeTable, side: str) -> str:
    of: ElectrodeTable | CatalystTable = getattr(table, side)
    return of.active if isinstance(of, ElectrodeTable) else of.metal


def _material(table: PrototypeTable, side: str) -> tuple[str, MaterialTable]:
    name = _active(table, side)
    if name not in table.material:
        raise ConfigError(f"{side}: there is no [material] {name!a:.60}; X-rays tell of one that the file names")
    return name, table.material[name]


def _with_density(table: PrototypeTable, feed: Feed, cautions: list[str]) -> PrototypeTable | None:
    """The density of the crystal for the side's material; None where the findings have no volume of a cell."""
    from poliqi.lab.echem.xrayfeed import crystal_density

    phases = [one.name.partition("@")[2] for one in feed.findings.findings if one.name.startswith("volume@")]
    if not phases:
        return None
    name, material = _material(table, feed.side)
    phase = _phase(material, phases, name, feed)
    if not material.formula or material.formula_units is None:
        raise ConfigError(
            f"material.{name}: formula and formula_units (Z) are needed to make a density of the cell of {phase}"
        )
    fed = crystal_density(feed.findings, phase, material.formula, material.formula_units, source=feed.source)
    if material.density is not None:
        stated = parse_amount(material.density, "kg/m3", f"material.{name}.density")
        apart = abs(stated.value - fed.quantity.value)
        if apart > _FAR * (stated.sigma**2 + fed.quantity.sigma**2) ** 0.5:
            cautions.append(
                f"material.{name}.density was stated as {doubted(stated.value, stated.sigma)} kg/m3; X-rays found "
                f"{doubted(fed.quantity.value, fed.quantity.sigma)}, which is used"
            )
    density = amount_text(fed.quantity.value, fed.quantity.sigma, "kg/m3")
    changed = msgspec.structs.replace(material, density=density, source=_said(fed.quantity.source))
    return _assuming(msgspec.structs.replace(table, material={**table.material, name: changed}), fed)


def _phase(material: MaterialTable, phases: Sequence[str], name: str, feed: Feed) -> str:
    wanted = material.phase or (phases[0] if len(phases) == 1 else "")
    if wanted not in phases:
        raise ConfigError(
            f"material.{name}.phase{f' = {wanted!a}' if wanted else ' is missing'}: {feed.source} has "
            f"{', '.join(phases)[:300]}; name one"
        )
    return wanted


def _with_size(table: PrototypeTable, feed: Feed) -> PrototypeTable | None:
    """Diameter of particles, or of a catalyst its surface; None where the findings have neither."""
    from poliqi.lab.echem.xrayfeed import RADII, crystallite_radius, particle_radius

    names = {one.name for one in feed.findings.findings}
    if isinstance(table, BatteryTable):
        if not names & set(RADII):
            return None
        return _with_diameter(table, feed, particle_radius(feed.findings, source=feed.source))
    if "surface_per_volume" in names:
        return _with_surface(table, feed)
    if names & set(RADII):
        return _with_diameter(table, feed, particle_radius(feed.findings, source=feed.source))
    sizes = [name.partition("@")[2] for name in names if name.startswith("crystallite_size@")]
    if not sizes:
        return None
    name, material = _material(table, feed.side)
    phase = _phase(material, sorted(sizes), name, feed)
    return _with_diameter(table, feed, crystallite_radius(feed.findings, phase, source=feed.source))


def _with_diameter(table: PrototypeTable, feed: Feed, fed: Fed) -> PrototypeTable:
    diameter = amount_text(2e9 * fed.quantity.value, 2e9 * fed.quantity.sigma, "nm")
    changed = {"particle_diameter": diameter, "particle_source": _said(fed.quantity.source)}
    return _assuming(_changed(table, feed.side, changed), fed)


def _with_surface(table: PrototypeTable, feed: Feed) -> PrototypeTable:
    """Surface of the metal per mass: of its volume (Porod) over its density."""
    from poliqi.lab.echem.quantity import Quantity, propagated
    from poliqi.lab.echem.xrayfeed import Fed

    found = feed.findings.named("surface_per_volume")
    name, material = _material(table, feed.side)
    if found.unit not in _PER_METRE or found.value <= 0:
        raise DataRefused(
            f"{feed.source}: surface_per_volume is {found.value:g} {found.unit!a:.20}, must be in 1/nm"
        )
    if material.density is None:
        raise ConfigError(f"material.{name}.density: a surface per mass needs it; give it, or have it of X-rays")
    inputs = {
        "surface": Quantity(
            found.value * _PER_METRE[found.unit], (found.sigma or 0.0) * _PER_METRE[found.unit], "1/m", feed.source
        ),
        "density": parse_amount(material.density, "kg/m3", f"material.{name}.density"),
    }
    surface, _ = propagated(
        lambda v: v["surface"] / v["density"], inputs, "m2/kg", f"{feed.source}: surface_per_volume"
    )
    assumed = (f"all of the surface that X-rays see is reached{f' ({found.method})' if found.method else ''}",)
    if found.sigma is None:
        assumed = (*assumed, "nobody knows the doubt of surface_per_volume: it widens no band")
    changed = {
        "surface": amount_text(surface.value, surface.sigma, "m2/kg"),
        "particle_source": _said(surface.source),
    }
    fed = Fed(surface, found.name, (*assumed, *feed.findings.cautions), feed.simulated)
    return _assuming(_changed(table, feed.side, changed), fed)


def _changed(table: PrototypeTable, side: str, changes: dict[str, Any]) -> PrototypeTable:
    return msgspec.structs.replace(table, **{side: msgspec.structs.replace(getattr(table, side), **changes)})


def _assuming(table: PrototypeTable, fed: Fed) -> PrototypeTable:
    said = [f"{_said(fed.quantity.source)}: {_said(one)}" for one in fed.assumed]
    return msgspec.structs.replace(table, assumed=tuple(dict.fromkeys((*table.assumed, *said))))


def _said(text: str) -> str:
    """Words of findings, as a line of the file."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return shown[:_MOST_SAID]
