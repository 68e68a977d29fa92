"""The owner's word on a block: one that it refuses gives no key at either end, whoever said it."""

from __future__ import annotations

import pytest
from two_parties import Wire, wire

from poliqi.base.ids import Role
from poliqi.distill.messages import Abort, decode_message
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


def test_a_tag_that_does_not_fit_is_told_apart() -> None:
    def forge(sender: Role, count: int, frame: bytes) -> list[bytes]:
        return [frame[:-1] + bytes([frame[-1] ^ 1])] if sender is Role.ALICE and count > 4 else [frame]

    run = wire(tamper=forge).run()
    assert any(end.is_forged for end in run.aborts(Role.BOB))
    assert not any(end.is_forged for end in wire().run().aborts(Role.BOB))
