"""Error correction of a block when reconciliation leaves errors behind."""

from __future__ import annotations

from functools import partial

import pytest
from two_parties import CountingEntropy, make_contract, wire

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import Role
from poliqi.distill import reconcile
from poliqi.distill.correct import Correction
from poliqi.distill.messages import Disclose, FrameTags, FrameVerdict, Parities, Verify, decode_message
from poliqi.distill.reconcile.cascade import CascadeParameters


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


def test_a_message_out_of_turn_is_refused() -> None:
    import numpy as np

    bits = np.zeros(100, np.uint8)
    machine = Correction(Role.BOB, bits, seed=1, contract=make_contract(), entropy=CountingEntropy(1))
    machine.start()
    with pytest.raises(ProtocolError, match="parities was due"):
        machine.receive(Verify(point=bytes(16), value=bytes(16)))
    with pytest.raises(ProtocolError, match="answers round 7"):
        machine.receive(Parities(turn=7, bits=b""))
