"""What a lying peer, an old disk image or an unlucky order of events must not do to orders and shipped keys."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from held_city import Held
from kme_rig import PHOTONS, City, Site

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.base.secret import SecretBytes
from poliqi.keys import messages as m
from poliqi.keys.grade import Authenticity, Combiner, Grade, KeyOrigin, weakest
from poliqi.keys.graderule import GradeRule
from poliqi.keys.kme import SharedPool
from poliqi.keys.ledger import Ledger
from poliqi.keys.messages import Gone, PromiseAnswer, encode
from poliqi.keys.onetime import seal
from poliqi.keys.policy import Grant, Policy
from poliqi.keys.requests import Accepted, Block, Delivered, Reason, Refused, Shipment
from poliqi.keys.run import Run, RunKey
from poliqi.keys.runs import Runs
from poliqi.keys.segment import block_of_number
from poliqi.keys.shipments import ship_context

A, B, C = KmeId("a"), KmeId("b"), KmeId("c")
ANY_ORIGIN = GradeRule(origins=frozenset(KeyOrigin))
SIMULATED = Grade(KeyOrigin.SIMULATED, "", None, ())
LIE = Grade(KeyOrigin.PHOTONS, "p", 1e-9, ((A, B),))


def met(names: str, size: int = 131_072, **more: object) -> City:
    """Site a with a pool towards each of the others."""
    pools = [("a", other) for other in names[1:]]
    city = City(list(names), pools, is_watched=False, **more)  # type: ignore[arg-type]
    for pool in pools:
        city.join(*pool)
    city.settle()
    for pool in pools:
        city.block(*pool, 1, size)
    return city


def tighten(site: Site, city: City, **rule: object) -> None:
    """From now on a site demands this of every key for its applications."""
    old = city.policy(site.name)
    grants = [Grant(g.masters, g.slaves, GradeRule(**rule)) for g in old.grants]  # type: ignore[arg-type]
    site.kme.reload(Policy(site.name, list(old.applications.values()), grants, city.rule, city.limits), city.now)


def says(city: City, liar: KmeId, victim: KmeId, message: m.Message) -> list[m.Message]:
    """A site says something that its program would not; what the other one answers to it."""
    kme = city.sites[victim].kme
    kme.received(liar, kme.state.links[liar].connection, m.encode(message), city.now)
    city.commit(victim)
    inbox, city.sites[liar].inbox = city.sites[liar].inbox, deque()
    return [m.decode(frame) for sender, _, frame in inbox if sender == victim]


def carried(city: City, grade: Grade, at: int = 64, value: bytes = bytes(32)) -> m.Promised:
    """A run as site a ships it to b, of this grade."""
    stock = city.sites[A].kme.state.stock
    record = next(r for r in stock.by_number.values() if r.owner == A)
    bits = stock.bits(record)
    assert bits is not None
    ids = hashlib.sha256(at.to_bytes(4, "big")).digest()[:16]
    context = ship_context(SaeId("sae-a1"), (SaeId("sae-b1"),), ids, 32)
    cipher, tag = seal(value, bits[at : at + 32], bits[at - 32 : at], context)
    place = (record.pool, record.name.block, record.name.part, at, 32, 1)
    return m.Promised(1000 + at, *place, "sae-a1", ["sae-b1"], ids, cipher, tag, grade)


def refused_runs(answers: Iterable[m.Message]) -> list[str]:
    [answer] = [a for a in answers if isinstance(a, m.PromiseAnswer)]
    return [why for _, why in answer.refused]


# -------------------------------------------------------------------- what a peer says of a key


@pytest.mark.parametrize(
    "grade",
    [
        replace(LIE, epsilon=math.nan),
        replace(LIE, epsilon=math.inf),
        replace(LIE, epsilon=-1.0),
        replace(LIE, proof="p" * 900_000),
        replace(LIE, paths=((A, B),) * 1000),
        replace(LIE, threshold=0),
        replace(LIE, combiner=Combiner.HKDF),
    ],
    ids=["nan", "infinite", "negative", "long proof", "many paths", "no path needed", "combined"],
)
def test_a_grade_that_no_key_can_have_is_refused_and_the_site_goes_on(grade: Grade) -> None:
    city = met("ab")
    [why] = refused_runs(says(city, A, B, m.Promise(1, [carried(city, grade)])))
    assert "grade" in why
    ordered, fetched = city.exchange("b1", "a1")
    assert ordered.keys[0].value == fetched.keys[0].value


def test_a_key_under_simulated_pads_is_not_one_of_photons() -> None:
    city = City(["a", "b"], [("a", "b")], ANY_ORIGIN, is_watched=False)
    city.join("a", "b")
    city.settle()
    city.block("a", "b", 1, 131_072, SIMULATED)
    slave = city.sites[B]
    tighten(slave, city)
    [why] = refused_runs(says(city, A, B, m.Promise(1, [carried(city, LIE)])))
    assert "simulated" in why
    assert len(slave.kme.state.runs) == 0


def test_keys_joined_with_a_computational_part_are_not_information_theoretic() -> None:
    joint = weakest([replace(PHOTONS, combiner=Combiner.HKDF), PHOTONS])
    assert not joint.is_information_theoretic


# -------------------------------------------------------------------- one key over several pools

BY_RELAY = Grade(KeyOrigin.PHOTONS, "p", 1e-10, ((A, KmeId("x"), C),))


def two_ways() -> City:
    """Site a with a fibre to b, and a pool with c whose blocks came through x."""
    city = City(["a", "b", "c"], [("a", "b"), ("a", "c")], is_watched=False)
    city.join("a", "b")
    city.join("a", "c")
    city.settle()
    city.block("a", "b", 1, 131_072)
    city.block("a", "c", 1, 131_072, BY_RELAY)
    return city


@pytest.mark.parametrize("slaves", [("b1", "c1"), ("c1", "b1")])
def test_the_grade_of_a_key_for_two_sites_names_every_way_it_went(slaves: tuple[str, str]) -> None:
    city = two_ways()
    ordered = city.order("a1", *slaves)
    city.settle()
    assert isinstance(ordered.outcome, Delivered)
    grades = [ordered.outcome.keys[0].grade]
    for slave in slaves:
        fetched = city.fetch(slave, "a1", [ordered.outcome.keys[0].key_id])
        city.settle()
        assert isinstance(fetched.outcome, Delivered)
        grades.append(fetched.outcome.keys[0].grade)
    for grade in grades:
        assert set(grade.paths) == {("a", "b"), ("a", "x", "c")}
        assert grade.name == "its-trusted-relay"


@pytest.mark.parametrize("strict", ["b", "c"])
def test_a_key_for_two_sites_is_refused_where_one_forbids_a_relay_of_the_other(strict: str) -> None:
    city = two_ways()
    tighten(city.sites[KmeId(strict)], city, never_through=frozenset({KmeId("x")}))
    ordered = city.order("a1", "b1", "c1")
    city.settle()
    assert isinstance(ordered.outcome, Refused)
    assert "went through x" in ordered.outcome.message
    assert [len(site.kme.state.runs) for site in city.sites.values()] == [0, 0, 0]


# -------------------------------------------------------------------- an old image of the disk


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> list[m.Promised]:
    """Every run with values in it that any site sends."""
    sent: list[m.Promised] = []

    def says(self: Site, peer: KmeId, frame: bytes) -> None:
        message = m.decode(frame)
        if isinstance(message, m.Promise):
            sent.extend(run for run in message.runs if run.cipher)

    monkeypatch.setattr(Site, "says", says)
    return sent


def test_a_site_set_back_ships_nothing_under_a_pad_that_was_used(shipped: list[m.Promised]) -> None:
    city = Held(["a", "b", "c"], [("a", "b"), ("a", "c")])
    city.join("a", "b")
    city.join("a", "c")
    city.settle()
    city.block("a", "b", 1, 131_072)
    city.block("a", "c", 1, 131_072)
    image = city.sites[A].store.image()
    first = city.order("a1", "b1", "c1")
    city.settle()
    assert isinstance(first.outcome, Delivered)
    city.kill(A)
    city.settle()
    city.start(A, image)
    city.late = frozenset({B, C})
    city.join("a", "b")
    city.join("a", "c")
    city.settle()
    assert all(link.is_live for link in city.sites[A].kme.state.links.values())
    early = city.order("a1", "b1", "c1")
    city.settle()
    city.late = frozenset()
    city.settle()
    late = city.order("a1", "b1", "c1")
    city.settle()
    assert isinstance(early.outcome, Refused)
    assert isinstance(late.outcome, Delivered)
    used: dict[tuple[str, bytes, int], list[tuple[int, int]]] = defaultdict(list)
    for run in shipped:
        used[run.pool, run.block, run.part].append((run.offset - 32, run.offset + run.size * run.count))
    for ranges in used.values():
        ranges.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(ranges)), ranges
    assert len(shipped) == 4


# -------------------------------------------------------------------- shipments and their taking back


def shipment(name: bytes, *slaves: str, value: bytes = b"v" * 32) -> Shipment:
    names = tuple(SaeId(f"sae-{slave}") for slave in slaves)
    return Shipment(SaeId("sae-a1"), names, (name,), (value,), PHOTONS)


def test_a_shipment_over_a_relayed_pool_says_so() -> None:
    city = two_ways()
    made_at = replace(PHOTONS, paths=((KmeId("n"), A),))
    ticket = city.sites[A].kme.ship(replace(shipment(b"n" * 16, "c1"), grade=made_at), city.now)
    city.settle()
    assert isinstance(ticket.outcome, Accepted), ticket.outcome
    fetched = city.fetch("c1", "a1", [b"n" * 16])
    city.settle()
    assert isinstance(fetched.outcome, Delivered)
    assert set(fetched.outcome.keys[0].grade.paths) == {("n", "a"), ("a", "x", "c")}


def test_a_shipment_refused_for_want_of_key_may_be_sent_again() -> None:
    city = City(["a", "b"], [("a", "b")], is_watched=False)
    city.join("a", "b")
    city.settle()
    first = city.sites[A].kme.ship(shipment(b"n" * 16, "b1"), city.now)
    city.settle()
    assert isinstance(first.outcome, Refused)
    city.block("a", "b", 1, 131_072)
    again = city.sites[A].kme.ship(shipment(b"n" * 16, "b1"), city.now)
    city.settle()
    assert isinstance(again.outcome, Accepted), again.outcome


def test_of_two_shipments_of_one_name_at_once_one_is_refused() -> None:
    city = met("abc")
    kme = city.sites[A].kme
    one = kme.ship(shipment(b"m" * 16, "b1", value=b"1" * 32), city.now)
    two = kme.ship(shipment(b"m" * 16, "c1", value=b"2" * 32), city.now)
    city.settle()
    assert isinstance(one.outcome, Accepted)
    assert isinstance(two.outcome, Refused)
    fetched = city.fetch("c1", "a1", [b"m" * 16])
    city.settle()
    assert isinstance(fetched.outcome, Refused)


def shipped_to_two() -> City:
    city = met("abc")
    ticket = city.sites[A].kme.ship(shipment(b"k" * 16, "b1", "c1"), city.now)
    city.settle()
    assert isinstance(ticket.outcome, Accepted)
    return city


BOTH = [SaeId("sae-b1"), SaeId("sae-c1")]


def test_a_key_shipped_to_two_sites_is_taken_back_from_both() -> None:
    city = shipped_to_two()
    voided = city.sites[A].kme.void(SaeId("sae-a1"), BOTH, [b"k" * 16])
    city.settle()
    assert isinstance(voided.outcome, Accepted)
    for slave in ("b1", "c1"):
        fetched = city.fetch(slave, "a1", [b"k" * 16])
        city.settle()
        assert isinstance(fetched.outcome, Refused)


@pytest.mark.parametrize("quick", ["b1", "c1"])
def test_a_key_that_one_of_two_sites_gave_out_is_not_said_to_be_taken_back(quick: str) -> None:
    city = shipped_to_two()
    fetched = city.fetch(quick, "a1", [b"k" * 16])
    voided = city.sites[A].kme.void(SaeId("sae-a1"), BOTH, [b"k" * 16])
    city.settle()
    assert isinstance(fetched.outcome, Delivered)
    assert isinstance(voided.outcome, Refused)


def test_a_taking_back_ends_although_the_key_expires_meanwhile() -> None:
    city = met("ab", ttl_s=5.0)
    kme = city.sites[A].kme
    kme.ship(shipment(b"k" * 16, "b1"), city.now)
    city.settle()
    voided = kme.void(SaeId("sae-a1"), [SaeId("sae-b1")], [b"k" * 16])
    kme.tick(city.now + 6.0)
    city.settle()
    assert voided.outcome is not None


@pytest.mark.parametrize("lost", ["b", "c"])
def test_an_order_for_two_sites_ends_although_the_disk_lost_the_bits_for_one(lost: str) -> None:
    city = met("abc")
    site = city.sites[A]
    for record in site.kme.state.stock.by_number.values():
        if record.pool == f"a-{lost}":
            del site.store.payloads[record.number]
    ordered = city.order("a1", "b1", "c1")
    city.settle()
    assert isinstance(ordered.outcome, Refused)
    assert [len(city.sites[name].kme.state.runs) for name in (B, C)] == [0, 0]


def test_an_answer_about_runs_of_another_site_changes_nothing() -> None:
    city = met("abc")
    ordered = city.order("a1", "b1")
    city.settle()
    assert isinstance(ordered.outcome, Delivered)
    numbers = [run.key.number for run in city.sites[A].kme.state.runs]
    says(city, C, A, m.VoidAnswer(numbers, []))
    city.settle()
    fetched = city.fetch("b1", "a1", [ordered.outcome.keys[0].key_id])
    city.settle()
    assert isinstance(fetched.outcome, Delivered)


def test_nobody_answers_a_taking_back_for_another_site() -> None:
    city = met("abc")
    kme = city.sites[A].kme
    kme.ship(shipment(b"k" * 16, "b1"), city.now)
    city.settle()
    numbers = [run.key.number for run in kme.state.runs]
    voided = kme.void(SaeId("sae-a1"), [SaeId("sae-b1")], [b"k" * 16])
    says(city, C, A, m.VoidAnswer(numbers, []))
    assert voided.outcome is None
    city.settle()
    assert isinstance(voided.outcome, Accepted)


# -------------------------------------------------------------------- many at once, and for long


def test_twenty_large_orders_in_one_turn_fit_into_frames() -> None:
    city = met("abc", 1 << 22)
    tickets = [city.order("a1", "b1", "c1", number=128, bits=4096) for _ in range(20)]
    city.settle()  # every frame decodes
    assert all(isinstance(ticket.outcome, Delivered) for ticket in tickets)


def test_one_order_larger_than_a_frame_goes_in_several() -> None:
    city = met("abc", 1 << 24, max_number=1024, max_size_bits=16_384)
    ordered = city.order("a1", "b1", "c1", number=1024, bits=16_384)
    city.settle()
    assert isinstance(ordered.outcome, Delivered)
    fetched = city.fetch("c1", "a1", [ordered.outcome.keys[-1].key_id])
    city.settle()
    assert isinstance(fetched.outcome, Delivered)
    assert fetched.outcome.keys[0].value == ordered.outcome.keys[-1].value


def test_runs_that_are_over_do_not_leave_their_deadlines_behind() -> None:
    runs = Runs(Ledger())
    for number in range(5000):
        run = Run(RunKey(A, number), B, 1, 32, 32, 1, SaeId("m"), (SaeId("s"),))
        runs.add(run, (), float(number))
        runs.drop(run)
    deadline = runs.next_deadline()
    assert deadline is None or deadline > 2500


# -------------------------------------------------------------------- ends that were told different things


class UnevenCity(City):
    """Site b already knows a link that a does not know yet, and that comes first by name."""

    def settings(self, site: KmeId) -> list[SharedPool]:
        new = [SharedPool(LinkId("a-0new"), A, low_water=4096)]
        return super().settings(site) + (new if site == B else [])


def test_a_link_that_one_end_does_not_know_yet_leaves_the_key_agreement_whole() -> None:
    city = UnevenCity(["a", "b"], [("a", "b")])
    city.join("a", "b")
    city.settle()
    city.tick(0.3)
    epochs = {(city.sites[x].kme.state.links[y].kem_epoch) for x, y in ((A, B), (B, A))}
    assert len(epochs) == 1
    assert epochs != {0}


def test_equal_bits_of_which_the_ends_were_told_different_origins_are_destroyed() -> None:
    city = City(["a", "b"], [("a", "b")], ANY_ORIGIN)
    city.join("a", "b")
    city.settle()
    key = hashlib.shake_256(b"bits").digest(20_000)
    for name, grade in ((A, PHOTONS), (B, SIMULATED)):
        city.sites[name].kme.ingest(Block(LinkId("a-b"), block_of_number(1), SecretBytes(key), grade))
        city.settle()
    for site in city.sites.values():
        assert not site.kme.state.stock.by_number
    kinds = {event.kind for site in city.sites.values() for event in site.kme.take_events()}
    assert "segment-mismatch" in kinds
    assert any(event == "segment-mismatch" for site in city.sites.values() for event, _ in site.store.audit)


def test_a_proven_block_too_short_for_a_one_time_tag_comes_without_an_epsilon() -> None:
    city = City(["a", "b"], [("a", "b")])
    city.join("a", "b")
    city.settle()
    city.block("a", "b", 1, 1023)
    delivered = []
    for master, slave in (("a1", "b1"), ("b1", "a1")):
        ordered = city.order(master, slave)
        city.settle()
        if isinstance(ordered.outcome, Delivered):
            delivered += ordered.outcome.keys
        else:
            assert isinstance(ordered.outcome, Refused)
            assert ordered.outcome.reason is Reason.INSUFFICIENT
    assert delivered
    for key in delivered:
        assert key.grade.epsilon is None
        assert key.grade.authenticity is Authenticity.COMPUTATIONAL
        assert not key.grade.is_information_theoretic


@pytest.mark.parametrize("how", ["gone", "a wrong answer"])
def test_orders_whose_segment_or_answer_goes_wrong_are_answered(how: str) -> None:
    city = City(["a", "b"], [("a", "b")])
    city.join("a", "b")
    city.settle()
    city.block("a", "b", 1, 4000)
    master = next(n for n in "ab" if city.sites[KmeId(n)].kme.state.stock.pools[LinkId("a-b")].own_bytes)
    slave = "b" if master == "a" else "a"
    site = city.sites[KmeId(master)]
    ticket = city.order(f"{master}1", f"{slave}1")
    connection = site.kme.state.links[KmeId(slave)].connection
    if how == "gone":
        (record,) = site.kme.state.stock.by_number.values()
        gone = encode(Gone([(record.pool, record.name.block, record.name.part)]))
        site.kme.received(KmeId(slave), connection, gone, city.now)
        city.commit(KmeId(master))
    else:
        city.commit(KmeId(master))
        (number,) = site.kme.state.links[KmeId(slave)].ordering
        with pytest.raises(ProtocolError):
            site.kme.received(KmeId(slave), connection, encode(PromiseAnswer(number, [(99, "x")])), city.now)
        city.cut("a", "b")
    assert isinstance(ticket.outcome, Refused)
