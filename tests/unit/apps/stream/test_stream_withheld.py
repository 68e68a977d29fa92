"""A stream under one-time pad is withheld: whoever knows its text and its keys' names forges no other from it."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305
from played_channels import CALLEE, CALLER, channel_pair, identity

from bench.played_keys import PlayedSite
from poliqi.apps.stream.channel import accept
from poliqi.apps.stream.opening import Call, Frame, Header, Offer, make_guard, read_hello
from poliqi.apps.stream.terms import Mode, Policy, StreamRule
from poliqi.base.errors import AuthenticationError

TEXT = bytes(9000)
"""What the forger knows; of zeros, so the line shows the pad itself."""
RULE = StreamRule(policy=Policy.ITS)


def withheld(site: PlayedSite) -> tuple[bytes, dict[str, bytes]]:
    """The pad that covered TEXT, as an eavesdropper knows it, and the keys that the called side did not fetch."""
    caller, callee = channel_pair(Policy.ITS, site, over_tcp=False)
    caller.send(TEXT)
    line: socket.socket = callee._wire._socket  # pyright: ignore[reportAttributeAccessIssue]  # cut here
    raw, covered = line.recv(1 << 17), b""
    while raw:
        end = 4 + int.from_bytes(raw[1:4], "big")
        if raw[0] == Frame.DATA:
            covered += raw[4 : end - 16]
        raw = raw[end:]
    caller.close()
    callee.close()
    assert len(covered) == len(TEXT)
    return covered, dict(site.promised[CALLER, CALLEE])


@dataclass
class Forger:
    """Writes records of a caller from the bytes that it takes for pad."""

    pad: bytes
    sequence: int = field(default=0)

    def take(self, size: int) -> bytes:
        taken, self.pad = self.pad[:size], self.pad[size:]
        return taken

    def record(self, kind: Frame, text: bytes, context: bytes = b"") -> bytes:
        """As the specification says."""
        key = self.take(32)
        hidden = bytes(a ^ b for a, b in zip(text, self.take(len(text)), strict=True))
        head = bytes([kind]) + (len(text) + 16).to_bytes(3, "big")
        covered = bytes([1]) + self.sequence.to_bytes(8, "big") + head + context + hidden
        self.sequence += 1
        return head + hidden + Poly1305.generate_tag(key, covered)


def forge(site: PlayedSite, name: str, pad: bytes) -> bytes:
    """What the called side takes from a call that names this key. X25519 is broken: the forger makes the guard."""
    mine, yours = identity(CALLER), identity(CALLEE)
    one, other = socket.socketpair()
    with one, other:
        forger = Forger(pad)
        with ThreadPoolExecutor(1) as pool:
            contacts = {mine.sae: (mine.contact, RULE)}
            answered = pool.submit(accept, other, yours, contacts, site.keys(CALLEE), timeout_s=5.0)
            header = Header(Mode.ONE_TIME, CALLER, CALLEE, read_hello(one.recv(4096)[4:]), (name,))
            offer = Offer(RULE.rekey_bytes, RULE.rekey_s, "pay 1").pack()
            message = forger.record(Frame.CALL, offer, header.prologue())
            guard = make_guard(mine.exchange, yours.contact.exchange, header, message)
            body = Call(header, message, guard).pack()
            one.sendall(bytes([Frame.CALL]) + len(body).to_bytes(3, "big") + body)
            with suppress(BrokenPipeError):  # it has been found out and hung up on already
                one.sendall(forger.record(Frame.DATA, b"pay Mallory"))
            channel = answered.result()
        taken = bytes(channel.receive() or b"")
        channel.close()
        return taken


def test_the_forger_s_records_are_right_where_it_knows_the_key_whole() -> None:
    site = PlayedSite(most_bytes=4096)
    _, keys = withheld(site)
    name, key = next(iter(keys.items()))
    assert forge(site, name, key) == b"pay Mallory"


@pytest.mark.parametrize("most_bytes", [512, 4096])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_no_key_of_a_withheld_stream_opens_another(most_bytes: int, place: int) -> None:
    site = PlayedSite(most_bytes=most_bytes)
    covered, keys = withheld(site)
    name, key = list(keys.items())[place]
    # the longest end of the key that the text shows, with zeros for what it does not
    start = next(at for at in range(len(key)) if key[at : at + 16] in covered)
    with pytest.raises(AuthenticationError):
        forge(site, name, bytes(start) + key[start:])


@pytest.mark.parametrize("most_bytes", [96, 512, 4096])
def test_text_never_lies_under_the_first_bytes_of_a_key(most_bytes: int) -> None:
    covered, keys = withheld(PlayedSite(most_bytes=most_bytes))
    assert len(keys) > 1
    assert not any(key[at : at + 8] in covered for key in keys.values() for at in range(32 - 7))
    assert sum(key[32:40] in covered for key in keys.values()) > 1
