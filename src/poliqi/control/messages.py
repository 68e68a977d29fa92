"""What a site's agent and the controller say to each other (docs/spec/control.md): JSON objects with a "type".

Reports hold counts, rates and names; there is no field that a key bit could stand in. Unknown fields are ignored,
so that a half-upgraded city works; unknown types too, by `decode` returning None.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId

__all__ = [
    "DECOY_WORDS",
    "FRAME_BYTES",
    "VERSION",
    "Applied",
    "ControlMessage",
    "Heard",
    "Hello",
    "LightState",
    "LinkReport",
    "Notice",
    "PeerReport",
    "PoolReport",
    "Report",
    "Route",
    "Table",
    "Welcome",
    "decode",
    "encode",
]

VERSION: Final = 1
FRAME_BYTES: Final = 1 << 20
"""A longer frame ends the connection."""

_PLAIN: Final = r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*\Z"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=_PLAIN)]
Text = Annotated[str, msgspec.Meta(max_length=512, pattern=_PLAIN)]
"""One line: a site cannot write lines of its own into the controller's log."""
Natural = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Positive = Annotated[float, msgspec.Meta(ge=0.0, le=1e15)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Decibel = Annotated[float, msgspec.Meta(ge=-50.0, le=200.0)]
Path = Annotated[tuple[Name, ...], msgspec.Meta(min_length=2, max_length=9)]


class LightState(StrEnum):
    """What a link's device end says of its light."""

    LIT = "lit"
    """Blocks give key."""
    KEYLESS = "keyless"
    """Light comes, blocks give no key (QBER, decoy bounds)."""
    DARK = "dark"
    """No light comes."""
    SILENT = "silent"
    """Nobody reports: the device's process or its peer is away."""


DECOY_WORDS: Final = ("decoy", "single photon")
"""A reason that holds one of these says that the decoy states' statistics leave no key."""


class LinkReport(msgspec.Struct, frozen=True, kw_only=True):
    """One end's view of one quantum link. Rates over the last blocks; None where nothing was measured yet."""

    link: Name
    state: LightState
    key_rate_bps: Positive | None = None
    """Secret bits a second that the link makes, net of its pads."""
    qber_key: Share | None = None
    qber_test: Share | None = None
    loss_db: Decibel | None = None
    """Of the channel between the devices, from the detection rate."""
    noise: Share | None = None
    """Clicks a slot that no pulse of Alice's explains (dark counts, Raman), where the device can tell."""
    epsilon: Share | None = None
    """Of the latest block with key; None for simulated and replayed light."""
    blocks: Natural = 0
    """Blocks with key since the start of the device's process."""
    age_s: Positive = 0.0
    """How old the newest of these figures is."""
    reason: Text = ""
    """Why there is no key, where there is none."""
    is_simulated: bool = False
    """The light is simulated, or replayed from a recording: its keys protect nothing."""
    verdict: Text = ""
    """What the end's own monitor says of the latest block: clear, suspect, attack, blind; empty without one."""
    attack: Text = ""
    """The likeliest attack, where the verdict is `attack` or the link is quarantined for one."""
    evidence: Text = ""
    """What it rests on, one line."""
    is_quarantined: bool = False
    """No block gives key until somebody releases the link."""


class PoolReport(msgspec.Struct, frozen=True, kw_only=True):
    """A stock shared with a peer, direct or filled by relay."""

    pool: Name
    peer: Name
    is_relayed: bool
    free_bits: Natural
    """Of this end's share, ready to be given out."""
    stored_bits: Natural
    capacity_bits: Natural
    taken_bits: Natural
    """Given to applications from this end's share since the start: what demand is measured from."""
    filled_bits: Natural
    """Put into the stock since the start, both ends' shares."""


class PeerReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether another site is connected."""

    site: Name
    is_connected: bool


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """An agent's first message."""

    version: Natural
    software: Text
    instance: Name
    """Different after each start of the site."""
    epoch: Natural
    """The highest epoch of a controller that this site has obeyed."""
    table: Natural
    """Version of the table in force there; 0 for none."""
    obeyed: Text = ""
    """The instance of the controller of that epoch: a second one of the same epoch is not obeyed."""
    never_through: Annotated[tuple[Name, ...], msgspec.Meta(max_length=1024)] = ()
    """Sites that this one's policy never lets its key pass."""
    max_relays: Annotated[int, msgspec.Meta(ge=0, le=7)] = 7
    """Sites that one path of its key may pass, at most."""


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """Everything that an agent sees; sent whole, a second apart, and at once when light or a peer changes."""

    number: Natural
    wall_ns: Natural
    """The site's clock: a skew of more than a few seconds is an event."""
    links: Annotated[tuple[LinkReport, ...], msgspec.Meta(max_length=4096)] = ()
    pools: Annotated[tuple[PoolReport, ...], msgspec.Meta(max_length=4096)] = ()
    peers: Annotated[tuple[PeerReport, ...], msgspec.Meta(max_length=4096)] = ()
    keys_delivered: Natural = 0
    requests: Natural = 0
    requests_refused: Natural = 0
    """For want of key or of a peer."""
    is_draining: bool = False


class Notice(msgspec.Struct, frozen=True, kw_only=True, tag="notice"):
    """An event of the site's key management (keys.desk_state.EventKind and its text)."""

    kind: Name
    text: Text
    peer: Name | None = None


class Applied(msgspec.Struct, frozen=True, kw_only=True, tag="applied"):
    """A table is in force, or the parts of it that this site's own policy refuses."""

    epoch: Natural
    table: Natural
    """The version in force after it. With an epoch above the controller's: another one is obeyed."""
    refused: Annotated[tuple[Text, ...], msgspec.Meta(max_length=4096)] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How a site fills its share of one relayed stock.

    `ways`: of each way the paths that are used together (one, or several node-disjoint ones whose shares are
    summed), and what part of the rate takes it. `spares` are tried when the controller is away and a way fails.
    """

    class Way(msgspec.Struct, frozen=True, kw_only=True):
        """Paths from this site to the other, used together."""

        paths: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1, max_length=8)]
        share: Share = 1.0

    pool: Name
    to: Name
    rate_bps: Positive
    """At most so much, on average; a stock that is below its low-water mark after that waits."""
    priority: Annotated[int, msgspec.Meta(ge=0, le=7)]
    ways: Annotated[tuple[Way, ...], msgspec.Meta(max_length=16)]
    spares: Annotated[tuple[Way, ...], msgspec.Meta(max_length=4)] = ()


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """The controller's first message. Of two controllers the one with the higher epoch is obeyed."""

    version: Natural
    controller: Name
    instance: Name
    epoch: Natural


class Table(msgspec.Struct, frozen=True, kw_only=True, tag="table"):
    """All routes of one site; it replaces the one before."""

    epoch: Natural
    table: Natural
    routes: Annotated[tuple[Route, ...], msgspec.Meta(max_length=4096)]


class Heard(msgspec.Struct, frozen=True, kw_only=True, tag="heard"):
    """The controller's answer to each report: it lives. One that says nothing for a while is away."""

    epoch: Natural
    number: Natural
    """Of the report."""


ControlMessage = Hello | Report | Notice | Applied | Welcome | Table | Heard

_decoder: Final = msgspec.json.Decoder(ControlMessage)
_known: Final = frozenset({"hello", "report", "notice", "applied", "welcome", "table", "heard"})


class _Tagged(msgspec.Struct):
    type: str


def encode(message: ControlMessage) -> bytes:
    """The frame of a message."""
    return msgspec.json.encode(message)


def decode(frame: bytes | memoryview) -> ControlMessage | None:
    """The message of a frame; None for a type of a later version. Raises ProtocolError."""
    if len(frame) > FRAME_BYTES:
        raise ProtocolError(f"a control frame of {len(frame)} bytes, {FRAME_BYTES} are allowed")
    try:
        return _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            tag = msgspec.json.decode(frame, type=_Tagged).type
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            tag = ""
        if tag and tag not in _known:
            return None
        raise ProtocolError(f"a control message that is none: {error}") from None


def site_path(path: tuple[str, ...]) -> tuple[KmeId, ...]:
    """A path with its names as what they are."""
    return tuple(KmeId(name) for name in path)
