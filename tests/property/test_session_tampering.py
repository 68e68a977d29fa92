"""An adversary on the wire: whatever it changes, the two ends never hold different keys or an extra one.

The blocks here are tiny, so that every byte of every message can be changed once; the proof is stood in for
(a fixed bound), because it is the transcript that is under test.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from two_parties import Tamper, Wire, make_contract, wire

from poliqi.base.ids import Role
from poliqi.distill import acceptance
from poliqi.distill import contract as contract_rules
from poliqi.distill.messages import Final_, Tag, decode_message
from poliqi.proof import secret_length

LONG = 10**6
SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def generous_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    def bound(counts, contract):
        real = secret_length(counts, leak_bits=0, epsilon_sec=1e-3, epsilon_cor=1e-3)
        return replace(real, length=LONG, reason=None)

    monkeypatch.setattr(acceptance, "_bound", bound)
    monkeypatch.setattr(contract_rules, "SMALLEST_LENGTH", 1)


def tiny(tamper: Tamper | None = None, *, blocks: int = 1) -> Wire:
    contract = make_contract(pulses=2000, length=64, leak_cap=4000, max_detections=2000, expected_qber=0.02)
    made = wire(contract, tamper=tamper, blocks=blocks, error=0.02)
    return made.run()


def assert_agreement(run: Wire) -> None:
    alice, bob = run.disks[Role.ALICE], run.disks[Role.BOB]
    for number, key in bob.keys.items():
        assert alice.keys[number] == key
    held = dict(bob.keys)
    if bob.pending is not None:
        held[bob.pending.block.number] = bytes(bob.pending.block.key.view())
    for number, key in alice.keys.items():
        assert held[number] == key


def honest_frames(blocks: int = 1) -> list[tuple[Role, bytes]]:
    run = tiny(blocks=blocks)
    assert len(run.disks[Role.ALICE].keys) == blocks
    assert run.disks[Role.ALICE].keys == run.disks[Role.BOB].keys
    return run.sent


def test_every_byte_of_every_message_changed_once_gives_no_key() -> None:
    frames = honest_frames()
    masks = random.Random(3)
    last = next(i for i, (_, f) in enumerate(frames) if isinstance(decode_message(f), Final_))
    for at, (_, frame) in enumerate(frames):
        for position in range(len(frame)):
            mask = masks.randrange(1, 256)

            def flip(_sender: Role, count: int, sent: bytes, at=at, position=position, mask=mask) -> list[bytes]:
                if count != at:
                    return [sent]
                changed = bytearray(sent)
                changed[position] ^= mask
                return [bytes(changed)]

            run = tiny(flip)
            assert_agreement(run)
            assert not run.disks[Role.BOB].keys, (at, position, mask)
            if at < last:
                assert not run.disks[Role.ALICE].keys, (at, position, mask)


@pytest.mark.parametrize("action", ["drop", "double", "swap", "reflect", "truncate", "extend"])
def test_each_message_once_dropped_doubled_swapped_reflected_cut_or_lengthened(action: str) -> None:
    frames = honest_frames()
    last = next(i for i, (_, f) in enumerate(frames) if isinstance(decode_message(f), Final_))
    for at in range(len(frames)):
        if action == "reflect" and at and frames[at - 1][1] == frames[at][1]:
            continue  # both ends happened to say the same
        kept: list[bytes] = []

        def act(sender: Role, count: int, sent: bytes, at=at, kept=kept) -> list[bytes]:
            if count == at:
                match action:
                    case "drop":
                        return []
                    case "double":
                        return [sent, sent]
                    case "swap":
                        kept.append(sent)
                        return []
                    case "reflect":
                        return [frames[at - 1][1] if at else sent[::-1]]
                    case "truncate":
                        return [sent[:-1]]
                    case _:
                        return [sent + b"\0"]
            if kept and frames[at][0] is sender:
                return [sent, kept.pop()]
            return [sent]

        run = tiny(act)
        assert_agreement(run)
        if at < last and action != "double":
            assert not run.disks[Role.BOB].keys, (at, action)


@SETTINGS
@given(st.data())
def test_messages_of_an_earlier_block_replayed_into_a_later_one_give_no_second_key(data: st.DataObject) -> None:
    frames = honest_frames(blocks=2)
    starts = [i for i, (_, f) in enumerate(frames) if f[1] == 2]
    first, second = range(starts[0], starts[1]), range(starts[1], len(frames))
    at = data.draw(st.sampled_from(list(second)))
    same_kind = [i for i in first if frames[i][0] is frames[at][0] and frames[i][1][1] == frames[at][1][1]]
    old = frames[data.draw(st.sampled_from(same_kind))][1]

    def replay(_sender: Role, count: int, sent: bytes) -> list[bytes]:
        return [old if count == at else sent]

    run = tiny(replay, blocks=2)
    assert_agreement(run)
    if old != frames[at][1]:
        assert 2 not in run.disks[Role.BOB].keys


@SETTINGS
@given(st.data())
def test_a_whole_session_replayed_to_either_end_is_refused(data: st.DataObject) -> None:
    """The recorded frames of one end are played to the other, which runs a fresh session on its state."""
    first = tiny()
    victim = data.draw(st.sampled_from(list(Role)))
    disk = first.disks[victim]
    contract = make_contract(pulses=2000, length=64, leak_cap=4000, max_detections=2000, expected_qber=0.02)
    session = disk.session(contract=contract, seed=99)
    session.start(0.0)
    for sender, frame in first.sent:
        if sender is victim.peer:
            session.receive(frame, 0.0)
            disk.apply(session.take_marks())
            session.take_output()
    assert session.finished
    assert list(disk.keys) == [1]


@SETTINGS
@given(st.binary(max_size=400))
def test_garbage_ends_the_session_and_never_raises(garbage: bytes) -> None:
    def spoil(sender: Role, count: int, sent: bytes) -> list[bytes]:
        return [garbage] if count == 2 else [sent]

    run = tiny(spoil)
    assert not run.disks[Role.BOB].keys
    assert run.aborts(Role.ALICE)[-1].fatal


def test_no_pad_word_ever_masks_two_tags() -> None:
    seen: dict[tuple[Role, int], bytes] = {}
    for sender, frame in honest_frames(blocks=3):
        message = decode_message(frame)
        if isinstance(message, Tag):
            word = (sender, int.from_bytes(message.value[:8], "little"))
            assert seen.setdefault(word, message.value) == message.value
    assert len(seen) == 3 + 3 * 4
