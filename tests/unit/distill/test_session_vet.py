"""The owner's word on a block: one that it refuses gives no key at either end, whoever said it."""

from __future__ import annotations

import msgspec
import pytest
from two_parties import Disk, Wire, wire

from poliqi.base.errors import PoliqiError
from poliqi.base.ids import Role
from poliqi.distill.messages import Abort, Sift, decode_message, encode_message
from poliqi.distill.outcome import BlockReport


def vetted(role: Role, words: list[str | None], blocks: int = 1) -> tuple[Wire, list[BlockReport]]:
    run, seen = wire(blocks=blocks), list[BlockReport]()

    def vet(report: BlockReport) -> str | None:
        seen.append(report)
        return words[len(seen) - 1]

    run.sessions[role]._vet = vet  # type: ignore[misc]
    return run.run(), seen


@pytest.mark.parametrize("role", Role)
def test_a_condemned_block_is_held_by_neither_end(role: Role) -> None:
    run, seen = vetted(role, ["blinding"])
    assert [report.counts is not None for report in seen] == [True]
    for end in Role:
        assert run.sessions[end].finished
        assert run.disks[end].keys == {}
        assert run.disks[end].pending is None
        assert run.confirmed(end) == []
    (own,) = run.aborts(role)
    assert (own.fatal, own.reason) == (True, "blinding")
    assert seen[0].net_bits > 0
    assert own.report is not None
    assert (own.report.counts, own.report.gross_bits, own.report.net_bits) == (seen[0].counts, 0, 0)
    (other,) = run.aborts(role.peer)
    assert "monitor" in other.reason


def test_why_is_not_told_on_the_line() -> None:
    run, _ = vetted(Role.BOB, ["photocurrent of 3 uA"])
    (said,) = [m for _, frame in run.sent if isinstance(m := decode_message(frame), Abort)]
    assert "photocurrent" not in said.reason


def test_blocks_before_a_condemned_one_stay() -> None:
    run, seen = vetted(Role.ALICE, [None, "blinding"], blocks=2)
    assert len(seen) == 2
    for end in Role:
        assert list(run.disks[end].keys) == [1]


def test_a_refused_block_says_no_key_at_both_ends() -> None:
    for role in Role:
        run, _ = vetted(role, ["blinding"])
        for end in Role:
            (aborted,) = run.aborts(end)
            if aborted.report is not None:
                assert (aborted.report.gross_bits, aborted.report.net_bits) == (0, 0)
    run, _ = vetted(Role.BOB, ["blinding"])
    assert run.aborts(Role.ALICE)[0].report is not None


def changed_sift(sender: Role, count: int, frame: bytes) -> list[bytes]:
    """Somebody swaps two test bits that Alice says."""
    try:
        message = decode_message(frame)
    except PoliqiError:
        return [frame]
    if not isinstance(message, Sift):
        return [frame]
    bits = bytes([byte ^ 0x11 for byte in message.test_bits[:50]]) + bytes(message.test_bits[50:])
    return [encode_message(msgspec.structs.replace(message, test_bits=memoryview(bits)))]


def test_the_owner_is_not_asked_about_what_no_tag_covers() -> None:
    """A changed Sift changes what Bob counts: he must not believe it, neither to learn nor to blame the light."""
    for role in Role:
        run, seen = wire(tamper=changed_sift), list[BlockReport]()

        def vet(report: BlockReport, seen: list[BlockReport] = seen) -> None:
            seen.append(report)

        run.sessions[role]._vet = vet  # type: ignore[misc]
        run.run()
        if role is Role.BOB:
            assert seen == []
            assert [end.is_forged for end in run.aborts(Role.BOB)] == [True]
        honest, expected = vetted(role, [None])
        if role is Role.ALICE:  # what she judges, bar errors of the key basis, is what Bob's tag covers
            assert [(r.counts and r.counts.test, r.sifted_key) for r in seen] == [
                (r.counts and r.counts.test, r.sifted_key) for r in expected
            ]
        assert honest.confirmed(role)


def test_a_stranger_who_knocks_forges_nothing() -> None:
    """He holds another pairing's pad: no tag of his ever fitted, so nobody changed one on the way."""
    for _ in range(3):
        run = wire(disks=(Disk.pair(7)[0], Disk.pair(8)[1])).run()
        aborts = run.aborts(Role.BOB)
        assert aborts
        assert not any(end.is_forged for end in aborts)


def test_a_tag_that_does_not_fit_is_told_apart() -> None:
    def forge(sender: Role, count: int, frame: bytes) -> list[bytes]:
        return [frame[:-1] + bytes([frame[-1] ^ 1])] if sender is Role.ALICE and count > 4 else [frame]

    run = wire(tamper=forge).run()
    assert any(end.is_forged for end in run.aborts(Role.BOB))
    assert not any(end.is_forged for end in wire().run().aborts(Role.BOB))
