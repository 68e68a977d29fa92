"""Work done ahead of need changes nothing but when it is done."""

from __future__ import annotations

from two_parties import wire

from poliqi.base.ids import Role
from poliqi.distill.messages import decode_message


def test_a_session_that_never_works_ahead_makes_a_key_all_the_same() -> None:
    lazy = wire()
    lazy.works_ahead = False
    lazy.run()
    ahead = wire().run()
    for run in (lazy, ahead):
        assert run.disks[Role.ALICE].keys == run.disks[Role.BOB].keys != {}
    kinds = [
        [type(decode_message(frame)) for sender, frame in run.sent if sender is Role.BOB] for run in (lazy, ahead)
    ]
    assert kinds[0] == kinds[1]


def test_alice_speaks_before_she_is_asked_where_she_works_ahead() -> None:
    run = wire().run()
    told = [(sender, type(decode_message(frame)).__name__) for sender, frame in run.sent]
    assert told.index((Role.ALICE, "Parities")) < told.index((Role.BOB, "Parities"))


def test_an_idle_session_has_no_work() -> None:
    idle = wire().run()
    for session in idle.sessions.values():
        assert not session.has_work
        session.work(0.0)
        assert not session.finished
