"""The Noise handshake against published vectors, and with a key or a byte that is another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from poliqi.apps.stream.noise import KK_HFS, KK_HFS_PSK0, KK_PSK0, NoiseHandshake, Pattern
from poliqi.apps.stream.symmetric import CipherState
from poliqi.base.errors import AuthenticationError, ProtocolError

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "vectors" / "stream" / "noise_kkpsk0.json").read_text()
)["vectors"]
ONE, TWO, THREE, FOUR = (X25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in range(1, 5))


def published(vector: dict[str, Any], side: str) -> NoiseHandshake:
    return NoiseHandshake(
        KK_PSK0,
        is_initiator=side == "init",
        prologue=bytes.fromhex(vector[f"{side}_prologue"]),
        static=X25519PrivateKey.from_private_bytes(bytes.fromhex(vector[f"{side}_static"])),
        remote=X25519PublicKey.from_public_bytes(bytes.fromhex(vector[f"{side}_remote_static"])),
        ephemeral=X25519PrivateKey.from_private_bytes(bytes.fromhex(vector[f"{side}_ephemeral"])),
        psk=bytes.fromhex(vector[f"{side}_psks"][0]),
        hash_name=vector["protocol_name"].rpartition("_")[2],
    )


def pair(pattern: Pattern, **other: Any) -> tuple[NoiseHandshake, NoiseHandshake]:
    """Both sides; `other` replaces what the responder thinks."""
    psk = bytes(range(32)) if pattern.has_psk else None
    kem = None if pattern is KK_PSK0 else MLKEM768PrivateKey.from_seed_bytes(bytes(64))
    caller: dict[str, Any] = {"prologue": b"said before", "psk": psk}
    mine: dict[str, Any] = {"static": ONE, "remote": TWO.public_key(), "ephemeral": THREE, "kem": kem}
    yours: dict[str, Any] = {"static": TWO, "remote": ONE.public_key(), "ephemeral": FOUR} | other
    return (
        NoiseHandshake(pattern, is_initiator=True, **(caller | mine)),
        NoiseHandshake(pattern, is_initiator=False, **(caller | yours)),
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["protocol_name"])
def test_the_published_conversation_is_reproduced_to_the_byte(vector: dict[str, Any]) -> None:
    caller, callee = published(vector, "init"), published(vector, "resp")
    said = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]
    assert caller.write(said[0][0]) == said[0][1]
    assert callee.read(said[0][1]) == said[0][0]
    assert caller.hash == callee.hash == bytes.fromhex(vector["handshake_hash"])  # published after message 1
    assert callee.write(said[1][0]) == said[1][1]
    assert caller.read(said[1][1]) == said[1][0]
    keys = caller.split()
    assert keys == callee.split()
    ciphers = [CipherState(key) for key in keys]
    for place, (payload, sealed) in enumerate(said[2:]):
        assert ciphers[place % 2].encrypt(payload, b"") == sealed


@pytest.mark.parametrize("pattern", [KK_PSK0, KK_HFS_PSK0, KK_HFS], ids=lambda p: p.name)
def test_both_sides_end_with_the_same_keys(pattern: Pattern) -> None:
    caller, callee = pair(pattern)
    assert callee.read(caller.write(b"send 1")) == b"send 1"
    assert caller.read(callee.write(b"yes")) == b"yes"
    assert caller.hash == callee.hash
    assert caller.split() == callee.split()


def test_protocol_names_are_those_of_the_framework() -> None:
    assert KK_PSK0.protocol() == "Noise_KKpsk0_25519_AESGCM_SHA512"
    assert KK_HFS_PSK0.protocol() == "Noise_KKhfs+psk0_25519+MLKEM768_AESGCM_SHA512"


@pytest.mark.parametrize("pattern", [KK_PSK0, KK_HFS_PSK0], ids=lambda p: p.name)
@pytest.mark.parametrize(
    "other",
    [{"psk": bytes(32)}, {"prologue": b"said"}, {"remote": FOUR.public_key()}, {"static": FOUR}],
    ids=["another quantum key", "another prologue", "another caller", "another callee"],
)
def test_a_first_message_made_for_something_else_is_refused(pattern: Pattern, other: dict[str, Any]) -> None:
    caller, callee = pair(pattern, **other)
    with pytest.raises(AuthenticationError):
        callee.read(caller.write(b"send 1"))


@pytest.mark.parametrize("place", [0, 31, 32, 40, 32 + 1184 + 16, -1])
def test_a_flipped_bit_in_the_first_message_is_refused(place: int) -> None:
    caller, callee = pair(KK_HFS_PSK0)
    message = bytearray(caller.write(b"send 1"))
    message[place] ^= 1
    with pytest.raises(AuthenticationError):
        callee.read(bytes(message))


@pytest.mark.parametrize("place", [0, 32, 100, 32 + 1088 + 16, -1])
def test_a_flipped_bit_in_the_second_message_is_refused(place: int) -> None:
    caller, callee = pair(KK_HFS_PSK0)
    callee.read(caller.write(b"send 1"))
    message = bytearray(callee.write(b"yes"))
    message[place] ^= 1
    with pytest.raises(AuthenticationError):
        caller.read(bytes(message))


@pytest.mark.parametrize("size", [0, 31, 32, 47, 1000])
def test_a_message_that_ends_too_early_is_refused(size: int) -> None:
    caller, callee = pair(KK_HFS_PSK0)
    with pytest.raises(ProtocolError):
        callee.read(caller.write(b"send 1")[:size])


def test_a_point_of_small_order_is_refused() -> None:
    caller, callee = pair(KK_HFS)
    with pytest.raises(AuthenticationError):
        callee.read(bytes(32) + caller.write(b"")[32:])


def test_keys_are_not_split_before_the_end() -> None:
    with pytest.raises(ValueError, match="after its last message"):
        pair(KK_PSK0)[0].split()
