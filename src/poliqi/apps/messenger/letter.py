"""A message as it stands under the pad (docs/spec/messenger.md): of a size that tells only its bucket."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from poliqi.base.errors import DataRefused, ProtocolError

__all__ = [
    "ANSWER_BYTES",
    "HEAD_BYTES",
    "TEXT_MOST",
    "Letter",
    "Verdict",
    "decode_answer",
    "decode_letter",
    "dummy",
    "encode_answer",
    "encode_letter",
    "padded_bytes",
]

TEXT_MOST: Final = 64 << 10
"""The longest text, in bytes of UTF-8."""
_HEAD: Final = struct.Struct(">B16s16sQQI")
HEAD_BYTES: Final = _HEAD.size
ANSWER_BYTES: Final = 16
_ANSWER: Final = struct.Struct(">BQ7s")
_DUMMY, _TEXT = 0, 1
_LATEST_MS: Final = 1 << 53


class Verdict(IntEnum):
    """What became of a letter."""

    STORED = 1
    """It is durable where it went; also where it had been before."""
    RENUMBER = 2
    """Another letter has its number, or some before it never came: begin a new line and send it again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message. `line` and `sequence` order it, `letter_id` tells it from any other; `at_s` is Unix time."""

    line: bytes
    letter_id: bytes
    sequence: int
    at_s: float
    text: str

    def __repr__(self) -> str:
        return f"<Letter {self.sequence} of {len(self.text)} characters>"


def padded_bytes(text_bytes: int, step: int) -> int:
    """The size on the wire of a text: the next multiple of `step` bytes."""
    return -(-(HEAD_BYTES + text_bytes) // step) * step


def encode_letter(letter: Letter, size: int) -> bytes:
    """Exactly `size` bytes. Raises DataRefused where the text is too long."""
    text = letter.text.encode()
    if len(text) > min(TEXT_MOST, size - HEAD_BYTES):
        raise DataRefused(f"a text of {len(text)} bytes: at most {min(TEXT_MOST, size - HEAD_BYTES)} fit, cut it")
    head = _HEAD.pack(_TEXT, letter.line, letter.letter_id, letter.sequence, int(1000 * letter.at_s), len(text))
    return (head + text).ljust(size, b"\x00")


def dummy(size: int) -> bytes:
    """What is sent where there is nothing to say."""
    return bytes(size)


def decode_letter(data: bytes) -> Letter | None:
    """The letter; None for a dummy. Raises ProtocolError."""
    if len(data) < HEAD_BYTES:
        raise ProtocolError(f"a letter of {len(data)} bytes; its head alone has {HEAD_BYTES}")
    kind, line, letter_id, sequence, at_ms, length = _HEAD.unpack_from(data)
    end = HEAD_BYTES + length
    if kind == _DUMMY:
        if any(data):
            raise ProtocolError("a dummy that is not empty")
        return None
    if kind != _TEXT or sequence == 0 or sequence >> 63 or length > TEXT_MOST or end > len(data):
        raise ProtocolError(f"a letter of kind {kind}, number {sequence}, {length} bytes of text in {len(data)}")
    if at_ms > _LATEST_MS or any(data[end:]):
        raise ProtocolError("a letter with an impossible date, or with something behind its text")
    try:
        text = data[HEAD_BYTES:end].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"a letter whose byte {error.start} is not UTF-8") from None
    return Letter(line, letter_id, sequence, at_ms / 1000, text)


def encode_answer(verdict: Verdict, last: int) -> bytes:
    """16 bytes; `last` is the last number of the line that is stored."""
    return _ANSWER.pack(verdict, last, bytes(7))


def decode_answer(data: bytes) -> tuple[Verdict, int]:
    """Raises ProtocolError."""
    if len(data) != ANSWER_BYTES:
        raise ProtocolError(f"a verdict of {len(data)} bytes, not {ANSWER_BYTES}")
    verdict, last, rest = _ANSWER.unpack(data)
    if verdict not in list(Verdict) or any(rest):
        raise ProtocolError(f"verdict {verdict} is not known")
    return Verdict(verdict), last
