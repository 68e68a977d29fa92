"""Hybrid keys against RFC 5869 written plainly, against another library's HKDF, and against each input alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from relay_city import stretch

from poliqi.base.ids import LinkId, SaeId
from poliqi.keys.combine import combine, combine_hkdf, combine_xor, combiner_context, lengthed
from poliqi.keys.grade import Combiner

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "combine" / "combine.json").read_text())
QKD, KEM, CONTEXT = stretch("qkd", 32), stretch("kem", 32), stretch("context", 64)


def plain_hmac(name: str, key: bytes, message: bytes) -> bytes:
    """RFC 2104, for keys no longer than a block."""
    block = hashlib.new(name).block_size
    padded = key.ljust(block, b"\x00")
    inner = hashlib.new(name, bytes(b ^ 0x36 for b in padded) + message).digest()
    return hashlib.new(name, bytes(b ^ 0x5C for b in padded) + inner).digest()


def plain_expand(name: str, key: bytes, info: bytes, size: int) -> bytes:
    blocks = [b""]
    for number in range(1, size + 1):
        blocks.append(plain_hmac(name, key, blocks[-1] + info + bytes([number])))
        if sum(map(len, blocks)) >= size:
            break
    return b"".join(blocks)[:size]


def plain_hkdf(name: str, salt: bytes, secret: bytes, info: bytes, size: int) -> bytes:
    return plain_expand(name, plain_hmac(name, salt, secret), info, size)


def test_the_plain_hkdf_of_these_tests_gives_the_first_vector_of_rfc_5869() -> None:
    salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
    expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert plain_hkdf("sha256", salt, b"\x0b" * 22, info, 42).hex() == expected


@pytest.mark.parametrize("size", [16, 32, 48, 49, 200])
def test_the_hkdf_form_is_the_plain_one_over_both_keys_after_their_lengths(size: int) -> None:
    qkd = stretch("qkd", size)
    both = size.to_bytes(4, "big") + qkd + (32).to_bytes(4, "big") + KEM
    expected = plain_hkdf("sha384", b"poliqi hybrid 1", both, b"hkdf\x00" + CONTEXT, size)
    assert combine_hkdf(qkd, KEM, CONTEXT) == expected


@pytest.mark.parametrize("case", VECTORS["keys"], ids=lambda case: str(len(case["qkd_key"]) // 2))
def test_the_vectors_hold(case: dict[str, str]) -> None:
    qkd, kem, context = (bytes.fromhex(case[name]) for name in ("qkd_key", "kem_secret", "context"))
    assert combine_hkdf(qkd, kem, context).hex() == case["hkdf"]
    assert combine_xor(qkd, kem, context).hex() == case["xor"]


def test_the_context_of_the_vectors_holds() -> None:
    context = combiner_context("ML-KEM-1024", LinkId("leonardo-bovisa"), 7, b"t" * 48, SaeId("a"), [SaeId("b")])
    assert context.hex() == VECTORS["context"]


def test_the_summed_form_is_a_permutation_of_quantum_keys_for_a_known_post_quantum_secret() -> None:
    """An adversary who broke the KEM removes the mask and is left with the quantum key, no less uniform."""
    assert {combine_xor(bytes([key]), KEM, CONTEXT) for key in range(256)} == {bytes([key]) for key in range(256)}


@pytest.mark.parametrize("form", [combine_hkdf, combine_xor])
def test_either_key_and_the_context_change_the_result(form: object) -> None:
    results = {
        form(QKD, KEM, CONTEXT),
        form(stretch("other", 32), KEM, CONTEXT),
        form(QKD, stretch("other", 32), CONTEXT),
        form(QKD, KEM, CONTEXT + b"\x00"),
    }
    assert len(results) == 4


def test_bytes_cannot_move_from_one_key_to_the_other() -> None:
    assert combine_hkdf(QKD + KEM[:1], KEM[1:], CONTEXT)[:32] != combine_hkdf(QKD, KEM, CONTEXT)


def test_the_two_forms_never_use_the_same_bytes_of_the_post_quantum_secret() -> None:
    mask = bytes(a ^ b for a, b in zip(combine_xor(QKD, KEM, CONTEXT), QKD, strict=True))
    assert mask != combine_hkdf(QKD, KEM, CONTEXT)


def test_a_context_tells_apart_everything_in_it() -> None:
    said = ("ML-KEM-1024", LinkId("pool"), 7, b"transcript", SaeId("a"), [SaeId("b"), SaeId("c")])
    others = [
        ("ML-KEM-768", *said[1:]),
        (said[0], LinkId("poo"), *said[2:]),
        (*said[:2], 8, *said[3:]),
        (*said[:3], b"transcripT", *said[4:]),
        (*said[:4], SaeId("b"), [SaeId("a"), SaeId("c")]),
        (*said[:5], [SaeId("bc")]),
        (*said[:5], [SaeId("c"), SaeId("b")]),
    ]
    assert len({combiner_context(*words) for words in [said, *others]}) == 8
    assert lengthed([b"ab", b"c"]) != lengthed([b"a", b"bc"])


def test_the_combiner_of_a_run_chooses_the_form() -> None:
    assert combine(Combiner.NONE, QKD, KEM, CONTEXT) == QKD
    assert combine(Combiner.HKDF, QKD, KEM, CONTEXT) == combine_hkdf(QKD, KEM, CONTEXT)
    assert combine(Combiner.XOR, QKD, KEM, CONTEXT) == combine_xor(QKD, KEM, CONTEXT)


@pytest.mark.parametrize(("qkd", "kem"), [(0, 32), (4097, 32), (32, 0), (32, 15)])
@pytest.mark.parametrize("form", [combine_hkdf, combine_xor])
def test_keys_of_impossible_sizes_are_refused(form: object, qkd: int, kem: int) -> None:
    with pytest.raises(ValueError, match="cannot be combined"):
        form(bytes(qkd), bytes(kem), b"")
