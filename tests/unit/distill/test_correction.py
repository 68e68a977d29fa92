"""Error correction of a block when reconciliation leaves errors behind."""

from __future__ import annotations

from functools import partial

import pytest
from two_parties import CountingEntropy, make_contract, wire

from poliqi.base.bits import BitString
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import Role
from poliqi.distill import reconcile
from poliqi.distill.contract import Contract
from poliqi.distill.correct import Correction
from poliqi.distill.messages import (
    Disclose,
    FrameTags,
    FrameVerdict,
    KeyErrors,
    Parities,
    Verdict,
    Verify,
    decode_message,
)
from poliqi.distill.reconcile import CascadeParameters
from poliqi.distill.sift import Sifted


@pytest.fixture
def lazy_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Cascade that gives up after three rounds."""
    monkeypatch.setattr(reconcile, "CascadeParameters", partial(CascadeParameters, round_limit=3))


def test_a_frame_that_fails_is_disclosed_counted_and_kept(lazy_cascade: None) -> None:
    contract = make_contract(length=0, leak_cap=10**6, frame_bits=4096)
    run = wire(contract).run()
    report = run.aborts(Role.ALICE)[0].report
    disclosed = [decode_message(f) for _, f in run.sent if isinstance(decode_message(f), Disclose)]
    assert report.failed_frames >= 5
    assert report.verified
    assert len(disclosed) == 2
    assert report.qber_key == pytest.approx(0.01, abs=0.003)
    assert report.counts == run.aborts(Role.BOB)[0].report.counts


def test_leak_is_what_the_transcript_shows(lazy_cascade: None) -> None:
    contract = make_contract(length=0, leak_cap=10**6, frame_bits=4096)
    run = wire(contract).run()
    report = run.aborts(Role.ALICE)[0].report
    frames = -(-report.sifted_key // 4096)
    last = report.sifted_key - 4096 * (frames - 1)
    told = dict.fromkeys(Role, 0)
    for sender, frame in run.sent:
        match decode_message(frame):
            case Verify():
                told[sender] += 128
            case FrameTags(values=values):
                told[sender] += 8 * len(values)
            case FrameVerdict():
                told[sender] += 1 + frames  # with the verdict on the whole block before it
            case Disclose(bits=bits):
                whole = 8 * len(bits) if last % 8 == 0 else 8 * (len(bits) - 1) + last % 8
                told[sender] += min(whole, report.failed_frames * 4096)
            case Parities(bits=bits):
                assert 8 * len(bits) < report.sifted_key
            case _:
                pass
    parities = report.leak_alice - told[Role.ALICE]
    assert parities == report.leak_bob - told[Role.BOB]
    sent = sum(
        8 * len(m.bits) for s, f in run.sent if s is Role.ALICE and isinstance(m := decode_message(f), Parities)
    )
    assert 0 <= sent - parities < 8 * 3


def test_disclosure_over_the_cap_refuses_the_block(lazy_cascade: None) -> None:
    run = wire(make_contract(leak_cap=9_000, frame_bits=4096)).run()
    for role in Role:
        assert "the contract's leak cap is 9000" in run.aborts(role)[0].reason
        assert not run.disks[role].keys


def sifted(bits: BitString) -> Sifted:
    return Sifted(bits, (BitString.zeros(bits.size),), (0, 0), (0, 0))


def test_a_message_out_of_turn_is_refused() -> None:
    key = sifted(BitString.zeros(100))
    machine = Correction(Role.BOB, key, seed=1, contract=make_contract(), entropy=CountingEntropy(1))
    machine.start()
    with pytest.raises(ProtocolError, match="parities was due"):
        machine.receive(Verify(point=bytes(16), value=bytes(16)))
    with pytest.raises(ProtocolError, match="answers round 7"):
        machine.receive(Parities(turn=7, bits=memoryview(b"")))


# ---------------------------------------------------------------- one-way reconciliation: Alice learns no error


def one_way(**changes: object) -> Contract:
    return make_contract(reconciler="ldpc-blind", expected_qber=0.01, **changes)


def test_one_way_reconciliation_makes_the_same_key_and_the_same_counts() -> None:
    run = wire(one_way()).run()
    alice, bob = (run.confirmed(role)[0].report for role in Role)
    assert alice.counts == bob.counts
    assert alice.failed_frames == 0
    assert alice.qber_key == pytest.approx(0.01, abs=0.003)
    assert (alice.leak_alice, alice.leak_bob) == (bob.leak_alice, bob.leak_bob)
    assert run.disks[Role.ALICE].keys == run.disks[Role.BOB].keys != {}


def test_bob_says_the_errors_of_each_intensity_and_they_are_leak() -> None:
    run = wire(one_way(frame_bits=4096)).run()
    report = run.confirmed(Role.BOB)[0].report
    said = [(sender, m) for sender, f in run.sent if isinstance(m := decode_message(f), KeyErrors)]
    frames = -(-report.sifted_key // 4096)
    flags = [m for sender, f in run.sent if sender is Role.BOB and isinstance(m := decode_message(f), Parities)]
    assert [sender for sender, _ in said] == [Role.BOB]
    assert said[0][1].counts == report.counts.key.errors
    assert 1 + 128 + frames <= report.leak_bob <= 1 + 128 + 8 * sum(len(m.bits) for m in flags)


def test_alice_alone_discloses_frames_that_one_way_codes_cannot_mend() -> None:
    contract = make_contract(reconciler="ldpc", expected_qber=0.005, length=0, leak_cap=10**6, frame_bits=16384)
    run = wire(contract, error=0.02).run()
    reports = [run.aborts(role)[0].report for role in Role]
    disclosed = [sender for sender, f in run.sent if isinstance(decode_message(f), Disclose)]
    assert disclosed == [Role.ALICE]
    assert reports[0].failed_frames == 2
    assert reports[0].verified
    assert reports[0].counts == reports[1].counts
    assert reports[0].leak_alice == reports[1].leak_alice > reports[0].sifted_key
    assert reports[0].leak_bob == reports[1].leak_bob


def test_more_errors_than_detections_are_refused() -> None:
    key = sifted(BitString.zeros(5000))
    machine = Correction(Role.ALICE, key, seed=1, contract=one_way(), entropy=CountingEntropy(1))
    machine.start()
    machine.receive(Parities(turn=0, bits=memoryview(b"")))
    machine.receive(Parities(turn=1, bits=memoryview(bytes(1))))
    machine.receive(Verdict(same=True))
    with pytest.raises(ProtocolError, match="5001"):
        machine.receive(KeyErrors(counts=(5001, 0)))
    with pytest.raises(ProtocolError, match="errors were announced"):
        machine.receive(KeyErrors(counts=(1,)))
    machine.receive(KeyErrors(counts=(5000, 0)))
    assert machine.finished
    assert machine.key_errors == (5000, 0)
