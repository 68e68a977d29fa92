"""Identifiers and closed sets of names that several rooms share."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

__all__ = ["BlockNumber", "KmeId", "LeakModel", "LinkId", "Origin", "Role", "SaeId"]

LinkId = NewType("LinkId", str)
"""Name of a paired link; the same text at both ends."""

BlockNumber = NewType("BlockNumber", int)
"""Number of a block attempt on a link: grows for ever, never used twice, 0 means none."""


KmeId = NewType("KmeId", str)
"""Name of a site's key management entity, as its certificate says it."""

SaeId = NewType("SaeId", str)
"""Name of a secure application entity, as its certificate says it."""


class Role(StrEnum):
    """Which end of a link: Alice prepares, Bob detects."""

    ALICE = "alice"
    BOB = "bob"

    @property
    def peer(self) -> Role:
        return Role.BOB if self is Role.ALICE else Role.ALICE


class Origin(StrEnum):
    """Where the light of a block came from; the weakest origin travels with every key."""

    PHOTONS = "photons"
    SIMULATED = "simulated"
    REPLAY = "replay"


class LeakModel(StrEnum):
    """Which bits of error correction count as leaked to the eavesdropper."""

    BOTH_DIRECTIONS = "both-directions"
    ERROR_STRING = "error-string"
