"""One-time pads from a key source: drawn by one side, fetched by the other, judged by both, each byte used once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.apps.envelope.rule import PadRule
from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import Key, KeySource, Supply
from poliqi.apps.stream.rekey import QUANTUM_KEY_BYTES
from poliqi.base.errors import ConfigError, DataRefused, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.keyanswers import KeysNotReady
from poliqi.keys.onetime import MAC_KEY_BYTES

__all__ = ["KEYS_MOST", "Outlook", "Pad", "PadSource"]

KEYS_MOST: Final = 4096
"""The most keys of one pad."""
_LEAST_BYTES: Final = max(MAC_KEY_BYTES, QUANTUM_KEY_BYTES) + 1
"""The shortest key of a pad: shorter ones are drawn for other modes."""


class Pad:
    """Key bytes that are handed out once, from front to back; `close` wipes what is left.

    The first MAC_KEY_BYTES of a key are a tag's key, where the key is the pad's first, or nothing. Did they cover a
    text, whoever knows the text would know them, and forge under a pad that names that key first.
    """

    __slots__ = ("_at", "_bytes", "grades", "key_ids")

    def __init__(self, keys: Sequence[Key]) -> None:
        """Empties the keys."""
        self.key_ids: Final = tuple(key.key_id for key in keys)
        self.grades: Final = tuple(KeyGrade.read(key.grade) for key in keys)
        parts = [key.value.take() for key in keys]
        self._bytes: Final = bytearray(b"".join(parts[:1] + [part[MAC_KEY_BYTES:] for part in parts[1:]]))
        self._at = 0

    def __len__(self) -> int:
        """Bytes that are left."""
        return len(self._bytes) - self._at

    def take(self, size: int) -> SecretBytes:
        """The next bytes, for one use; they are wiped here. Raises ValueError where fewer are left."""
        if not 0 <= size <= len(self):
            raise ValueError(f"{size} bytes of a pad of which {len(self)} are left")
        end = self._at + size
        taken = SecretBytes(memoryview(self._bytes)[self._at : end])
        self._bytes[self._at : end] = bytes(size)
        self._at = end
        return taken

    def close(self) -> None:
        """Wipe what is left."""
        self._bytes[:] = bytes(len(self._bytes))
        self._at = len(self._bytes)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether key is there for something: sizes in bytes, `seconds` until it is (0 now, None: nobody can say)."""

    needed_bytes: int
    available_bytes: int
    rate_bps: float | None
    seconds: float | None
    refusal: str | None
    """Why the keys in stock would be refused, whatever their number."""


class PadSource:
    """Pads shared with one peer under one rule. For one thread at a time."""

    def __init__(self, keys: KeySource, peer: SaeId, rule: PadRule) -> None:
        self._keys: Final = keys
        self._peer: Final = peer
        self._rule: Final = rule
        self._limits: Supply | None = None

    def draw(self, size: int) -> Pad:
        """A new pad of at least `size` bytes, to share with the peer.

        A pad that takes several requests is begun only where all of it is there. Raises KeysNotReady, DataRefused
        where the keys do not meet the rule, ConfigError where the site's keys are too short for a pad, and what a
        key source raises; what was drawn by then is lost.
        """
        limits = self._limits_checked()
        count, each = _portions(size, limits)
        if count > limits.most_number:
            self._check_there(count * each)
        keys: list[Key] = []
        try:
            while len(keys) < count:
                keys += self._keys.fresh(self._peer, min(count - len(keys), limits.most_number), each)
            self._judge(keys)
        except BaseException:
            _wipe(keys)
            raise
        return Pad(keys)

    def fetch(self, key_ids: Sequence[str], size: int) -> Pad:
        """The pad that the peer drew and named.

        Raises ProtocolError where it is too short or names a key twice, DataRefused where it is longer than such a
        pad is drawn, where a key is too short for any pad, is not there or does not meet the rule, and what a key
        source raises.
        """
        if not 1 <= len(key_ids) <= KEYS_MOST or len(set(key_ids)) != len(key_ids):
            raise ProtocolError(f"a pad of {len(key_ids)} keys: from 1 to {KEYS_MOST}, each named once")
        limits = self._limits_known()
        step = max(1, limits.most_number)
        keys: list[Key] = []
        try:
            for start in range(0, len(key_ids), step):
                keys += self._keys.named(self._peer, key_ids[start : start + step])
            if any(len(key.value) < _LEAST_BYTES for key in keys):
                raise DataRefused(
                    f"a key of {_LEAST_BYTES - 1} bytes or less is drawn for another mode, and is no pad"
                )
            whole = size + MAC_KEY_BYTES * (len(keys) - 1)
            if (there := sum(len(key.value) for key in keys)) < whole:
                raise ProtocolError(f"a pad of {there} bytes for {whole}: the keys are spent")
            if there > (most := len(keys) * _each(size, len(keys), limits)):
                raise DataRefused(
                    f"a pad of {there} bytes for {whole}, where {most} are drawn: what it is for was changed on "
                    "the way (or the two sites have another min_size)"
                )
            self._judge(keys)
        except BaseException:
            _wipe(keys)
            raise
        return Pad(keys)

    def outlook(self, *pads: tuple[int, int]) -> Outlook:
        """Whether key for pads, each (bytes, how many of them), is there, else when.

        Raises ConfigError where the site's keys are too short for a pad, and what a key source raises.
        """
        supply = self._keys.supply(self._peer)
        self._limits = supply
        needed = sum(math.prod(_portions(size, supply)) * times for size, times in pads)
        return Outlook(
            needed_bytes=needed,
            available_bytes=supply.available_bytes,
            rate_bps=supply.rate_bps,
            seconds=supply.seconds_until(needed),
            refusal=self._refusal(supply.grades),
        )

    def _limits_known(self) -> Supply:
        if self._limits is None:
            self._limits = self._keys.supply(self._peer)
        return self._limits

    def _limits_checked(self) -> Supply:
        """Keys that would be refused are not even drawn, as far as their site tells beforehand."""
        limits = self._limits_known()
        if (reason := self._refusal(limits.grades)) is not None:
            self._limits = None  # looked at again the next time
            raise DataRefused(f"the keys in stock with {self._peer} are refused: {reason}")
        return limits

    def _refusal(self, grades: Sequence[KeyGrade]) -> str | None:
        reasons = [self._rule.demand.judge(grade) for grade in grades]
        return reasons[0] if reasons and all(reason is not None for reason in reasons) else None

    def _check_there(self, size: int) -> None:
        """Requests are all or nothing, several together are not: half a pad would be key for nothing."""
        supply = self._limits = self._keys.supply(self._peer)
        seconds = supply.seconds_until(size)
        if seconds != 0.0:
            raise KeysNotReady(
                f"{size:,} bytes of key with {self._peer} are needed at once, {supply.available_bytes:,} are there",
                seconds,
            )

    def _judge(self, keys: Sequence[Key]) -> None:
        for key in keys:
            reason = self._rule.demand.judge(KeyGrade.read(key.grade))
            if reason is not None:
                self._limits = None
                raise DataRefused(f"a key shared with {self._peer} is refused: {reason}")


def _portions(size: int, limits: Supply) -> tuple[int, int]:
    """How many keys of how many bytes make a pad of `size`. Raises ConfigError where the site's are too short."""
    most = limits.most_bytes
    if most < _LEAST_BYTES:
        raise ConfigError(
            f"keys of {most} bytes are too short for a pad, which takes keys of {_LEAST_BYTES} bytes or more: let "
            "the site give longer keys (key sizes of site.toml)"
        )
    count = max(1, -(-(size - MAC_KEY_BYTES) // (most - MAC_KEY_BYTES)))
    if count > KEYS_MOST:
        raise ConfigError(
            f"{size} bytes of pad take {count} keys of {most} bytes, and at most {KEYS_MOST} are used for one: "
            "let the site give longer keys (key sizes of site.toml)"
        )
    return count, _each(size, count, limits)


def _each(size: int, count: int, limits: Supply) -> int:
    """Bytes of each of `count` keys: all of the first serves, of the others what is behind MAC_KEY_BYTES."""
    return max(limits.least_bytes, _LEAST_BYTES, -(-(size + MAC_KEY_BYTES * (count - 1)) // count))


def _wipe(keys: Sequence[Key]) -> None:
    for key in keys:
        key.value.close()
