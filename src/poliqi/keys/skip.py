"""Cisco SKIP (draft-cisco-skip-02): the key provider's four methods, on the same keys as everything else.

System ids are SAE ids: an encryptor is the application that its certificate names, its remote system another one.
Whoever asks for a key is its master and gets it once; the remote system is its slave and gets it once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy
from poliqi.keys.etsi014 import is_sae_id, read_query, refuse
from poliqi.keys.etsi014_answer import Answer, answer_message
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import Delivered, KeyOrder, Outcome, Reason, Refused

__all__ = [
    "Capabilities",
    "EntropyRequest",
    "KeyFetch",
    "KeyRequest",
    "answer_capabilities",
    "answer_entropy",
    "answer_key",
    "is_skip_path",
    "read_request",
]

ALGORITHM: Final = "QKD"
MAX_ENTROPY_BITS: Final = 8192
_DEFAULT_BITS: Final = 256
_STATUS: Final = {Reason.BAD_REQUEST: 400, Reason.NOT_FOUND: 400, Reason.NOT_PERMITTED: 400}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """GET /capabilities."""


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """GET /key: a fresh key to share with `remote`; `size_bits` None: the default of the application."""

    remote: SaeId
    size_bits: int | None

    def order(self, caller: SaeId, limits: KeyLimits) -> KeyOrder | Refused:
        """The order for it, if the limits of `caller` allow it."""
        size = limits.key_size_bits if self.size_bits is None else self.size_bits
        if self.remote == caller:
            return refuse("remoteSystemID is the caller itself")
        if size % 8 or not limits.min_size_bits <= size <= limits.max_size_bits:
            return refuse(f"size is no multiple of 8 within {limits.min_size_bits} and {limits.max_size_bits} bits")
        return KeyOrder(caller, (self.remote,), 1, size)


@dataclass(frozen=True, slots=True)
class KeyFetch:
    """GET /key/{keyId}: the key of that name that `remote` shares with the caller."""

    remote: SaeId
    key_id: bytes


@dataclass(frozen=True, slots=True)
class EntropyRequest:
    """GET /entropy."""

    bits: int


def is_skip_path(raw_path: bytes) -> bool:
    """True for the paths of the protocol, with whatever key id."""
    if raw_path in (b"/capabilities", b"/key", b"/entropy"):
        return True
    return raw_path.startswith(b"/key/") and len(raw_path) > 5 and b"/" not in raw_path[5:]


def read_request(raw_path: bytes, query: bytes) -> Capabilities | KeyRequest | KeyFetch | EntropyRequest | Refused:
    """What a GET on a path of the protocol asks for."""
    if raw_path == b"/capabilities":
        found = read_query(query, ())
        return found if isinstance(found, Refused) else Capabilities()
    if raw_path == b"/entropy":
        return _entropy(query)
    known = ("remoteSystemID", "size") if raw_path == b"/key" else ("remoteSystemID",)
    found = read_query(query, known)
    if isinstance(found, Refused):
        return found
    remote = found.get("remoteSystemID", "")
    if not is_sae_id(remote):
        return refuse("remoteSystemID is missing or no id of 1 to 64 printable characters")
    if raw_path != b"/key":
        key_id = _key_id(raw_path[5:])
        return refuse("the keyId is unknown") if key_id is None else KeyFetch(SaeId(remote), key_id)
    size = _bits(found.get("size"))
    return refuse("size is no whole number of bits") if size == 0 else KeyRequest(SaeId(remote), size)


def _entropy(query: bytes) -> EntropyRequest | Refused:
    found = read_query(query, ("minentropy",))
    if isinstance(found, Refused):
        return found
    bits = _bits(found.get("minentropy", str(_DEFAULT_BITS))) or 0
    if not 1 <= bits <= MAX_ENTROPY_BITS:
        return refuse(f"minentropy is not within 1 and {MAX_ENTROPY_BITS} bits")
    return EntropyRequest(bits)


def _bits(text: str | None) -> int | None:
    """A whole number; None where there is none, 0 where the text is no such number."""
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def _key_id(text: bytes) -> bytes | None:
    """16 bytes of hexadecimal digits without any dash, in either case."""
    if len(text) != 32 or text.strip(b"0123456789abcdefABCDEF"):
        return None
    return bytes.fromhex(text.decode())


def answer_capabilities(local: SaeId, remotes: Sequence[SaeId]) -> Answer:
    """What this key provider does for the caller, and with whom."""
    members = {
        "entropy": True,
        "key": True,
        "algorithm": ALGORITHM,
        "localSystemID": local,
        "remoteSystemID": list(remotes),
    }
    return Answer(200, json.dumps(members).encode())


def answer_key(outcome: Outcome) -> Answer:
    """One key in hexadecimal, or a refusal; who may not have a key learns no more than that there is none."""
    match outcome:
        case Delivered(keys=[key]):
            return Answer(200, json.dumps({"keyId": key.key_id.hex(), "key": key.value.hex()}).encode())
        case Refused(reason=Reason.NOT_FOUND | Reason.NOT_PERMITTED):
            return answer_message(400, "the keyId or the remoteSystemID is unknown")
        case Refused(reason=reason, message=message, retry_s=retry_s):
            status = _STATUS.get(reason, 503)
            return answer_message(status, message, retry_s=(retry_s or 1.0) if status == 503 else None)
        case _:
            raise ValueError("this outcome is no answer to one key")


def answer_entropy(request: EntropyRequest, entropy: Entropy) -> Answer:
    """Fresh random bits in hexadecimal, whole bytes of them."""
    count = -(-request.bits // 8)
    return Answer(200, json.dumps({"randomStr": entropy.draw(count).hex(), "minentropy": 8 * count}).encode())
