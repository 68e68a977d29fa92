"""Messages of the conversation "dicom 1" (docs/spec/dicom-gateway.md): msgpack arrays, each with its name first."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from poliqi.apps.dicom.images import Answer, Head, Held, Outcome
from poliqi.apps.dicom.settings import is_ae_title, is_uid
from poliqi.base.errors import ProtocolError

__all__ = ["HEAD_BYTES", "PURPOSE", "Announced", "answer_message", "image_message", "read_answer", "read_image"]

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


def read_image(data: bytes | memoryview) -> Announced:
    """Raises ProtocolError."""
    if len(data) > HEAD_BYTES:
        raise ProtocolError(f"an image's head has {len(data)} bytes; at most {HEAD_BYTES} are taken")
    try:
        head = msgspec.msgpack.decode(data, type=Announced)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProtocolError(f"a message of {len(data)} bytes is no head of an image") from None
    uids = (head.class_uid, head.instance_uid, head.syntax_uid)
    if not is_ae_title(head.ae) or not all(is_uid(uid) for uid in uids):
        raise ProtocolError("the head of an image has no AE title or no UID where one belongs")
    return head


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
