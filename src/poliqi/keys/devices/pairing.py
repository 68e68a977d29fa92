"""How a leading and a following end agree on a block of a device's keys: no socket, no disk, no clock.

Each method is one step; a step out of turn is a ValueError of the caller's. After a step the owner makes `marks`
durable, with what the step says is to be kept, and then sends the frame. Bits of keys are under the tags and in no
frame (docs/spec/key-devices.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from poliqi.base.errors import AuthenticationError, ProtocolError
from poliqi.base.ids import LinkId, Role
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.distill.authenticate import Lane
from poliqi.distill.outcome import PadCursor
from poliqi.keys.devices.messages import (
    MOST_KEYS,
    NONCE_BYTES,
    VERSION,
    Announce,
    Have,
    Hello,
    Settle,
    Welcome,
    decode,
    encode,
    pack_bits,
    printable,
    unpack_bits,
    untagged,
)
from poliqi.keys.devices.seal import Seal
from poliqi.keys.keyid import as_version_8
from poliqi.link.keydevice import DeviceKey

__all__ = ["Dropped", "Follower", "JoinedKeys", "Leader", "name_of_block"]

_LABEL: Final = b"poliqi device block"
_DIFFER: Final = "the bits differ at the two ends, or somebody changed what was said on the way"


@dataclass(frozen=True, slots=True)
class JoinedKeys:
    """One block: the keys that both ends keep, in the order in which they were announced."""

    number: int
    name: bytes
    names: tuple[str, ...]
    key: SecretBytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Dropped:
    """No block came of it. `differs`: the comparison failed; `is_later`: the same keys may be announced again."""

    reason: str
    differs: bool = False
    is_later: bool = False


def name_of_block(link_id: LinkId, pair_id: str, number: int, names: Sequence[str]) -> bytes:
    """The 16 bytes that name a block, a UUID of version 8: another pairing, number, name or order is another."""
    digest = hashlib.sha256(_LABEL + _counted(link_id) + bytes.fromhex(pair_id) + number.to_bytes(8, "big"))
    for name in names:
        digest.update(_counted(name))
    return as_version_8(digest.digest())


def _counted(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _joined(keys: Sequence[DeviceKey]) -> SecretBytes:
    total = bytearray(sum(len(key.bits) for key in keys))
    at = 0
    for key in keys:
        total[at : at + len(key.bits)] = key.bits.view()
        at += len(key.bits)
    made = SecretBytes(total)
    total[:] = bytes(len(total))
    return made


class _End:
    """What both ends share."""

    def __init__(
        self, role: Role, link_id: LinkId, pair_id: str, lanes: Mapping[Role, Lane], entropy: Entropy
    ) -> None:
        self._link_id: Final = link_id
        self._pair_id: Final = pair_id
        self._seal: Final = Seal(role, lanes)
        self._nonce: Final = entropy.draw(NONCE_BYTES)
        self._leader_nonce = b""
        self._follower_nonce = b""
        self._announced = b""
        self._turn = "hello"

    def marks(self) -> list[PadCursor]:
        """Pad words used so far, of both directions."""
        return self._seal.marks()

    def _expect(self, *turns: str) -> None:
        if self._turn not in turns:
            raise ValueError(f"this step belongs after {' or '.join(turns)}, not after {self._turn}")

    def _parts(self, frame: bytes, key: SecretBytes | None = None) -> list[bytes | memoryview]:
        parts: list[bytes | memoryview] = [self._leader_nonce, self._follower_nonce, frame]
        return parts if key is None else [*parts, self._announced, key.view()]

    def _hello(self, answers: bytes, number: int) -> Hello:
        pair_id = bytes.fromhex(self._pair_id)
        return Hello(VERSION, self._link_id, pair_id, self._nonce, answers, number)

    def _read_hello(self, frame: bytes, answers: bytes) -> Hello:
        hello = decode(frame, Hello)
        if hello.version != VERSION:
            raise ProtocolError(
                f"the other end speaks version {hello.version} of this line, this one {VERSION}; upgrade the older"
            )
        if hello.link_id != self._link_id or hello.pair_id.hex() != self._pair_id:
            theirs = hello.link_id if hello.link_id.isprintable() else "?"
            raise ProtocolError(
                f"the other end is of link {theirs}, pair {hello.pair_id.hex()}; this one of link "
                f"{self._link_id}, pair {self._pair_id}"
            )
        if hello.answers != answers:
            raise ProtocolError("a hello that answers another one")
        return hello

    def _block(self, number: int, keys: Sequence[DeviceKey]) -> JoinedKeys:
        names = tuple(key.name for key in keys)
        return JoinedKeys(number, name_of_block(self._link_id, self._pair_id, number, names), names, _joined(keys))


class Leader(_End):
    """The end that takes fresh keys and names them. `last` is the number of the block that it stored last."""

    def __init__(
        self, link_id: LinkId, pair_id: str, lanes: Mapping[Role, Lane], entropy: Entropy, last: int
    ) -> None:
        super().__init__(Role.ALICE, link_id, pair_id, lanes, entropy)
        self._leader_nonce = self._nonce
        self._last = last
        self._keys: list[DeviceKey] = []

    def hello(self) -> bytes:
        """What is said first."""
        self._expect("hello")
        self._turn = "greeted"
        said = self._hello(b"", self._last)
        return encode(Hello(*_fields(said), self._seal.tag(self._parts(untagged(said)))))

    def welcome(self, frame: bytes) -> bytes:
        """Answer the follower's hello. Raises ProtocolError, AuthenticationError."""
        self._expect("greeted")
        hello = self._read_hello(frame, self._nonce)
        self._follower_nonce = hello.nonce
        self._seal.check(self._parts(untagged(hello)), hello.tag)
        self._last = max(self._last, hello.number)
        self._turn = "ready"
        said = Welcome(hello.nonce)
        return encode(Welcome(hello.nonce, self._seal.tag(self._parts(untagged(said)))))

    def announce(self, keys: Sequence[DeviceKey]) -> bytes:
        """Name keys that were judged. 1 to 1024 of them, no name twice (ValueError)."""
        self._expect("ready")
        if not 0 < len(keys) <= MOST_KEYS or len({key.name for key in keys}) < len(keys):
            raise ValueError(f"{len(keys)} keys: announce 1 to {MOST_KEYS}, of different names")
        self._last += 1
        self._keys, self._turn = list(keys), "announced"
        self._announced = encode(Announce(self._last, [key.name for key in keys]))
        return self._announced

    def answered(self, frame: bytes) -> JoinedKeys | Dropped:
        """What the follower keeps. Settle a block, and one that differs; nothing else. Raises ProtocolError."""
        self._expect("announced")
        have = decode(frame, Have)
        if have.number != self._last:
            raise ProtocolError(f"an answer to block {have.number}, where {self._last} was announced")
        places = unpack_bits(have.kept, len(self._keys))
        if not places:
            self._turn = "ready"
            return Dropped(have.reason or "the other end's device has none of these keys", is_later=have.is_later)
        block = self._block(self._last, [self._keys[i] for i in places])
        self._turn = "answered"
        try:
            self._seal.check(self._parts(untagged(have), block.key), have.tag)
        except AuthenticationError:
            block.key.close()
            return Dropped(_DIFFER, differs=True)
        return block

    def settle(self, block: JoinedKeys | Dropped) -> bytes:
        """Say that the block is stored, or that it differs."""
        self._expect("answered")
        self._turn = "ready"
        if isinstance(block, Dropped):
            said, key = Settle(self._last, is_stored=False, reason=block.reason), SecretBytes(b"")
        else:
            said, key = Settle(self._last, is_stored=True, reason=""), block.key
        tag = self._seal.tag(self._parts(untagged(said), key))
        return encode(Settle(said.number, said.is_stored, said.reason, tag))


class Follower(_End):
    """The end that gets the same keys by their names. `highest` is the number of any block that it ever held."""

    def __init__(
        self, link_id: LinkId, pair_id: str, lanes: Mapping[Role, Lane], entropy: Entropy, highest: int
    ) -> None:
        super().__init__(Role.BOB, link_id, pair_id, lanes, entropy)
        self._follower_nonce = b""
        self._highest = highest
        self._stored = 0
        self._names: list[str] = []
        self._number = 0
        self._held: JoinedKeys | None = None

    def hello(self, frame: bytes) -> bytes:
        """Answer the leader's hello. Raises ProtocolError, AuthenticationError: then nothing was used up."""
        self._expect("hello")
        hello = self._read_hello(frame, b"")
        self._leader_nonce = hello.nonce
        self._seal.check(self._parts(untagged(hello)), hello.tag)
        self._stored, self._highest = hello.number, max(self._highest, hello.number)
        self._follower_nonce, self._turn = self._nonce, "greeted"
        said = self._hello(hello.nonce, self._highest)
        return encode(Hello(*_fields(said), self._seal.tag(self._parts(untagged(said)))))

    def welcomed(self, frame: bytes) -> int:
        """The number of the block that the leader stored last. Raises ProtocolError, AuthenticationError."""
        self._expect("greeted")
        welcome = decode(frame, Welcome)
        if welcome.answers != self._nonce:
            raise ProtocolError("a welcome that answers another hello")
        self._seal.check(self._parts(untagged(welcome)), welcome.tag)
        self._turn = "ready"
        return self._stored

    def announced(self, frame: bytes) -> list[str]:
        """Names of the keys to ask the device for. Raises ProtocolError."""
        self._expect("ready")
        told = decode(frame, Announce)
        if told.number <= self._highest:
            raise ProtocolError(f"block {told.number} is announced after block {self._highest}")
        self._announced, self._number, self._names = encode(told), told.number, list(told.names)
        self._turn = "announced"
        return list(told.names)

    def have(
        self, keys: Sequence[DeviceKey | None], refusal: str = "", *, is_later: bool = False
    ) -> tuple[bytes, JoinedKeys | None]:
        """Say which keys are kept (none where there is a refusal); the block that has to be held before."""
        self._expect("announced")
        if len(keys) != len(self._names) or any(k and k.name != n for k, n in zip(keys, self._names, strict=True)):
            raise ValueError(f"{len(self._names)} keys were named; give as many, in that order")
        kept = [] if refusal else [key for key in keys if key is not None]
        bits = pack_bits([bool(kept) and key is not None for key in keys])
        said = Have(self._number, bits, is_later and not kept, printable(refusal))
        if not kept:
            self._turn = "ready"
            return encode(said), None
        self._highest = self._number
        self._held = block = self._block(self._number, kept)
        self._turn = "have"
        tag = self._seal.tag(self._parts(untagged(said), block.key))
        return encode(Have(said.number, said.kept, said.is_later, said.reason, tag)), block

    def settled(self, frame: bytes) -> JoinedKeys | Dropped:
        """What became of the block that is held; not known yet where ProtocolError or its kin is raised."""
        self._expect("have")
        held, told = self._held, decode(frame, Settle)
        assert held is not None
        if told.number != held.number:
            raise ProtocolError(f"block {told.number} is settled, where {held.number} is held")
        key = held.key if told.is_stored else SecretBytes(b"")
        self._seal.check(self._parts(untagged(told), key), told.tag)
        self._turn = "ready"
        return held if told.is_stored else Dropped(told.reason or _DIFFER, differs=True)


def _fields(hello: Hello) -> tuple[int, str, bytes, bytes, bytes, int]:
    return hello.version, hello.link_id, hello.pair_id, hello.nonce, hello.answers, hello.number
