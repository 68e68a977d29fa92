"""What is asked of the process in which a driver runs, and what it answers: one line of JSON each way, in turn."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from poliqi.apps.testbench.outcome import Finding

__all__ = ["Answer", "Candidate", "DriverKind", "Load", "Look"]


class DriverKind(StrEnum):
    """What a driver drives."""

    LIGHT = "light"
    KEYS = "keys"


class Candidate(msgspec.Struct, frozen=True):
    """A driver and how it is tried.

    `device` is a FILE.py under `base`, or a name; `link` a pickled LinkParameters in hexadecimal; `seconds` the
    light of one look; `first_slot` where Bob's slots begin. `peer_options` are those of a key device's other end,
    None where it is not here.
    """

    device: str
    base: str
    options: dict[str, Any]
    peer_options: dict[str, Any] | None
    link: str
    seconds: float
    first_slot: int
    is_alice: bool = True
    is_bob: bool = True


class Load(msgspec.Struct, frozen=True, tag=True):
    """Run the driver's code and say what it is."""

    candidate: Candidate


class Look(msgspec.Struct, frozen=True, tag=True):
    """Run one check."""

    check: str


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`checks` are those that fit, in their order; `figures` what was measured on the way."""

    kind: DriverKind | None = None
    checks: tuple[str, ...] = ()
    finding: Finding | None = None
    figures: dict[str, float] = {}
    error: str | None = None
