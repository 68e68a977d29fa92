"""Names of keys: sixteen bytes, written as a UUID.

The name of a key that comes straight out of a segment is derived from its place, so it never has to be sent, and
nobody who lacks the pool's secret can guess one. Other keys have random names. RFC 9562, section 5.8 (version 8).
"""

from __future__ import annotations

import hmac
import re
from functools import lru_cache
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.keys.segment import SegmentName

__all__ = ["as_version_8", "derived_ids", "parse_key_id"]

_FREE_BITS: Final = ~(0xF << 76 | 0x3 << 62)
_VERSION_8: Final = 0x8 << 76 | 0x2 << 62
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def as_version_8(data: bytes) -> bytes:
    """The first 16 bytes of `data` with the version and variant bits of a UUIDv8."""
    return (int.from_bytes(data[:16], "big") & _FREE_BITS | _VERSION_8).to_bytes(16, "big")


def derived_ids(
    secret: bytes, pool: LinkId, name: SegmentName, owner: KmeId, offset: int, size: int, count: int
) -> list[bytes]:
    """Names of `count` keys of `size` bytes from `offset` on: HMAC-SHA256 of pool, segment, owner and place."""
    head, digest, number = _head(pool, name.block, name.part, owner, size), hmac.digest, int.from_bytes
    return [  # as_version_8, written out: a call for each key would cost a tenth more
        (
            number(digest(secret, head + place.to_bytes(4, "big"), "sha256")[:16], "big") & _FREE_BITS | _VERSION_8
        ).to_bytes(16, "big")
        for place in range(offset, offset + size * count, size)
    ]


@lru_cache(1024)
def _head(pool: LinkId, block: bytes, part: int, owner: KmeId, size: int) -> bytes:
    head = b"".join(len(each).to_bytes(2, "big") + each for each in (pool.encode(), block, owner.encode()))
    return head + part.to_bytes(4, "big") + size.to_bytes(4, "big")


def parse_key_id(text: str) -> bytes | None:
    """The 16 bytes of a UUID's usual text, in either case; None for anything else."""
    return bytes.fromhex(text.replace("-", "")) if _UUID.fullmatch(text) else None
