"""The far end of the stream's benchmark, in a process of its own: takes everything, or sends everything back.

Its keys are made from a seed that both processes know, so that no site is measured. Prints its two ports (streams,
plain TCP) as one line of JSON and runs until its standard input ends.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import sys
import threading
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.played_keys import PHOTONS
from poliqi.apps.identity import Identity
from poliqi.apps.keysource import Key, Supply
from poliqi.apps.stream.channel import RECORD_BYTES, Channel, accept
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes

MESSAGE_BYTES = 200
PAD_KEY_BYTES = 1 << 20


class SeededKeys:
    """Keys of 32 bytes are hashes of their names; larger ones slices of a run that is there before."""

    def __init__(self, sae: str, pad_bytes: int = 0) -> None:
        self.sae = sae
        self.pads = {
            SaeId(name): np.random.default_rng(list(name.encode())).bytes(pad_bytes) for name in ("far", "near")
        }
        self.drawn = 0

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:  # noqa: ARG002  # one peer
        first, self.drawn = self.drawn, self.drawn + number
        return [self._key(f"{self.sae}.{place}.{size_bytes}") for place in range(first, first + number)]

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:  # noqa: ARG002  # one peer
        return [self._key(name) for name in key_ids]

    def _key(self, name: str) -> Key:
        owner, place, size = name.split(".")
        if int(size) <= 1024:
            return Key(name, SecretBytes(hashlib.shake_256(name.encode()).digest(int(size))), PHOTONS)
        pad, start = self.pads[SaeId(owner)], int(place) * PAD_KEY_BYTES % max(1, len(self.pads[SaeId(owner)]))
        return Key(name, SecretBytes(memoryview(pad)[start : start + int(size)]), PHOTONS)

    def supply(self, peer: SaeId) -> Supply:  # noqa: ARG002  # one peer
        return Supply(1 << 40, None, 8, PAD_KEY_BYTES, 16, is_connected=True)

    def close(self) -> None:
        """Nothing to hang up."""


def seeded_identity(sae: str) -> Identity:
    """The same one in both processes."""
    seed = hashlib.sha256(sae.encode()).digest()
    return Identity(SaeId(sae), X25519PrivateKey.from_private_bytes(seed), MLDSA65PrivateKey.from_seed_bytes(seed))


def serve(channel: Channel) -> None:
    """Take all and say so at the end; or send each message back."""
    buffer = memoryview(bytearray(RECORD_BYTES))
    if channel.purpose == "echo 1":
        while (size := channel.receive_into(buffer)) is not None:
            channel.send(buffer[:size])
    else:
        while channel.receive_into(buffer) is not None:
            pass
        channel.send(b"all")
    channel.finish()
    channel.receive_into(buffer)
    channel.close()


def streams(door: socket.socket, rule: StreamRule, keys: SeededKeys) -> None:
    contacts = {
        SaeId(f"near {policy}"): (
            seeded_identity(f"near {policy}").contact,
            StreamRule(policy, rekey_bytes=rule.rekey_bytes),
        )
        for policy in Policy
    }
    identity = seeded_identity("far")
    while True:
        try:
            serve(accept(door.accept()[0], identity, contacts, keys))
        except Exception as error:  # the near end measures; this one goes on
            print(f"the far end: {type(error).__name__}: {error}", file=sys.stderr)


def plain_echo(door: socket.socket) -> None:
    while True:
        connection, _ = door.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := connection.recv(MESSAGE_BYTES, socket.MSG_WAITALL):
                connection.sendall(data)


def main() -> None:
    asked = json.loads(base64.b64decode(sys.argv[1]))
    keys = SeededKeys("far", asked["pad_bytes"])
    rule = StreamRule(rekey_bytes=asked["rekey_bytes"])
    doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    threading.Thread(target=streams, args=(doors[0], rule, keys), daemon=True).start()
    threading.Thread(target=plain_echo, args=(doors[1],), daemon=True).start()
    print(json.dumps([door.getsockname()[1] for door in doors]), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
