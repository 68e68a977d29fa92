"""Conformance of a record encryptor. Each check opens ends of its own: a refused record may end a connection."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from poliqi.apps.testbench.checking import Check, NotSeen, Wrong
from poliqi.apps.testbench.seams import Octets, Opened, RecordEncryptor, RecordEnd, Side
from poliqi.apps.testbench.supply import Supplies, open_ends
from poliqi.base.errors import KeyExhausted, ProtocolError

__all__ = ["RECORD_CHECKS"]

_KEY_BYTES: Final = 64 << 10
_MUCH_KEY_BYTES: Final = 4 << 20
_SMALL: Final = b"one record of a trial"
_MARKER: Final = b"PLAINTEXT-MARKER"
_SEALS: Final = 66_000
"""More than a counter of two octets has values."""
_PATIENCE_S: Final = 3.0
_LEAST_SEALS: Final = 8
_GROWTH_BYTES: Final = 24 << 20
_CHURN_BYTES: Final = 96 << 20


class _Pair:
    """Two ends over the same fresh key, and buffers for their records."""

    def __init__(self, encryptor: RecordEncryptor, supplies: Supplies | None = None) -> None:
        self.encryptor: Final = encryptor
        self.caller, self.answerer = open_ends(encryptor, _supplies() if supplies is None else supplies)

    def sealed(self, plaintext: Octets, *, is_final: bool = False, by: Side = Side.CALLER) -> bytes:
        """The next record of one end."""
        room = len(plaintext) + self.encryptor.overhead_bytes
        out = memoryview(bytearray(room))
        end = self.caller if by is Side.CALLER else self.answerer
        length = end.seal(plaintext, out, is_final=is_final)
        if not 0 < length <= room:
            raise Wrong(f"{len(plaintext)} bytes became a record of {length}, beyond its overhead_bytes")
        return bytes(out[:length])

    def opened(self, record: Octets, *, by: Side = Side.ANSWERER) -> tuple[bytes, bool]:
        """What one end makes of a record."""
        return _open(self.answerer if by is Side.ANSWERER else self.caller, record)


def _open(end: RecordEnd, record: Octets) -> tuple[bytes, bool]:
    out = memoryview(bytearray(max(1, len(record))))
    found = Opened(*end.open(record, out))
    return bytes(out[: found.size]), found.is_final


def _supplies(count: int = _KEY_BYTES) -> Supplies:
    return Supplies(os.urandom(count), os.urandom(count))


def _is_refused(do: Callable[[], object]) -> bool:
    """True where it raises ProtocolError. Another error is let through, and fails the check."""
    try:
        do()
    except ProtocolError:
        return True
    return False


def round_trip(encryptor: RecordEncryptor) -> str:
    """Empty to largest, both ways, in turn."""
    largest = min(encryptor.largest_bytes, 1 << 20)
    sizes = [n for n in (0, 1, 15, 16, 17, 200, 1400, 16 << 10) if n < largest] + [largest]
    pair = _Pair(encryptor, _supplies(_MUCH_KEY_BYTES))
    for size in sizes:
        for by, to in ((Side.CALLER, Side.ANSWERER), (Side.ANSWERER, Side.CALLER)):
            plaintext = os.urandom(size)
            found, is_final = pair.opened(pair.sealed(plaintext, by=by), by=to)
            if found != plaintext:
                raise Wrong(f"a record of {size} bytes by the {by} does not open to what was sealed")
            if is_final:
                raise Wrong(f"a record of {size} bytes opens as final and was not sealed so")
    if encryptor.largest_bytes <= 1 << 20:
        _refuses_too_long(pair, largest + 1)
    return f"0 to {largest} bytes, both ways"


def _refuses_too_long(pair: _Pair, size: int) -> None:
    try:
        pair.sealed(bytes(size))
    except ValueError:
        return
    raise Wrong(f"{size} bytes were sealed, and largest_bytes is {pair.encryptor.largest_bytes}")


def flip(encryptor: RecordEncryptor) -> str:
    """Every octet of a small record, some of a large one."""
    length = len(_Pair(encryptor).sealed(_SMALL))
    for at in range(length):
        _refuses_flip(encryptor, _SMALL, at, 1 << at % 8)
    large = bytes(min(encryptor.largest_bytes, 16 << 10))
    for share in range(8):
        _refuses_flip(encryptor, large, len(large) * share // 8, 0x80)
    return f"each of {length} octets of a small record, 8 of a large one"


def _refuses_flip(encryptor: RecordEncryptor, plaintext: bytes, at: int, mask: int) -> None:
    pair = _Pair(encryptor)
    record = bytearray(pair.sealed(plaintext))
    record[at] ^= mask
    if not _is_refused(lambda: pair.opened(record)):
        raise Wrong(f"octet {at} of a record of {len(record)} was changed, and it opens all the same")


def truncation(encryptor: RecordEncryptor) -> str:
    """Every prefix of a record, and a record with one octet more."""
    length = len(_Pair(encryptor).sealed(_SMALL))
    for kept in range(length):
        pair = _Pair(encryptor)
        record = pair.sealed(_SMALL)[:kept]
        if not _is_refused(lambda pair=pair, record=record: pair.opened(record)):
            raise Wrong(f"the first {kept} of {length} octets of a record open")
    pair = _Pair(encryptor)
    record = pair.sealed(_SMALL) + b"\x00"
    if not _is_refused(lambda: pair.opened(record)):
        raise Wrong("a record with one octet more opens")
    return f"each of {length} prefixes, and one octet too many"


def final(encryptor: RecordEncryptor) -> str:
    """The end is said, once: no record after it, and none sealed after it."""
    pair = _Pair(encryptor)
    pair.opened(pair.sealed(_SMALL))
    last = pair.sealed(b"", is_final=True)
    if not pair.opened(last)[1]:
        raise Wrong("the final record does not open as final: a cut is taken for the end")
    if not _is_refused(lambda: pair.opened(last)):
        raise Wrong("the final record opens twice")
    try:
        more = pair.sealed(_SMALL)
    except ValueError:
        return "said once; nothing after it"
    if not _is_refused(lambda: pair.opened(more)):
        raise Wrong("a record after the final one opens")
    return "said once; nothing after it"


def replay(encryptor: RecordEncryptor) -> str:
    """A record opens once: at once again, and after another."""
    for between in (0, 1):
        pair = _Pair(encryptor)
        record = pair.sealed(_SMALL)
        pair.opened(record)
        for _ in range(between):
            pair.opened(pair.sealed(b"another"))
        if not _is_refused(lambda pair=pair, record=record: pair.opened(record)):
            raise Wrong(f"a record opens again, {between} records later")
    return "at once, and one record later"


def order(encryptor: RecordEncryptor) -> str:
    """The second before the first; the third after the first."""
    for kept in (0, 1):
        pair = _Pair(encryptor)
        records = [pair.sealed(b"%d " % n + _SMALL) for n in range(3)]
        for record in records[:kept]:
            pair.opened(record)
        late = records[kept + 1]
        if not _is_refused(lambda pair=pair, late=late: pair.opened(late)):
            raise Wrong(f"record {kept + 1} opens where record {kept} is next: order and gaps are not noticed")
    return "swapped, and with one left out"


def wrong_key(encryptor: RecordEncryptor) -> str:
    """Nothing opens under another key; and one bit in each second of the first 32 octets makes a difference."""
    right = os.urandom(_KEY_BYTES)
    opened = _opened_under(encryptor, right, os.urandom(_KEY_BYTES))
    if opened is not None:
        raise Wrong("a record opens under another key")
    for at in range(0, 32, 2):
        if _opened_under(encryptor, right, _with_bit(right, at)) == _SMALL:
            raise Wrong(f"a record opens under a key whose octet {at} is another: not all of the key is used")
    return "another key, and keys that differ in one bit"


def _opened_under(encryptor: RecordEncryptor, right: bytes, other: bytes) -> bytes | None:
    """What a record becomes where the receiving end has another key; None where it is refused."""
    sending = _Pair(encryptor, Supplies(right, right[::-1]))
    receiving = _Pair(encryptor, Supplies(other, right[::-1]))
    record = sending.sealed(_SMALL)
    try:
        return receiving.opened(record)[0]
    except ProtocolError:
        return None


def _with_bit(key: bytes, at: int) -> bytes:
    changed = bytearray(key)
    changed[at] ^= 4  # Poly1305 looks at this one in every octet of its key
    return bytes(changed)


def direction(encryptor: RecordEncryptor) -> str:
    """What the caller sealed is sent back to the caller."""
    for is_first in (True, False):
        pair = _Pair(encryptor)
        if not is_first:
            pair.opened(pair.sealed(_SMALL, by=Side.ANSWERER), by=Side.CALLER)
            pair.sealed(_SMALL)
        record = pair.sealed(_SMALL)
        if not _is_refused(lambda pair=pair, record=record: pair.opened(record, by=Side.CALLER)):
            raise Wrong("an end opens a record that it sealed itself")
    return "what an end sealed it does not open"


def exhaustion(encryptor: RecordEncryptor) -> str:
    """Key that runs out, at the beginning or later: nothing is sealed, and KeyExhausted says so."""
    said = 0
    for count in (0, 1, 31, 33, 64, 4096):
        said += _runs_out(encryptor, count)
    return f"{said} of 6 supplies ran out, and it said so" if said < 6 else "says so"


def _runs_out(encryptor: RecordEncryptor, count: int) -> bool:
    """True where the key ran out. Half of it is for each direction."""
    sending, receiving = _supplies(count).of(Side.CALLER)
    out = memoryview(bytearray(1024 + encryptor.overhead_bytes))
    try:
        end = encryptor.open_end(Side.CALLER, sending, receiving)
        for _ in range(16):
            end.seal(bytes(1024), out)
            if sending.refusals + receiving.refusals:
                raise Wrong(f"{count} bytes of key have run out, and records are sealed all the same")
    except KeyExhausted:
        if not sending.refusals + receiving.refusals:
            raise Wrong(f"it says that key has run out, and of {count} bytes it asked for no more") from None
        return True
    if sending.taken_bytes + receiving.taken_bytes == 0:
        raise Wrong("records are sealed and no key was taken")
    return False


def nonces(encryptor: RecordEncryptor) -> str:
    """No keystream twice: the same plaintext is sealed over and over, both ways, and no two records look alike."""
    overhead = encryptor.overhead_bytes
    size = min(encryptor.largest_bytes, overhead + 32)
    if size < overhead + 8:
        raise NotSeen(f"records of {size} bytes are too small to tell their keystream from their head")
    count = (_SEALS + 8) * (size + 64)
    pair = _Pair(encryptor, _supplies(count))
    seen: set[bytes] = set()
    begun, seals = time.monotonic(), 0
    while seals < _SEALS and (seals < _LEAST_SEALS or time.monotonic() - begun < _PATIENCE_S):
        for by in Side if seals < _LEAST_SEALS else (Side.CALLER,):
            # wherever the header ends, these octets are of the plaintext
            body = pair.sealed(bytes(size), by=by)[overhead:size]
            if body in seen:
                raise Wrong(f"record {seals} repeats the keystream of an earlier one: a nonce was used twice")
            seen.add(body)
        seals += 1
    return f"{seals} records, none alike"


def plaintext_shows(encryptor: RecordEncryptor) -> str:
    """Neither a marker nor a pattern of the plaintext is in the record."""
    size = min(encryptor.largest_bytes, 4096)
    record = _Pair(encryptor).sealed((_MARKER * (size // len(_MARKER) + 1))[:size])
    for at in range(len(_MARKER)):
        piece = (_MARKER + _MARKER)[at : at + 8]
        if piece in record:
            raise Wrong("plaintext stands in the record as it is")
    record = _Pair(encryptor).sealed(bytes(size))
    blocks = [record[at : at + 16] for at in range(len(record) - 15)]
    if len(blocks) - len(set(blocks)) > encryptor.overhead_bytes:
        raise Wrong("equal blocks of plaintext become equal blocks of the record")
    return "no marker, no pattern"


def memory(encryptor: RecordEncryptor) -> str:
    """What is held does not grow with what was sealed."""
    size = min(encryptor.largest_bytes, 64 << 10)
    supplies = Supplies(os.urandom(1 << 20), os.urandom(1 << 20), is_endless=True)
    pair = _Pair(encryptor, supplies)
    _churn(pair, size, 8 << 20)
    _give_back()
    before = _resident_bytes()
    done = _churn(pair, size, _CHURN_BYTES)
    grown = _resident_bytes() - before
    if grown > min(_GROWTH_BYTES, max(done // 2, 4 << 20)):
        raise Wrong(f"sealing and opening {done >> 20} MiB left {grown >> 20} MiB more in memory")
    return f"{done >> 20} MiB through, {max(0, grown) >> 20} MiB more held"


def _churn(pair: _Pair, size: int, most: int) -> int:
    begun, done = time.monotonic(), 0
    while done < most and time.monotonic() - begun < _PATIENCE_S:
        pair.opened(pair.sealed(bytes(size)))
        done += size
    return done


def _give_back() -> None:
    """What is free in this process goes back to the system: else what is held would hide in it."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="utf-8") as file:  # noqa: PTH123  # one line of the kernel's
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


RECORD_CHECKS: Final[tuple[Check[RecordEncryptor], ...]] = (
    ("round trip", round_trip),
    ("flip", flip),
    ("truncation", truncation),
    ("final", final),
    ("replay", replay),
    ("order", order),
    ("wrong key", wrong_key),
    ("direction", direction),
    ("key exhaustion", exhaustion),
    ("nonce", nonces),
    ("plaintext", plaintext_shows),
    ("memory", memory),
)
"""In the order in which they are run and shown."""
