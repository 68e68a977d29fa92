"""The tables of a campaign's file: what people write, key by key."""

from __future__ import annotations

import msgspec

__all__ = [
    "BlockTable",
    "CampaignTable",
    "CellsTable",
    "ChamberTable",
    "ChannelsTable",
    "ChargeTable",
    "DischargeTable",
    "EisTable",
    "HoldTable",
    "MaintenanceTable",
    "MovingTable",
    "ProtocolTable",
    "RestTable",
    "StepTable",
    "Table",
]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all tables of the file have: no unknown keys."""


class MovingTable(Table, frozen=True, tag_field="do"):
    """A step at constant current: `c_rate` in 1/h or `current_a`, and the share of the capacity that it moves."""

    c_rate: float | None = None
    current_a: float | None = None
    of_capacity: float = 1.0
    at_most_hours: float | None = None
    until_v: float | None = None


class ChargeTable(MovingTable, frozen=True, tag="charge"):
    """The current charges the cell."""


class DischargeTable(MovingTable, frozen=True, tag="discharge"):
    """The current discharges the cell."""


class HoldTable(Table, frozen=True, tag_field="do", tag="hold"):
    """Constant voltage for a stated time."""

    hours: float
    voltage_v: float


class RestTable(Table, frozen=True, tag_field="do", tag="rest"):
    """No current."""

    hours: float


class EisTable(Table, frozen=True, tag_field="do", tag="eis"):
    """An impedance spectrum."""

    from_hz: float
    to_hz: float
    points_per_decade: int
    periods: float


StepTable = ChargeTable | DischargeTable | HoldTable | RestTable | EisTable


class BlockTable(Table, frozen=True):
    """Steps that are done `repeat` times."""

    steps: list[StepTable]
    repeat: int = 1


class ProtocolTable(Table, frozen=True):
    """`steps`, or `block` tables where parts are repeated apart; all of it `repeat` times."""

    name: str
    steps: list[StepTable] = []
    block: list[BlockTable] = []
    repeat: int = 1
    temperature_c: float | None = None


class MaintenanceTable(Table, frozen=True, rename={"from_": "from"}):
    """Time in which channels cannot be used."""

    from_: str
    to: str
    why: str = "maintenance"
    channel: int | None = None
    """Which of the group, counted from 1; left out, all of them."""


class ChannelsTable(Table, frozen=True):
    """One channel, or `count` alike, then numbered behind the name."""

    name: str
    most_a: float
    low_v: float
    high_v: float
    count: int = 1
    impedance: bool = False
    chamber: str | None = None
    room_c: float | None = None
    changeover_minutes: int = 0
    instrument: str | None = None
    maintenance: list[MaintenanceTable] = []


class ChamberTable(Table, frozen=True):
    """What keeps the cells of its channels at a temperature."""

    name: str
    low_c: float
    high_c: float
    change_minutes: int = 0


class CellsTable(Table, frozen=True):
    """One cell, or `count` alike; `channels` are names of tables of channels that it may use."""

    name: str
    capacity_ah: float
    protocols: list[str]
    count: int = 1
    priority: int = 1
    ready: str | None = None
    deadline: str | None = None
    same_channel: bool = False
    channels: list[str] = []


class CampaignTable(Table, frozen=True):
    """The whole file; times are YYYY-MM-DD HH:MM at Milan."""

    title: str
    start: str
    protocol: list[ProtocolTable]
    channels: list[ChannelsTable]
    cells: list[CellsTable]
    chamber: list[ChamberTable] = []
    margin_percent: float = 0.0
    until: str | None = None
