"""CITY.toml: one file that says what a city is meant to be, read into a `CityPlan`.

What cannot be is refused with file, key, value, limit and remedy.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId
from poliqi.base.units import parse_quantity
from poliqi.control.candidates import Candidates, Costs, Survives
from poliqi.control.city import City, Demand, ServiceLevel, Site, Span, distance_km
from poliqi.ops.city_fibre import LOSS_LIMIT_DB, check_name, ends_of, in_range, once, read_link, read_span
from poliqi.ops.city_tables import CityTable, CostTable, DemandTable, DeviceTable, SiteTable
from poliqi.ops.config import device_parameters
from poliqi.optics.parameters import LinkParameters

__all__ = ["DIAMETER_KM", "MOST_SITES", "CityPlan", "load_city", "read_city"]

DIAMETER_KM: Final = 25.0
MOST_SITES: Final = 2000
_MOST: Final = 10_000
_LARGEST: Final = 1 << 20
_TEXT: Final = 200
_PAGE: Final = "docs/reference/city-toml.md lists every key"


@dataclass(frozen=True, slots=True)
class CityPlan:
    """A city's file. `devices`: each pair of devices, without a fibre between them (its length and losses are 0).

    `survives`: which single failures each demand must outlive; `candidates`: what may be added, at `costs`.
    """

    city: City
    devices: dict[str, LinkParameters]
    survives: dict[str, Survives] = field(default_factory=dict[str, Survives])
    candidates: Candidates = field(default_factory=Candidates)
    costs: Costs = field(default_factory=Costs)


def load_city(path: str | Path) -> CityPlan:
    """Read a CITY.toml. Raises ConfigError, with the file and the key in it."""
    where = Path(path)
    try:
        with where.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror}); give a CITY.toml") from None
    except ValueError as error:
        raise ConfigError(f"{str(where)!r}: {error}; give a CITY.toml") from None
    return read_city(data, str(where))


def read_city(data: bytes | str, where: str = "CITY.toml") -> CityPlan:
    """Read the content of a CITY.toml; `where` names it in errors. Raises ConfigError."""
    if len(data) > _LARGEST:
        raise ConfigError(f"{where}: larger than {_LARGEST} bytes, so it is no CITY.toml")
    try:
        text = data if isinstance(data, str) else data.decode()
        return _plan(msgspec.convert(tomllib.loads(text), CityTable))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}; {_PAGE}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _plan(t: CityTable) -> CityPlan:
    _few(len(t.site), "site", MOST_SITES)
    for number, key in ((len(t.span), "span"), (len(t.link), "link"), (len(t.demand), "demand")):
        _few(number, key, _MOST)
    sites = tuple(_site(s) for s in t.site)
    once((s.kme for s in sites), "site.name")
    site = {s.kme: s for s in sites}
    diameter = in_range(parse_quantity(t.city.diameter, "m", "city.diameter") / 1e3, "city.diameter", 0, 25, " km")
    _check_diameter(sites, diameter)
    spans = tuple(read_span(s, site) for s in t.span)
    once((s.span for s in spans), "span.name")
    standing = tuple(s for s, row in zip(spans, t.span, strict=True) if not row.candidate)
    by_name = {s.span: s for s in standing}
    links = tuple(read_link(row, site, by_name, t.device) for row in t.link)
    once((link.link for link in links), "link.name")
    demands = tuple(_demand(d, site) for d in t.demand)
    once((d.name for d in demands), "demand.name")
    service = ServiceLevel(
        in_range(parse_quantity(t.service.availability, "1", "service.availability"), "service.availability", 0, 1),
        in_range(parse_quantity(t.service.rate_share, "1", "service.rate_share"), "service.rate_share", 0, 1),
    )
    return CityPlan(
        City(_text(t.city.name, "city.name"), sites, standing, links, demands, service, diameter, t.city.simulated),
        {check_name(name, "device"): _device(name, d) for name, d in t.device.items()},
        {d.name: row.survives or t.service.survives for d, row in zip(demands, t.demand, strict=True)},
        _candidates(t, spans),
        _costs(t.cost, t.device),
    )


def _few(number: int, key: str, most: int) -> None:
    if number > most:
        raise ConfigError(f"{key}: {number} of them, {most} are the limit; split the city")


def _site(t: SiteTable) -> Site:
    name = check_name(t.name, "site.name", 24)
    key = f"site {name}"
    return Site(
        kme=KmeId(name),
        title=_text(name if t.title is None else t.title, f"{key}: title"),
        latitude=in_range(t.coordinates[0], f"{key}: coordinates[0] (latitude)", -90.0, 90.0),
        longitude=in_range(t.coordinates[1], f"{key}: coordinates[1] (longitude)", -180.0, 180.0),
        is_relay=t.relay,
        switch_loss_db=None if t.switch is None else _switch(t.switch, f"{key}: switch"),
        note="" if not t.note else _text(t.note, f"{key}: note"),
        is_approximate=t.approximate,
    )


def _switch(text: str | float, key: str) -> float:
    return in_range(parse_quantity(text, "dB", key), key, 0.0, LOSS_LIMIT_DB, " dB")


def _text(text: str, key: str) -> str:
    if not 1 <= len(text) <= _TEXT or not text.isprintable():
        raise ConfigError(f"{key} {text[:80]!r}: use 1 to {_TEXT} printable characters on one line")
    return text


def _check_diameter(sites: tuple[Site, ...], limit_km: float) -> None:
    """No two sites are further apart than the limit. Raises ConfigError with the pair that is furthest."""
    if len(sites) < 2:
        return
    phi, lam = np.radians([(s.latitude, s.longitude) for s in sites]).T
    unit = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=1)
    smallest = np.array([float(np.min(unit @ u)) for u in unit])
    i = int(np.argmin(smallest))
    j = int(np.argmin(unit @ unit[i]))
    a, b = sites[i], sites[j]
    apart = distance_km(a, b)
    if apart > limit_km:
        raise ConfigError(
            f"city.diameter: {a.kme} and {b.kme} are {apart:.2f} km apart as the crow flies, {limit_km:g} km is "
            "the limit; mend the coordinates, or plan two cities"
        )


def _demand(t: DemandTable, sites: dict[KmeId, Site]) -> Demand:
    name = check_name("-".join(t.between) if t.name is None else t.name, "demand.name")
    key = f"demand {name}"
    ends = ends_of(t.between, key, sites)
    rate = parse_quantity(t.rate, "bit/s", f"{key}: rate")
    for other in t.never_through:
        if other not in sites:
            raise ConfigError(
                f"{key}: never_through: there is no site {other[:80]!r}; name a [[site]] of this file"
            )
        if other in ends:
            raise ConfigError(
                f"{key}: never_through: {other} is an end of it and always knows the key; leave it out"
            )
    return Demand(
        name,
        ends,
        in_range(rate, f"{key}: rate", 1e-3, 1e12, " bit/s"),
        int(in_range(t.priority, f"{key}: priority", 0, 7)),
        int(in_range(t.paths, f"{key}: paths", 1, 8)),
        frozenset(KmeId(s) for s in t.never_through),
    )


def _device(name: str, t: DeviceTable) -> LinkParameters:
    try:
        return device_parameters(name, t.source, t.receiver, t.detector, t.block)
    except ConfigError as error:
        raise ConfigError(f"device {name}: {error}") from None


def _candidates(t: CityTable, spans: tuple[Span, ...]) -> Candidates:
    switches: dict[KmeId, float] = {}
    for s in t.site:
        if s.relay and s.relay_candidate:
            raise ConfigError(
                f"site {s.name}: relay_candidate: it is a relay already; set `relay = false`, or drop it"
            )
        if s.switch_candidate is not None:
            if s.switch is not None:
                raise ConfigError(f"site {s.name}: switch_candidate: it has a switch already; keep one of the two")
            switches[KmeId(s.name)] = _switch(s.switch_candidate, f"site {s.name}: switch_candidate")
    return Candidates(
        tuple(s for s, row in zip(spans, t.span, strict=True) if row.candidate),
        frozenset(KmeId(s.name) for s in t.site if s.relay_candidate),
        switches,
    )


def _costs(t: CostTable | None, devices: dict[str, DeviceTable]) -> Costs:
    row = t or CostTable()
    own = {n: _cost(d.cost, f"device {n}: cost") for n, d in devices.items() if d.cost is not None}
    prices = {k: _cost(getattr(row, k), f"cost.{k}") for k in ("span", "span_km", "relay", "switch")}
    return Costs(
        **prices, device=own, other_device=_cost(row.device, "cost.device"), is_invented=t is None or t.invented
    )


def _cost(value: float, key: str) -> float:
    return in_range(value, key, 0.0, 1e9)
