"""What a gateway knows of an image without opening it: names, sizes, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from poliqi.base.ids import SaeId

__all__ = ["Answer", "Head", "Held", "Outcome", "Stage"]


class Stage(StrEnum):
    """Where an image of the queue stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    REFUSED = "refused"


class Outcome(StrEnum):
    """What became of an attempt to deliver one."""

    DELIVERED = "delivered"
    """The machine at the other site said that it has it."""
    REFUSED = "refused"
    """It said that it will never take it."""
    LATER = "later"
    """It cannot be reached, or has no room now."""


@dataclass(frozen=True, slots=True)
class Head:
    """Which image for which machine. `ae` is the title it was sent to; UIDs are those of the C-STORE command."""

    ae: str
    class_uid: str
    instance_uid: str
    syntax_uid: str


@dataclass(frozen=True, slots=True)
class Held:
    """An image of the queue. `offset` is where its data set begins in the file, `size` the data set's bytes.

    `digest` is SHA-256 over the data set; times are Unix time.
    """

    seq: int
    id: str
    head: Head
    peer: SaeId
    calling: str
    offset: int
    size: int
    digest: bytes
    taken_s: float
    stage: Stage
    status: int | None
    said: str
    done_s: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side says of image `id`: `status` is the DICOM status where there was one."""

    id: str
    outcome: Outcome
    status: int | None = None
    said: str = ""
