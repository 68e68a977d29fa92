"""What a demonstration runs: a city's file with its light slowed down, and a LINK.toml for each of its links."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError
from poliqi.base.ids import LinkId
from poliqi.base.units import parse_quantity
from poliqi.control.city import City
from poliqi.control.prediction import link_parameters
from poliqi.ops.city_toml import CityPlan, load_city, read_city
from poliqi.ops.link_text import link_text
from poliqi.ops.toml_text import toml_text
from poliqi.optics.channel import expectation
from poliqi.optics.parameters import LinkParameters

__all__ = ["DemoPlan", "demo_city_text", "plan_demo"]

_CITY: Final = "demo-city.toml"
_CLOCK_HZ: Final = 25e6
_LINKS: Final = 5
"""So many links of that clock take half a core."""
_BLOCK_S: Final = 2.5
_MOST_LINKS: Final = 24
_NOTE: Final = "SIMULATED light of a demonstration"


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """A city, the text of its file and of each link's LINK.toml; `slowed_to_hz` where a clock was faster."""

    city: City
    city_text: str
    links: dict[LinkId, str]
    slowed_to_hz: float | None


def demo_city_text() -> str:
    """The file of the city that `poliqi demo` runs where no other is named."""
    return files("poliqi.ops").joinpath(_CITY).read_text(encoding="utf-8")


def plan_demo(path: Path | None) -> DemoPlan:
    """The demonstration of a CITY.toml, or of the one that is built in. Raises ConfigError."""
    if path is None:
        text, where = demo_city_text(), _CITY
    else:
        load_city(path)
        text, where = path.read_text(encoding="utf-8"), str(path)
    table = tomllib.loads(text)
    number = len(table.get("link", []))
    if not 1 <= number <= _MOST_LINKS:
        raise ConfigError(f"{where}: {number} links; a demonstration on one machine runs 1 to {_MOST_LINKS}")
    clock_hz = _CLOCK_HZ * min(1.0, _LINKS / number)
    slowed = _slow(table, clock_hz)
    text = toml_text(table) if slowed else text
    plan = read_city(text, where)
    if not plan.city.is_simulated:
        table["city"]["simulated"] = True
        text = toml_text(table)
        plan = read_city(text, where)
    links = {link.link: link_text(_demo_link(plan, link.link), _NOTE) for link in plan.city.links}
    return DemoPlan(plan.city, text, links, clock_hz if slowed else None)


def _slow(table: dict[str, Any], clock_hz: float) -> bool:
    """Give devices that are faster this clock; whether there was one."""
    found = False
    for name, device in table.get("device", {}).items():
        source = device["source"]
        if parse_quantity(source["clock"], "Hz", f"device {name}: source.clock") > clock_hz:
            source["clock"] = f"{clock_hz!r} Hz"
            found = True
    return found


def _demo_link(plan: CityPlan, name: LinkId) -> LinkParameters:
    """A link of the city with blocks of a few seconds."""
    link = plan.city.link[name]
    made = link_parameters(plan.city, link, plan.devices[link.device])
    sifted = int(_BLOCK_S * made.source.clock_hz * expectation(made).key.total_detections)
    return replace(made, block=replace(made.block, sifted_key=max(1, sifted)))
