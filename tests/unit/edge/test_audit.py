"""The audit is a chain that anybody can check: what was changed, taken out or cut off is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from pathlib import Path

import apsw
import pytest
from key_stores import MemoryKek

from poliqi.base.errors import DataRefused
from poliqi.edge.audit import AuditHead, read_audit, verify_audit
from poliqi.edge.keystore import KeyStore
from poliqi.keys.marks import Audited


@pytest.fixture
def store(tmp_path: Path) -> Generator[KeyStore]:
    times = iter([100, 200, 300, 50, 25] + [10] * 50)  # a clock may jump back
    opened = KeyStore(tmp_path / "store", MemoryKek(), create=True, now_ns=lambda: next(times))
    opened.load()
    opened.apply(
        [Audited("ingested", {"pool": "città", "bits": 7}), Audited("delivered", {"z": 1, "a": [None, True]})]
    )
    opened.apply([Audited("expired", {})])
    yield opened
    opened.close()


def change(store: KeyStore, statement: str) -> None:
    connection = apsw.Connection(str(store.folder / "keys.sqlite"))
    connection.execute(statement)
    connection.close()


def test_the_chain_is_checked_with_nothing_but_sha_256(store: KeyStore) -> None:
    lines = [json.loads(line) for line in read_audit(store.folder)]
    assert [line["event"] for line in lines] == ["opened", "ingested", "delivered", "expired"]
    digest = hashlib.sha256(b"poliqi audit 1").digest()
    for line in lines:
        text = json.dumps(
            [line["seq"], line["time_ns"], line["event"], line["detail"]],
            separators=(",", ":"),
            sort_keys=True,
            ensure_ascii=False,
        )
        digest = hashlib.sha256(digest + text.encode()).digest()
        assert line["hash"] == digest.hex()
    assert store.audit_head() == verify_audit(store.folder) == AuditHead(4, digest)


def test_lines_are_told_from_a_number_on(store: KeyStore) -> None:
    assert [json.loads(line)["seq"] for line in read_audit(store.folder, since=2)] == [3, 4]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE audit SET detail = '{}' WHERE seq = 2", "line 2 does not continue the chain"),
        ("UPDATE audit SET time_ns = 1 WHERE seq = 3", "line 3 does not continue"),
        ("UPDATE audit SET event = 'x' WHERE seq = 4", "line 4 does not continue"),
        ("DELETE FROM audit WHERE seq = 3", "line 3 is missing"),
        ("DELETE FROM audit WHERE seq = 1", "line 1 is missing"),
    ],
)
def test_what_was_tampered_with_is_found(store: KeyStore, statement: str, message: str) -> None:
    change(store, statement)
    with pytest.raises(DataRefused, match=message):
        verify_audit(store.folder)


def test_lines_cut_off_are_missed_where_the_head_was_noted(store: KeyStore) -> None:
    noted = store.audit_head()
    change(store, "DELETE FROM audit WHERE seq = 4")
    assert verify_audit(store.folder).seq == 3
    with pytest.raises(DataRefused, match="line 4 is not the one that was noted"):
        verify_audit(store.folder, noted)


def test_pruning_keeps_the_chain(store: KeyStore) -> None:
    noted = verify_audit(store.folder)
    assert store.prune_audit(3) == 2
    assert store.prune_audit(1) == 0
    lines = [json.loads(line) for line in read_audit(store.folder)]
    assert [line["seq"] for line in lines] == [3, 4, 5]
    assert lines[-1]["detail"] == {"lines": 2, "upto": 2}
    assert verify_audit(store.folder, noted).seq == 5


def test_the_chain_goes_on_after_a_restart_with_everything_pruned(tmp_path: Path) -> None:
    kek = MemoryKek()
    for generation in (1, 2, 3):
        store = KeyStore(tmp_path / "store", kek, create=True)
        store.load()
        assert store.audit_head().seq == 2 * generation - 1
        store.prune_audit(100)
        store.close()
    assert verify_audit(tmp_path / "store").seq == 6
