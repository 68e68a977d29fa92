"""CITY.toml's spans and links: what a fibre can be, and whether a link's spans lead from one end to the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.units import parse_quantity
from poliqi.control.city import ClassicalChannel, QuantumLink, Site, Span, SpanId, distance_km
from poliqi.ops.city_tables import ChannelTable, LinkTable, SpanTable

__all__ = ["LOSS_LIMIT_DB", "check_name", "ends_of", "in_range", "once", "read_link", "read_span"]

LOSS_LIMIT_DB: Final = 60.0
_LONGEST_KM: Final = 500.0
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def check_name(text: str, key: str, longest: int = 64) -> str:
    """A name of lower-case letters, digits and '-'. Raises ConfigError."""
    if len(text) > longest or _NAME.fullmatch(text) is None:
        raise ConfigError(
            f"{key} {text[:80]!r}: use 1 to {longest} lower-case letters, digits and '-', no '-' in front"
        )
    return text


def in_range(value: float, key: str, low: float, high: float, unit: str = "") -> float:
    """The value, when it lies within the limits. Raises ConfigError."""
    if not low <= value <= high:
        raise ConfigError(f"{key}: {value:g}{unit} is outside {low:g}{unit} to {high:g}{unit}")
    return value


def once(names: Iterable[str], key: str) -> None:
    """Raises ConfigError where a name stands twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"{key} {name!r}: named twice; give one of the two another name")
        seen.add(name)


def ends_of(between: tuple[str, str], key: str, sites: Mapping[KmeId, Site]) -> tuple[KmeId, KmeId]:
    """Two different sites of the city. Raises ConfigError."""
    for name in between:
        if name not in sites:
            raise ConfigError(f"{key}.between: there is no site {name[:80]!r}; name a [[site]] of this file")
    if between[0] == between[1]:
        raise ConfigError(f"{key}.between: both ends are {between[0]!r}; name two sites")
    return KmeId(between[0]), KmeId(between[1])


def read_span(t: SpanTable, sites: Mapping[KmeId, Site]) -> Span:
    """A fibre, with what is impossible refused. Raises ConfigError."""
    name = check_name("-".join(t.between) if t.name is None else t.name, "span.name")
    key = f"span {name}"
    a, b = ends_of(t.between, key, sites)
    length = in_range(
        parse_quantity(t.length, "m", f"{key}: length") / 1e3, f"{key}: length", 0, _LONGEST_KM, " km"
    )
    loss = parse_quantity(t.attenuation, "dB/km", f"{key}: attenuation")
    span = Span(
        SpanId(name),
        (a, b),
        length,
        in_range(loss, f"{key}: attenuation", 0.0, 10.0, " dB/km"),
        in_range(
            parse_quantity(t.connectors, "dB", f"{key}: connectors"), f"{key}: connectors", 0, LOSS_LIMIT_DB, " dB"
        ),
        frozenset(check_name(group, f"{key}: groups") for group in t.groups),
        tuple(_channel(c, f"{key}: channel") for c in t.channel),
        t.invented,
    )
    crow = distance_km(sites[a], sites[b])
    if length < crow:
        raise ConfigError(
            f"{key}: length {length:g} km is shorter than the {crow:.2f} km from {a} to {b} as the crow flies; "
            "mend the length or the coordinates"
        )
    if span.loss_db > LOSS_LIMIT_DB:
        raise ConfigError(
            f"{key}: {length:g} km, attenuation and connectors lose {span.loss_db:.1f} dB, {LOSS_LIMIT_DB:g} dB is "
            "the limit; mend length, attenuation or connectors"
        )
    return span


def _channel(t: ChannelTable, key: str) -> ClassicalChannel:
    return ClassicalChannel(
        in_range(
            parse_quantity(t.wavelength, "m", f"{key}.wavelength") * 1e9, f"{key}.wavelength", 1000, 2000, " nm"
        ),
        in_range(parse_quantity(t.launch, "dBm", f"{key}.launch"), f"{key}.launch", -100.0, 40.0, " dBm"),
        t.direction,
        in_range(parse_quantity(t.rho, "1/(nm km)", f"{key}.rho"), f"{key}.rho", 0.0, 1e-3),
    )


def read_link(
    t: LinkTable, sites: Mapping[KmeId, Site], spans: Mapping[SpanId, Span], devices: Iterable[str]
) -> QuantumLink:
    """A pair of devices over spans that stand. Raises ConfigError."""
    name = check_name("-".join(t.between) if t.name is None else t.name, "link.name")
    key = f"link {name}"
    a, b = ends_of(t.between, key, sites)
    over = tuple(SpanId(s) for s in t.over) or _only_span(a, b, key, spans)
    once(over, f"{key}: over")
    at = a
    for number, span in enumerate(over):
        if span not in spans:
            raise ConfigError(f"{key}: over: there is no span {span[:80]!r}; name a [[span]] that is no candidate")
        ends = spans[span].ends
        if at not in ends:
            raise ConfigError(
                f"{key}: over: span {span} does not start at {at}; name spans from {a} to {b} in order"
            )
        at = ends[1] if at == ends[0] else ends[0]
        if number + 1 < len(over) and at in (a, b):
            raise ConfigError(
                f"{key}: over: span {span} already reaches {at}, an end of the link; leave the rest out"
            )
        if number + 1 < len(over) and sites[at].switch_loss_db is None:
            raise ConfigError(
                f"{key}: over: light would pass {at}, which has no optical switch; "
                f"give site {at} a `switch`, or end the link there"
            )
    if at != b:
        raise ConfigError(f"{key}: over: the spans end at {at}, not at {b}; name spans from {a} to {b} in order")
    return QuantumLink(LinkId(name), (a, b), over, _device(t.device, key, tuple(devices)))


def _only_span(a: KmeId, b: KmeId, key: str, spans: Mapping[SpanId, Span]) -> tuple[SpanId, ...]:
    found = [span.span for span in spans.values() if set(span.ends) == {a, b}]
    if not found:
        raise ConfigError(f"{key}: no [[span]] joins {a} and {b}; add one, or name the spans it passes in `over`")
    if len(found) > 1:
        raise ConfigError(f"{key}: spans {', '.join(found[:8])} join {a} and {b}; name one in `over`")
    return (found[0],)


def _device(name: str | None, key: str, devices: tuple[str, ...]) -> str:
    if name is None and len(devices) == 1:
        return devices[0]
    if name is None or name not in devices:
        given = "missing" if name is None else f"there is no device {name[:80]!r}"
        raise ConfigError(
            f"{key}: device: {given}; name one of: {', '.join(devices[:8]) or '[device.NAME], add one'}"
        )
    return name
