"""Opening a stream: hello, call, answer. The modes with Noise are here, the one under one-time pad in `onetime`.

The side that is called speaks first, with a fresh challenge. The caller's message is guarded by its identity over
that challenge, so that a key is fetched (and so spent) for a paired application alone, and never for a replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from poliqi.apps.identity import Contact, Identity
from poliqi.apps.keygrade import GradeDemand, KeyGrade
from poliqi.apps.keysource import Key, KeySource
from poliqi.apps.stream.noise import KK_HFS, KK_HFS_PSK0, KK_PSK0, NoiseHandshake, Pattern
from poliqi.apps.stream.opening import (
    CHALLENGE_BYTES,
    LABEL,
    Call,
    Frame,
    Header,
    Offer,
    Refusal,
    check_guard,
    make_guard,
    read_hello,
    write_hello,
)
from poliqi.apps.stream.records import RecordOpener, RecordSealer
from poliqi.apps.stream.refusal import expect, frame, refuse, refusing
from poliqi.apps.stream.rekey import QUANTUM_KEY_BYTES, Announced, NextKey, judge
from poliqi.apps.stream.schedule import CALLEE, CALLER, DirectionKeys
from poliqi.apps.stream.sealed import SealedIn, SealedOut
from poliqi.apps.stream.session import Session
from poliqi.apps.stream.terms import Mode, Policy, StreamRule, Used
from poliqi.apps.stream.wire import Wire
from poliqi.base.errors import AuthenticationError, ConfigError, KeyExhausted, LinkDown, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy
from poliqi.keys.combine import lengthed

__all__ = ["Contacts", "answer", "call"]

Contacts = Mapping[SaeId, tuple[Contact, StreamRule]]

_PATTERNS: Final[Mapping[Mode, Pattern]] = {
    Mode.QUANTUM: KK_PSK0,
    Mode.HYBRID: KK_HFS_PSK0,
    Mode.PQC: KK_HFS,
}
_WITH_KEY: Final = {Policy.STRICT: Mode.QUANTUM, Policy.HYBRID: Mode.HYBRID, Policy.PQC_FALLBACK: Mode.HYBRID}


def call(
    wire: Wire,
    identity: Identity,
    contact: Contact,
    keys: KeySource,
    rule: StreamRule,
    purpose: str,
    entropy: Entropy,
) -> Session:
    """The caller's side. Raises what `channel.connect` raises."""
    offer = Offer(rule.rekey_bytes, rule.rekey_s, purpose)
    offer.pack()
    challenge = read_hello(expect(wire, Frame.HELLO))
    if rule.policy is Policy.ITS:
        from poliqi.apps.stream import onetime  # numpy comes with it

        return onetime.call(wire, identity, contact, keys, rule, offer, challenge)
    mode, key = _first_key(keys, contact.sae, rule)
    header = Header(mode, identity.sae, contact.sae, challenge, (key.key_id,) if key else ())
    noise = NoiseHandshake(
        _PATTERNS[mode],
        is_initiator=True,
        prologue=header.prologue(),
        static=identity.exchange,
        remote=contact.exchange,
        ephemeral=X25519PrivateKey.from_private_bytes(entropy.draw(32)),
        psk=key.value.take() if key else None,
        kem=None if mode is Mode.QUANTUM else MLKEM768PrivateKey.from_seed_bytes(entropy.draw(64)),
    )
    message = noise.write(offer.pack())
    guard = make_guard(identity.exchange, contact.exchange, header, message)
    wire.write(frame(Frame.CALL, Call(header, message, guard).pack()))
    theirs = Offer.read(noise.read(expect(wire, Frame.ANSWER)))
    return _open(_Made(noise, header, True, offer.lesser(theirs), key), wire, identity, contact, keys, rule)


def answer(wire: Wire, identity: Identity, contacts: Contacts, keys: KeySource, entropy: Entropy) -> Session:
    """The side that is called. Raises what `channel.accept` raises; the caller hears a refusal in one byte."""
    challenge = entropy.draw(CHALLENGE_BYTES)
    wire.write(frame(Frame.HELLO, write_hello(challenge)))
    body = expect(wire, Frame.CALL)
    asked = Call.read(body)
    header = asked.header
    with refusing(wire, Refusal.NOT_KNOWN):
        contact, rule = _caller(asked, contacts, identity, challenge)
    if header.mode not in rule.modes:
        refuse(wire, Refusal.MODE)
        raise ConfigError(
            f"{header.caller} calls with mode {header.mode.value!r}, and policy {rule.policy.value!r} does not "
            f"take it: set the same policy at both ends"
        )
    if header.mode is Mode.ONE_TIME:
        from poliqi.apps.stream import onetime  # numpy comes with it

        return onetime.answer(wire, asked, body, keys, rule)
    with refusing(wire, Refusal.NO_KEYS):
        key = _named_key(keys, header, rule)
    noise = NoiseHandshake(
        _PATTERNS[header.mode],
        is_initiator=False,
        prologue=header.prologue(),
        static=identity.exchange,
        remote=contact.exchange,
        ephemeral=X25519PrivateKey.from_private_bytes(entropy.draw(32)),
        psk=key.value.take() if key else None,
    )
    with refusing(wire, Refusal.BROKEN):
        own = Offer(rule.rekey_bytes, rule.rekey_s)
        agreed = own.lesser(Offer.read(noise.read(asked.message)))
    wire.write(frame(Frame.ANSWER, noise.write(own.pack())))
    return _open(_Made(noise, header, False, agreed, key), wire, identity, contact, keys, rule)


def _caller(asked: Call, contacts: Contacts, identity: Identity, challenge: bytes) -> tuple[Contact, StreamRule]:
    """Who called. Raises ConfigError, AuthenticationError."""
    header = asked.header
    found = contacts.get(header.caller)
    if found is None:
        raise ConfigError(f"{header.caller} called, and no such contact is here: exchange public files first")
    if header.callee != identity.sae:
        raise ConfigError(f"{header.caller} called {header.callee}, and this is {identity.sae}: check its address")
    if header.challenge != challenge:
        raise AuthenticationError(f"a call of {header.caller} was made for another hello: a replay, or a fault")
    check_guard(asked.guard, make_guard(identity.exchange, found[0].exchange, header, asked.message))
    return found


def _first_key(keys: KeySource, peer: SaeId, rule: StreamRule) -> tuple[Mode, Key | None]:
    """The mode to call with, and its key; without one only where the policy says so."""
    if rule.policy is Policy.PQC:
        return Mode.PQC, None
    try:
        found = keys.fresh(peer, 1, QUANTUM_KEY_BYTES)
    except (KeyExhausted, LinkDown):
        if rule.policy is not Policy.PQC_FALLBACK:
            raise
        return Mode.PQC, None
    mode = _WITH_KEY[rule.policy]
    return mode, _judged(found, rule.demand_for(mode))


def _named_key(keys: KeySource, header: Header, rule: StreamRule) -> Key | None:
    if header.mode is Mode.PQC:
        return None
    if len(header.key_ids) != 1:
        raise ProtocolError(f"{header.caller} names {len(header.key_ids)} keys where one is used: hang up")
    return _judged(keys.named(header.caller, header.key_ids), rule.demand_for(header.mode))


def _judged(found: list[Key], demand: GradeDemand) -> Key:
    refused = judge(found, demand, 1, QUANTUM_KEY_BYTES)
    if refused is not None:
        for key in found:
            key.value.close()
        raise refused
    return found[0]


class _Made:
    """A finished Noise handshake, split into both directions."""

    def __init__(
        self, noise: NoiseHandshake, header: Header, is_caller: bool, offer: Offer, key: Key | None
    ) -> None:
        self.header, self.is_caller, self.offer, self.key = header, is_caller, offer, key
        self.transcript: Final = noise.hash
        first, second = noise.split()
        caller = DirectionKeys(header, self.transcript, CALLER, first)
        callee = DirectionKeys(header, self.transcript, CALLEE, second)
        self.sealer: Final = RecordSealer(caller if is_caller else callee)
        self.opener: Final = RecordOpener(callee if is_caller else caller)

    def prove(self, wire: Wire, identity: Identity, contact: Contact) -> None:
        """Mode pqc: each side signs what was said, as X25519 alone would not name it to a quantum adversary.

        Raises AuthenticationError, ProtocolError, LinkDown.
        """
        ours, theirs = (b"caller", b"callee") if self.is_caller else (b"callee", b"caller")
        signature = identity.sign(lengthed([ours, self.transcript]), LABEL)
        wire.write(self.sealer.seal(Frame.SIGNATURE, signature))
        read = wire.read()
        if read is None or read[0] != Frame.SIGNATURE:
            raise ProtocolError("the other side does not sign the handshake: hang up")
        text = memoryview(bytearray(len(read[2])))
        size = self.opener.open(read[1], read[2], text)
        contact.verify(bytes(text[:size]), lengthed([theirs, self.transcript]), LABEL)


def _open(
    made: _Made, wire: Wire, identity: Identity, contact: Contact, keys: KeySource, rule: StreamRule
) -> Session:
    """Both directions, with where their next keys come from."""
    used: list[Used] = []
    following = announced = None
    if made.key is None:
        made.prove(wire, identity, contact)
    else:
        used.append((made.key.key_id, KeyGrade.read(made.key.grade)))
        demand = rule.demand_for(made.header.mode)
        following = NextKey(keys, contact.sae, demand)
        announced = Announced(keys, contact.sae, demand)
    outgoing = SealedOut(made.sealer, made.offer, used, following)
    incoming = SealedIn(made.opener, made.offer, used, announced)
    return Session(made.header, made.is_caller, made.offer.purpose, outgoing, incoming, used)
