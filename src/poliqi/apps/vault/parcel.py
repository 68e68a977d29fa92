"""What one site keeps of one block: its share, tags on it, and keys by which it judges the shares of others.

Rabin and Ben-Or (STOC 1989): the share of site i carries a tag for every verifier v, whose key v has and i not.
Verifiers are the owner (0) and the other sites. A tag is POLYVAL under r plus a mask m (Wegman and Carter 1981):
who sees a share with its tag, and has unbounded means, passes off another one with probability (blocks + 1) / 2^128
at most, blocks of 16 bytes. Both the hash and the sharing are linear over GF(2), so shares of zero with the
matching change of tags renew a share (Herzberg et al., CRYPTO 1995) without anybody seeing it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from poliqi.apps.vault.polyhash import hash_share
from poliqi.base.errors import ProtocolError
from poliqi.base.secret import Entropy
from poliqi.keys.onetime import xor_bytes

__all__ = [
    "BLOCK_BYTES",
    "SHARES_MOST",
    "KeyMatrix",
    "Parcel",
    "accepted",
    "parcel_bytes",
    "tagged",
    "tags_change",
]

SHARES_MOST: Final = 16
"""The most sites that keep a secret."""
BLOCK_BYTES: Final = 59 << 10
"""Bytes of a secret that are shared at once: with tags, keys and envelope one request for 128 keys of 4096 bit."""
_TAG: Final = 16
_KEY: Final = 32
OWNER: Final = 0


def parcel_bytes(share: int, count: int) -> int:
    """Size of a parcel with a share of so many bytes, one of `count`."""
    return share + _TAG * count + _KEY * (count - 1)


def _others(place: int, count: int) -> list[int]:
    return [other for other in range(1, count + 1) if other != place]


@dataclass(frozen=True, slots=True)
class KeyMatrix:
    """The keys of one block: for each share (1 to n) and each verifier (0 to n, but the share's own) 32 bytes."""

    count: int
    keys: bytes

    def __post_init__(self) -> None:
        if len(self.keys) != self.size(self.count):
            raise ValueError(f"{len(self.keys)} bytes are no keys for {self.count} shares")

    def __repr__(self) -> str:
        return f"<KeyMatrix of {self.count} shares>"

    @staticmethod
    def size(count: int) -> int:
        """Its bytes."""
        return _KEY * count * count

    @classmethod
    def draw(cls, count: int, entropy: Entropy) -> Self:
        """Fresh keys."""
        return cls(count, entropy.draw(cls.size(count)))

    def key(self, share: int, verifier: int) -> bytes:
        """r and m."""
        at = (share - 1) * self.count + [OWNER, *_others(share, self.count)].index(verifier)
        return self.keys[_KEY * at : _KEY * (at + 1)]

    def masked_anew(self, entropy: Entropy) -> KeyMatrix:
        """The same r, other masks m: what tags of renewed shares go under."""
        fresh = entropy.draw(_KEY // 2 * self.count * self.count)
        pairs = range(self.count * self.count)
        parts = [self.keys[_KEY * p : _KEY * p + 16] + fresh[16 * p : 16 * (p + 1)] for p in pairs]
        return KeyMatrix(self.count, b"".join(parts))


@dataclass(frozen=True, slots=True)
class Parcel:
    """One site's part: `tags` for the owner and the other sites in order, `keys` of the other sites' shares."""

    place: int
    count: int
    share: bytes
    tags: tuple[bytes, ...]
    keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"<Parcel {self.place} of {self.count}, {len(self.share)} bytes>"

    def encode(self) -> bytes:
        """`parcel_bytes` bytes."""
        return b"".join([self.share, *self.tags, *self.keys])

    @classmethod
    def decode(cls, data: bytes, place: int, count: int, share: int) -> Self:
        """Raises ProtocolError where the size is wrong."""
        if len(data) != parcel_bytes(share, count):
            raise ProtocolError(f"a parcel of {len(data)} bytes, not {parcel_bytes(share, count)}")
        tags = [data[at : at + _TAG] for at in range(share, share + _TAG * count, _TAG)]
        first = share + _TAG * count
        keys = [data[at : at + _KEY] for at in range(first, len(data), _KEY)]
        return cls(place, count, data[:share], tuple(tags), tuple(keys))

    def key_of(self, place: int) -> bytes:
        """The key by which this site judges the share of another one."""
        return self.keys[_others(self.place, self.count).index(place)]

    def tag_for(self, verifier: int) -> bytes:
        """The tag that a verifier is shown."""
        return self.tags[[OWNER, *_others(self.place, self.count)].index(verifier)]


def tagged(shares: Sequence[bytes], matrix: KeyMatrix) -> list[Parcel]:
    """The parcels of all sites for one block."""
    return _parcels(shares, matrix, _tag)


def tags_change(shares_of_zero: Sequence[bytes], old: KeyMatrix, new: KeyMatrix) -> list[Parcel]:
    """What is added, byte by byte, to the parcels under `old` to make those of the renewed shares under `new`."""
    changed = KeyMatrix(old.count, xor_bytes(old.keys, new.keys))

    def change(share: bytes, _key: bytes, place: int, verifier: int) -> bytes:
        hash_key = new.key(place, verifier)[:16]
        added = xor_bytes(hash_share(share, hash_key), hash_share(bytes(len(share)), hash_key))
        return xor_bytes(added, changed.key(place, verifier)[16:])

    return _parcels(shares_of_zero, changed, change)


def _parcels(
    shares: Sequence[bytes], matrix: KeyMatrix, tag: Callable[[bytes, bytes, int, int], bytes]
) -> list[Parcel]:
    count = len(shares)
    made: list[Parcel] = []
    for place, share in enumerate(shares, start=1):
        others = _others(place, count)
        tags = [tag(share, matrix.key(place, v), place, v) for v in (OWNER, *others)]
        made.append(Parcel(place, count, share, tuple(tags), tuple(matrix.key(o, place) for o in others)))
    return made


def accepted(parcels: Mapping[str, Parcel], threshold: int, matrix: KeyMatrix | None) -> frozenset[str]:
    """Of parcels by their sites' names, those whose share is to be believed.

    With the owner's keys each share is judged by them alone. Without, the sites vote: a share needs `threshold`
    votes, its own among them, so that fewer liars than `threshold` pass no false share.
    """
    if matrix is not None:
        return frozenset(n for n, p in parcels.items() if _is_true(p, OWNER, matrix.key(p.place, OWNER)))
    votes = {
        name: 1 + sum(_votes(judge, parcel) for other, judge in parcels.items() if other != name)
        for name, parcel in parcels.items()
    }
    return frozenset(name for name, count in votes.items() if count >= threshold)


def _votes(judge: Parcel, parcel: Parcel) -> bool:
    return judge.place != parcel.place and _is_true(parcel, judge.place, judge.key_of(parcel.place))


def _is_true(parcel: Parcel, verifier: int, key: bytes) -> bool:
    return _tag(parcel.share, key, parcel.place, verifier) == parcel.tag_for(verifier)


def _tag(share: bytes, key: bytes, _place: int, _verifier: int) -> bytes:
    return xor_bytes(hash_share(share, key[:16]), key[16:])
