"""DESIGN.toml: a tissue's shape, where it is supplied, and what vessels are to be grown; see EXAMPLE.

Every key has its unit in its name; flows may also be written with one: "5 uL/min". Tables: [domain] (and
[[obstacle]], see `poliqi.lab.print.domain.table`), [[inlet]], [[outlet]], [growth], [closure], [fluid], [tissue]
and [targets]. Keys that are not known are refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.network import Role
from poliqi.ops.toml_file import file_bytes, toml_from

if TYPE_CHECKING:
    from poliqi.lab.print.closure.settings import ClosureSettings
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.flow.fluid import Fluid

__all__ = ["EXAMPLE", "Design", "Targets", "TissueKeys", "design_files", "flow_of", "load_design", "read_design"]

_LARGEST: Final = 1 << 20
_WHAT: Final = "a design of a tissue"
_PAGE: Final = "docs/reference/lab-print-design.md says what may stand there"
_FLOW: Final = re.compile(r"\s*([-+0-9.eE]{1,32})\s*([A-Za-zµμ]{1,4})\s*/\s*([a-z]{1,4})\s*")
_VOLUMES: Final = {"nL": 1e6, "uL": 1e9, "µL": 1e9, "μL": 1e9, "mL": 1e12}
_TIMES: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}

EXAMPLE: Final = """\
# A cube of tissue of 1 mm, supplied from one side and drained on the other.
# poliqi lab print design tissue.toml -o tissue.vessels.json

[domain]                        # box, sphere, cylinder, ellipsoid, torus, chip, capsule, mesh or labels
kind = "box"
size_um = [1000, 1000, 1000]
center_um = [0, 0, 0]

[[inlet]]                       # on the surface, or well inside; several give several trees
point_um = [-500, 0, 0]
pressure_pa = 1500

[[outlet]]                      # leave this table out for arteries alone
point_um = [500, 0, 0]
pressure_pa = 500

[growth]
terminals = 100                 # capillaries, where there is an outlet
flow = "1 uL/min"               # of all inlets together; or flow_um3_s
wall_um = 10                    # least distance of a lumen from the surface
gap_um = 10                     # least distance between two lumens
seed = 4

[fluid]
kind = "medium"                 # or "blood"
viscosity_pa_s = 0.0007
"""
"""A design to begin with; `poliqi lab print design --example` prints it."""


class _Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    point_um: tuple[float, float, float]
    pressure_pa: float | None = None
    share: float | None = None
    flow: str | None = None
    flow_um3_s: float | None = None


class _Growth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    terminals: int = 200
    flow: str | None = None
    flow_um3_s: float | None = None
    pressure_drop_pa: float | None = None
    terminal_pressure_pa: float | None = None
    exponent: float = 3.0
    wall_um: float = 10.0
    gap_um: float = 10.0
    least_radius_um: float | None = None
    largest_radius_um: float | None = None
    seed: int = 1


class _Closure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    capillary_radius_um: float | None = None
    shortest_um: float | None = None
    longest_um: float | None = None
    arterial_share: float | None = None
    tries: int | None = None
    surplus: float | None = None
    most_left_out: float | None = None


class _Fluid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["medium", "blood"] = "medium"
    viscosity_pa_s: float | None = None
    hematocrit: float | None = None


class TissueKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[tissue]` table: a tissue by name, or its figures; for `perfuse` and `optimise`."""

    name: str | None = None
    consumption_mol_m3_s: float | None = None
    km_mol_m3: float | None = None
    diffusivity_m2_s: float | None = None
    inlet_mol_m3: float | None = None
    hypoxic_below_mol_m3: float | None = None
    bath_mol_m3: float | None = None


class Targets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[targets]` table: what a design is to keep to; for `optimise`."""

    most_hypoxic: float | None = None
    most_print_s: float | None = None
    least_shear_pa: float | None = None
    most_shear_pa: float | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    domain: dict[str, Any]
    inlet: tuple[_Port, ...]
    outlet: tuple[_Port, ...] = ()
    obstacle: tuple[dict[str, Any], ...] = ()
    growth: _Growth = _Growth()
    closure: _Closure = _Closure()
    fluid: _Fluid = _Fluid()
    tissue: TissueKeys = TissueKeys()
    targets: Targets = Targets()


@dataclass(frozen=True, slots=True)
class Design:
    """What a design file asks for, checked. `closure` is None where there is no outlet.

    `files` are those that it names: meshes and label volumes of the shape.
    """

    domain: Domain
    growth: GrowthSettings
    closure: ClosureSettings | None
    fluid: Fluid
    tissue: TissueKeys
    targets: Targets
    files: tuple[Path, ...] = ()

    def with_growth(self, **changes: Any) -> Design:
        """The same with other settings of growth, such as seed or terminals."""
        return replace(self, growth=replace(self.growth, **changes))


def design_files(path: Path) -> tuple[Path, ...]:
    """The files that a design names: meshes and label volumes of its shape. Raises ConfigError."""
    from poliqi.lab.print.domain.table import files_of

    file = _file(file_bytes(path, _LARGEST, _WHAT), str(path))
    return files_of(file.domain, path.parent, file.obstacle)


def load_design(path: Path) -> Design:
    """Raises ConfigError or DataRefused, naming the file."""
    return read_design(file_bytes(path, _LARGEST, _WHAT), str(path), path.parent)


def read_design(data: bytes, where: str, folder: Path) -> Design:
    """The content of such a file; files that it names are looked for in `folder`. Raises ConfigError,
    DataRefused.
    """
    from poliqi.lab.print.domain.table import domain_of, files_of

    file = _file(data, where)
    try:
        fluid = _fluid(file.fluid)
        growth = _growth(file, fluid.viscosity_pa_s)
        closure = _closure(file.closure) if file.outlet else None
        if not file.outlet and file.closure != _Closure():
            raise ConfigError("[closure] joins arteries and veins: give an [[outlet]] too, or leave it out")
        return Design(
            domain_of(file.domain, folder, file.obstacle),
            growth,
            closure,
            fluid,
            file.tissue,
            file.targets,
            files_of(file.domain, folder, file.obstacle),
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _file(data: bytes, where: str) -> _File:
    try:
        return msgspec.convert(toml_from(data, where), _File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {str(error)[:300]}; {_PAGE}") from None


def flow_of(text: str, name: str) -> float:
    """um^3/s of "5 uL/min"; nL, uL, mL a s, min, h. Raises ConfigError."""
    match = _FLOW.fullmatch(text)
    if match is not None and match[2] in _VOLUMES and match[3] in _TIMES:
        try:
            value = float(match[1])
        except ValueError:
            value = math.nan
        if 0.0 < value < math.inf:
            return value * _VOLUMES[match[2]] / _TIMES[match[3]]
    raise ConfigError(f'{name} = {text!a:.60}; give such as "5 uL/min" (nL, uL, mL a s, min, h)')


def _amount(text: str | None, number: float | None, name: str) -> float | None:
    if text is not None and number is not None:
        raise ConfigError(f"{name}: flow and flow_um3_s are both given; leave one out")
    return flow_of(text, f"{name}: flow") if text is not None else number


def _fluid(table: _Fluid) -> Fluid:
    from poliqi.lab.print.flow.fluid import Fluid

    if table.kind == "medium" and table.hematocrit is not None:
        raise ConfigError('[fluid]: hematocrit belongs to kind = "blood"')
    fluid = Fluid.blood() if table.kind == "blood" else Fluid()
    changes: dict[str, Any] = {}
    if table.viscosity_pa_s is not None:
        changes["viscosity_pa_s"] = table.viscosity_pa_s
    if table.hematocrit is not None:
        changes["hematocrit"] = table.hematocrit
    return replace(fluid, **changes)


def _closure(table: _Closure) -> ClosureSettings:
    from poliqi.lab.print.closure.settings import ClosureSettings

    given = {name: value for name, value in msgspec.structs.asdict(table).items() if value is not None}
    return ClosureSettings(**given)


def _growth(file: _File, viscosity_pa_s: float) -> GrowthSettings:
    keys = msgspec.structs.asdict(file.growth)
    total = _amount(keys.pop("flow"), keys.pop("flow_um3_s"), "[growth]")
    given = {name: value for name, value in keys.items() if value is not None}
    inlets, of_inlets = _ports(file.inlet, Role.INLET)
    outlets, of_outlets = _ports(file.outlet, Role.OUTLET)
    flows = [one for one in (total, of_inlets, of_outlets) if one is not None]
    if flows:
        if max(flows) > min(flows) * (1.0 + 1e-6):
            told = ", ".join(f"{one:g}" for one in flows)
            raise ConfigError(
                f"flows of [growth], of all inlets and of all outlets differ ({told} um3/s); give one"
            )
        given["flow_um3_s"] = flows[0]
    if "terminal_pressure_pa" not in given and file.outlet:
        pressures = [
            [one.pressure_pa for one in ports if one.pressure_pa is not None] for ports in (file.inlet, file.outlet)
        ]
        if all(pressures):
            given["terminal_pressure_pa"] = 0.5 * (min(pressures[0]) + max(pressures[1]))
    return GrowthSettings((*inlets, *outlets), viscosity_pa_s=viscosity_pa_s, **given)


def _ports(ports: tuple[_Port, ...], role: Role) -> tuple[tuple[Inlet, ...], float | None]:
    """Inlets or outlets, and the sum of their flows where they have one."""
    flows = [_amount(port.flow, port.flow_um3_s, f"[[{role}]] {at}") for at, port in enumerate(ports, 1)]
    known = [flow for flow in flows if flow is not None]
    if known and len(known) < len(ports):
        raise ConfigError(f"[[{role}]]: some have a flow and some have none; give it for all or for none")
    if any(flow <= 0.0 for flow in known):
        raise ConfigError(f"[[{role}]]: a flow is not above 0")
    found: list[Inlet] = []
    for port, flow in zip(ports, flows, strict=True):
        if flow is not None and port.share is not None:
            raise ConfigError(f"[[{role}]]: share and flow are both given; the flows tell the shares")
        share = port.share if flow is None or len(ports) == 1 else flow / sum(known)
        found.append(Inlet(port.point_um, share, role, port.pressure_pa))
    return tuple(found), sum(known) if known else None
