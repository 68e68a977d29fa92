"""Key sources of two applications without a site between them: keys are drawn from the operating system.

They keep to what a site promises: a key is given to each end once, in the sizes and numbers of the limits; stock
can run out and be filled. For tests and benchmarks; what is measured with them says so.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Sequence
from typing import Any

from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import Key, Supply
from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["PHOTONS", "SIMULATED", "PlayedKeys", "PlayedSite"]

PHOTONS: dict[str, Any] = {
    "grade": "its",
    "origin": "photons",
    "simulated": False,
    "epsilon": 1e-10,
    "proof": "played",
    "paths": [["leonardo", "bovisa"]],
    "paths_needed": 1,
    "hybrid": False,
    "combiner": "none",
    "authenticity": "information-theoretic",
}
SIMULATED: dict[str, Any] = {
    **PHOTONS,
    "grade": "simulated",
    "origin": "simulated",
    "simulated": True,
    "epsilon": None,
}


class PlayedSite:
    """The stock between any two applications. `stock_bytes` is what is there for each pair and direction."""

    def __init__(
        self,
        stock_bytes: int = 1 << 40,
        grade: dict[str, Any] | None = None,
        rate_bps: float | None = None,
        most_bytes: int = 512,
        most_number: int = 128,
    ) -> None:
        self.stock_bytes = stock_bytes
        self.grade = PHOTONS if grade is None else grade
        self.rate_bps = rate_bps
        self.most_bytes = most_bytes
        self.most_number = most_number
        self.lock = threading.Lock()
        self.promised: dict[tuple[SaeId, SaeId], dict[str, bytes]] = {}
        self.delivered: list[str] = []
        """Every key id that was given to a master, in order: an audit looks for one that is there twice."""

    def keys(self, sae: str) -> PlayedKeys:
        """The source of one application."""
        return PlayedKeys(self, SaeId(sae))


class PlayedKeys:
    """One application's source (poliqi.apps.keysource.KeySource)."""

    def __init__(self, site: PlayedSite, sae: SaeId) -> None:
        self.site = site
        self.sae = sae

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        site = self.site
        if not 8 <= size_bytes <= site.most_bytes or not 1 <= number <= site.most_number:
            raise ConfigError(f"{number} keys of {size_bytes} bytes are beyond the limits")
        with site.lock:
            if number * size_bytes > site.stock_bytes:
                wait_s = 8 * number * size_bytes / site.rate_bps if site.rate_bps else None
                raise KeysNotReady(f"{site.stock_bytes} bytes of key are left with {peer}", wait_s)
            site.stock_bytes -= number * size_bytes
            found = [(str(uuid.uuid4()), os.urandom(size_bytes)) for _ in range(number)]
            site.promised.setdefault((self.sae, peer), {}).update(found)
            site.delivered += [key_id for key_id, _ in found]
        return [Key(key_id, SecretBytes(value), site.grade) for key_id, value in found]

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        with self.site.lock:
            there = self.site.promised.get((peer, self.sae), {})
            if any(key_id not in there for key_id in key_ids) or len(set(key_ids)) != len(key_ids):
                raise DataRefused("One or more keys specified are not found on KME")
            found = [(key_id, there.pop(key_id)) for key_id in key_ids]
        return [Key(key_id, SecretBytes(value), self.site.grade) for key_id, value in found]

    def supply(self, peer: SaeId) -> Supply:  # noqa: ARG002  # one stock for all
        site = self.site
        return Supply(
            available_bytes=site.stock_bytes,
            rate_bps=site.rate_bps,
            least_bytes=8,
            most_bytes=site.most_bytes,
            most_number=site.most_number,
            is_connected=True,
            grades=(KeyGrade.read(site.grade),),
        )

    def close(self) -> None:
        """Nothing to hang up."""
