"""The post-quantum key agreement: both ends alike, every change noticed, nothing weaker taken."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from relay_city import FixedEntropy, stretch

from poliqi.base.errors import AuthenticationError, ProtocolError, StoreError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.kem import KemInitiator, KemPlace, KemResponder, KemSecret

PLACE = KemPlace(LinkId("leonardo-bovisa"), 7, KmeId("bovisa"), KmeId("leonardo"))
POOL_SECRET = stretch("pool secret", 32)
SEED = stretch("seed", 64)


def initiator(place: KemPlace = PLACE, pool_secret: bytes = POOL_SECRET) -> KemInitiator:
    return KemInitiator(place, pool_secret, FixedEntropy(SEED))


def test_both_ends_hold_the_same_secret_and_transcript() -> None:
    one, other = initiator(), KemResponder(PLACE, POOL_SECRET)
    confirm, mine = one.finish(other.answer(one.offer()))
    theirs = other.finish(confirm)
    assert len(mine.secret) == 32
    assert (mine.secret, mine.transcript) == (theirs.secret, theirs.transcript)


def test_the_secret_is_hkdf_of_the_shared_secret_and_the_pools_salted_by_the_transcript() -> None:
    one, other = initiator(), KemResponder(PLACE, POOL_SECRET)
    answer = other.answer(one.offer())
    _, mine = one.finish(answer)
    private = MLKEM1024PrivateKey.from_seed_bytes(SEED)
    ciphertext = msgspec.msgpack.decode(answer)[1]
    public = private.public_key().public_bytes_raw()
    said = (b"poliqi kem 1", b"ML-KEM-1024", b"leonardo-bovisa", (7).to_bytes(8, "big"), b"bovisa", b"leonardo")
    parts = b"".join(len(part).to_bytes(4, "big") + part for part in (*said, public, ciphertext))
    transcript = hashlib.sha384(parts).digest()
    shared = private.decapsulate(ciphertext)
    both = (32).to_bytes(4, "big") + shared + (32).to_bytes(4, "big") + POOL_SECRET
    assert mine.transcript == transcript
    expected = HKDF(SHA384(), 32, transcript, b"poliqi kem 1 secret").derive(both)
    assert bytes(mine.secret.view()) == expected


def test_what_is_kept_comes_back() -> None:
    one, other = initiator(), KemResponder(PLACE, POOL_SECRET)
    _, mine = one.finish(other.answer(one.offer()))
    kept = mine.to_keep()
    back = KemSecret.from_kept(kept)
    assert (len(kept), back.secret, back.transcript) == (80, mine.secret, mine.transcript)
    with pytest.raises(StoreError, match="79 bytes"):
        KemSecret.from_kept(SecretBytes(bytes(79)))


def test_every_epoch_has_another_secret() -> None:
    secrets = []
    for _ in range(2):
        one, other = initiator(), KemResponder(PLACE, POOL_SECRET)
        secrets.append(one.finish(other.answer(one.offer()))[1].secret.take())
    assert secrets[0] != secrets[1]  # even from one seed: the encapsulation is fresh


@pytest.mark.parametrize("position", [4, 5, 800, 1571, 1575, 1606])
def test_a_changed_answer_is_noticed_although_ml_kem_itself_rejects_in_silence(position: int) -> None:
    one, other = initiator(), KemResponder(PLACE, POOL_SECRET)
    answer = bytearray(other.answer(one.offer()))
    answer[position] ^= 1
    with pytest.raises((AuthenticationError, ProtocolError)):
        one.finish(bytes(answer))


def test_a_ciphertext_for_another_key_is_noticed() -> None:
    stranger = KemInitiator(PLACE, POOL_SECRET, FixedEntropy(stretch("another seed", 64)))
    answer = KemResponder(PLACE, POOL_SECRET).answer(stranger.offer())
    with pytest.raises(AuthenticationError, match="do not hold the same secret"):
        initiator().finish(answer)


@pytest.mark.parametrize(
    ("place", "pool_secret"),
    [
        (msgspec.structs.replace(PLACE, epoch=8), POOL_SECRET),
        (msgspec.structs.replace(PLACE, pool=LinkId("another")), POOL_SECRET),
        (msgspec.structs.replace(PLACE, initiator=KmeId("mallory")), POOL_SECRET),
        (PLACE, stretch("another secret", 32)),
    ],
    ids=["epoch", "pool", "site", "pool secret"],
)
def test_ends_that_mean_different_things_do_not_agree(place: KemPlace, pool_secret: bytes) -> None:
    one = initiator()
    with pytest.raises(AuthenticationError):
        one.finish(KemResponder(place, pool_secret).answer(one.offer()))


def test_the_responder_wants_proof_too() -> None:
    one, other = initiator(), KemResponder(PLACE, POOL_SECRET)
    answer = other.answer(one.offer())
    own_tag = msgspec.msgpack.decode(answer)[2]
    with pytest.raises(AuthenticationError):
        other.finish(msgspec.msgpack.encode([2, own_tag]))  # its own tag, sent back


def offer_of(algorithm: str, public_key: bytes) -> bytes:
    return msgspec.msgpack.encode([0, algorithm, public_key])


@pytest.mark.parametrize(
    "offer",
    [
        offer_of("ML-KEM-768", MLKEM768PrivateKey.from_seed_bytes(SEED).public_key().public_bytes_raw()),
        offer_of("ML-KEM-1024", MLKEM768PrivateKey.from_seed_bytes(SEED).public_key().public_bytes_raw()),
        offer_of("none", b""),
        offer_of("ml-kem-1024", MLKEM1024PrivateKey.from_seed_bytes(SEED).public_key().public_bytes_raw()),
        offer_of("ML-KEM-1024", b"\xff" * 1568),  # coefficients that are not reduced: FIPS 203, section 7.2
        offer_of("ML-KEM-1024", bytes(1569)),
        offer_of("x" * 33, b""),
        b"",
        b"\xc0",
        bytes(5000),
    ],
    ids=["768", "768 as 1024", "none", "spelling", "not reduced", "long", "long name", "empty", "nil", "huge"],
)
def test_an_offer_that_is_weaker_or_malformed_is_refused_and_a_good_one_still_taken(offer: bytes) -> None:
    other = KemResponder(PLACE, POOL_SECRET)
    with pytest.raises(ProtocolError):
        other.answer(offer)
    other.answer(initiator().offer())


def test_steps_out_of_turn_are_refused() -> None:
    one, other = initiator(), KemResponder(PLACE, POOL_SECRET)
    with pytest.raises(ProtocolError, match="out of turn"):
        other.finish(msgspec.msgpack.encode([2, bytes(32)]))
    answer = other.answer(one.offer())
    with pytest.raises(ProtocolError, match="offered before"):
        other.answer(one.offer())
    confirm, _ = one.finish(answer)
    with pytest.raises(ProtocolError, match="answered before"):
        one.finish(answer)
    other.finish(confirm)
    with pytest.raises(ProtocolError, match="out of turn"):
        other.finish(confirm)


@pytest.mark.parametrize("answer", [b"", b"\xc0", bytes(5000), msgspec.msgpack.encode([1, bytes(1567), bytes(32)])])
def test_a_malformed_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        initiator().finish(answer)
