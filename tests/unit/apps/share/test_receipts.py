"""Receipts: whose signature, in which words; what key a transfer takes; how far it is."""

from __future__ import annotations

import string
from pathlib import Path

import msgspec
import pytest
from played_channels import identity
from transfer_rig import Transfer

from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import Supply
from poliqi.apps.share.estimate import Load, estimate
from poliqi.apps.share.progress import Progress
from poliqi.apps.share.receipt import KeyUse, Receipt, read_receipt, sign_receipt, use_of, verify_receipt
from poliqi.apps.share.receipttext import WORDS, receipt_lines
from poliqi.apps.share.stagedstate import StagedState
from poliqi.apps.share.verify import check_manifest, differing_files
from poliqi.apps.stream.terms import Mode, Policy, StreamRule, Usage
from poliqi.base.errors import AuthenticationError, DataRefused
from poliqi.base.ids import SaeId
from poliqi.control.lines import Language

RECEIPT = Receipt(
    transfer="ab" * 16,
    name="scans",
    stored_as="scans (2)",
    sender="hospital",
    receiver="archive",
    sender_fingerprint="11" * 32,
    receiver_fingerprint="22" * 32,
    begun="2026-11-23T07:00:00.000Z",
    received="2026-11-23T07:00:01.000Z",
    clock_skew_s=-0.25,
    mode="quantum",
    policy="strict",
    simulated=True,
    epsilon="computational",
    manifest_sha256="33" * 32,
    files=1234567,
    folders=2,
    size_bytes=9876543210,
    left_out=3,
    streams=(
        use_of(
            Usage(
                Mode.QUANTUM,
                SaeId("archive"),
                SaeId("hospital"),
                tuple(f"key-{n}" for n in range(100)),
                tuple(KeyGrade("simulated", "simulated", paths=(("a", "b"),)) for _ in range(100)),
            )
        ),
    ),
    earlier_streams=4,
)


def test_a_receipt_is_two_lines_and_verifies() -> None:
    signed = sign_receipt(RECEIPT, identity("archive"))
    assert signed.count(b"\n") == 2
    assert verify_receipt(signed, identity("archive").contact) == RECEIPT
    assert len(RECEIPT.key_ids) == 64
    assert RECEIPT.streams[0].keys == 100


def test_every_flipped_byte_of_the_first_line_is_noticed() -> None:
    signed = sign_receipt(RECEIPT, identity("archive"))
    end = signed.index(b"\n")
    for at in range(0, end, 7):
        flipped = signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
        with pytest.raises((DataRefused, AuthenticationError)):
            verify_receipt(flipped, identity("archive").contact)


def test_a_receipt_that_the_sender_signed_itself_is_none() -> None:
    signed = sign_receipt(RECEIPT, identity("hospital"))
    for who in ("archive", "hospital"):
        with pytest.raises(AuthenticationError):
            verify_receipt(signed, identity(who).contact)


@pytest.mark.parametrize("data", [b"", b"{}\n{}\n", b"[" * 10_000, b"\n\n", b"x" * 300_000])
def test_what_is_no_receipt(data: bytes) -> None:
    with pytest.raises(DataRefused):
        read_receipt(data)


@pytest.mark.parametrize("language", Language)
def test_a_receipt_for_people_says_everything_that_counts(language: Language) -> None:
    text = "\n".join(receipt_lines(RECEIPT, language))
    for expected in (
        "hospital",
        "archive",
        "scans (2)",
        "33" * 32,
        "9 876 543 210",
        "key-0",
        "92",
        "-0.250 s",
        "ab" * 16,
    ):
        assert expected in text
    assert ("SIMULATED" if language is Language.ENGLISH else "SIMULATA") in text
    assert not [word for word in ("security", "sicurezza", "probab") if word in text], (
        "simulated light protects nothing"
    )


def test_both_languages_have_the_same_places() -> None:
    for english, italian in WORDS.values():
        places = [
            {field for _, field, _, _ in string.Formatter().parse(text) if field} for text in (english, italian)
        ]
        assert places[0] == places[1]


def test_files_are_held_against_the_manifest(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (root / name).write_text(name)
    transfer = Transfer(tmp_path)
    receipt = transfer.send(root)
    manifest = transfer.sender.state / "receipts" / f"{receipt.transfer}.manifest"
    check_manifest(manifest, receipt)
    assert differing_files(manifest, transfer.arrived / "root") == []
    (transfer.arrived / "root/sub/b").write_text("other")
    (transfer.arrived / "root/a").unlink()
    (transfer.arrived / "root/a").symlink_to(root / "a")
    assert differing_files(manifest, transfer.arrived / "root") == ["root/a", "root/sub/b"]
    with pytest.raises(DataRefused):
        check_manifest(manifest, msgspec.structs.replace(receipt, manifest_sha256="0" * 64))


def supply(available: int, rate_bps: float | None = None) -> Supply:
    return Supply(available, rate_bps, 8, 512, 128, True)


def test_a_quantum_transfer_takes_one_key_and_one_for_each_rekey() -> None:
    rule = StreamRule(Policy.STRICT, rekey_bytes=1 << 30)
    small = estimate(Load(1, 1000, 100), supply(1 << 20), rule, one_time=False)
    assert (small.mode, small.needed_bytes, small.is_ready) == (Mode.QUANTUM, 32, True)
    large = estimate(Load(1, 10 << 30, 100), supply(0, 320.0), rule, one_time=False)
    # 10 GiB and a little: 10 changes of keys after the first; 11 keys of 32 bytes at 40 bytes a second
    assert large.needed_bytes == 11 * 32
    assert large.ready_s == pytest.approx(11 * 32 / 40)
    assert "available in about" in large.text()


def test_a_one_time_pad_takes_what_is_sent_and_little_more() -> None:
    found = estimate(Load(1, 10_000_000, 100), supply(1_000_000), StreamRule(), one_time=True)
    assert found.mode is Mode.ONE_TIME
    # 480 of the 512 bytes of a key are pad
    assert 10_000_000 * 512 / 480 < found.needed_bytes < 10_100_000 * 512 / 480
    assert found.ready_s is None
    assert "nobody can say when" in found.text()


def test_rate_and_time_left() -> None:
    now = [0.0]
    progress = Progress(clock=lambda: now[0])
    progress.expect(1000, 10)
    progress.start_from(100, 1)
    for _ in range(5):
        progress.add(100, 1)
        now[0] += 1.0
    seen = progress.snapshot()
    assert (seen.done_bytes, seen.done_files) == (600, 6)
    assert seen.rate_bps == pytest.approx(800.0)
    assert seen.eta_s == pytest.approx(4.0)


def test_streams_that_are_no_longer_listed_count_for_the_whole() -> None:
    def use(mode: Mode, origin: str, epsilon: float) -> KeyUse:
        grade = KeyGrade("its", origin, epsilon, paths=(("a", "b"),))
        return use_of(Usage(mode, SaeId("archive"), SaeId("hospital"), ("k",), (grade,), tag_epsilon=1e-6))

    state = StagedState(0, 0, "")
    for number in range(40):
        state.forget(use(Mode.ONE_TIME, "photons", 1e-3))
        assert state.earlier_epsilon == pytest.approx((number + 1) * (1e-3 + 1e-6))
    assert not state.earlier_simulated
    state.forget(use(Mode.QUANTUM, "simulated", 1e-3))
    state.forget(use(Mode.ONE_TIME, "photons", 1e-3))
    assert state.earlier_modes == [Mode.ONE_TIME, Mode.QUANTUM]
    assert state.earlier_epsilon == "computational"
    assert state.earlier_simulated
    assert state.earlier_streams == 42
