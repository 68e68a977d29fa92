"""Both sides of a handshake against vectors: the bytes they say, the secrets they come to, what they refuse."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from stream_ends import FixedKeys

from poliqi.apps.identity import Identity
from poliqi.apps.stream.handshake import answer, call
from poliqi.apps.stream.opening import Header
from poliqi.apps.stream.schedule import CALLEE, CALLER, DirectionKeys
from poliqi.apps.stream.session import Session
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.apps.stream.wire import Wire
from poliqi.base.errors import PoliqiError
from poliqi.base.ids import SaeId

FILE: dict[str, Any] = json.loads((Path(__file__).parents[3] / "vectors" / "stream" / "handshake.json").read_text())
FAILURES = [(vector, failure) for vector in FILE["vectors"] for failure in vector["failures"]]


class Drawn:
    """Entropy that is known."""

    source = "a vector"

    def __init__(self, *parts: str) -> None:
        self.parts = [bytes.fromhex(FILE[part]) for part in parts]

    def draw(self, count: int) -> bytes:
        part = self.parts.pop(0)
        assert len(part) == count
        return part


def known(name: str) -> Identity:
    exchange = X25519PrivateKey.from_private_bytes(bytes.fromhex(FILE[f"{name}_static"]))
    return Identity(SaeId(name), exchange, MLDSA65PrivateKey.from_seed_bytes(bytes(32)))


def rule(vector: dict[str, Any], name: str) -> StreamRule:
    policy = Policy.HYBRID if vector["mode"] == "hybrid" and name == "caller" else Policy.STRICT
    offer = FILE["offers"][name]
    return StreamRule(policy, rekey_bytes=offer["rekey_bytes"], rekey_s=offer["rekey_ms"] / 1000)


def side(name: str, vector: dict[str, Any], heard: bytes) -> tuple[Session | PoliqiError, bytes]:
    """What one side comes to when it hears these bytes, and what it says."""
    ours, theirs = socket.socketpair()
    keys = FixedKeys({key: bytes.fromhex(value) for key, value in FILE["quantum_key"].items()})
    with ours, theirs:
        theirs.sendall(heard)
        theirs.shutdown(socket.SHUT_WR)
        wire, found = Wire(ours, 5.0), None
        try:
            if name == "called":
                contact = known("caller").contact
                entropy = Drawn("challenge", "callee_ephemeral")
                found = answer(
                    wire, known("callee"), {contact.sae: (contact, rule(vector, "callee"))}, keys, entropy
                )
            else:
                entropy = Drawn("caller_ephemeral", "kem_seed")
                contact = known("callee").contact
                found = call(wire, known("caller"), contact, keys, rule(vector, "caller"), "send 1", entropy)
        except PoliqiError as error:
            found = error
        wire.close()
        said = b""
        while part := theirs.recv(1 << 16):
            said += part
        return found, said


def first_words(session: Session | PoliqiError) -> bytes:
    """A record of a side's own direction: it has the right key, or this is another."""
    assert isinstance(session, Session)
    return b"".join(bytes(frame) for frame in session.outgoing.message(b"first"))


def expected_words(vector: dict[str, Any], direction: int) -> bytes:
    header = Header.read(bytes.fromhex(vector["call"])[6 : 6 + int(vector["call"][8:12], 16)])
    secret = vector["split_caller" if direction == CALLER else "split_callee"]
    keys = DirectionKeys(header, bytes.fromhex(vector["handshake_hash"]), direction, bytes.fromhex(secret))
    nonce, head = bytes(12), bytes([16, 0, 0, 21])
    return head + keys.cipher.encrypt(nonce, b"first", bytes([direction]) + bytes(8) + head)


@pytest.mark.parametrize("vector", FILE["vectors"], ids=lambda v: v["mode"])
def test_the_caller_says_the_vectors_bytes_and_comes_to_its_keys(vector: dict[str, Any]) -> None:
    session, said = side("caller", vector, bytes.fromhex(vector["hello"] + vector["answer"]))
    assert said.hex() == vector["call"]
    assert first_words(session) == expected_words(vector, CALLER)


def test_the_called_side_says_the_vectors_bytes_and_comes_to_its_keys() -> None:
    vector = FILE["vectors"][0]
    session, said = side("called", vector, bytes.fromhex(vector["call"]))
    assert said.hex() == vector["hello"] + vector["answer"]
    assert first_words(session) == expected_words(vector, CALLEE)
    assert isinstance(session, Session)
    assert session.purpose == FILE["offers"]["caller"]["purpose"]


@pytest.mark.parametrize(("vector", "failure"), FAILURES, ids=[f"{v['mode']}: {f['name']}" for v, f in FAILURES])
def test_what_has_to_fail_fails_so(vector: dict[str, Any], failure: dict[str, str]) -> None:
    found, said = side(failure["side"], vector, bytes.fromhex(failure["bytes"]))
    assert type(found).__name__ == failure["result"]
    if failure["side"] == "called":
        assert len(said) <= len(bytes.fromhex(vector["hello"])) + 5  # a refusal of one byte at most
