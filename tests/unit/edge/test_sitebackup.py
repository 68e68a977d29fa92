"""A backup holds no key, and what is restored from it can give no key out again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_stores import POOL, THERE, MemoryKek, block_name, ingested, payload, run

import poliqi.keys.marks as m
from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge.audit import read_audit, verify_audit
from poliqi.edge.keystore import KeyStore
from poliqi.edge.sitebackup import back_up, parse_backup, read_backup, restore

PEER = m.PeerMemory(b"i" * 16, b"b" * 16, 3)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    opened = KeyStore(tmp_path / "store", MemoryKek(), create=True)
    opened.load()
    opened.apply([ingested(1), m.Leased(1, 500), m.RunAdded(run(1, 1, 64)), m.PeerRemembered(THERE, PEER)])
    opened.apply([m.SecretKept(THERE, "pool", SecretBytes(b"recognisable"))])
    return opened


def test_a_restored_site_is_another_one_with_no_stock(store: KeyStore, tmp_path: Path) -> None:
    back_up(tmp_path / "store", tmp_path / "backup")  # the site is running
    head = store.audit_head()
    store.close()
    backup, kek = read_backup(tmp_path / "backup"), MemoryKek()
    restore(backup, tmp_path / "restored", kek)
    again = KeyStore(tmp_path / "restored", kek)
    state = again.load()
    assert state.instance.hex() != backup.instance
    assert (state.segments, state.runs, state.secrets) == ([], [], {})
    assert state.peers == {THERE: PEER}
    assert not again.has_seen(POOL, block_name(1))
    again.close()
    verify_audit(tmp_path / "restored")
    assert any(head.hash.hex().encode() in line for line in read_audit(tmp_path / "restored"))


def test_a_backup_holds_no_key_sealed_or_not(store: KeyStore, tmp_path: Path) -> None:
    back_up(tmp_path / "store", tmp_path / "backup")
    store.close()
    data = (tmp_path / "backup").read_bytes()
    assert len(data) < 1000
    for secret in (payload(1, 2000)[:16], b"recognisable", block_name(1)):
        assert secret not in data
        assert secret.hex().encode() not in data
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0


def test_nothing_is_overwritten(store: KeyStore, tmp_path: Path) -> None:
    backup = back_up(tmp_path / "store", tmp_path / "backup")
    with pytest.raises(StoreError, match="name a new file"):
        back_up(tmp_path / "store", tmp_path / "backup")
    with pytest.raises(ConfigError, match="never overwritten"):
        restore(backup, tmp_path / "store", MemoryKek())
    store.close()


def test_a_changed_backup_is_refused(store: KeyStore, tmp_path: Path) -> None:
    back_up(tmp_path / "store", tmp_path / "backup")
    store.close()
    data = (tmp_path / "backup").read_bytes()
    for at in range(0, len(data), 7):
        with pytest.raises(DataRefused):
            parse_backup(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], "backup")
        with pytest.raises(DataRefused):
            parse_backup(data[:at], "backup")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DataRefused):
        parse_backup(data, "backup")
