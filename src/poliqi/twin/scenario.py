"""What happens to a city in a twin: how long, who wants how much key, what breaks and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City, SpanId
from poliqi.optics.parameters import AttackKind, LinkParameters

__all__ = ["Fault", "FaultKind", "Load", "Pace", "Scenario"]


class FaultKind(StrEnum):
    """What can go wrong."""

    CUT = "cut"
    """A span lets no light pass."""
    GROUP_CUT = "group-cut"
    """All spans of a shared risk do."""
    DEVICE = "device"
    """The device of a link's end stops."""
    SWITCH = "switch"
    """The optical switch of a site lets no light pass."""
    NODE = "node"
    """A site loses its power: process, devices, and what was not on disk."""
    RESTART = "restart"
    """A site's process is killed; its devices go on."""
    STORE = "store"
    """A site's disk takes no writes any more."""
    CONTROLLER = "controller"
    """The controller is killed."""
    RIVAL = "rival"
    """A second controller is started with a copy of the first one's log."""
    UNREACHED = "unreached"
    """Controller and site cannot reach each other."""
    PARTITION = "partition"
    """Some sites cannot reach the others, nor the controller."""
    BREAK = "break"
    """All streams of a site break at once, and may be made again."""
    DRIFT = "drift"
    """Errors of a link grow, linearly over the fault's time."""
    EAVESDROPPER = "eavesdropper"
    """Somebody attacks the light of a span."""
    RAMAN = "raman"
    """A data channel is lit on a span."""
    TAP = "tap"
    """A span loses more light."""
    GROWTH = "growth"
    """Applications of a demand want more."""
    LIAR = "liar"
    """A site reports nonsense."""
    CLOCK = "clock"
    """A site's wall clock is off."""
    TAMPER = "tamper"
    """Somebody changes the messages of a link's two ends."""
    REPLAY = "replay"
    """Somebody repeats the messages of a link's two ends."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Where the thing that it strikes is None, any is struck. `for_s` None: until the scenario is over.

    `every_s`: it happens again and again, on average so often, from `at_s` on.
    """

    kind: FaultKind | None
    """None: any kind."""
    at_s: float = 0.0
    for_s: float | None = None
    every_s: float | None = None
    span: SpanId | None = None
    group: str | None = None
    site: KmeId | None = None
    sites: tuple[KmeId, ...] = ()
    link: LinkId | None = None
    demand: str | None = None
    attack: AttackKind = AttackKind.INTERCEPT_RESEND
    fraction: float = 0.3
    error: float = 0.03
    loss_db: float = 3.0
    launch_dbm: float = 0.0
    factor: float = 10.0
    skew_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """How applications ask: for each demand an order each `every_s` on average, of keys of `key_bits`.

    An order has as many keys as the demand's rate times `share` asks for, at least one and at most `most_keys`.
    `fetch_s`: how long the other application takes to come for them, on average.
    """

    every_s: float = 1.0
    key_bits: int = 256
    most_keys: int = 64
    share: float = 1.0
    fetch_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Pace:
    """How fine time is: the owners' ticks of sites and controller, and how old a light's news may get (s)."""

    tick_s: float = 0.25
    light_s: float = 0.25
    watch_s: float = 1.0
    """Between two looks at all of a city: deep checks and samples."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A city and what happens to it. Sizes in bytes."""

    name: str
    city: City
    devices: Mapping[str, LinkParameters]
    duration_s: float
    faults: tuple[Fault, ...] = ()
    load: Load = field(default_factory=Load)
    pace: Pace = field(default_factory=Pace)
    settle_s: float = 120.0
    """After the scenario everything is mended, and within so long keys must flow between all pairs again."""
    delay_s: float = 2e-4
    jitter_s: float = 3e-4
    """Of the network between the processes, one way."""
    capacity: int = 1 << 20
    """Of each stock: key that is really kept; more is counted and not kept."""
    low_water: int = 1 << 16
    sifted_key: int | None = None
    """Bits of a block in place of the devices' own."""
    controller: bool = True
    pairs: tuple[tuple[KmeId, KmeId], ...] | None = None
    """Which pairs share a stock that relays fill; None: all."""
