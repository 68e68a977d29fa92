"""Key material that can be recognised wherever it turns up, without remembering any of it.

Every aligned 8 bytes of key in a twin are a random word x and M x, M being a matrix over GF(2). Sums of such words
are such words, so shares and parities of relays that were put together again are marked as well. Sixteen bytes in a
row of something else look like it with probability 2^-64 for each place that is looked at.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONG_BYTES", "MarkedEntropy", "are_keys", "find_key", "is_key", "mark"]

LONG_BYTES: Final = 32
"""Draws that are at least so long are secrets and get marked; shorter ones are names."""

_LONG: Final = 4096
_IMAGES: Final = np.frombuffer(hashlib.shake_128(b"poliqi twin: images of the bits of a word").digest(128), "<u4")
_WORDS: Final = bytes(b if (chr(b).isalnum() and b < 128) or b in b"+/_-" else 32 for b in range(256))
"""Turns all that can stand in no spelling of bytes into blanks."""
_LEAST: Final = 22
"""Shortest spelling of 16 bytes: base64. The digits of a number are fewer."""
_BETWEEN: Final = b"0123456789 \t\r\n"
"""What is left of sixteen numbers in a row without these is fifteen commas."""
_COMMAS: Final = 15 * b","
_NUMBERS: Final = re.compile(rb"(?:\d{1,3}\s*,\s*){15,}\d{1,3}")


def _tables() -> NDArray[np.uint32]:
    """M of each byte at each of its four places: sums of the images of its bits."""
    tables = np.zeros((4, 256), np.uint32)
    for place in range(4):
        for bit in range(8):
            has_bit = (np.arange(256) >> bit & 1).astype(np.bool_)
            tables[place, has_bit] ^= _IMAGES[8 * place + bit]
    return tables


_TABLES: Final = _tables()


def _image(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """M x of each word."""
    places = np.ascontiguousarray(x).view(np.uint8).reshape(-1, 4)
    found: NDArray[np.uint32] = _TABLES[0][places[:, 0]]
    for place in (1, 2, 3):
        found = found ^ _TABLES[place][places[:, place]]
    return found


def mark(random: bytes) -> bytes:
    """Marked bytes, twice as many as are given; `random` has a multiple of 4."""
    x = np.frombuffer(random, "<u4")
    words = np.empty((x.size, 2), "<u4")
    words[:, 0] = x
    words[:, 1] = _image(x)
    return words.tobytes()


class MarkedEntropy:
    """Bytes that follow from a seed and a name; long draws are marked."""

    source = "a seed: simulated, protects nothing"

    def __init__(self, seed: int, name: str) -> None:
        self._name: Final = f"{seed}/{name}"
        self._count = 0

    def draw(self, count: int) -> bytes:
        """The next bytes, the same in every run."""
        self._count += 1
        return stretch(f"{self._name}/{self._count}", count)


def stretch(label: str, count: int) -> bytes:
    """`count` bytes that follow from a label."""
    if count < LONG_BYTES:
        return hashlib.shake_128(label.encode()).digest(count)
    half = 4 * -(-count // 8)
    if half < _LONG:
        return mark(hashlib.shake_128(label.encode()).digest(half))[:count]
    seed = int.from_bytes(hashlib.sha256(label.encode()).digest()[:16], "little")
    return mark(np.random.Generator(np.random.PCG64(seed)).bytes(half))[:count]


def is_key(data: bytes) -> bool:
    """True where 16 marked bytes in a row lie anywhere in `data`."""
    return len(data) >= 16 and any(_is_key_at(data, start) for start in range(8))


def are_keys(values: Sequence[bytes]) -> bool:
    """True where every one of `values` is key throughout its first 16 bytes."""
    words = np.frombuffer(b"".join(value[:16].ljust(16, b"\0") for value in values), "<u4").reshape(-1, 2)
    return bool(((_image(words[:, 0]) == words[:, 1]) & (words[:, 0] != 0)).all())


def _is_key_at(data: bytes, start: int) -> bool:
    """Marked bytes whose words begin at `start`, or a multiple of 8 after it."""
    words = np.frombuffer(data, "<u4", count=(len(data) - start) // 8 * 2, offset=start).reshape(-1, 2)
    hit = (_image(words[:, 0]) == words[:, 1]) & (words[:, 0] != 0)
    return bool((hit[1:] & hit[:-1]).any())


class _Seen:
    """Words of text that were found clean; a city's names come again and again."""

    def __init__(self) -> None:
        self.words: set[bytes] = set()


_seen: Final = _Seen()


def find_key(data: bytes) -> bool:
    """True where key stands in a text: as it is, as hexadecimal, as base64 in either alphabet, as numbers.

    The text is what may leave a controller or be shown: JSON, log lines, views.
    """
    if not data.isascii() and is_key(data):
        return True
    news = {token for token in data.translate(_WORDS).split() if len(token) >= _LEAST} - _seen.words
    if any(is_key(spelt) for token in news for spelt in _spelt(token)):
        return True
    if len(_seen.words) > 50_000:
        _seen.words.clear()
    _seen.words |= news
    return _COMMAS in data.translate(None, _BETWEEN) and any(
        is_key(bytes(n & 255 for n in map(int, found.split(b",")))) for found in _NUMBERS.findall(data)
    )


def _spelt(token: bytes) -> Iterator[bytes]:
    yield token
    if len(token) >= 32:
        for start in (0, 1):
            digits = token[start:]
            found = re.match(rb"[0-9a-fA-F]*", digits)
            if found is not None and len(found[0]) >= 32:
                yield bytes.fromhex(found[0][: len(found[0]) // 2 * 2].decode())
    plain = token.replace(b"-", b"+").replace(b"_", b"/")
    for start in range(4):
        part = plain[start : start + (len(plain) - start) // 4 * 4]
        if part:
            yield base64.b64decode(part)
