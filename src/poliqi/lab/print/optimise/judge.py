"""One design: grown with its values, perfused, checked, its print estimated; or why it cannot be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.domain import domain_from
from poliqi.lab.print.network import Kind, Role
from poliqi.lab.print.optimise.targets import MEASURES
from poliqi.lab.print.optimise.variables import Value
from poliqi.lab.print.oxygen.perfusion import NL_MIN, shear_at

if TYPE_CHECKING:
    from poliqi.lab.print.closure.settings import ClosureSettings
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.flow.solve import Flow
    from poliqi.lab.print.growth.settings import GrowthSettings
    from poliqi.lab.print.hatch.settings import HatchSettings
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.oxygen.tissue import Tissue
    from poliqi.lab.print.profile import Profile

__all__ = ["Asked", "Judge", "Judged", "fault_of", "grown"]

_FLAWS_TOLD: Final = 3
_MAY_LACK: Final = ("print", "flaws")
"""Measures that are not known where there is no estimate of the print."""
_ROUNDING: Final = 1e-9
_GROWTH: Final = ("terminals", "pressure_drop_pa", "exponent", "wall_um", "gap_um", "seed")
_CLOSURE: Final = ("capillary_radius_um", "longest_um")
_HATCH: Final = {
    "hatch_um": "hatch_um",
    "layer_um": "layer_um",
    "speed_mm_s": "speed_mm_s",
    "hatch_wall_um": "wall_um",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The values of one design, by variable."""

    values: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Judged:
    """Measures by name (as `targets.MEASURES`), how sure the hypoxic share is, and the flaws that were found."""

    measures: dict[str, float]
    hypoxic_doubt: float | None
    segments: int
    flaws: list[str]
    unknown: str
    """Why there is no estimate of the print; "" where there is one."""
    unbalanced: float = 0.0
    """Oxygen that is unaccounted for, over the consumption."""


def fault_of(judged: Judged) -> str:
    """What no design that was judged can have, for what was read from a file; "" where there is nothing."""
    known = {name: one for name, one in MEASURES.items() if one.ends is None}
    for name, value in judged.measures.items():
        if name not in known:
            return f"{name!a:.40} is no measure"
        most = known[name].most
        if not (math.isfinite(value) and 0.0 <= value <= most + _ROUNDING):
            limits = "at least 0" if math.isinf(most) else f"0 to {most:g}"
            return f"{name} is {value:g}, must be {limits}"
    lacking = [name for name in known if name not in judged.measures and name not in _MAY_LACK]
    if lacking:
        return f"{lacking[0]} is not there"
    if ("print" in judged.measures) is bool(judged.unknown):
        return "print is known and why it is unknown too" if judged.unknown else "print is not there and not why"
    doubt = judged.hypoxic_doubt
    if doubt is not None and not 0.0 <= doubt <= 1.0 + _ROUNDING:
        return f"hypoxic_doubt is {doubt:g}, must be 0 to 1"
    if not (math.isfinite(judged.unbalanced) and judged.unbalanced >= 0.0):
        return f"unbalanced is {judged.unbalanced:g}, must be at least 0"
    if judged.segments < 1:
        return f"segments is {judged.segments}, must be at least 1"
    flaws = judged.measures.get("flaws", 0.0)
    if len(judged.flaws) != min(_FLAWS_TOLD, flaws):
        return f"flaws is {flaws:g}, but {len(judged.flaws)} are told"
    return ""


@dataclass(frozen=True, slots=True)
class Judge:
    """What is the same for all designs. `domain` is the JSON of `Domain.record`. Travels to other processes."""

    domain: str
    growth: GrowthSettings
    closure: ClosureSettings | None
    fluid: Fluid
    tissue: Tissue
    profile: Profile
    mode: str | None
    cells: int

    def __call__(self, asked: Asked) -> Judged:
        """Raises DataRefused where it cannot be grown."""
        from poliqi.lab.print.coverage import coverage
        from poliqi.lab.print.flow.solve import solve_flow
        from poliqi.lab.print.oxygen.oxygen import oxygen
        from poliqi.lab.print.oxygen.tissue import Carrier

        domain = _domain(self.domain)
        network = grown(self, asked.values)
        flow = solve_flow(network, self.fluid)
        hematocrit = self.fluid.hematocrit
        carrier = Carrier() if hematocrit is None else Carrier.blood(hematocrit)
        try:
            found = oxygen(domain, network, flow, self.tissue, carrier=carrier, cells=self.cells, threads=1)
        except ConfigError as error:
            raise DataRefused(str(error)) from error
        covered = coverage(domain, network)
        measures = {
            "hypoxic": found.hypoxic,
            "covered": covered.fraction,
            "farthest": covered.worst_um,
            "volume": network.cylinder_volume_um3,
            "thinnest": float(network.radius_um.min()),
            "drop": float(np.ptp(flow.pressure_pa)),
            **_flow_measures(network, flow),
        }
        flaws, unknown = self._print(domain, network, asked.values, measures)
        doubt = found.hypoxic_doubt
        return Judged(
            measures,
            doubt if np.isfinite(doubt) else None,
            len(network.segments),
            flaws,
            unknown,
            abs(found.balance.residual),
        )

    def _print(
        self, domain: Domain, network: Network, values: Mapping[str, Value], measures: dict[str, float]
    ) -> tuple[list[str], str]:
        """Flaws that refuse the print, and why there is no time; the measures get what is known."""
        from poliqi.lab.print.hatch.slicing import estimate_job, prepare
        from poliqi.lab.print.printability.check import check, settings_of
        from poliqi.lab.print.printability.problem import refused

        try:
            settings = _hatch(self, values)
            asked = replace(settings_of(self.profile), pitch_um=settings.hatch_um, layer_um=settings.layer_um)
            flaws = refused(check(domain, network, self.profile, asked))
            measures["flaws"] = float(len(flaws))
            told = [one.line for one in flaws[:_FLAWS_TOLD]]
        except (ConfigError, DataRefused) as error:
            return [], str(error)
        try:
            measures["print"] = estimate_job(prepare(domain, network, self.profile, settings))[1].total_s
        except (ConfigError, DataRefused) as error:
            return told, str(error)
        return told, ""


def grown(judge: Judge, values: Mapping[str, Value]) -> Network:
    """The vessels of a design. Raises DataRefused where they cannot be grown."""
    from poliqi.lab.print.closure.close import close
    from poliqi.lab.print.flow.opentree import open_trees

    domain = _domain(judge.domain)
    try:
        growth = _growth(judge.growth, values)
        if judge.closure is not None:
            kept: dict[str, Any] = {name: values[name] for name in _CLOSURE if name in values}
            return close(domain, growth, replace(judge.closure, **kept), fluid=judge.fluid)
        return open_trees(domain, growth, judge.fluid)
    except ConfigError as error:
        raise DataRefused(str(error)) from error


def _growth(growth: GrowthSettings, values: Mapping[str, Value]) -> GrowthSettings:
    changed: dict[str, Any] = {name: values[name] for name in _GROWTH if name in values}
    if "flow_nl_min" in values:
        changed["flow_um3_s"] = float(values["flow_nl_min"]) * NL_MIN
    if "pressure_drop_pa" in values:
        changed["inlets"] = tuple(replace(one, pressure_pa=None) for one in growth.inlets)
    return replace(growth, **changed)


def _hatch(judge: Judge, values: Mapping[str, Value]) -> HatchSettings:
    from poliqi.lab.print.hatch.settings import Mode, settings_for

    mode = values.get("mode", judge.mode)
    changed: dict[str, Any] = {told: values[name] for name, told in _HATCH.items() if name in values}
    return settings_for(judge.profile, None if mode is None else Mode(str(mode)), cut_vessels=True, **changed)


def _flow_measures(network: Network, flow: Flow) -> dict[str, float]:
    """Pumping power in W, and wall shear at 5 and 95 % of the length of what is no capillary."""
    into = flow.port_flow_um3_s
    pressure = np.array([flow.pressure_pa[port.node] for port in network.ports])
    if not any(port.role is Role.OUTLET for port in network.ports):
        pressure = pressure - float(flow.pressure_pa.min())
    wide = network.kind != Kind.CAPILLARY
    low, high = shear_at(flow.wall_shear_pa[wide], network.length_um[wide], (0.05, 0.95))
    return {"power": float((into * pressure).sum()) * 1e-18, "shear_low": low, "shear_high": high}


@lru_cache(maxsize=2)
def _domain(record: str) -> Domain:
    return domain_from(json.loads(record))
