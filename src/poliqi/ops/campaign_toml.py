"""The file of a test campaign: what people write, and the campaign that it means.

Times are Milan's, as everywhere at the facility.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.campaign.plan import MOST_CHANNELS, MOST_JOBS, Campaign, Cell, Chamber, Channel, Span
from poliqi.lab.echem.campaign.protocol import Block, Protocol, Step, StepKind, Sweep
from poliqi.lab.facility.localtime import instant
from poliqi.ops.campaign_tables import (
    BlockTable,
    CampaignTable,
    CellsTable,
    ChannelsTable,
    ChargeTable,
    DischargeTable,
    EisTable,
    HoldTable,
    ProtocolTable,
    RestTable,
    StepTable,
)
from poliqi.ops.toml_file import file_bytes, toml_from

__all__ = ["campaign_from", "read_campaign"]

_MOST_BYTES: Final = 1 << 20
_MOST_MAINTENANCE: Final = 1000
_PAGE: Final = "docs/reference/lab-echem-campaign.md lists every key"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()-]{0,59}")


def read_campaign(path: Path) -> Campaign:
    """The campaign of a TOML file. Raises ConfigError, DataRefused, each naming the file."""
    return campaign_from(file_bytes(path, _MOST_BYTES, "a campaign's TOML file"), str(path))


def campaign_from(data: bytes, name: str) -> Campaign:
    """The same of its bytes; `name` is told in errors."""
    try:
        told = msgspec.convert(toml_from(data, name), CampaignTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {error}; {_PAGE}") from None
    try:
        return _campaign(told)
    except DataRefused as error:
        raise DataRefused(f"{name}: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _campaign(told: CampaignTable) -> Campaign:
    protocols = {one.name: _protocol(one) for one in told.protocol}
    if len(protocols) < len(told.protocol):
        raise ConfigError("two protocols have one name; each has its own")
    _check_counts(told)
    groups = {one.name for one in told.channels}
    if len(groups) < len(told.channels):
        raise ConfigError("two tables of channels have one name; each has its own")
    if not told.title.isprintable() or len(told.title) > 120:
        raise ConfigError(f"title {told.title[:40]!a}: one plain line of at most 120 characters")
    return Campaign(
        told.title,
        instant(told.start, "start"),
        tuple(channel for table in told.channels for channel in _channels(table)),
        tuple(cell for table in told.cells for cell in _cells(table, protocols, groups)),
        tuple(
            Chamber(_named("chamber", one.name), one.low_c, one.high_c, one.change_minutes * 60)
            for one in told.chamber
        ),
        None if told.until is None else instant(told.until, "until"),
        told.margin_percent / 100,
    )


def _check_counts(told: CampaignTable) -> None:
    for kind, counts, most in (
        ("channels", [(one.name, one.count) for one in told.channels], MOST_CHANNELS),
        ("cells", [(one.name, one.count) for one in told.cells], MOST_JOBS),
    ):
        for name, count in counts:
            if not 1 <= count <= most:
                raise ConfigError(f"{kind} {name[:60]!a}: count = {count}, must be from 1 to {most}")
        if sum(count for _, count in counts) > most:
            raise ConfigError(f"{sum(count for _, count in counts)} {kind}, at most {most}; plan in parts")


def _named(kind: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{kind} {name[:60]!a}: a name has 1 to 60 letters, digits, blanks and . _ + ( ) -")
    return name


def _numbered(name: str, count: int) -> list[str]:
    width = len(str(count))
    return [name] if count == 1 else [f"{name}-{at:0{width}}" for at in range(1, count + 1)]


def _protocol(told: ProtocolTable) -> Protocol:
    if bool(told.steps) == bool(told.block):
        raise ConfigError(f"protocol {told.name[:60]!a}: give steps, or [[protocol.block]] tables with steps")
    blocks = told.block or [BlockTable(told.steps)]
    return Protocol(
        _named("protocol", told.name),
        tuple(Block(tuple(_step(one) for one in block.steps), block.repeat) for block in blocks),
        told.repeat,
        told.temperature_c,
    )


def _step(told: StepTable) -> Step:
    match told:
        case HoldTable():
            return Step(StepKind.HOLD, hours=told.hours, voltage_v=told.voltage_v)
        case RestTable():
            return Step(StepKind.REST, hours=told.hours)
        case EisTable():
            return Step(StepKind.EIS, sweep=Sweep(told.from_hz, told.to_hz, told.points_per_decade, told.periods))
        case ChargeTable() | DischargeTable():
            kind = StepKind.CHARGE if isinstance(told, ChargeTable) else StepKind.DISCHARGE
            return Step(kind, told.c_rate, told.current_a, told.of_capacity, told.at_most_hours, told.until_v)


def _channels(told: ChannelsTable) -> list[Channel]:
    _named("channels", told.name)
    if len(told.maintenance) > _MOST_MAINTENANCE:
        raise ConfigError(
            f"channels {told.name!r}: {len(told.maintenance)} times of maintenance, at most {_MOST_MAINTENANCE}"
        )
    blocked = [
        (one.channel, Span(instant(one.from_, "from"), instant(one.to, "to"), one.why)) for one in told.maintenance
    ]
    found: list[Channel] = []
    for at, name in enumerate(_numbered(told.name, told.count), 1):
        found.append(
            Channel(
                name,
                told.name,
                told.most_a,
                told.low_v,
                told.high_v,
                told.impedance,
                told.chamber,
                told.room_c,
                told.changeover_minutes * 60,
                told.instrument,
                tuple(span for channel, span in blocked if channel in (None, at)),
            )
        )
    for one in told.maintenance:
        if one.channel is not None and not 1 <= one.channel <= told.count:
            raise ConfigError(
                f"channels {told.name!r}: maintenance of channel {one.channel}, must be 1 to {told.count}"
            )
    return found


def _cells(told: CellsTable, protocols: dict[str, Protocol], groups: set[str]) -> list[Cell]:
    _named("cells", told.name)
    for kind, names, known in (("protocol", told.protocols, set(protocols)), ("channels", told.channels, groups)):
        if missing := [name for name in names if name not in known]:
            there = ", ".join(sorted(known))[:200]
            raise ConfigError(f"cells {told.name!r}: no {kind} is called {missing[0][:60]!a}; there are {there}")
    words: Sequence[Protocol] = [protocols[name] for name in told.protocols]
    return [
        Cell(
            name,
            told.capacity_ah,
            tuple(words),
            told.priority,
            None if told.ready is None else instant(told.ready, "ready"),
            None if told.deadline is None else instant(told.deadline, "deadline"),
            told.same_channel,
            tuple(told.channels),
        )
        for name in _numbered(told.name, told.count)
    ]
