"""The handshake under one-time pad: each direction's sender draws its keys, and a one-time tag proves each message.

The guard of a call keeps strangers from spending keys; it is computational, and no claim rests on it.
"""

from __future__ import annotations

from poliqi.apps.identity import Contact, Identity
from poliqi.apps.keysource import KeySource
from poliqi.apps.stream.opening import (
    HANDSHAKE_BYTES,
    Call,
    Frame,
    Header,
    Offer,
    Refusal,
    make_guard,
    pack,
    read_key_ids,
    unpack,
)
from poliqi.apps.stream.padded import PaddedIn, PaddedOut
from poliqi.apps.stream.pads import PadDrawer, PadFetcher
from poliqi.apps.stream.refusal import expect, frame, refusing
from poliqi.apps.stream.schedule import CALLEE, CALLER
from poliqi.apps.stream.session import Session
from poliqi.apps.stream.terms import Mode, StreamRule, Used
from poliqi.apps.stream.wire import HEAD_BYTES, Wire
from poliqi.base.errors import ProtocolError
from poliqi.keys.combine import lengthed

__all__ = ["answer", "call"]


def call(
    wire: Wire,
    identity: Identity,
    contact: Contact,
    keys: KeySource,
    rule: StreamRule,
    offer: Offer,
    challenge: bytes,
) -> Session:
    """The caller's side. Raises what `channel.connect` raises."""
    used: list[Used] = []
    demand = rule.demand_for(Mode.ONE_TIME)
    drawer = PadDrawer(keys, contact.sae, demand, used)
    fetcher = PadFetcher(keys, contact.sae, demand, used)
    outgoing, incoming = PaddedOut(CALLER, drawer), PaddedIn(CALLEE, fetcher)
    try:
        header = Header(Mode.ONE_TIME, identity.sae, contact.sae, challenge, drawer.first())
        message = bytes(outgoing.seal(Frame.CALL, offer.pack(), header.prologue()))
        body = Call(header, message, make_guard(identity.exchange, contact.exchange, header, message)).pack()
        wire.write(frame(Frame.CALL, body))
        ids, sealed = _read_answer(expect(wire, Frame.ANSWER))
        fetcher.fetch(read_key_ids(unpack(ids)))
        _open(incoming, Frame.ANSWER, sealed, lengthed([body, ids]))
    except BaseException:
        outgoing.close()
        incoming.close()
        raise
    return Session(header, True, offer.purpose, outgoing, incoming, used)


def answer(wire: Wire, asked: Call, body: bytes, keys: KeySource, rule: StreamRule) -> Session:
    """The called side, once guard and rule are met. Raises what `channel.accept` raises."""
    header, used = asked.header, list[Used]()
    demand = rule.demand_for(Mode.ONE_TIME)
    with refusing(wire, Refusal.NO_KEYS):
        drawer = PadDrawer(keys, header.caller, demand, used)
    fetcher = PadFetcher(keys, header.caller, demand, used)
    outgoing, incoming = PaddedOut(CALLEE, drawer), PaddedIn(CALLER, fetcher)
    try:
        with refusing(wire, Refusal.NO_KEYS):
            fetcher.fetch(header.key_ids)
            offer = _open(incoming, Frame.CALL, asked.message, header.prologue())
            ids = pack([name.encode() for name in drawer.first()])
        own = Offer(rule.rekey_bytes, rule.rekey_s)
        sealed = bytes(outgoing.seal(Frame.ANSWER, own.pack(), lengthed([body, ids])))
        wire.write(frame(Frame.ANSWER, pack([ids, sealed])))
    except BaseException:
        outgoing.close()
        incoming.close()
        raise
    return Session(header, False, offer.purpose, outgoing, incoming, used)


def _open(incoming: PaddedIn, kind: Frame, sealed: bytes, context: bytes) -> Offer:
    """A handshake's record. Raises as a record's."""
    if (
        len(sealed) < HEAD_BYTES
        or sealed[0] != kind
        or HEAD_BYTES + int.from_bytes(sealed[1:4], "big") != len(sealed)
    ):
        raise ProtocolError("a handshake's message under one-time pad is none: hang up")
    view, text = memoryview(sealed), memoryview(bytearray(HANDSHAKE_BYTES))
    size = incoming.open(kind, view[:HEAD_BYTES], view[HEAD_BYTES:], text, context)
    return Offer.read(bytes(text[:size]))


def _read_answer(body: bytes) -> tuple[bytes, bytes]:
    parts = unpack(body, 2)
    if len(parts) != 2:
        raise ProtocolError("an answer under one-time pad has not two parts: hang up")
    return parts[0], parts[1]
