"""Record encryptors that are broken in one way each, so that each conformance check is seen to fail.

All of them are the sound one below with one thing changed. `CASES` says which check must find which.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from poliqi.apps.testbench.seams import Opened
from poliqi.base.errors import KeyExhausted, ProtocolError

TAG = 16


@dataclass(frozen=True)
class Made:
    """Encrypt-then-MAC with everything that can be left out as a setting."""

    name: str = "sound"
    description: str = "sound"
    overhead_bytes: int = 1 + TAG
    largest_bytes: int = 1 << 16
    checks_head: bool = True
    checks_body: bool = True
    checks_number: bool = True
    checks_end: bool = True
    says_end: bool = True
    has_directions: bool = True
    uses_key: bool = True
    uses_all_key: bool = True
    encrypts: bool = True
    has_stream: bool = True
    nonce_bits: int = 64
    refuses_long: bool = True
    raises: type[Exception] = ProtocolError
    on_exhaustion: str = "raises"
    short_tag: bool = False
    hoard: bool = False
    loses: int = 0

    def open_end(self, side: Any, sending: Any, receiving: Any) -> End:
        try:
            keys = [bytes(supply.take(32)) for supply in (sending, receiving)]
        except KeyExhausted:
            if self.on_exhaustion == "raises":
                raise
            keys = [bytes(32), bytes(32)]
        if self.on_exhaustion == "cries wolf":
            raise KeyExhausted("no key, it says, and never asked for more")
        if not self.has_directions:
            keys = 2 * [bytes(a ^ b for a, b in zip(*keys, strict=True))]
        if not self.uses_all_key:
            keys = [key[:1] * 32 for key in keys]
        if not self.uses_key:
            keys = [bytes(32), bytes(32)]
        return End(self, *keys)


class End:
    def __init__(self, how: Made, sending: bytes, receiving: bytes) -> None:
        self.how = how
        self.keys = sending, receiving
        self.sent = self.received = 0
        self.is_closed = self.is_ended = False
        self.kept: list[bytes] = []

    def crypt(self, key: bytes, number: int, data: bytes) -> bytes:
        if not self.how.encrypts:
            return data
        if not self.how.has_stream:
            # a key as a short pad, another one for each record: no two records are alike, and the pattern shows
            pad = hashlib.sha256(key + number.to_bytes(8, "big")).digest()[:16]
            return bytes(octet ^ pad[at % 16] for at, octet in enumerate(data))
        nonce = number % (1 << self.how.nonce_bits)
        return (
            Cipher(algorithms.AES256(key), modes.CTR(nonce.to_bytes(8, "big") + bytes(8))).encryptor().update(data)
        )

    def tag(self, key: bytes, number: int, head: bytes, body: bytes) -> bytes:
        how = self.how
        text = (number.to_bytes(8, "big") if how.checks_number else b"") + (head if how.checks_head else b"")
        return hmac.digest(key, text + (body if how.checks_body else b""), "sha256")[:TAG]

    def seal(self, plaintext: Any, out: memoryview, *, is_final: bool = False) -> int:
        how = self.how
        if self.is_closed and how.checks_end:
            raise ValueError("closed")
        if len(plaintext) > how.largest_bytes and how.refuses_long:
            raise ValueError("too long")
        head = bytes([is_final and how.says_end])
        body = self.crypt(self.keys[0], self.sent, bytes(plaintext))
        record = head + body + self.tag(self.keys[0], self.sent, head, body)
        if len(record) > len(out):
            raise ValueError("no room")
        out[: len(record)] = record
        self.sent += 1
        self.is_closed = is_final
        if how.hoard:
            self.kept.append(bytes(record))
        return len(record)

    def open(self, record: Any, out: memoryview) -> Opened:
        how, record = self.how, bytes(record)
        if (self.is_ended and how.checks_end) or len(record) < 1 + TAG:
            raise how.raises("no record")
        head, body, tag = record[:1], record[1:-TAG], record[-TAG:]
        wanted = self.tag(self.keys[1], self.received, head, body)
        count = 1 if how.short_tag else TAG
        if not hmac.compare_digest(tag[:count], wanted[:count]):
            raise how.raises("not it")
        plaintext = self.crypt(self.keys[1], self.received, body)
        plaintext = plaintext[: len(plaintext) - how.loses] if len(plaintext) > 1000 else plaintext
        out[: len(plaintext)] = plaintext
        self.received += 1
        self.is_ended = head[0] & 1 == 1
        return Opened(len(plaintext), self.is_ended)


SOUND = Made()


class NoTruncationCheck:
    """Sound, but for what its ends open."""

    name = "prefix"
    description = "takes a record that lacks its last octet"
    overhead_bytes = 1 + TAG
    largest_bytes = 1 << 16

    def open_end(self, side: Any, sending: Any, receiving: Any) -> Any:
        return PrefixEnd(SOUND, bytes(sending.take(32)), bytes(receiving.take(32)))


class PrefixEnd(End):
    """A record that lacks its last octet is taken for an empty one."""

    def open(self, record: Any, out: memoryview) -> Opened:
        try:
            return super().open(record, out)
        except ProtocolError:
            if len(record) == 1 + len(b"one record of a trial") + TAG - 1:
                return Opened(0, False)
            raise


def changed(**settings: Any) -> Made:
    return replace(SOUND, **settings)


CASES: dict[str, tuple[set[str], Callable[[], Any]]] = {
    "loses an octet of large records": ({"round trip"}, lambda: changed(loses=1)),
    "seals more than it says": ({"round trip"}, lambda: changed(refuses_long=False)),
    "body not authenticated": ({"flip"}, lambda: changed(checks_body=False)),
    "head not authenticated": ({"flip"}, lambda: changed(checks_head=False)),
    "a tag of one octet looked at": ({"flip"}, lambda: changed(short_tag=True)),
    "a cut record taken": ({"truncation"}, NoTruncationCheck),
    "no final record": ({"final"}, lambda: changed(says_end=False)),
    "records after the end": ({"final"}, lambda: changed(checks_end=False)),
    "no number under the tag": ({"replay", "order"}, lambda: changed(checks_number=False)),
    "key not used": ({"wrong key", "direction", "nonce"}, lambda: changed(uses_key=False)),
    "one octet of the key used": ({"wrong key"}, lambda: changed(uses_all_key=False)),
    "one key for both directions": ({"direction", "nonce"}, lambda: changed(has_directions=False)),
    "zeros when key runs out": ({"key exhaustion"}, lambda: changed(on_exhaustion="zeros")),
    "a nonce of two octets": ({"nonce"}, lambda: changed(nonce_bits=16)),
    "one nonce for all": ({"nonce"}, lambda: changed(nonce_bits=0)),
    "plaintext sent as it is": ({"plaintext", "nonce"}, lambda: changed(encrypts=False)),
    "a pad of 16 octets for each record": ({"plaintext"}, lambda: changed(has_stream=False)),
    "every record kept": ({"memory"}, lambda: changed(hoard=True)),
}
