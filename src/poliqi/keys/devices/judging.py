"""Keys that must not be stored: what repeats, what is stuck, what is obviously biased.

None of it makes a key good: a device whose keys somebody knows passes. It finds devices that are broken.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.keys.devices.messages import is_name
from poliqi.link.keydevice import MOST_KEY_BYTES, DeviceKey

__all__ = ["LEAST_KEY_BYTES", "MARK_BYTES", "MOST_MARKS", "Bias", "Judge", "Memory", "malformed", "stuck"]

LEAST_KEY_BYTES: Final = 8
MARK_BYTES: Final = 8
MOST_MARKS: Final = 1 << 22
"""Of windows and names in the memory: those of 64 MiB of key, or of fewer keys where they are short."""
_WINDOW: Final = 16
_AT_EVERY_BYTE: Final = 1 << 17
"""Bytes of a block in which every offset is looked up; in larger ones every sixteenth."""
_LONGEST_PERIOD: Final = 8
_SIGMAS: Final = 9.0
_BIAS_BYTES: Final = 1 << 16
_FEW: Final = 64
"""New marks are kept apart, sorted, until there are so many blocks of them."""

Marks = NDArray[np.uint64]


def malformed(key: DeviceKey) -> str | None:
    """Why a key is none: its name or its size."""
    if not is_name(key.name):
        return f"a key whose name is not 1 to 128 printable characters without blanks ({len(key.name)} came)"
    if not LEAST_KEY_BYTES <= len(key.bits) <= MOST_KEY_BYTES:
        return f"key {key.name} has {len(key.bits)} bytes; {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} are taken"
    return None


def stuck(key: DeviceKey) -> str | None:
    """Why a key is no key: one byte all over, or a short period."""
    data = bytes(key.bits.view())
    for period in range(1, _LONGEST_PERIOD + 1):
        if len(data) - period >= _LONGEST_PERIOD - 1 and data[period:] == data[:-period]:
            what = "is one byte all over" if period == 1 else f"repeats itself every {period} bytes"
            return f"key {key.name} {what}: the device is stuck"
    return None


class Bias:
    """Counts ones at each bit of the bytes, and of neighbouring bytes' exclusive or, over the latest blocks."""

    def __init__(self) -> None:
        self._seen = _Counts.none()

    def check(self, keys: Sequence[DeviceKey]) -> str | None:
        """Why a block of these keys is biased, or None. By Hoeffding a fair one is refused once in 5e15."""
        data = np.concatenate([np.frombuffer(key.bits.view(), np.uint8) for key in keys])
        block = _Counts.of(data)
        if self._seen.bytes[0] >= _BIAS_BYTES:
            self._seen = _Counts.none()
        together = self._seen.and_(block)
        why = block.worst() or together.worst()
        if why is None:
            self._seen = together
        return why


@dataclass(frozen=True, slots=True)
class _Counts:
    """For each of eight bits, then for the change of each: how many are one, of how many bytes."""

    ones: NDArray[np.int64]
    bytes: NDArray[np.int64]

    @classmethod
    def none(cls) -> _Counts:
        return cls(np.zeros(16, np.int64), np.zeros(16, np.int64))

    @classmethod
    def of(cls, data: NDArray[np.uint8]) -> _Counts:
        changes = data[1:] ^ data[:-1]
        ones = [np.count_nonzero(part & np.uint8(1 << bit)) for part in (data, changes) for bit in range(8)]
        return cls(np.array(ones, np.int64), np.repeat(np.array([data.size, changes.size], np.int64), 8))

    def and_(self, other: _Counts) -> _Counts:
        return _Counts(self.ones + other.ones, self.bytes + other.bytes)

    def worst(self) -> str | None:
        """The bit that is off by more than chance, in words."""
        over = np.abs(2 * self.ones - self.bytes) - _SIGMAS * np.sqrt(self.bytes)
        place = int(over.argmax())
        if over[place] <= 0:
            return None
        what = f"bit {place}" if place < 8 else f"the change of bit {place - 8} from byte to byte"
        return f"{what} is one {self.ones[place]} times in {self.bytes[place]} bytes: the device is biased"


@dataclass(frozen=True, slots=True)
class _Windows:
    """Marks of one block: those to remember, those to look up, and whose they are."""

    kept: Marks
    looked: Marks
    owners: NDArray[np.int64]


class Memory:
    """Marks of what was stored, bounded; `check` before a block is announced or held, `remember` once it is stored.

    A mark is HMAC-SHA-256 under a secret salt, cut to 8 bytes: of a name, or of 16 bytes of key.
    """

    def __init__(self, salt: bytes, blocks: Iterable[bytes] = (), most: int = MOST_MARKS) -> None:
        self._hmac: Final = hmac.new(salt, digestmod=hashlib.sha256)
        self._most: Final = most
        self._blocks: Final[deque[Marks]] = deque()
        self._count = 0
        self._sorted: Marks = np.empty(0, np.uint64)
        self._recent: list[Marks] = []
        for block in blocks:
            self._keep(np.frombuffer(block, "<u8").astype(np.uint64))
        self._fold()

    def check(self, keys: Sequence[DeviceKey]) -> str | None:
        """Why a block of these keys repeats something, or None."""
        known = self._knows(self._marks(b"\0" + key.name.encode() for key in keys))
        names: set[str] = set()
        for key, is_known in zip(keys, known, strict=True):
            if is_known or key.name in names:
                return f"the name {key.name} came before: the device repeats itself"
            names.add(key.name)
        windows = self._windows(keys)
        found = self._knows(windows.looked)
        if found.any():
            return _repeated(keys[int(windows.owners[found.argmax()])], "of an earlier block")
        once, counts = np.unique(windows.kept, return_counts=True)
        inside = np.isin(windows.looked, once)
        if counts.max() > 1 or np.count_nonzero(inside) > once.size:
            twice = np.isin(windows.looked, once[counts > 1]) if counts.max() > 1 else inside
            return _repeated(keys[int(windows.owners[twice.size - 1 - twice[::-1].argmax()])], "of the same block")
        return None

    def marks(self, keys: Sequence[DeviceKey]) -> bytes:
        """What `remember` takes, for a block of these keys."""
        named = self._marks(b"\0" + key.name.encode() for key in keys)
        return np.concatenate([named, self._windows(keys, every=_WINDOW).kept]).astype("<u8").tobytes()

    def remember(self, marks: bytes) -> None:
        """A block is stored."""
        self._keep(np.frombuffer(marks, "<u8").astype(np.uint64))
        if len(self._recent) >= _FEW:
            self._fold()

    def _keep(self, marks: Marks) -> None:
        self._blocks.append(marks)
        self._recent.append(np.sort(marks))
        self._count += marks.size
        while self._count > self._most and len(self._blocks) > 1:
            self._count -= self._blocks.popleft().size

    def _fold(self) -> None:
        self._sorted = np.sort(np.concatenate([*self._blocks])) if self._blocks else np.empty(0, np.uint64)
        self._recent.clear()

    def _knows(self, marks: Marks) -> NDArray[np.bool_]:
        found = np.zeros(marks.size, np.bool_)
        for known in (self._sorted, *self._recent):
            if known.size:
                at = np.minimum(np.searchsorted(known, marks), known.size - 1)
                found |= known[at] == marks
        return found

    def _marks(self, words: Iterable[bytes]) -> Marks:
        return np.frombuffer(b"".join(self._mark(word) for word in words), "<u8").astype(np.uint64)

    def _mark(self, word: bytes) -> bytes:
        mac = self._hmac.copy()
        mac.update(word)
        return mac.digest()[:MARK_BYTES]

    def _windows(self, keys: Sequence[DeviceKey], every: int | None = None) -> _Windows:
        total = sum(len(key.bits) for key in keys)
        step = every or (1 if total <= _AT_EVERY_BYTE else _WINDOW)
        marks: list[bytes] = []
        owners: list[int] = []
        kept: list[bool] = []
        for owner, key in enumerate(keys):
            data = bytes(key.bits.view())
            last = max(0, len(data) - _WINDOW)
            for offset in _offsets(last, step):
                marks.append(self._mark(b"\1" + data[offset : offset + _WINDOW]))
                owners.append(owner)
                kept.append(offset % _WINDOW == 0 or offset == last)
        looked = np.frombuffer(b"".join(marks), "<u8").astype(np.uint64)
        return _Windows(looked[np.array(kept)], looked, np.array(owners, np.int64))


def _offsets(last: int, step: int) -> Iterator[int]:
    """Where windows begin: every `step` bytes, and the last one."""
    yield from range(0, last, step)
    yield last


def _repeated(key: DeviceKey, where: str) -> str:
    return f"key {key.name} holds 16 bytes {where}: the device repeats itself"


class Judge:
    """All of the above for one end; the memory grows with what is stored."""

    def __init__(self, memory: Memory) -> None:
        self._memory: Final = memory
        self._bias: Final = Bias()

    def refusal(self, keys: Sequence[DeviceKey]) -> str | None:
        """Why a block of these keys is refused, or None."""
        for check in (malformed, stuck):
            for key in keys:
                why = check(key)
                if why is not None:
                    return why
        return self._memory.check(keys) or self._bias.check(keys)

    def marks(self, keys: Sequence[DeviceKey]) -> bytes:
        """What the memory will hold of them."""
        return self._memory.marks(keys)

    def remember(self, marks: bytes) -> None:
        """A block of these marks is stored."""
        self._memory.remember(marks)
