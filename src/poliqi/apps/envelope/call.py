"""A question and its answer under one-time pad, over any stream (docs/spec/messenger.md, "Envelopes").

The caller draws one pad for both. What travels: an envelope (names of the keys, cipher, tag), and back an answer of
the size that the caller asked for, or a refusal in words. A refusal is authentic only as far as the stream is, and
nobody loses anything by it: the pad is spent, the question stands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec

from poliqi.apps.envelope.pads import KEYS_MOST, Pad, PadSource
from poliqi.apps.envelope.rule import PadNote, PadRule
from poliqi.apps.keysource import KeySource
from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.apps.stream.needs import tag_epsilon
from poliqi.apps.stream.terms import Mode
from poliqi.base.errors import ConfigError, DataRefused, KeyExhausted, LinkDown, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.keys.combine import lengthed
from poliqi.keys.onetime import MAC_KEY_BYTES, TAG_BYTES, open_sealed, seal

__all__ = [
    "BODY_MOST",
    "Answer",
    "Caller",
    "Envelope",
    "Question",
    "Refusal",
    "Refused",
    "answer_calls",
    "pad_bytes",
]

BODY_MOST: Final = 96 << 10
"""The longest question, and the longest answer."""
_REASON_MOST: Final = 300
_ANSWER_S: Final = 60.0
_FORMAT: Final = b"poliqi envelope 1"

_Tag = Annotated[bytes, msgspec.Meta(min_length=TAG_BYTES, max_length=TAG_BYTES)]
_Cipher = Annotated[bytes, msgspec.Meta(max_length=BODY_MOST)]
_KeyId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of what travels: one MessagePack array each, its first element the type."""


class Envelope(_Wire, frozen=True, tag=0):
    """A question. Its pad is that of `key_ids`, joined: tag, cipher, answer's tag, answer's cipher."""

    key_ids: Annotated[tuple[_KeyId, ...], msgspec.Meta(min_length=1, max_length=KEYS_MOST)]
    answer_bytes: Annotated[int, msgspec.Meta(ge=0, le=BODY_MOST)]
    cipher: _Cipher
    tag: _Tag


class Answer(_Wire, frozen=True, tag=1):
    """What was asked for."""

    cipher: _Cipher
    tag: _Tag


class Refusal(_Wire, frozen=True, tag=2):
    """No, and why."""

    reason: Annotated[str, msgspec.Meta(max_length=_REASON_MOST)]


class Refused(DataRefused):
    """The other side said no; what was asked did not happen."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question as the other side reads it."""

    sender: SaeId
    body: bytes
    answer_bytes: int
    note: PadNote


_T = TypeVar("_T")
_READ_ENVELOPE: Final = msgspec.msgpack.Decoder(Envelope)
_READ_REPLY: Final = msgspec.msgpack.Decoder(Answer | Refusal)


def pad_bytes(question: int, answer: int) -> int:
    """Bytes of key that a question and an answer of these sizes take."""
    return question + answer + 2 * MAC_KEY_BYTES


class Caller:
    """Asks over one open stream, a question at a time."""

    def __init__(self, channel: Channel, keys: KeySource, rule: PadRule) -> None:
        """Raises DataRefused where the stream does not meet the rule."""
        reason = rule.judge_carriage(channel.usage.mode)
        if reason is not None:
            raise DataRefused(f"{channel.peer}: {reason}")
        self._channel: Final = channel
        self._rule: Final = rule
        self._pads: Final = PadSource(keys, channel.peer, rule)

    @property
    def is_hybrid(self) -> bool:
        """True where ML-KEM protects what is said, too."""
        return self._channel.usage.mode is Mode.HYBRID

    def draw(self, question: int, answer: int) -> Pad:
        """The pad for a question and an answer of these sizes, ahead of `ask`. Raises as `PadSource.draw`."""
        return self._pads.draw(pad_bytes(question, answer))

    def ask(self, body: bytes, answer: int, pad: Pad | None = None) -> tuple[bytes, PadNote]:
        """The answer, of `answer` bytes, and what is told of the pad.

        Raises Refused, AuthenticationError, ProtocolError, LinkDown, and as `draw`. The pad is spent in any case.
        """
        mine = self.draw(len(body), answer) if pad is None else pad
        try:
            head = _context(self._channel, self._channel.local, mine.key_ids, answer)
            note = _note(mine, len(body), answer, len(head), is_hybrid=self.is_hybrid)
            cipher, tag = _seal(mine, body, head)
            envelope = Envelope(mine.key_ids, answer, cipher, tag)
            data = msgspec.msgpack.encode(envelope)
            if len(data) > RECORD_BYTES:
                raise ConfigError(f"{len(data)} bytes of question and key names: ask the site for longer keys")
            self._channel.send(data)
            reply = _decode(_next(self._channel), _READ_REPLY)
            if isinstance(reply, Refusal):
                raise Refused(f"{self._channel.peer} refuses: {reply.reason}")
            if len(reply.cipher) != answer:
                raise ProtocolError(f"an answer of {len(reply.cipher)} bytes where {answer} were asked for")
            return _open(mine, reply.cipher, reply.tag, head + tag), note
        finally:
            mine.close()

    def finish(self) -> None:
        """Say that no more is asked, and hang up."""
        try:
            self._channel.finish()
        except (LinkDown, ProtocolError):
            pass
        finally:
            self._channel.close()


def answer_calls(channel: Channel, keys: KeySource, rule: PadRule, handle: Callable[[Question], bytes]) -> None:
    """Answer until the caller finishes. `handle` may raise DataRefused: the caller is told its words.

    Raises what a channel raises; AuthenticationError where a tag is wrong.
    """
    reason = rule.judge_carriage(channel.usage.mode)
    pads = PadSource(keys, channel.peer, rule)
    while (data := channel.receive()) is not None:
        envelope = _decode(bytes(data), _READ_ENVELOPE)
        if reason is not None:
            _refuse(channel, reason)
            continue
        size = pad_bytes(len(envelope.cipher), envelope.answer_bytes)
        try:
            pad = pads.fetch(envelope.key_ids, size)
        except (DataRefused, KeyExhausted) as error:
            _refuse(channel, str(error))
            continue
        try:
            _answer(channel, envelope, pad, handle)
        finally:
            pad.close()


def _answer(channel: Channel, envelope: Envelope, pad: Pad, handle: Callable[[Question], bytes]) -> None:
    head = _context(channel, channel.peer, envelope.key_ids, envelope.answer_bytes)
    body = _open(pad, envelope.cipher, envelope.tag, head)
    is_hybrid = channel.usage.mode is Mode.HYBRID
    note = _note(pad, len(body), envelope.answer_bytes, len(head), is_hybrid=is_hybrid)
    try:
        said = handle(Question(channel.peer, body, envelope.answer_bytes, note))
    except DataRefused as error:
        _refuse(channel, str(error))
        return
    if len(said) != envelope.answer_bytes:
        _refuse(channel, f"the answer has {len(said)} bytes, {envelope.answer_bytes} were asked for")
        return
    cipher, tag = _seal(pad, said, head + envelope.tag)
    channel.send(msgspec.msgpack.encode(Answer(cipher, tag)))


def _context(channel: Channel, sender: SaeId, key_ids: tuple[str, ...], answer: int) -> bytes:
    """What both tags are bound to; that of the answer to the question's tag, too."""
    receiver = channel.peer if sender == channel.local else channel.local
    words = [sender.encode(), receiver.encode(), channel.purpose.encode(), answer.to_bytes(4, "big")]
    return lengthed([_FORMAT, *words, *(key_id.encode() for key_id in key_ids)])


def _seal(pad: Pad, body: bytes, context: bytes) -> tuple[bytes, bytes]:
    """The tag's key comes first: behind the cipher its place would follow a length that a forger chooses."""
    mac, stream = pad.take(MAC_KEY_BYTES), pad.take(len(body))
    return seal(body, stream.take(), mac.take(), context)


def _open(pad: Pad, cipher: bytes, tag: bytes, context: bytes) -> bytes:
    mac, stream = pad.take(MAC_KEY_BYTES), pad.take(len(cipher))
    return open_sealed(cipher, tag, stream.take(), mac.take(), context).take()


def _note(pad: Pad, question: int, answer: int, head: int, *, is_hybrid: bool) -> PadNote:
    tags = tag_epsilon(question + head + 32) + tag_epsilon(answer + head + 48)
    return PadNote.of(pad.grades, pad_bytes(question, answer), tags, is_hybrid=is_hybrid)


def _refuse(channel: Channel, reason: str) -> None:
    channel.send(msgspec.msgpack.encode(Refusal(reason[:_REASON_MOST])))


def _next(channel: Channel) -> bytes:
    """The other side's next message. One that says nothing for a minute is hung up on."""
    patience = threading.Timer(_ANSWER_S, channel.close)
    patience.start()
    try:
        data = channel.receive()
    finally:
        patience.cancel()
    if data is None:
        raise LinkDown(f"{channel.peer} hung up before it answered")
    return bytes(data)


def _decode(data: bytes, decoder: msgspec.msgpack.Decoder[_T]) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"an envelope or answer of {len(data)} bytes is not understood: {error}") from None
