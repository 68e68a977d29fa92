"""First trust by signatures: wherever the connection breaks, both ends come to hold the same pads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from link_states import make_state
from two_parties import CountingEntropy, Light, make_contract

from poliqi.base.errors import KeyExhausted
from poliqi.base.ids import LeakModel, Origin, Role
from poliqi.distill.authenticate import OneTimeMac
from poliqi.distill.bootstrap import SignatureBootstrap
from poliqi.distill.outcome import Aborted, Event, PadCursor, Ready, StatesWanted
from poliqi.distill.session import Policy, Session
from poliqi.edge.pairing import make_identity, trust_peer
from poliqi.edge.store import LinkStore
from poliqi.edge.trust import EitherFirst, authenticator_for, settle_trust

POLICY = Policy(
    origins=frozenset(Origin), leak_models=frozenset(LeakModel), largest_epsilon_sec=1e-3, reserve_words=4
)


class Ends:
    """Two stores, paired by public keys, and the sessions between them over a wire that may be cut."""

    def __init__(self, folder: Path) -> None:
        keys = {role: make_identity(folder / role) for role in Role}
        self.stores: dict[Role, LinkStore] = {}
        for role in Role:
            trust_peer(folder / role, keys[role.peer], "test-link", role, simulated=True, words=16)
            self.stores[role] = LinkStore(folder / role)
        self.light = Light(np.random.Generator(np.random.PCG64(1)))
        self.draws = 0
        self.events: list[tuple[Role, Event]] = []

    def meet(self, cut_after: int = 1 << 30) -> int:
        """One session each, until it ends or `cut_after` frames were sent; how many were sent."""
        self.draws += 2
        contract = make_contract(link_id="test-link")
        trust = {role: authenticator_for(store) for role, store in self.stores.items()}
        sessions = {
            role: Session(
                role,
                link_id=store.link.link_id,
                authenticator=trust[role],
                entropy=CountingEntropy(self.draws + (role is Role.BOB)),
                history=store.history(),
                contract=contract if role is Role.ALICE else None,
                policy=POLICY,
            )
            for role, store in self.stores.items()
        }
        self.events, sent, begun = [], 0, False
        for session in sessions.values():
            session.start(0.0)
        moved = True
        while moved:
            moved = False
            for role, session in sessions.items():
                self.stores[role].apply(session.take_marks())
                for frame in session.take_output():
                    moved, sent = True, sent + 1
                    if sent > cut_after:
                        return sent - 1
                    sessions[role.peer].receive(frame, 0.0)
                for event in session.take_events():
                    moved = True
                    self.events.append((role, event))
                    if isinstance(event, Ready):
                        if settle_trust(self.stores[role], trust[role]):
                            session.close("settled")
                        elif role is Role.BOB and not begun:
                            begun = True
                            session.begin_block(self.light.detect(contract.pulses), 0.0)
                    if isinstance(event, StatesWanted):
                        session.provide_states(self.light.prepared(event.slots), 0.0)
                    if isinstance(event, Aborted) and not event.fatal:
                        session.close("enough")
        return sent

    def settled(self) -> bool:
        return all(store.status().settled for store in self.stores.values())

    def pads_are_equal(self) -> bool:
        lanes = [store.lanes() for store in self.stores.values()]
        start = max(lane.next_word for both in lanes for lane in both.values())
        ends = {s: (lanes[0][s].end_word, lanes[1][s].end_word) for s in Role}
        return all(a == b > start for a, b in ends.values()) and all(
            lanes[0][s].word(i) == lanes[1][s].word(i) for s in Role for i in range(start, ends[s][0])
        )


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    with ExitStack() as stack:
        made = Ends(tmp_path)
        for store in made.stores.values():
            stack.enter_context(closing(store))
        yield made


def test_unpaired_ends_sign(ends: Ends) -> None:
    assert all(isinstance(authenticator_for(store), SignatureBootstrap) for store in ends.stores.values())


def test_first_block_fills_both_lanes_alike(ends: Ends) -> None:
    ends.meet()
    assert ends.pads_are_equal()


def test_between_the_ways_bob_takes_either(ends: Ends) -> None:
    ends.meet()
    assert isinstance(authenticator_for(ends.stores[Role.ALICE]), SignatureBootstrap)
    assert isinstance(authenticator_for(ends.stores[Role.BOB]), EitherFirst)


def test_third_meeting_uses_pads_at_both_ends(ends: Ends) -> None:
    ends.meet()
    ends.meet()
    ends.meet()
    assert ends.settled()
    assert all(isinstance(authenticator_for(store), OneTimeMac) for store in ends.stores.values())


@pytest.mark.parametrize("before_the_end", range(1, 9))
def test_first_session_cut_anywhere_near_its_end(ends: Ends, tmp_path: Path, before_the_end: int) -> None:
    whole = Ends(tmp_path / "rehearsal")
    frames = whole.meet()
    for store in whole.stores.values():
        store.close()
    ends.meet(cut_after=frames - before_the_end)
    for _ in range(4):
        ends.meet()
    assert ends.settled()
    assert ends.pads_are_equal()


@pytest.mark.parametrize("cut", range(4))
def test_second_session_cut_anywhere(ends: Ends, cut: int) -> None:
    ends.meet()
    ends.meet(cut_after=cut)
    for _ in range(3):
        ends.meet()
    assert ends.settled()


@pytest.mark.parametrize("cut", range(4))
def test_first_session_with_pads_cut_anywhere(ends: Ends, cut: int) -> None:
    ends.meet()
    ends.meet()
    ends.meet(cut_after=cut)
    ends.meet()
    assert ends.settled()
    assert any(isinstance(event, Ready) for _, event in ends.events)


def test_settled_end_never_signs_again(tmp_path: Path) -> None:
    with closing(LinkStore(make_state(tmp_path / "state"))) as store:
        store.apply([PadCursor(Role.ALICE, 32)])
        with pytest.raises(KeyExhausted, match="pair the link again"):
            authenticator_for(store)
