"""Records against vectors that were computed from the specification's formulas alone; most of them have to fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stream_ends import (
    FIRST,
    SECOND,
    TRANSCRIPT,
    FixedKeys,
    fed,
    fixed_header,
    heard,
    padded_receiver,
    sealed_session,
)

from poliqi.apps.stream.records import RecordSealer
from poliqi.apps.stream.schedule import CALLEE, CALLER, DirectionKeys
from poliqi.apps.stream.terms import Mode
from poliqi.base.secret import SecretBytes

VECTORS = Path(__file__).parents[3] / "vectors" / "stream"
RECORDS: dict[str, Any] = json.loads((VECTORS / "records.json").read_text())
ONE_TIME: dict[str, Any] = json.loads((VECTORS / "one_time.json").read_text())


def site_keys(vector: dict[str, Any]) -> FixedKeys:
    return FixedKeys({name: bytes.fromhex(key) for name, key in vector.get("site_keys", {}).items()})


@pytest.mark.parametrize("vector", RECORDS["vectors"], ids=lambda v: v["name"])
def test_a_stream_with_a_quantum_key_hands_over_what_is_true_and_no_more(vector: dict[str, Any]) -> None:
    stream = fed(sealed_session(site_keys(vector), is_caller=False), bytes.fromhex(vector["bytes"]))
    assert heard(stream) == ([bytes.fromhex(m) for m in vector["messages"]], vector["result"])


@pytest.mark.parametrize("vector", ONE_TIME["vectors"], ids=lambda v: v["name"])
def test_a_stream_under_pad_hands_over_what_is_true_and_no_more(vector: dict[str, Any]) -> None:
    stream = fed(padded_receiver(site_keys(vector), "pad-1"), bytes.fromhex(vector["bytes"]))
    assert heard(stream) == ([bytes.fromhex(m) for m in vector["messages"]], vector["result"])


def test_most_vectors_are_failures() -> None:
    for vectors in (RECORDS["vectors"], ONE_TIME["vectors"]):
        failures = [v for v in vectors if v["result"] != "end"]
        assert len(failures) > 3 * (len(vectors) - len(failures))


@pytest.mark.parametrize(
    ("direction", "secret", "name"), [(CALLER, FIRST, "caller_key"), (CALLEE, SECOND, "callee_key")]
)
def test_the_first_key_of_a_direction_is_that_of_the_specification(
    direction: int, secret: bytes, name: str
) -> None:
    keys = DirectionKeys(fixed_header(Mode.QUANTUM, "key-1"), TRANSCRIPT, direction, secret)
    assert _key(keys) == bytes.fromhex(RECORDS["derived"][name])


def test_the_next_key_comes_from_the_old_and_the_quantum_key() -> None:
    keys = DirectionKeys(fixed_header(Mode.QUANTUM, "key-1"), TRANSCRIPT, CALLER, FIRST)
    keys.ratchet("key-2", SecretBytes(bytes(range(200, 232))))
    assert _key(keys) == bytes.fromhex(RECORDS["derived"]["caller_key_after_key-2"])


def test_what_is_sealed_is_the_vector_to_the_byte() -> None:
    sealer = RecordSealer(DirectionKeys(fixed_header(Mode.QUANTUM, "key-1"), TRANSCRIPT, CALLER, FIRST))
    frames = b"".join(bytes(sealer.seal(16, text)) for text in (b"one", b"", b"three" * 50))
    assert (frames + bytes(sealer.seal(20, b""))).hex() == RECORDS["vectors"][0]["bytes"]


def _key(keys: DirectionKeys) -> bytes:
    """AES's key is not shown, so: the key whose cipher says the same."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    said = keys.cipher.encrypt(bytes(12), b"", b"")
    names = [v for k, v in RECORDS["derived"].items() if "_key" in k]
    return next((key for key in map(bytes.fromhex, names) if AESGCM(key).encrypt(bytes(12), b"", b"") == said), b"")
