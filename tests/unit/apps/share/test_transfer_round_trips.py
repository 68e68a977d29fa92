"""Files go over byte for byte, with what belongs to them; the receipt says what happened."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from transfer_rig import Transfer, content

from bench.played_keys import SIMULATED, PlayedSite
from poliqi.apps.share.messages import SMALL_BYTES
from poliqi.apps.share.outbox import sent_receipts
from poliqi.apps.share.receipt import verify_receipt
from poliqi.apps.share.receipttext import receipt_lines
from poliqi.apps.stream.channel import RECORD_BYTES
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.keyanswers import KeysNotReady

EDGES = [
    0,
    1,
    SMALL_BYTES - 1,
    SMALL_BYTES,
    SMALL_BYTES + 1,
    RECORD_BYTES - 1,
    RECORD_BYTES,
    RECORD_BYTES + 1,
    4 * RECORD_BYTES,
    4 * RECORD_BYTES + 1,
]


@pytest.mark.parametrize("size", EDGES)
def test_a_file_of_any_size_arrives_as_it_was(tmp_path: Path, size: int) -> None:
    transfer, data = Transfer(tmp_path), os.urandom(size)
    (tmp_path / "data.bin").write_bytes(data)
    receipt = transfer.send(tmp_path / "data.bin")
    assert (transfer.arrived / "data.bin").read_bytes() == data
    line = f"f {size} {(tmp_path / 'data.bin').stat().st_mtime_ns} {blake3(data).hexdigest()} data.bin\n"
    assert receipt.manifest_sha256 == hashlib.sha256(line.encode()).hexdigest()
    assert (receipt.files, receipt.folders, receipt.size_bytes) == (1, 0, size)


PUBLISHED = {
    0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
    102400: "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
}
"""BLAKE3 of 0, 1, ..., 250, 0, 1, ... of these lengths (test_vectors.json of its authors)."""


def test_the_manifest_has_the_hashes_that_others_compute(tmp_path: Path) -> None:
    root, transfer = tmp_path / "root", Transfer(tmp_path)
    root.mkdir()
    for size in PUBLISHED:
        (root / f"{size}").write_bytes((bytes(range(251)) * 500)[:size])
    receipt = transfer.send(root)
    lines = (transfer.sender.state / "receipts" / f"{receipt.transfer}.manifest").read_text().splitlines()
    found = {line.split(" ")[4]: line.split(" ")[3] for line in lines}
    assert found == {"root": "-"} | {f"root/{size}": digest for size, digest in PUBLISHED.items()}


def test_64_mib_arrive_as_they_were(tmp_path: Path) -> None:
    transfer, data = Transfer(tmp_path), os.urandom(1 << 20)
    (tmp_path / "big").write_bytes(data * 64)
    transfer.send(tmp_path / "big")
    assert (transfer.arrived / "big").read_bytes() == data * 64


@pytest.mark.soak
def test_a_tree_of_ten_thousand_files_arrives_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    for folder in range(100):
        (root / f"{folder}").mkdir(parents=True)
        for number in range(100):
            (root / f"{folder}/{number}").write_bytes(b"%d" % (folder * number) * (number % 7))
    transfer = Transfer(tmp_path)
    receipt = transfer.send(root)
    assert (receipt.files, receipt.folders) == (10_000, 101)
    assert content(transfer.arrived / "tree") == content(root)


def test_folders_modes_times_and_odd_names_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "Größe"
    for name in ("empty", "a", "a.b", "a b", "日本/語"):
        (root / name).mkdir(parents=True)
    for name in ("a/x", "a.b/x", "a b/ x ", "日本/語/-", ".hidden", "a-"):
        (root / name).write_text(name)
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o755)
    os.utime(root / "a/x", ns=(10**18, 1_234_567_890_123_456_789))
    transfer = Transfer(tmp_path)
    transfer.send(root)
    assert content(transfer.arrived / "Größe") == content(root)
    assert (transfer.arrived / "Größe/a/x").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (transfer.arrived / "Größe/a/x").stat().st_mode & 0o777 == 0o600


def test_several_things_arrive_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/c").write_text("c")
    transfer = Transfer(tmp_path)
    transfer.send(tmp_path / "b.txt", tmp_path / "a")
    assert content(transfer.arrived / "b.txt +1") == {
        "b.txt +1": (None, False),
        "b.txt +1/a": (None, False),
        "b.txt +1/a/c": (b"c", False),
        "b.txt +1/b.txt": (b"b", False),
    }


def test_what_is_there_already_is_not_touched(tmp_path: Path) -> None:
    transfer = Transfer(tmp_path)
    for text in ("one", "two", "three"):
        (tmp_path / "report.pdf").write_text(text)
        transfer.send(tmp_path / "report.pdf")
    found = {path.name: path.read_text() for path in transfer.arrived.iterdir()}
    assert found == {"report.pdf": "one", "report (2).pdf": "two", "report (3).pdf": "three"}


def test_nothing_is_left_behind_but_receipts(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    transfer = Transfer(tmp_path)
    receipt = transfer.send(tmp_path / "a")
    assert not list((transfer.receiver.inbox / ".partial/office").iterdir())
    assert not list((transfer.sender.state / "send").iterdir())
    kept = [*sent_receipts(transfer.sender.state), *transfer.receiver.inbox.glob(".receipts/office/*.json")]
    for path in kept:
        assert verify_receipt(path.read_bytes(), transfer.peer.contact) == receipt
        digest = hashlib.sha256(path.with_suffix(".manifest").read_bytes()).hexdigest()
        assert digest == receipt.manifest_sha256
    assert len(kept) == 2


def test_the_receipt_names_the_keys_that_the_site_gave(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    transfer = Transfer(tmp_path)
    receipt = transfer.send(tmp_path / "a")
    assert list(receipt.key_ids) == transfer.site.delivered
    assert (receipt.mode, receipt.policy, receipt.epsilon) == ("quantum", "strict", "computational")
    assert not receipt.simulated


def test_one_time_pad_sums_what_keys_and_tags_may_fail_by(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(3000))
    transfer = Transfer(tmp_path)
    receipt = transfer.send(tmp_path / "a", one_time=True)
    assert (receipt.mode, receipt.policy) == ("one-time-pad", Policy.ITS.value)
    keys = sum(stream.keys for stream in receipt.streams)
    # each played key says 1e-10; the tags' bound is far below one key's
    assert float(receipt.epsilon) == pytest.approx(keys * 1e-10, rel=1e-10, abs=0.0)
    assert (transfer.arrived / "a").read_bytes() == (tmp_path / "a").read_bytes()


def test_one_time_pad_sends_nothing_where_key_is_short(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100_000))
    transfer = Transfer(tmp_path, PlayedSite(stock_bytes=50_000, rate_bps=80_000.0))
    with pytest.raises(KeysNotReady, match="needed") as caught:
        transfer.send(tmp_path / "a", one_time=True)
    assert caught.value.retry_s is not None
    # at least the 50,000 bytes that are missing, at 10,000 bytes a second; at most 15 % of all more
    assert 5.0 <= caught.value.retry_s <= 6.5
    assert not transfer.site.delivered


@pytest.mark.parametrize("one_time", [False, True])
def test_when_ready_waits_until_the_key_has_come(tmp_path: Path, one_time: bool) -> None:
    """Key comes while it waits, as much as the estimate says; not a byte goes before."""
    from poliqi.apps.share.progress import Phase, Progress, Snapshot

    (tmp_path / "a").write_bytes(os.urandom(20_000))
    transfer, waits = Transfer(tmp_path, PlayedSite(stock_bytes=0, rate_bps=8 * 20_000.0)), list[str]()

    def look(seen: Snapshot) -> None:
        if seen.phase is Phase.WAITING_FOR_KEY and seen.note and seen.note not in waits:
            waits.append(seen.note)
            assert not transfer.site.delivered
            transfer.site.stock_bytes += 40_000 if len(waits) == 2 else 10

    transfer.send(tmp_path / "a", progress=Progress(look), one_time=one_time, when_ready=True)
    assert (transfer.arrived / "a").read_bytes() == (tmp_path / "a").read_bytes()
    assert len(waits) == 2
    assert all("available in about" in note for note in waits)


def test_simulated_light_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    transfer = Transfer(tmp_path, PlayedSite(grade=SIMULATED))
    with pytest.raises(Exception, match="simulated"):
        transfer.send(tmp_path / "a")
    assert not transfer.arrived.exists()


def test_symlinks_and_pipes_below_a_folder_are_skipped_and_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_text("x")
    (root / "link").symlink_to("/etc/passwd")
    (root / "away").symlink_to("/etc")
    os.mkfifo(root / "pipe")
    from poliqi.apps.share.progress import Progress

    progress, transfer = Progress(), Transfer(tmp_path)
    transfer.send(root, progress=progress)
    assert sorted(path.name for path in (transfer.arrived / "root").iterdir()) == ["file"]
    notes = " ".join(progress.snapshot().notes)
    assert all(f"root/{name}" in notes for name in ("link", "away", "pipe"))


def test_a_symlink_that_is_named_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match="symlink"):
        Transfer(tmp_path).send(tmp_path / "link")


def test_a_name_that_no_receiver_takes_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a\nb").write_text("x")
    transfer = Transfer(tmp_path)
    with pytest.raises(DataRefused, match="rename"):
        transfer.send(tmp_path / "root")
    assert not transfer.site.delivered


def test_a_file_that_cannot_be_read_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from poliqi.apps.share.progress import Progress
    from poliqi.apps.share.source import Source

    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "b", "c"):
        (root / name).write_text(name)
    opening = Source.open

    def refusing(self: Source, names: list[str]) -> int:
        if names[-1] == "b":
            raise PermissionError(13, "Permission denied")
        return opening(self, names)

    monkeypatch.setattr(Source, "open", refusing)
    progress, transfer = Progress(), Transfer(tmp_path)
    receipt = transfer.send(root, progress=progress)
    assert (receipt.files, receipt.left_out) == (2, 1)
    assert sorted(path.name for path in (transfer.arrived / "root").iterdir()) == ["a", "c"]
    assert any("root/b" in note and "Permission denied" in note for note in progress.snapshot().notes)


def test_a_transfer_without_quantum_keys_goes_on_where_a_stream_comes_to_its_limit(tmp_path: Path) -> None:
    rig = Transfer(tmp_path, PlayedSite(stock_bytes=0))
    rule = StreamRule(Policy.PQC, rekey_bytes=1 << 20)
    for end in (rig.sender, rig.receiver):
        end.peers.update({sae: replace(peer, rule=rule) for sae, peer in end.peers.items()})  # type: ignore[attr-defined]
    rig.peer = next(iter(rig.sender.peers.values()))
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    receipt = rig.send(tmp_path / "large")
    assert (receipt.mode, receipt.policy, receipt.epsilon, receipt.key_ids) == ("pqc", "pqc", "computational", ())
    assert len(receipt.streams) + receipt.earlier_streams > 1
    assert (rig.arrived / "large").stat().st_size == 3 << 20
    assert any("NO QUANTUM KEY" in line for line in receipt_lines(receipt))
