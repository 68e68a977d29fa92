"""A forger without bounds who has the stream open and knows the text behind an envelope passes nothing off."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305
from sealed_talk import TalkChannel, Wire

from bench.played_keys import PlayedSite
from poliqi.apps.envelope.call import Caller, Envelope, Question, answer_calls
from poliqi.apps.envelope.rule import PadRule
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.stream.terms import Mode
from poliqi.base.errors import AuthenticationError, LinkDown, ProtocolError
from poliqi.base.ids import SaeId

RULE = PadRule(replace(GradeDemand(), information_theoretic=True), is_hybrid=True)
ZEROS = bytes(256)
"""The question: all of its bytes are known, so its cipher is its pad."""


class Post:
    """Anna's question to Bruno, held in the forger's hands."""

    def __init__(self, answer_bytes: int = 16, question: bytes = ZEROS) -> None:
        self.site = PlayedSite()
        anna = TalkChannel("anna", "bruno", "message 1", Mode.HYBRID, Wire(), _ended(), queue.Queue())
        with pytest.raises(LinkDown):
            Caller(anna, self.site.keys("anna"), RULE).ask(question, answer_bytes)
        self.envelope = msgspec.msgpack.decode(anna._out.get(), type=Envelope)
        self.read: list[bytes] = []
        self.back: queue.Queue[bytes | None] = queue.Queue()

    def deliver(self, envelope: Envelope) -> None:
        inbox = _ended(msgspec.msgpack.encode(envelope))
        bruno = TalkChannel("bruno", "anna", "message 1", Mode.HYBRID, Wire(), inbox, self.back)
        answer_calls(bruno, self.site.keys("bruno"), RULE, self._take)

    def _take(self, question: Question) -> bytes:
        self.read.append(question.body)
        return bytes(question.answer_bytes)


def _ended(*items: bytes) -> queue.Queue[bytes | None]:
    made: queue.Queue[bytes | None] = queue.Queue()
    for item in (*items, None):
        made.put(item)
    return made


def forged(envelope: Envelope, cipher: bytes, mac_key: bytes, answer_bytes: int | None = None) -> Envelope:
    """With a tag as docs/spec/messenger.md has it, under a guess of its key."""
    answer = envelope.answer_bytes if answer_bytes is None else answer_bytes
    words = [b"poliqi envelope 1", b"anna", b"bruno", b"message 1", answer.to_bytes(4, "big")]
    words += [key_id.encode() for key_id in envelope.key_ids]
    context = b"".join(len(word).to_bytes(4, "big") + word for word in words)
    data = b"poliqi sealed\x00" + len(context).to_bytes(4, "big") + context + cipher
    return Envelope(envelope.key_ids, answer, cipher, Poly1305.generate_tag(mac_key, data))


def test_what_nobody_touched_is_read():
    post = Post()
    post.deliver(post.envelope)
    assert post.read == [ZEROS]


@pytest.mark.parametrize("cut", [0, 16, 32, 33, 64, 128, 224])
@pytest.mark.parametrize("answers", [16, 48, 208])
def test_a_shortened_cipher_under_known_bytes_of_the_pad_is_not_read(cut: int, answers: int):
    """The forger takes any 32 bytes of the pad that it knows for the tag's key, and other lengths, too."""
    size = 256 - cut
    for place in sorted({0, 224, min(size, 224), max(0, size - 32)}):
        post = Post()
        known = post.envelope.cipher
        with refusing(post):
            post.deliver(forged(post.envelope, known[:size], known[place : place + 32], answers))
        assert post.read == []


@pytest.mark.parametrize(
    "change",
    [
        lambda e: msgspec.structs.replace(e, cipher=e.cipher[:-1]),
        lambda e: msgspec.structs.replace(e, cipher=e.cipher + b"\x00", answer_bytes=e.answer_bytes - 1),
        lambda e: msgspec.structs.replace(e, answer_bytes=e.answer_bytes + 1),
        lambda e: msgspec.structs.replace(e, answer_bytes=0),
        lambda e: msgspec.structs.replace(e, tag=e.tag[:-1] + bytes([e.tag[-1] ^ 1])),
        lambda e: msgspec.structs.replace(e, cipher=bytes([e.cipher[0] ^ 1]) + e.cipher[1:]),
    ],
    ids=["shorter", "longer", "asks for more", "asks for nothing", "tag", "text"],
)
def test_any_other_length_or_byte_is_not_read(change: Callable[[Envelope], Envelope]):
    post = Post()
    with refusing(post):
        post.deliver(change(post.envelope))
    assert post.read == []


NAMINGS = [
    order for number in (1, 2, 3) for order in itertools.permutations(range(3), number) if order != (0, 1, 2)
]


@pytest.mark.parametrize("named", NAMINGS, ids=str)
@pytest.mark.parametrize("dropped", [0, 32])
def test_some_keys_of_a_pad_in_any_order_are_no_pad_of_a_forger(named: tuple[int, ...], dropped: int):
    """A question of three keys, all of whose bytes are known; each of them is named first, alone or with others.

    `dropped`: what the forger takes to be unused at the beginning of each key but the first. It has the tag's key
    of its envelope from where the cipher gives away the first bytes of the key named first.
    """
    question = bytes(1200)
    each = _key_bytes(Post(question=question))
    size = len(named) * (each - dropped) + dropped - 64 - 16
    starts = {0, max(0, named[0] * (each - dropped) + dropped - 32)}
    for start in sorted(starts):
        post = Post(question=question)
        known, ids = post.envelope.cipher, post.envelope.key_ids
        assert len(ids) == 3
        chosen = msgspec.structs.replace(post.envelope, key_ids=tuple(ids[number] for number in named))
        with refusing(post):
            post.deliver(forged(chosen, known[:size], known[start : start + 32]))
        assert post.read == []


def _key_bytes(post: Post) -> int:
    [size] = {len(value) for value in post.site.promised[SaeId("anna"), SaeId("bruno")].values()}
    return size


@pytest.mark.parametrize("number", [1, 3, 4])
def test_keys_drawn_for_another_mode_are_no_pad_of_a_forger(number: int):
    """A stream's key of 32 bytes, whose call was withheld, may be known where ML-KEM is relied on."""
    post = Post()
    keys = post.site.keys("anna").fresh(SaeId("bruno"), number, 32)
    chosen = msgspec.structs.replace(post.envelope, key_ids=tuple(key.key_id for key in keys))
    pad = b"".join(key.value.take() for key in keys)
    with refusing(post):
        post.deliver(forged(chosen, bytes(max(0, 32 * number - 80)), pad[:32]))
    assert post.read == []


@contextmanager
def refusing(post: Post) -> Iterator[None]:
    """The stream ends, or a refusal goes back; both are seen."""
    try:
        yield
    except (AuthenticationError, ProtocolError):
        return
    kind, _reason = msgspec.msgpack.decode(post.back.get_nowait() or b"")
    assert kind == 2
