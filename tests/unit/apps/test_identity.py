"""Identities of applications: what is written is read, what is wrong is named, private stays private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.apps.identity import Identity, read_contact, read_identity
from poliqi.base.errors import AuthenticationError, ConfigError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity.make(SaeId('bank "of" è'), OperatingSystemEntropy())


def test_both_files_are_read_back(tmp_path: Path, identity: Identity) -> None:
    identity.write(tmp_path / "own.key")
    (tmp_path / "own.pub").write_text(identity.contact.text(), encoding="utf-8")
    private, public = read_identity(tmp_path / "own.key"), read_contact(tmp_path / "own.pub")
    assert private.sae == public.sae == identity.sae
    assert private.contact.fingerprint == public.fingerprint == identity.contact.fingerprint
    public.verify(private.sign(b"message", b"use"), b"message", b"use")


def test_a_signature_is_of_its_message_context_and_signer(identity: Identity) -> None:
    signed = identity.sign(b"message", b"receipt")
    other = Identity.make(SaeId("other"), OperatingSystemEntropy()).contact
    flipped = bytes([signed[0] ^ 1]) + signed[1:]
    for contact, signature, message, context in (
        (identity.contact, signed, b"Message", b"receipt"),
        (identity.contact, signed, b"message", b"stream"),
        (identity.contact, flipped, b"message", b"receipt"),
        (identity.contact, signed[:-1], b"message", b"receipt"),
        (other, signed, b"message", b"receipt"),
    ):
        with pytest.raises(AuthenticationError):
            contact.verify(signature, message, context)


def test_the_private_file_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path, identity: Identity) -> None:
    path = tmp_path / "own.key"
    identity.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="never overwritten"):
        identity.write(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_identity(path)


def test_nothing_shows_a_private_key(tmp_path: Path, identity: Identity) -> None:
    identity.write(tmp_path / "own.key")
    secret = (tmp_path / "own.key").read_text().split('"')[-2]
    assert secret not in repr(identity) + identity.contact.text() + repr(identity.contact)
    broken = (tmp_path / "own.key").read_text().replace("ml-dsa-65", "ml-dsa-66")
    (tmp_path / "bad.key").touch(mode=0o600)
    (tmp_path / "bad.key").write_text(broken)
    with pytest.raises(ConfigError) as refused:
        read_identity(tmp_path / "bad.key")
    assert secret[:12] not in str(refused.value)


def test_the_two_files_are_not_taken_for_each_other(tmp_path: Path, identity: Identity) -> None:
    identity.write(tmp_path / "own.key")
    with pytest.raises(ConfigError, match="poliqi contact 1"):
        read_contact(tmp_path / "own.key")


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("c") / "x.pub"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"x\.pub"):
        read_contact(path)


@given(at=st.integers(0, 2_700), by=st.integers(1, 255))
def test_a_changed_byte_changes_the_fingerprint_or_is_refused(
    identity: Identity, at: int, by: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(identity.contact.text().encode())
    data[at % len(data)] ^= by
    path = tmp_path_factory.mktemp("c") / "x.pub"
    path.write_bytes(data)
    try:
        found = read_contact(path)
    except ConfigError:
        return
    before = identity.contact
    same = found.sae == before.sae and found.exchange_bytes == before.exchange_bytes
    is_same = same and found.signature.public_bytes_raw() == before.signature.public_bytes_raw()
    assert (found.fingerprint == before.fingerprint) == is_same


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.pub").write_bytes(b"#" * 70_000)
    with pytest.raises(ConfigError, match="longer than 65536 bytes"):
        read_contact(tmp_path / "x.pub")
