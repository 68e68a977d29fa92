"""First trust by signatures: wherever the connection breaks, both ends come to hold the same pads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from link_states import make_state
from two_parties import CountingEntropy, Light, make_contract

from poliqi.base.errors import AuthenticationError, KeyExhausted
from poliqi.base.ids import LeakModel, Origin, Role
from poliqi.distill.authenticate import OneTimeMac
from poliqi.distill.bootstrap import SignatureBootstrap
from poliqi.distill.messages import Tag, decode_message
from poliqi.distill.outcome import Aborted, BlockConfirmed, Event, PadCursor, Ready, StatesWanted
from poliqi.distill.policy import Policy
from poliqi.distill.session import Session
from poliqi.distill.sift import PackedDetections
from poliqi.edge.pairing import make_identity, trust_peer
from poliqi.edge.store import LinkStore
from poliqi.edge.trust import EitherFirst, authenticator_for

POLICY = Policy(
    origins=frozenset(Origin), leak_models=frozenset(LeakModel), largest_epsilon_sec=1e-3, reserve_words=4
)


class Ends:
    """Two stores, paired by public keys, and the sessions between them over a wire that may be cut."""

    def __init__(self, folder: Path) -> None:
        keys = {role: make_identity(folder / role) for role in Role}
        self.stores: dict[Role, LinkStore] = {}
        for role in Role:
            trust_peer(folder / role, keys[role.peer], "test-link", role, simulated=True, words=32)
            self.stores[role] = LinkStore(folder / role)
        self.light = Light(np.random.Generator(np.random.PCG64(1)))
        self.draws = 0
        self.events: list[tuple[Role, Event]] = []
        self.tags: list[tuple[Role, bytes]] = []

    def meet(self, cut_after: int = 1 << 30) -> int:
        """One session each, until it ends or `cut_after` frames were sent; how many were sent."""
        self.draws += 2
        contract = make_contract(
            link_id="test-link", pulses=1_000_000, max_detections=400_000, length=9_000, leak_cap=15_000
        )
        sessions = {
            role: Session(
                role,
                link_id=store.link.link_id,
                authenticator=authenticator_for(store),
                entropy=CountingEntropy(self.draws + (role is Role.BOB)),
                history=store.history(),
                contract=contract if role is Role.ALICE else None,
                policy=POLICY,
            )
            for role, store in self.stores.items()
        }
        self.events, self.tags, sent, begun = [], [], 0, False
        for session in sessions.values():
            session.start(0.0)
        moved = True
        while moved:
            moved = False
            for role, session in sessions.items():
                self.stores[role].apply(session.take_marks())
                for frame in session.take_output():
                    moved, sent = True, sent + 1
                    message = decode_message(frame)
                    if isinstance(message, Tag) and len(message.value) == 24:
                        self.tags.append((role, message.value))
                    if sent > cut_after:
                        return sent - 1
                    sessions[role.peer].receive(frame, 0.0)
                for event in session.take_events():
                    moved = True
                    self.events.append((role, event))
                    if isinstance(event, Ready) and role is Role.BOB and not begun:
                        begun = True
                        session.begin_block(PackedDetections.of(self.light.detect(contract.pulses)), 0.0)
                    if isinstance(event, StatesWanted):
                        session.provide_states(self.light.prepared(event.slots.array()), 0.0)
                    if isinstance(event, Aborted) and not event.fatal:
                        session.close("enough")
        return sent

    def paired(self) -> bool:
        return all(store.status().has_pads for store in self.stores.values())

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


def test_second_session_uses_pads_at_both_ends(ends: Ends) -> None:
    ends.meet()
    assert all(isinstance(authenticator_for(store), OneTimeMac) for store in ends.stores.values())
    ends.meet()
    assert sum(isinstance(event, BlockConfirmed) for _, event in ends.events) == 2


def rehearsed(folder: Path) -> int:
    """Frames of a first session that nothing disturbs."""
    whole = Ends(folder)
    frames = whole.meet()
    for store in whole.stores.values():
        store.close()
    return frames


@pytest.mark.parametrize("before_the_end", range(1, 9))
def test_first_session_cut_anywhere_near_its_end(ends: Ends, tmp_path: Path, before_the_end: int) -> None:
    ends.meet(cut_after=rehearsed(tmp_path / "rehearsal") - before_the_end)
    for _ in range(3):
        ends.meet()
    assert ends.paired()
    assert ends.pads_are_equal()


def without_alices_final_word(ends: Ends, folder: Path) -> None:
    """Leave Alice with pads, and Bob with a pending block."""
    ends.meet(cut_after=rehearsed(folder) - 2)
    assert [store.status().has_pads for store in ends.stores.values()] == [True, False]
    assert ends.stores[Role.BOB].status().pending == 1


def test_bob_with_a_pending_block_takes_either(ends: Ends, tmp_path: Path) -> None:
    without_alices_final_word(ends, tmp_path / "rehearsal")
    assert isinstance(authenticator_for(ends.stores[Role.ALICE]), OneTimeMac)
    assert isinstance(authenticator_for(ends.stores[Role.BOB]), EitherFirst)


@pytest.mark.parametrize("cuts", [(0,), (1,), (2,), (3,), (4,), (5,), (4, 4), (4, 4, 4), (2, 4, 3, 5)])
def test_pads_that_bob_does_not_hold_for_sure_are_used_once_only(
    ends: Ends, tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    without_alices_final_word(ends, tmp_path / "rehearsal")
    sent: list[tuple[Role, bytes]] = []
    for cut in (*cuts, 1 << 30):
        ends.meet(cut_after=cut)
        sent += ends.tags
    words = [(role, tag[:8]) for role, tag in sent]
    assert len(words) == len(set(words))
    assert ends.paired()
    assert ends.pads_are_equal()
    assert any(isinstance(event, BlockConfirmed) for _, event in ends.events)


def test_end_with_pads_never_signs_again(tmp_path: Path) -> None:
    with closing(LinkStore(make_state(tmp_path / "state"))) as store:
        store.apply([PadCursor(Role.ALICE, 32)])
        with pytest.raises(KeyExhausted, match="pair the link again"):
            authenticator_for(store)


def test_a_stranger_s_tag_decides_nothing_between_the_two_ways() -> None:
    class Refusing:
        name, one_block_only = "refusing", False

        def check(self, tag: bytes) -> None:
            raise AuthenticationError("no")

    class Signing:
        name, one_block_only = "signing", True

        def check(self, tag: bytes) -> None:
            return

    either = EitherFirst(Refusing(), Signing())  # type: ignore[arg-type]
    with pytest.raises(AuthenticationError):
        either.check(bytes(24))
    assert either.marks() == []
    either.check(bytes(3309))
    assert either.name == "signing"
