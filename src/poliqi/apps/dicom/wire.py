"""Messages of the conversation "dicom 1" (docs/spec/dicom-gateway.md): msgpack arrays, each with its name first."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from poliqi.apps.dicom.images import Answer, Head, Held, Outcome
from poliqi.apps.dicom.settings import is_ae_title, is_uid
from poliqi.base.errors import ProtocolError

__all__ = [
    "HEAD_BYTES",
    "PURPOSE",
    "Announced",
    "Asked",
    "answer_message",
    "ask_message",
    "image_message",
    "read_answer",
    "read_request",
]

PURPOSE: Final = "dicom 1"
HEAD_BYTES: Final = 4096
_SAID: Final = 300
_SIZE: Final = 1 << 40

_Name = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class Announced(msgspec.Struct, frozen=True, array_like=True, tag="image", forbid_unknown_fields=True):
    """An image that follows: `size` bytes of data set, whose SHA-256 is `digest`."""

    id: _Name
    ae: str
    class_uid: str
    instance_uid: str
    syntax_uid: str
    size: Annotated[int, msgspec.Meta(ge=0, le=_SIZE)]
    digest: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]

    @property
    def head(self) -> Head:
        """Which image for which machine."""
        return Head(self.ae, self.class_uid, self.instance_uid, self.syntax_uid)


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="ask", forbid_unknown_fields=True):
    """Does the machine `ae` take images now?"""

    id: _Name
    ae: str


class _Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer", forbid_unknown_fields=True):
    id: _Name
    outcome: Outcome
    status: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] | None
    said: Annotated[str, msgspec.Meta(max_length=_SAID)]


def image_message(image: Held) -> bytes:
    """What goes before the bytes of an image."""
    h = image.head
    return msgspec.msgpack.encode(
        Announced(image.id, h.ae, h.class_uid, h.instance_uid, h.syntax_uid, image.size, image.digest)
    )


def ask_message(name: str, ae: str) -> bytes:
    """A question that is answered as an image is; `name` is 32 hexadecimal digits."""
    return msgspec.msgpack.encode(Asked(name, ae))


def read_request(data: bytes | memoryview) -> Announced | Asked:
    """Raises ProtocolError."""
    if len(data) > HEAD_BYTES:
        raise ProtocolError(f"an image's head has {len(data)} bytes; at most {HEAD_BYTES} are taken")
    try:
        request = msgspec.msgpack.decode(data, type=Announced | Asked)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProtocolError(f"a message of {len(data)} bytes is no head of an image and no question") from None
    if not is_ae_title(request.ae):
        raise ProtocolError("a head or a question has no AE title where one belongs")
    if isinstance(request, Announced) and not all(
        map(is_uid, (request.class_uid, request.instance_uid, request.syntax_uid))
    ):
        raise ProtocolError("the head of an image has no UID where one belongs")
    return request


def answer_message(answer: Answer) -> bytes:
    """What became of an image."""
    said = "".join(c if c.isprintable() else " " for c in answer.said[:_SAID])
    return msgspec.msgpack.encode(_Answer(answer.id, answer.outcome, answer.status, said))


def read_answer(data: bytes | memoryview) -> Answer:
    """Raises ProtocolError."""
    if len(data) > HEAD_BYTES:
        raise ProtocolError(f"an answer has {len(data)} bytes; at most {HEAD_BYTES} are taken")
    try:
        got = msgspec.msgpack.decode(data, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProtocolError(f"a message of {len(data)} bytes is no answer") from None
    return Answer(got.id, got.outcome, got.status, "".join(c if c.isprintable() else " " for c in got.said))
