"""What an application's pages show and ask for; whoever runs the application provides it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from poliqi.apps.keygrade import Knowledge
from poliqi.apps.keysource import Supply
from poliqi.apps.stream.terms import Mode, Policy
from poliqi.base.ids import SaeId
from poliqi.ops.sae_web.trouble import Trouble

__all__ = [
    "Arrival",
    "ArrivedFile",
    "Desk",
    "DeskView",
    "Direction",
    "Estimate",
    "Neighbour",
    "ReceiptView",
    "Transfer",
    "TransferState",
]


class TransferState(StrEnum):
    """How a transfer stands."""

    QUEUED = "queued"
    WAITING_FOR_KEY = "waiting-for-key"
    WAITING_FOR_SITE = "waiting-for-site"
    SENDING = "sending"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_over(self) -> bool:
        """Nothing more happens."""
        return self in (TransferState.DONE, TransferState.FAILED, TransferState.STOPPED)


class Direction(StrEnum):
    """Of a receipt."""

    SENT = "sent"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another application. `supply` is None while nobody knows; `problem` is the error, `trouble` its kind."""

    sae: SaeId
    place: str
    can_be_called: bool
    policy: Policy
    supply: Supply | None
    problem: str = ""
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What sending needs. `wait_s`: 0 for now, None where nobody can say. `problem`: why it cannot be sent at all,
    and `trouble` of which kind that is.

    `needed_bytes` of key; `available_bytes` is None where nobody knows.
    """

    mode: Mode
    needed_bytes: int
    available_bytes: int | None
    wait_s: float | None
    problem: str = ""
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """Files on their way. `left_s` None: not known. `wait_s`: when key is there. `receipt`: its id, once it is."""

    id: str
    sae: SaeId
    place: str
    names: tuple[str, ...]
    size_bytes: int
    mode: Mode
    state: TransferState
    sent_bytes: int
    begun_unix_s: float
    who: str
    rate_bps: float | None = None
    left_s: float | None = None
    wait_s: float | None = None
    problem: str = ""
    is_simulated: bool = False
    receipt: str = ""
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class ArrivedFile:
    """A file in the inbox; `name` is its path inside of what was sent."""

    number: int
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something in the inbox, a file or a folder. `count` files came, the first of which are `files`."""

    id: str
    name: str
    sae: SaeId
    place: str
    at_unix_s: float
    count: int
    size_bytes: int
    mode: Mode
    is_simulated: bool
    files: tuple[ArrivedFile, ...]
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """A receipt as people read it. `sender` is an application; `who` the person there, where that is known.

    `epsilon` None: not proven. `key_ids` are the first of `keys`; `knowledge`: at worst who beside the ends could
    know one of them. `hash` is SHA-256 of the transfer's manifest.
    """

    id: str
    direction: Direction
    sae: SaeId
    place: str
    at_unix_s: float
    sender: str
    who: str
    mode: Mode
    name: str
    count: int
    size_bytes: int
    keys: int
    key_ids: tuple[str, ...]
    epsilon: float | None
    hash: str
    is_simulated: bool
    knowledge: Knowledge = Knowledge.UNKNOWN


@dataclass(frozen=True, slots=True)
class DeskView:
    """Everything that pages show, looked up once; the newest first. `place` is where this application is."""

    sae: SaeId
    place: str
    is_simulated: bool
    unix_s: float
    neighbours: tuple[Neighbour, ...]
    transfers: tuple[Transfer, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    receipts: tuple[ReceiptView, ...] = ()


class Desk(Protocol):
    """An application, as its pages see it. Any thread may call; none of it waits for a network."""

    def view(self) -> DeskView:
        """Everything now."""
        ...

    def estimate(self, peer: SaeId, size_bytes: int, one_time: bool) -> Estimate:
        """What so many bytes for this peer need. Raises ConfigError where there is no such peer."""
        ...

    def begin(self, files: Sequence[Path], peer: SaeId, one_time: bool, who: str, done: Callable[[], None]) -> str:
        """Send these files; the transfer's id. `done` is called once when they are needed no more.

        Raises PoliqiError where it cannot begin; `done` is not called then.
        """
        ...

    def stop(self, transfer: str) -> bool:
        """Give one up; False where there is none that goes on."""
        ...

    def receipt(self, receipt: str) -> bytes | None:
        """A receipt as JSON."""
        ...

    def open(self, arrival: str, number: int) -> BinaryIO | None:
        """A file of the inbox, from its begin; None where it is not there."""
        ...
