"""A receipt: what one application says, with its signature, that it got from another.

A file of two lines. The first is a JSON object; the second says who signed exactly the bytes of the first:

```
{"format":"poliqi receipt 1","transfer":"…","name":"scans","sender":"hospital","receiver":"archive",…}
{"signed_by":"archive","ml-dsa-65":"<base64>"}
```
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from poliqi.apps.identity import Contact, Identity
from poliqi.apps.stream.terms import Mode, Usage
from poliqi.base.errors import AuthenticationError, DataRefused

__all__ = [
    "COMPUTATIONAL",
    "RECEIPT_BYTES",
    "KeyUse",
    "Receipt",
    "read_receipt",
    "sign_receipt",
    "total",
    "use_of",
    "verify_receipt",
]

RECEIPT_BYTES: Final = 200_000
_FORMAT: Final = "poliqi receipt 1"
_CONTEXT: Final = b"poliqi receipt 1"
_KEYS_SHOWN: Final = 64
_GRADES_SHOWN: Final = 8
COMPUTATIONAL: Final = "computational"
"""In place of an epsilon: secure against bounded computers, nothing is proven."""
UNPROVEN: Final = "not proven"
"""In place of an epsilon: one-time pad of keys whose site tells none, as with simulated light."""

Count = Annotated[int, msgspec.Meta(ge=0)]


class GradeUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys of one grade. `knowledge`: who beside the two ends could know them."""

    grade: str
    origin: str
    knowledge: str
    keys: Count


class KeyUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one stream of the transfer used, as the receiver counted it; a cut makes a second stream.

    `key_ids` are the first 64 of `keys`; `key_ids_sha256` is over all, each with a line end after it.
    """

    mode: Mode
    keys: Count
    key_ids: tuple[str, ...]
    key_ids_sha256: str
    grades: tuple[GradeUse, ...]
    epsilon: float | str
    simulated: bool


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Times are of the receiver's wall clock, in UTC by ISO 8601; `clock_skew_s` is that clock less the sender's.

    `epsilon` is what confidentiality and authenticity of the whole may fail by, or why there is no such number.
    `earlier_streams` counts those that are not in `streams`, of which there are at most 32.
    """

    format: str = _FORMAT
    transfer: str
    name: str
    stored_as: str
    sender: str
    receiver: str
    sender_fingerprint: str
    receiver_fingerprint: str
    begun: str
    received: str
    clock_skew_s: float
    mode: str
    policy: str
    simulated: bool
    epsilon: float | str
    manifest_sha256: str
    files: Count
    folders: Count
    size_bytes: Count
    left_out: Count
    streams: tuple[KeyUse, ...]
    earlier_streams: Count = 0

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Names of the keys that are listed."""
        return tuple(key_id for stream in self.streams for key_id in stream.key_ids)


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"ml_dsa_65": "ml-dsa-65"}):
    signed_by: str
    ml_dsa_65: str


def use_of(usage: Usage) -> KeyUse:
    """What a stream used until now."""
    counted: dict[tuple[str, str, str], int] = {}
    for grade in usage.grades:
        kind = grade.name, grade.origin, grade.knowledge.value
        counted[kind] = counted.get(kind, 0) + 1
    names = "".join(f"{key_id}\n" for key_id in usage.key_ids)
    unknown = UNPROVEN if usage.mode is Mode.ONE_TIME else COMPUTATIONAL
    return KeyUse(
        mode=usage.mode,
        keys=len(usage.key_ids),
        key_ids=usage.key_ids[:_KEYS_SHOWN],
        key_ids_sha256=hashlib.sha256(names.encode()).hexdigest(),
        grades=tuple(GradeUse(*kind, number) for kind, number in list(counted.items())[:_GRADES_SHOWN]),
        epsilon=unknown if usage.epsilon is None else usage.epsilon,
        simulated=usage.is_simulated,
    )


def total(epsilons: Sequence[float | str]) -> float | str:
    """The sum of what streams may fail by, or the word for the weakest of them."""
    for word in (COMPUTATIONAL, UNPROVEN):
        if word in epsilons or not epsilons:
            return word
    return sum(epsilon for epsilon in epsilons if isinstance(epsilon, float))


def sign_receipt(receipt: Receipt, identity: Identity) -> bytes:
    """The file."""
    line = msgspec.json.encode(receipt)
    signature = base64.b64encode(identity.sign(line, _CONTEXT)).decode()
    return line + b"\n" + msgspec.json.encode(_Signature(identity.sae, signature)) + b"\n"


def read_receipt(data: bytes) -> Receipt:
    """What a file says, not yet believed. Raises DataRefused."""
    return _parse(data)[1]


def verify_receipt(data: bytes, signer: Contact) -> Receipt:
    """What `signer` signed. Raises DataRefused (no receipt), AuthenticationError (not signed, or not by it)."""
    line, receipt, signature = _parse(data)
    if signature.signed_by != signer.sae or receipt.receiver != signer.sae:
        raise AuthenticationError(
            f"the receipt is of {receipt.receiver[:64]!r}, not of {signer.sae}: do not trust it"
        )
    try:
        value = base64.b64decode(signature.ml_dsa_65, validate=True)
    except (ValueError, binascii.Error):
        raise DataRefused("the receipt's signature is not base64: it was damaged on the way") from None
    signer.verify(value, line, _CONTEXT)
    return receipt


def _parse(data: bytes) -> tuple[bytes, Receipt, _Signature]:
    lines = data.split(b"\n")
    if len(data) > RECEIPT_BYTES or len(lines) != 3 or lines[2]:
        raise DataRefused("it is no receipt: two lines of JSON, each with its end, are one")
    try:
        receipt = msgspec.json.decode(lines[0], type=Receipt)
        signature = msgspec.json.decode(lines[1], type=_Signature)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataRefused(f"it is no receipt: {error}") from None
    if receipt.format != _FORMAT:
        raise DataRefused(f"its format is {receipt.format[:40]!r}, not {_FORMAT!r}")
    return lines[0], receipt, signature
