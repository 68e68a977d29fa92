"""A quantum key and a post-quantum secret made into one key.

`combine_hkdf` gives a key that is safe while either of the two is (computationally): both, each after its length,
are the input of HKDF-SHA384 (RFC 5869), as in ETSI TS 103 744 (concatenation) and NIST SP 800-56C rev. 2,
section 2. `combine_xor` adds a mask made from the post-quantum secret: what was proven of the quantum key stays
proven.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from poliqi.base.ids import LinkId, SaeId
from poliqi.keys.grade import Combiner
from poliqi.keys.onetime import xor_bytes

__all__ = ["MAX_KEY_BYTES", "combine", "combine_hkdf", "combine_xor", "combiner_context", "lengthed"]

MAX_KEY_BYTES: Final = 4096
_HASH: Final = "sha384"
_HASH_BYTES: Final = 48
_BLOCK_BYTES: Final = 128
_SALT: Final = b"poliqi hybrid 1"
_LEAST: Final = 16


# SHA-384 after the first block of HMAC under the salt, which is the same for every key
_INNER: Final = hashlib.sha384(bytes(byte ^ 0x36 for byte in _SALT.ljust(_BLOCK_BYTES, b"\x00")))
_OUTER: Final = hashlib.sha384(bytes(byte ^ 0x5C for byte in _SALT.ljust(_BLOCK_BYTES, b"\x00")))


def lengthed(parts: Iterable[bytes]) -> bytes:
    """The parts, each after its length in 4 bytes: no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def combiner_context(
    algorithm: str, pool: LinkId, epoch: int, transcript: bytes, master: SaeId, slaves: Iterable[SaeId]
) -> bytes:
    """48 bytes for all that the keys of a run are bound to; `combine` wants a key's own 16-byte name behind them.

    `algorithm` and `transcript` are those of the key agreement (keys/kem.py).
    """
    people = [master.encode(), *(slave.encode() for slave in slaves)]
    facts = [b"poliqi combine 1", algorithm.encode(), pool.encode(), epoch.to_bytes(8, "big"), transcript]
    return hashlib.sha384(lengthed([*facts, *people])).digest()


def combine(combiner: Combiner, qkd_key: bytes, kem_secret: bytes, context: bytes) -> bytes:
    """The key that is delivered, as long as `qkd_key`. Raises ValueError as the two functions below."""
    match combiner:
        case Combiner.NONE:
            return qkd_key
        case Combiner.HKDF:
            return combine_hkdf(qkd_key, kem_secret, context)
        case Combiner.XOR:
            return combine_xor(qkd_key, kem_secret, context)


def combine_hkdf(qkd_key: bytes, kem_secret: bytes, context: bytes) -> bytes:
    """HKDF-SHA384 of both, with info `context`; at most 384 bits of strength. Raises ValueError for odd sizes."""
    _check(qkd_key, kem_secret)
    inner, outer = _INNER.copy(), _OUTER.copy()
    inner.update(
        b"%b%b%b%b" % (len(qkd_key).to_bytes(4, "big"), qkd_key, len(kem_secret).to_bytes(4, "big"), kem_secret)
    )
    outer.update(inner.digest())
    return _expand(outer.digest(), b"hkdf\x00" + context, len(qkd_key))


def combine_xor(qkd_key: bytes, kem_secret: bytes, context: bytes) -> bytes:
    """The sum of `qkd_key` and HKDF-Expand of `kem_secret`, a pseudo-random key already (RFC 5869, section 3.3).

    Raises ValueError for odd sizes.
    """
    _check(qkd_key, kem_secret)
    return xor_bytes(qkd_key, _expand(kem_secret, b"xor\x00" + context, len(qkd_key)))


def _check(qkd_key: bytes, kem_secret: bytes) -> None:
    if not 1 <= len(qkd_key) <= MAX_KEY_BYTES or len(kem_secret) < _LEAST:
        raise ValueError(
            f"keys of {len(qkd_key)} and {len(kem_secret)} bytes cannot be combined: "
            f"from 1 to {MAX_KEY_BYTES} and at least {_LEAST} are needed"
        )


def _expand(key: bytes, info: bytes, size: int) -> bytes:
    """HKDF-Expand (RFC 5869, section 2.3)."""
    block = hmac.digest(key, info + b"\x01", _HASH)
    if size <= _HASH_BYTES:
        return block[:size]
    blocks = [block]
    for number in range(2, -(-size // _HASH_BYTES) + 1):
        blocks.append(hmac.digest(key, blocks[-1] + info + number.to_bytes(1, "big"), _HASH))
    return b"".join(blocks)[:size]
