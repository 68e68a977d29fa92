"""Work done ahead of need changes no byte of a session."""

from __future__ import annotations

from two_parties import wire

from poliqi.base.ids import Role


def test_a_session_that_works_ahead_says_and_makes_the_same() -> None:
    plain = wire().run()
    ahead = wire()
    turn = ahead._turn
    worked = dict.fromkeys(Role, 0)

    def turn_and_work() -> bool:
        moved = turn()
        for role, session in ahead.sessions.items():
            while session.has_work:
                session.work(0.0)
                worked[role] += 1
        return moved

    ahead._turn = turn_and_work  # type: ignore[method-assign]
    ahead.run()
    assert worked[Role.ALICE] >= 1
    assert worked[Role.BOB] >= 0
    assert ahead.disks[Role.ALICE].keys == ahead.disks[Role.BOB].keys != {}
    assert {role: len(disk.keys[1]) for role, disk in plain.disks.items()} == {
        role: len(disk.keys[1]) for role, disk in ahead.disks.items()
    }


def test_an_idle_session_has_no_work() -> None:
    idle = wire().run()
    for session in idle.sessions.values():
        assert not session.has_work
        session.work(0.0)
        assert not session.finished
