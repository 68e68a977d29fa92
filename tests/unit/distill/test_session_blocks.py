"""A session's good days and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from two_parties import Disk, make_contract, wire

from poliqi.base.ids import LeakModel, Role
from poliqi.distill.outcome import BlockConfirmed


def test_both_ends_hold_the_same_key_of_the_agreed_length() -> None:
    run = wire().run()
    alice, bob = (run.disks[r].keys for r in Role)
    assert list(alice) == [1]
    assert alice == bob
    report = run.confirmed(Role.ALICE)[0].report
    assert report.gross_bits == 2_500
    assert 8 * len(alice[1]) == report.net_bits == (2_500 - report.refill_bits) // 8 * 8


def test_three_blocks_keep_the_pad_at_its_capacity() -> None:
    run = wire(blocks=3).run()
    assert list(run.disks[Role.ALICE].keys) == [1, 2, 3]
    assert run.disks[Role.ALICE].keys == run.disks[Role.BOB].keys
    assert len(set(run.disks[Role.ALICE].keys.values())) == 3
    for role in Role:
        for lane in Role:
            disk = run.disks[role]
            assert len(disk.lanes[lane]) // 16 - disk.cursors[lane] == 64
        assert run.disks[Role.ALICE].lanes[role] == run.disks[Role.BOB].lanes[role]


def test_counts_and_qber_are_those_of_the_light() -> None:
    run = wire(error=0.02, contract=make_contract(length=0, leak_cap=10**7)).run()
    light, report = run.light, run.aborts(Role.BOB)[0].report
    states = np.array(list(light.states.values()))
    assert report.detections == len(states)
    assert report.qber_key == pytest.approx(0.02, abs=4 * (0.02 * 0.98 / report.sifted_key) ** 0.5)
    assert report.sifted_key == pytest.approx(0.25 * len(states), abs=5 * len(states) ** 0.5)
    assert report.counts == run.aborts(Role.ALICE)[0].report.counts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"length": 0}, "only measures"),
        ({"length": 15_000}, "the contract asks 15000"),
        ({"leak_cap": 4_000}, "the contract's leak cap is 4000"),
        ({"epsilon_cor": 1e-37}, "verification errs"),
    ],
)
def test_a_contract_that_is_not_met_gives_no_key(changes: dict[str, float], words: str) -> None:
    run = wire(make_contract(**changes)).run()
    assert not run.disks[Role.ALICE].keys
    assert not run.disks[Role.BOB].keys
    for role in Role:
        (abort,) = run.aborts(role)
        assert words in abort.reason
        assert not abort.fatal


def test_the_session_goes_on_after_a_refused_block() -> None:
    run = wire(make_contract(length=2_500), blocks=2)
    run.light.error = 0.08
    first = run.light.detect

    def detect_then_calm(pulses: int):
        found = first(pulses)
        run.light.error = 0.01
        return found

    run.light.detect = detect_then_calm  # type: ignore[method-assign]
    run.run()
    assert list(run.disks[Role.BOB].keys) == [2]
    assert run.disks[Role.ALICE].keys == run.disks[Role.BOB].keys


def test_leak_counts_what_each_end_said() -> None:
    both = wire().run().confirmed(Role.ALICE)[0].report
    string = wire(make_contract(leak_model=LeakModel.ERROR_STRING)).run().confirmed(Role.ALICE)[0].report
    assert both.leak_counted == both.leak_alice + both.leak_bob
    assert string.leak_counted == string.leak_alice
    assert 1.0 < both.efficiency < 1.2


def test_a_pad_below_the_reserve_stops_the_link() -> None:
    disks = Disk.pair(words=8)
    run = wire(disks=disks).run()
    assert "8 pad words are left, the reserve is 8: pair the link again" in run.aborts(Role.ALICE)[0].reason
    assert not run.disks[Role.BOB].keys


def test_a_pending_block_is_confirmed_at_the_next_hello_if_alice_has_it() -> None:
    def lose_final(sender: Role, _count: int, frame: bytes) -> list[bytes]:
        return [] if sender is Role.ALICE and frame[0] in (0x92,) and frame[1] == 12 else [frame]

    run = wire(tamper=lose_final).run()
    alice, bob = run.disks[Role.ALICE], run.disks[Role.BOB]
    assert list(alice.keys) == [1]
    assert bob.pending is not None
    again = wire(disks=(alice, bob), seed=2).run()
    assert list(again.disks[Role.BOB].keys) == [1, 2]
    assert alice.keys == bob.keys


def test_a_pending_block_that_alice_lacks_is_burnt() -> None:
    def lose_confirmation(sender: Role, _count: int, frame: bytes) -> list[bytes]:
        return [] if sender is Role.BOB and frame[1] == 11 else [frame]

    run = wire(tamper=lose_confirmation)
    run.run()
    alice, bob = run.disks[Role.ALICE], run.disks[Role.BOB]
    assert not alice.keys
    assert bob.pending is not None
    burnt = wire(disks=(alice, bob), seed=2).run()
    assert "it was burnt; connect again" in burnt.aborts(Role.BOB)[0].reason
    assert not burnt.aborts(Role.BOB)[0].is_forged  # the peer's own word, under a tag that fits
    assert bob.pending is None
    wire(disks=(alice, bob), seed=3).run()
    assert list(bob.keys) == [2]
    assert alice.keys == bob.keys


def test_confirmed_events_carry_the_block_number() -> None:
    run = wire(blocks=2).run()
    assert [e.number for e in run.events[Role.BOB] if isinstance(e, BlockConfirmed)] == [1, 2]
