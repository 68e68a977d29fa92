"""What the bench and its child processes say to each other: one line of JSON each way, in turn."""

from __future__ import annotations

import msgspec

from poliqi.apps.testbench.catalogue import Origin, Place
from poliqi.apps.testbench.outcome import Finding, RecordFigures

__all__ = [
    "Answer",
    "Conform",
    "Describe",
    "Draw",
    "Keys",
    "Listen",
    "Ping",
    "Records",
    "Request",
    "Send",
    "Serve",
]


class Describe(msgspec.Struct, frozen=True, tag=True):
    """Load this place and say what stands there."""

    origin: Origin


class Conform(msgspec.Struct, frozen=True, tag=True):
    """Run the checks of its kind on the candidate of this name."""

    name: str


class Records(msgspec.Struct, frozen=True, tag=True):
    """Time records of one size."""

    name: str
    size_bytes: int
    seconds: float


class Draw(msgspec.Struct, frozen=True, tag=True):
    """Time random bytes."""

    name: str
    seconds: float


class Keys(msgspec.Struct, frozen=True, tag=True):
    """Time keys through both ends."""

    name: str
    seconds: float


class Listen(msgspec.Struct, frozen=True, tag=True):
    """Start the answering end of a stream and say its port."""

    name: str
    key_hex: str
    folder: str


class Serve(msgspec.Struct, frozen=True, tag=True):
    """Accept the one caller: take all that comes, or send it back; then stop listening."""

    is_echo: bool
    timeout_s: float


class Send(msgspec.Struct, frozen=True, tag=True):
    """Call, and send for so long."""

    name: str
    key_hex: str
    folder: str
    port: int
    write_bytes: int
    seconds: float


class Ping(msgspec.Struct, frozen=True, tag=True):
    """Call, and send small messages there and back for so long."""

    name: str
    key_hex: str
    folder: str
    port: int
    seconds: float


Request = Describe | Conform | Records | Draw | Keys | Listen | Serve | Send | Ping


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a child found; `error` where it could not."""

    error: str | None = None
    places: tuple[Place, ...] = ()
    missing: str | None = None
    findings: tuple[Finding, ...] = ()
    records: RecordFigures | None = None
    port: int = 0
    received_bytes: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    rate: float = 0.0
    p50_s: float = 0.0
    p99_s: float = 0.0
