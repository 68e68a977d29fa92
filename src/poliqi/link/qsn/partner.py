"""What the two ends of a QSN-d-1 tell each other while they make a key (docs/spec/qsn-d-1.md).

The last four, from `Cascade` on, are the emulator's own: no manual names what a device sends there.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from poliqi.base.errors import ProtocolError
from poliqi.link.qsn.requests import Envelope, is_key_id

__all__ = [
    "MOST_LISTED",
    "BasisComparison",
    "BerTest",
    "DiscardKey",
    "KeyCheck",
    "Parities",
    "ParityRequest",
    "PartnerMessage",
    "PrivacyAmplification",
    "SiftedKey",
    "Start",
    "ValidKey",
    "encode_partner",
    "read_partner",
]

MOST_LISTED: Final = 1 << 18
"""Entries of any list in a partner message: gates of the largest block, with what is tested and to spare."""

_Id = Annotated[str, Meta(min_length=36, max_length=36)]
_Index = Annotated[int, Meta(ge=0, lt=1 << 31)]
_Bit = Annotated[int, Meta(ge=0, le=1)]
_Qubit = Annotated[int, Meta(ge=0, le=3)]
_Rate = Annotated[float, Meta(ge=0.0, le=1.0)]
_Indexes = Annotated[list[_Index], Meta(max_length=MOST_LISTED)]
_Bits = Annotated[list[_Bit], Meta(max_length=MOST_LISTED)]


class Start(msgspec.Struct, frozen=True):
    """A transmission begins. A device that simulates adds its qubits, which is why other members pass."""

    ID: _Id


class BasisComparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Confronto basi`: the gates that counted a photon, and Bob's setting in each."""

    ID: _Id
    index: _Indexes
    basi: Annotated[list[_Qubit], Meta(max_length=MOST_LISTED)]


class SiftedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Sifted key`: 1 for each of those gates in which the bases agree."""

    ID: _Id
    confronto: _Bits


class BerTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Calc BER`: some of Bob's sifted bits, in clear."""

    ID: _Id
    index: _Indexes
    value: _Bits


class ValidKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Valid key`: few enough of them were wrong."""

    ID: _Id
    BER: _Rate


class DiscardKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Discard key`: too many of them were, or the key cannot be had."""

    ID: _Id
    BER: _Rate


class ParityRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Cascade`: parities wanted of stretches [first, end) of the key as pass `number` permutes it."""

    ID: _Id
    number: Annotated[int, Meta(ge=0, lt=64)] = msgspec.field(name="pass")
    ranges: Annotated[list[tuple[_Index, _Index]], Meta(max_length=MOST_LISTED)]


class Parities(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Cascade parities`: those."""

    ID: _Id
    parities: _Bits


class KeyCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Key check`: CRC-32 of the corrected key."""

    ID: _Id
    crc: Annotated[int, Meta(ge=0, lt=1 << 32)]


class PrivacyAmplification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Privacy amplification`: the checks agree, hash to `bits` bits with the Toeplitz matrix of `seed`."""

    ID: _Id
    bits: Annotated[int, Meta(ge=8, lt=1 << 16)]
    seed: Annotated[list[Annotated[int, Meta(ge=0, le=255)]], Meta(max_length=1 << 14)]


PartnerMessage = (
    Start
    | BasisComparison
    | SiftedKey
    | BerTest
    | ValidKey
    | DiscardKey
    | ParityRequest
    | Parities
    | KeyCheck
    | PrivacyAmplification
)

_COMMANDS: Final[dict[str, type[PartnerMessage]]] = {
    "start": Start,
    "Confronto basi": BasisComparison,
    "Sifted key": SiftedKey,
    "Calc BER": BerTest,
    "Valid key": ValidKey,
    "Discard key": DiscardKey,
    "Cascade": ParityRequest,
    "Cascade parities": Parities,
    "Key check": KeyCheck,
    "Privacy amplification": PrivacyAmplification,
}
_NAMES: Final = {kind: command for command, kind in _COMMANDS.items()}
_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    command: msgspec.json.Decoder(kind) for command, kind in _COMMANDS.items()
}


def read_partner(envelope: Envelope) -> PartnerMessage | None:
    """The message; None where the command is none of a partner's. Raises ProtocolError."""
    decoder = _DECODERS.get(envelope.command)
    if decoder is None:
        return None
    try:
        message: PartnerMessage = _decode(envelope, decoder)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        size = len(bytes(envelope.value))
        raise ProtocolError(f"QSN-d-1: {envelope.command}: {type(error).__name__} in {size} bytes") from None
    if not is_key_id(message.ID):
        raise ProtocolError(f"QSN-d-1: {envelope.command}: the ID of a key is no UUID")
    return message


def _decode(envelope: Envelope, decoder: msgspec.json.Decoder[Any]) -> Any:
    """A manual prints `Sifted key` as the command of `Calc BER` too: the members tell the two apart."""
    if envelope.command != "Sifted key":
        return decoder.decode(envelope.value)
    try:
        return decoder.decode(envelope.value)
    except msgspec.ValidationError:
        return _DECODERS["Calc BER"].decode(envelope.value)


def encode_partner(message: PartnerMessage) -> bytes:
    """The JSON text of a message."""
    return msgspec.json.encode({"command": _NAMES[type(message)], "attribute": "", "value": message})
