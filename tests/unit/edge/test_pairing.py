"""First trust: pair files and public keys, installed once, refused when anything is odd."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from link_states import LINK, make_pair_file, make_state, pad

from poliqi.base.errors import ConfigError, DataRefused, KeyExhausted, PoliqiError
from poliqi.base.ids import LinkId, Origin, Role
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.pairfile import PairFile, check_link_id, write_private
from poliqi.edge.pairing import (
    decode_public_key,
    encode_public_key,
    fingerprint,
    install_pair_file,
    link_status,
    make_identity,
    read_identity,
    trust_peer,
)
from poliqi.edge.store import LinkStore

SPECIFIED = (
    b"POLIQI-PAIR 1\n\x0fleonardo-bovisa"
    + bytes.fromhex("00112233aabbccdd")
    + (16).to_bytes(4, "little")
    + pad("alice", 0, 16)
    + pad("bob", 0, 16)
)


def with_checksum(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


@pytest.fixture
def pair_file(tmp_path: Path) -> Path:
    return make_pair_file(tmp_path / "pair")


# ---------------------------------------------------------------- the file


def test_bytes_are_those_of_the_specification(tmp_path: Path) -> None:
    assert make_pair_file(tmp_path / "pair", words=16).read_bytes() == with_checksum(SPECIFIED)


def test_reading_gives_back_what_was_written() -> None:
    made = PairFile.make(LINK, 20, OperatingSystemEntropy())
    read = PairFile.decode(made.encode())
    assert (read.link_id, read.pair_id, read.words) == (LINK, made.pair_id, 20)
    assert read.alice == made.alice
    assert read.bob == made.bob
    assert read.alice != read.bob


@given(st.integers(0, len(SPECIFIED) + 31), st.integers(0, 7))
@settings(max_examples=200)
def test_any_flipped_bit_is_refused(position: int, bit: int) -> None:
    data = bytearray(with_checksum(SPECIFIED))
    data[position] ^= 1 << bit
    with pytest.raises(DataRefused):
        PairFile.decode(bytes(data))


@given(st.integers(0, len(SPECIFIED) + 31))
def test_any_cut_is_refused(length: int) -> None:
    with pytest.raises(DataRefused):
        PairFile.decode(with_checksum(SPECIFIED)[:length])


@given(st.binary(max_size=200))
def test_any_body_with_a_fitting_checksum_is_refused_or_whole(body: bytes) -> None:
    with pytest.raises(DataRefused):
        PairFile.decode(with_checksum(b"POLIQI-PAIR 1\n" + body))


@pytest.mark.parametrize(
    "body",
    [
        SPECIFIED + b"x",
        SPECIFIED.replace(b"leonardo", b"leo/ardo"),
        SPECIFIED.replace((16).to_bytes(4, "little"), (15).to_bytes(4, "little")),
        SPECIFIED.replace((16).to_bytes(4, "little"), b"\xff\xff\xff\xff"),
        SPECIFIED.replace(b"PAIR 1", b"PAIR 2"),
    ],
)
def test_sound_checksum_over_a_wrong_body_is_refused(body: bytes) -> None:
    with pytest.raises(DataRefused):
        PairFile.decode(with_checksum(body))


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "a" * 65, "é", "a\n"])
def test_link_names_are_plain(name: str) -> None:
    with pytest.raises(ConfigError, match="link name"):
        check_link_id(name)


@pytest.mark.parametrize("words", [0, 15, 65537])
def test_pads_are_neither_too_short_nor_too_long(words: int) -> None:
    with pytest.raises(ConfigError, match="16 to 65536"):
        PairFile.make(LINK, words, OperatingSystemEntropy())


def test_pair_file_is_private_and_never_overwritten(pair_file: Path) -> None:
    assert pair_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="never overwritten"):
        write_private(pair_file, b"", "pair file")


# ---------------------------------------------------------------- installing


def test_both_ends_hold_the_same_words(pair_file: Path, tmp_path: Path) -> None:
    for role in Role:
        install_pair_file(pair_file, tmp_path / role, role, simulated=True, keep=True)
    words: list[list[bytes]] = []
    for role in Role:
        with closing(LinkStore(tmp_path / role)) as store:
            words.append([store.lanes()[sender].word(31) for sender in Role])
    assert words[0] == words[1] == [pad("alice", 31, 1), pad("bob", 31, 1)]


def test_installing_wipes_the_file(pair_file: Path, tmp_path: Path) -> None:
    with pair_file.open("rb") as held:
        install_pair_file(pair_file, tmp_path / "state", Role.ALICE, simulated=True)
        assert not pair_file.exists()
        assert set(held.read()) == {0}


def test_state_is_never_overwritten(pair_file: Path, tmp_path: Path) -> None:
    install_pair_file(pair_file, tmp_path / "state", Role.ALICE, simulated=True, keep=True)
    with pytest.raises(ConfigError, match="never overwritten"):
        install_pair_file(pair_file, tmp_path / "state", Role.ALICE, simulated=True)
    assert pair_file.exists()


def test_file_that_others_can_read_is_reported(pair_file: Path, tmp_path: Path) -> None:
    pair_file.chmod(0o644)
    assert install_pair_file(pair_file, tmp_path / "state", Role.ALICE, simulated=True)


@pytest.mark.parametrize(("simulated", "light"), [(True, Origin.SIMULATED), (False, Origin.PHOTONS)])
def test_kind_of_light_is_fixed(pair_file: Path, tmp_path: Path, simulated: bool, light: Origin) -> None:
    install_pair_file(pair_file, tmp_path / "state", Role.BOB, simulated=simulated)
    assert link_status(tmp_path / "state").link.light is light


def test_huge_file_is_not_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigError, match="no plain file of at most"):
        install_pair_file(huge, tmp_path / "state", Role.ALICE, simulated=True)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent: cannot be read"):
        install_pair_file(tmp_path / "absent", tmp_path / "state", Role.ALICE, simulated=True)


def test_status_is_read_while_a_process_holds_the_state(tmp_path: Path) -> None:
    folder = make_state(tmp_path / "state", Role.BOB)
    with closing(LinkStore(folder)):
        status = link_status(folder)
    assert (status.link.role, status.link.bootstrap, status.words_left) == (
        Role.BOB, "carried by hand", {Role.ALICE: 32, Role.BOB: 32},
    )  # fmt: skip


# ---------------------------------------------------------------- public keys


def test_key_is_made_once(tmp_path: Path) -> None:
    first, again = make_identity(tmp_path / "state"), make_identity(tmp_path / "state")
    assert first == again


def test_public_key_line_round_trips() -> None:
    key = MLDSA65PrivateKey.generate().public_key()
    assert decode_public_key(encode_public_key(key).encode()) == key


def test_fingerprint_is_sha256_of_the_raw_key() -> None:
    key = MLDSA65PrivateKey.from_seed_bytes(bytes(32)).public_key()
    assert fingerprint(key).replace(" ", "") == hashlib.sha256(key.public_bytes_raw()).hexdigest()


@pytest.mark.parametrize(
    "text", [b"", b"poliqi-ml-dsa-65 1 !!", b"poliqi-ml-dsa-65 2 " + b"A" * 2604, b"\xff" * 2700]
)
def test_what_is_no_public_key_is_refused(text: bytes) -> None:
    with pytest.raises(DataRefused, match="no public key file"):
        decode_public_key(text)


def trusted(folder: Path, role: Role, peer: MLDSA65PublicKey) -> None:
    trust_peer(folder, peer, LINK, role, simulated=True, words=64)


def test_both_ends_show_the_same_pair_id(tmp_path: Path) -> None:
    keys = {role: make_identity(tmp_path / role) for role in Role}
    for role in Role:
        trusted(tmp_path / role, role, keys[role.peer])
    assert link_status(tmp_path / "alice").link.pair_id == link_status(tmp_path / "bob").link.pair_id


def test_trusted_key_is_kept(tmp_path: Path) -> None:
    make_identity(tmp_path / "state")
    peer = MLDSA65PrivateKey.generate().public_key()
    trusted(tmp_path / "state", Role.ALICE, peer)
    assert read_identity(tmp_path / "state")[1] == peer


def test_signature_pairing_has_no_pad_yet(tmp_path: Path) -> None:
    make_identity(tmp_path / "state")
    trusted(tmp_path / "state", Role.ALICE, MLDSA65PrivateKey.generate().public_key())
    status = link_status(tmp_path / "state")
    assert (status.has_pads, status.link.bootstrap, status.link.capacity) == (False, "ML-DSA-65", 64)
    with closing(LinkStore(tmp_path / "state")) as store, pytest.raises(KeyExhausted):
        store.lanes()


def test_own_key_is_not_a_peer(tmp_path: Path) -> None:
    own = make_identity(tmp_path / "state")
    with pytest.raises(ConfigError, match="this end itself"):
        trusted(tmp_path / "state", Role.ALICE, own)


def test_second_trust_is_refused(tmp_path: Path) -> None:
    make_identity(tmp_path / "state")
    trusted(tmp_path / "state", Role.ALICE, MLDSA65PrivateKey.generate().public_key())
    with pytest.raises(ConfigError, match="paired already"):
        trusted(tmp_path / "state", Role.ALICE, MLDSA65PrivateKey.generate().public_key())


def test_identity_alone_is_not_paired(tmp_path: Path) -> None:
    make_identity(tmp_path / "state")
    for use in (LinkStore, link_status):
        with pytest.raises(ConfigError, match="not paired yet"):
            use(tmp_path / "state")


def test_pair_file_does_not_go_over_an_identity(pair_file: Path, tmp_path: Path) -> None:
    make_identity(tmp_path / "state")
    with pytest.raises(ConfigError, match="never overwritten"):
        install_pair_file(pair_file, tmp_path / "state", Role.ALICE, simulated=True)


def test_state_paired_by_file_has_no_key_to_trust_with(tmp_path: Path) -> None:
    folder = make_state(tmp_path / "state")
    with pytest.raises(ConfigError, match="paired by a file"):
        trusted(folder, Role.ALICE, MLDSA65PrivateKey.generate().public_key())
    with pytest.raises(PoliqiError):
        make_identity(folder)


def test_link_id_type_is_plain_text() -> None:
    assert check_link_id("a.b-c_1") == LinkId("a.b-c_1")
