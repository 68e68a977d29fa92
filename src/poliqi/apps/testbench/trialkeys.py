"""A key source of a trial: both ends compute the same keys from one, so that nothing has to run between them.

A key's name holds its number, its size and a mark that only who has the trial's key can make.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import Key, Supply
from poliqi.apps.testbench.seams import KeyPair
from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["DerivedPlaces", "TrialKeys"]

_LEAST_BYTES: Final = 8
_MOST_BYTES: Final = 64 << 10
_MOST_NUMBER: Final = 128
_GRADE: Final[Mapping[str, Any]] = {
    "grade": "simulated",
    "origin": "simulated",
    "simulated": True,
    "epsilon": None,
    "paths": [["here", "there"]],
    "combiner": "none",
    "authenticity": "information-theoretic",
}


class TrialKeys:
    """One end. `stock_bytes` is what its master may draw in all. Implements KeySource."""

    def __init__(self, key: bytes, own: SaeId, stock_bytes: int = 1 << 50) -> None:
        self._key: Final = key
        self._own: Final = own
        self._lock: Final = threading.Lock()
        self._drawn = 0
        self._given: Final[set[str]] = set()
        self._stock_bytes = stock_bytes

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        """As KeySource."""
        if not _LEAST_BYTES <= size_bytes <= _MOST_BYTES or not 1 <= number <= _MOST_NUMBER:
            raise ConfigError(
                f"{number} keys of {size_bytes} bytes: a trial gives 1 to {_MOST_NUMBER} keys of {_LEAST_BYTES} to"
                f" {_MOST_BYTES} bytes"
            )
        with self._lock:
            if number * size_bytes > self._stock_bytes:
                raise KeysNotReady(
                    f"{self._stock_bytes} bytes of this trial's key are left, and no more comes", None
                )
            self._stock_bytes -= number * size_bytes
            first = self._drawn
            self._drawn += number
        return [self._computed(self._own, peer, at, size_bytes) for at in range(first, first + number)]

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        """As KeySource."""
        with self._lock:
            keys = [self._recomputed(peer, key_id) for key_id in key_ids]
            if len(set(key_ids)) < len(key_ids) or not self._given.isdisjoint(key_ids):
                raise DataRefused("a key of this trial was asked for a second time; each is given once")
            self._given.update(key_ids)
        return keys

    def supply(self, peer: SaeId) -> Supply:  # noqa: ARG002  # one stock for all
        """As KeySource."""
        return Supply(
            available_bytes=self._stock_bytes,
            rate_bps=None,
            least_bytes=_LEAST_BYTES,
            most_bytes=_MOST_BYTES,
            most_number=_MOST_NUMBER,
            is_connected=True,
            grades=(KeyGrade.read(_GRADE),),
        )

    def close(self) -> None:
        """As KeySource."""

    def _recomputed(self, master: SaeId, key_id: str) -> Key:
        try:
            told = uuid.UUID(key_id).bytes
        except ValueError:
            told = bytes(16)
        size = int.from_bytes(told[6:10], "big")
        if size <= _MOST_BYTES:
            key = self._computed(master, self._own, int.from_bytes(told[:6], "big"), size)
            if hmac.compare_digest(key.key_id.encode(), key_id.encode()):
                return key
        raise DataRefused(f"no key of this trial is called {key_id[:40]!r}")

    def _computed(self, master: SaeId, slave: SaeId, number: int, size_bytes: int) -> Key:
        place = number.to_bytes(6, "big") + size_bytes.to_bytes(4, "big")
        ends = len(master).to_bytes(1, "big") + master.encode() + slave.encode()
        secret = hashlib.blake2b(place + ends, key=self._key, digest_size=48).digest()
        encrypt = Cipher(algorithms.AES256(secret[:32]), modes.CTR(bytes(16))).encryptor()
        key_id = str(uuid.UUID(bytes=place + secret[32:38]))
        return Key(key_id, SecretBytes(encrypt.update(bytes(size_bytes))), _GRADE)


class DerivedPlaces:
    """`TrialKeys` as a candidate: the key source that every other one can be compared with."""

    name = "trial keys"
    description = "computed at both ends from one key: as fast as there is, and no secret"

    @contextmanager
    def open_pair(self) -> Generator[KeyPair]:
        """As KeyPlaces."""
        key, stock = os.urandom(32), 512 << 10
        one, other = SaeId("one"), SaeId("other")
        yield KeyPair(TrialKeys(key, one, stock), one, TrialKeys(key, other, stock), other)
