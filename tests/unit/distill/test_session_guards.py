"""What a session refuses to do, whoever asks: reuse of slots, stale hellos, strange contracts, endless waits."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest
from two_parties import Disk, make_contract, wire

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import LeakModel, Origin, Role
from poliqi.distill.contract import Contract, check_contract
from poliqi.distill.messages import Final_, Tag, Welcome, decode_message
from poliqi.distill.outcome import Burn, Ready
from poliqi.distill.policy import Policy
from poliqi.proof import ProofName


def test_slots_of_an_earlier_session_are_never_sifted_again() -> None:
    first = wire().run()
    again = wire(disks=(first.disks[Role.ALICE], first.disks[Role.BOB]), seed=2)
    seen = again.light.detect
    again.light.detect = lambda pulses: (setattr(again.light, "first_slot", 0), seen(pulses))[1]  # type: ignore
    again.run()
    assert "slots below 500000 are used" in again.aborts(Role.ALICE)[0].reason
    assert list(again.disks[Role.BOB].keys) == [1]


def test_ready_says_where_fresh_slots_begin() -> None:
    first = wire().run()
    again = wire(disks=(first.disks[Role.ALICE], first.disks[Role.BOB]), seed=2).run()
    for role in Role:
        assert [e.next_slot for e in again.events[role] if isinstance(e, Ready)] == [500_000]
    assert list(again.disks[Role.BOB].keys) == [1, 2]


def test_a_replayed_hello_makes_bob_neither_ready_nor_burn_his_pending_block() -> None:
    def lose_final(sender: Role, _count: int, frame: bytes) -> list[bytes]:
        return [] if isinstance(decode_message(frame), Final_) else [frame]

    disks = Disk.pair()
    disks[1].apply([])
    before = {role: bytes(words) for role, words in disks[1].lanes.items()}
    run = wire(disks=disks, tamper=lose_final).run()
    bob = run.disks[Role.BOB]
    assert bob.pending is not None
    # Bob's cursors are rolled back, as from an old copy: the worst case for a replay of Alice's hello
    bob.cursors = dict.fromkeys(Role, 0)
    assert {role: bytes(words) for role, words in bob.lanes.items()} == before
    session = bob.session(seed=9)
    session.start(0.0)
    for sender, frame in run.sent:
        if sender is Role.ALICE:
            session.receive(frame, 0.0)
    assert session.finished
    assert not any(isinstance(event, Ready) for event in session.take_events())
    assert not any(isinstance(mark, Burn) for mark in session.take_marks())


def test_hellos_cut_short_do_not_lock_a_pending_block_in() -> None:
    def lose_final(_sender: Role, _count: int, frame: bytes) -> list[bytes]:
        return [] if isinstance(decode_message(frame), Final_) else [frame]

    disks = Disk.pair(words=64)
    run = wire(disks=disks, tamper=lose_final).run()
    for attempt in range(18):  # each costs Alice two words; her lane has gone past where Bob's ended
        wire(disks=disks, seed=10 + attempt, tamper=lambda *_: []).run()
    assert run.disks[Role.ALICE].cursors[Role.ALICE] > 40
    wire(disks=disks, seed=99, blocks=0).run()
    assert disks[1].keys == disks[0].keys != {}


def test_earlier_blocks_enter_the_ledger_with_the_epsilons_they_had() -> None:
    loose = wire(make_contract(epsilon_sec=1e-3), blocks=2).run()
    strict = make_contract(
        epsilon_sec=1e-6, pulses=1_500_000, length=1_500, leak_cap=20_000, max_detections=600_000
    )
    later = wire(strict, (loose.disks[Role.ALICE], loose.disks[Role.BOB]), seed=3).run()
    ledger = later.confirmed(Role.BOB)[0].report.ledger
    (earlier,) = (e.value for e in ledger.entries if e.name == "pads from earlier blocks")
    assert earlier == pytest.approx(2e-3, rel=1e-6)
    assert ledger.total == pytest.approx(2e-3 + 1e-6, rel=1e-6)


def test_authentication_in_the_ledger_bounds_all_tags_of_hello_and_block() -> None:
    run = wire().run()
    tags = [f for _, f in run.sent if isinstance(decode_message(f), Tag)]
    said = {r: sum(16 + 16 * math.ceil(len(f) / 16) for s, f in run.sent if s is r) for r in Role}
    ledger = run.confirmed(Role.ALICE)[0].report.ledger
    (entry,) = (e for e in ledger.entries if e.name == "authentication")
    assert entry.value >= len(tags) * (max(said.values()) / 16) * 2.0**-128 * 0.5
    assert entry.value <= 2 * len(tags) * (max(said.values()) / 16 + 100) * 2.0**-128


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"probabilities": (math.inf, -math.inf)}, "out of range"),
        ({"probabilities": (1e308, 1e308)}, "out of range"),
        ({"probabilities": (0.5, 0.4)}, "sum"),
        ({"intensities": (0.1, 0.5)}, "intensities"),
        ({"intensities": (0.5,)}, "intensit"),
        ({"intensities": (500.0, 0.1)}, "out of range"),
        ({"intensities": (0.5, 0.2, 0.1), "probabilities": (0.5, 0.3, 0.2)}, "intensit"),
        ({"proof": ProofName.BBM92}, "bbm92"),
        ({"length": 5}, "repays no pad"),
        ({"leak_model": LeakModel.ERROR_STRING, "proof": ProofName.RUSCA}, "vacuum detections"),
        ({"length": 10**6}, "length"),
        ({"pulses": 0}, "pulses"),
        ({"frame_bits": 4097}, "multiple of 4096"),
        ({"reconciler": "ldpc", "expected_qber": 0.2}, "reaches a QBER of 0.08"),
        ({"reconciler": "ldpc-blind", "expected_qber": 0.081}, "reaches a QBER of 0.08"),
        ({"reconciler": "magic"}, "not known here"),
        ({"epsilon_sec": 0.5}, "epsilon_sec"),
        ({"epsilon_sec": math.nan}, "epsilon_sec"),
        ({"entropy": "a" * 201}, "entropy"),
        ({"entropy": "a\n"}, "entropy"),
        ({"expected_qber": 0.7}, "expected_qber"),
        ({"leak_cap": -1}, "leak_cap"),
    ],
)
def test_a_contract_that_makes_no_sense_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        check_contract(make_contract(**change))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"origins": frozenset({Origin.PHOTONS})}, "origin simulated is not allowed"),
        ({"leak_models": frozenset({LeakModel.ERROR_STRING})}, "leak model both-directions is not allowed"),
        ({"proofs": frozenset({ProofName.LIM})}, "proof wiesemann is not allowed"),
        ({"intensities": (0.5, 0.1)}, "intensities"),
        ({"probabilities": (0.5, 0.5)}, "probabilities"),
        ({"least_uncertainty": 0.01}, "at least 0.01"),
        ({"largest_epsilon_sec": 1e-10}, "epsilon_sec 0.001 is not allowed"),
        ({"largest_epsilon_cor": 1e-16}, "epsilon_cor"),
        ({"most_pulses": 1000}, "pulses 500000 is not allowed; policy allows 1000"),
        ({"most_detections": 1000}, "max_detections"),
    ],
)
def test_policy_refuses_what_it_does_not_allow_at_either_end(limits: dict[str, object], words: str) -> None:
    allowed = Policy(frozenset(Origin), frozenset(LeakModel), largest_epsilon_sec=1e-3)
    run = wire()
    run.sessions[Role.BOB] = run.disks[Role.BOB].session(policy=replace(allowed, **limits))
    run.run()
    assert words in run.aborts(Role.BOB)[0].reason
    assert run.aborts(Role.ALICE)[0].reason == "the peer ended the session: refused"


def test_a_silent_peer_is_not_waited_for_for_ever() -> None:
    run = wire(blocks=0).run()
    alice, bob = (run.sessions[role] for role in Role)
    assert bob.next_timeout() is None  # he waits for his own light
    assert alice.next_timeout() == 600.0
    alice.tick(599.9)
    assert not alice.finished
    alice.tick(600.0)
    assert alice.finished


def test_output_cannot_be_taken_before_the_marks() -> None:
    run = wire()
    alice = run.sessions[Role.ALICE]
    alice.start(0.0)
    with pytest.raises(ValueError, match="take the marks"):
        alice.take_output()
    alice.take_marks()
    assert len(alice.take_output()) == 2


def test_an_internal_error_ends_the_session_and_tells_the_peer_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = wire()
    monkeypatch.setattr("poliqi.distill.session.decode_message", lambda _frame: 1 // 0)
    bob = run.sessions[Role.BOB]
    bob.start(0.0)
    with pytest.raises(ZeroDivisionError):
        bob.receive(b"x", 0.0)
    assert bob.finished
    bob.take_marks()
    (frame,) = bob.take_output()
    assert b"zero" not in frame


def test_every_contract_survives_the_wire() -> None:
    contract = make_contract()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(contract), type=Contract) == contract


def test_alice_welcomes_this_session_of_bob() -> None:
    frames = [decode_message(frame) for _, frame in wire().run().sent]
    nonces = [frame.nonce for frame in frames if hasattr(frame, "nonce")]
    assert [frame.peer_nonce for frame in frames if isinstance(frame, Welcome)] == nonces[1:]


def test_whoever_knocks_without_the_pads_costs_bob_none() -> None:
    run = wire()
    alice, bob = run.sessions[Role.ALICE], run.sessions[Role.BOB]
    alice.start(0.0)
    bob.start(0.0)
    alice.take_marks()
    hello, tag = alice.take_output()
    bob.take_marks()
    bob.receive(hello, 0.0)
    bob.receive(tag[:-1] + bytes([tag[-1] ^ 1]), 0.0)
    assert bob.finished
    assert bob.take_marks() == []
