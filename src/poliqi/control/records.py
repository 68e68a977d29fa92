"""The controller's log: lines of JSON that are only ever appended. What was intended, and how the city did.

One record a line, an object with "type", `v` (version of the format, 1), `n` (the number of the line, one more than
before) and `wall_ns` (the controller's clock, UTC). A controller is rebuilt from any prefix of the log, and from a
suffix that holds a `standing`: the log may be cut by the month, as all that stands is written anew once a day.

- `started`: a controller starts; the time between it and the record before was not seen. The next epoch is higher.
- `standing`: once a day: what holds of drains and routes follows, and nothing from before.
- `city`: the plan of the city is new or changed.
- `routes`: routes in force from now on of these pairs, written before tables with them are sent.
- `drained`: a site is drained, or taken back; the month report leaves its time out.
- `site`: a site reports, or no longer does.
- `link`: a link's state changed, as routing sees it.
- `served`: once a minute (a longer `seconds` where a city has many demands): availability and rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.control.messages import LightState, Name, Natural, Path, Positive, Text

__all__ = [
    "VERSION",
    "CityChanged",
    "Demanded",
    "Drained",
    "LinkChanged",
    "LinkServed",
    "Loaded",
    "LoggedWay",
    "PairRoutes",
    "Record",
    "RoutesIntended",
    "Served",
    "SiteChanged",
    "Standing",
    "Started",
    "decode_record",
    "encode_record",
    "load",
    "whole_lines",
]

VERSION: Final = 1
LINE_BYTES: Final = 1 << 20
"""A longer line is no record."""

Pair = tuple[Name, Name]
"""Two sites in the order of their names."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    v: Annotated[int, msgspec.Meta(ge=1, le=VERSION)] = VERSION
    n: Natural
    wall_ns: Natural


class Started(_Record, frozen=True, kw_only=True, tag="started"):
    """A controller starts."""

    city: Name
    controller: Name
    instance: Name
    epoch: Natural


class Standing(_Record, frozen=True, kw_only=True, tag="standing"):
    """What stands, once a day: drains and routes that hold follow; others from before hold no longer."""

    city: Name
    controller: Name
    instance: Name
    epoch: Natural


class CityChanged(_Record, frozen=True, kw_only=True, tag="city"):
    """A plan of the city. `digest` is SHA-256 of the plan; `change` one line for people."""

    version: Natural
    digest: Name
    change: Text


class LoggedWay(msgspec.Struct, frozen=True, kw_only=True):
    """Paths used together, and the rate that takes them, both directions (bit/s)."""

    paths: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1, max_length=8)]
    rate_bps: Positive


class PairRoutes(msgspec.Struct, frozen=True, kw_only=True):
    """The routes of a pair of sites: its ways (none: it has no route) and its spares."""

    ends: Pair
    priority: Annotated[int, msgspec.Meta(ge=0, le=7)]
    granted_bps: Positive
    """For both ends together, direct link included."""
    ways: tuple[LoggedWay, ...] = ()
    spares: tuple[LoggedWay, ...] = ()


class RoutesIntended(_Record, frozen=True, kw_only=True, tag="routes"):
    """Pairs whose routes are new; the others keep theirs."""

    pairs: tuple[PairRoutes, ...]


class Drained(_Record, frozen=True, kw_only=True, tag="drained"):
    """A site is drained, or takes part again."""

    site: Name
    is_draining: bool


class SiteChanged(_Record, frozen=True, kw_only=True, tag="site"):
    """A site reports, or no longer does."""

    site: Name
    is_up: bool


class LinkChanged(_Record, frozen=True, kw_only=True, tag="link"):
    """A link's state, as routing sees it."""

    link: Name
    state: LightState


class Demanded(msgspec.Struct, frozen=True, kw_only=True):
    """How a demand did within a `Served`. Rates are means over its `seconds`, both directions (bit/s)."""

    demand: Name
    available_s: Positive
    """So long its key was to be had: its rate share granted, or its stock enough to give the wanted rate."""
    wanted_bps: Positive
    granted_bps: Positive
    delivered_bps: Positive
    """What applications took."""


class LinkServed(msgspec.Struct, frozen=True, kw_only=True):
    """How a link did within a `Served`."""

    link: Name
    lit_s: Positive
    key_bits: Positive
    """Measured rate times time."""


class Served(_Record, frozen=True, kw_only=True, tag="served"):
    """The city over the last `seconds`, which end at `wall_ns`; every demand and link that the plan has."""

    seconds: Positive
    demands: tuple[Demanded, ...] = ()
    links: tuple[LinkServed, ...] = ()
    keys_delivered: Natural = 0
    requests: Natural = 0
    requests_refused: Natural = 0


Record = Started | Standing | CityChanged | RoutesIntended | Drained | SiteChanged | LinkChanged | Served

_decoder: Final = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """The line of a record, without its end."""
    return msgspec.json.encode(record)


def decode_record(line: bytes) -> Record:
    """The record of a line. Raises ConfigError."""
    if len(line) > LINE_BYTES:
        raise ConfigError(f"a line of {len(line)} bytes, {LINE_BYTES} are allowed")
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"no record of a controller: {error}") from None


@dataclass(slots=True)
class Loaded:
    """What a log leaves to the next controller."""

    epoch: int = 0
    number: int = 0
    """Of the last line."""
    version: int = 0
    digest: str = ""
    drained: dict[str, None] = field(default_factory=dict[str, None])
    routes: dict[Pair, PairRoutes] = field(default_factory=dict[Pair, PairRoutes])
    torn: bytes | None = None
    """A last line that a crash cut short: take it off the file before anything is appended."""


def load(lines: Sequence[bytes], city: str = "") -> Loaded:
    """Fold a log. Raises ConfigError with the number of a line that does not belong, and what to do.

    `city` is the name of the city whose log it should be; empty for any.
    """
    found = Loaded()
    for place, line in enumerate(lines, 1):
        try:
            record = decode_record(line)
            _check(record, found, city)
        except ConfigError as error:
            if place == len(lines) and not _is_foreign(line):
                found.torn = line
                break
            remedy = "move the log away, or restore it: without it the controller plans all routes anew"
            raise ConfigError(f"line {place} of the controller's log: {error}; {remedy}") from None
        _fold(record, found)
    return found


def _is_foreign(line: bytes) -> bool:
    """A whole JSON text, so that no crash cut it short."""
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _check(record: Record, found: Loaded, city: str) -> None:
    if found.number and record.n != found.number + 1:
        raise ConfigError(f"it has number {record.n}, {found.number + 1} is next: lines are missing or stand twice")
    if isinstance(record, Started | Standing) and city and record.city != city:
        raise ConfigError(f"it is of the city {record.city!r}, not of {city!r}")
    if isinstance(record, Started) and record.epoch <= found.epoch:
        raise ConfigError(f"epoch {record.epoch} follows epoch {found.epoch}: two controllers wrote this log")


def _fold(record: Record, found: Loaded) -> None:
    found.number = record.n
    match record:
        case Started():
            found.epoch = record.epoch
        case Standing():
            found.epoch = record.epoch
            found.drained.clear()
            found.routes.clear()
        case CityChanged():
            found.version, found.digest = record.version, record.digest
        case Drained():
            found.drained.pop(record.site, None)
            if record.is_draining:
                found.drained[record.site] = None
        case RoutesIntended():
            for pair in record.pairs:
                found.routes.pop(pair.ends, None)
                if pair.ways or pair.spares:
                    found.routes[pair.ends] = pair
        case SiteChanged() | LinkChanged() | Served():
            pass


def whole_lines(data: bytes) -> tuple[list[bytes], int]:
    """The whole lines of a log file, and how many bytes they take: cut the file there before appending."""
    end = data.rfind(b"\n") + 1
    return data[:end].splitlines(), end


def numbered(records: Iterable[Record], first: int) -> list[bytes]:
    """Lines of records, numbered from `first`."""
    return [encode_record(msgspec.structs.replace(r, n=first + i)) for i, r in enumerate(records)]
