"""Two sites' key management: keys are equal at both ends and given once, whatever breaks."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec
import pytest
from kme_rig import PHOTONS, City, MemoryStore

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.kme import SharedPool
from poliqi.keys.ledger import Ledger
from poliqi.keys.messages import Hello, encode
from poliqi.keys.peer import PeerLink
from poliqi.keys.policy import Policy
from poliqi.keys.requests import Block, Delivered, Reason, Refused
from poliqi.keys.segment import block_of_number


@pytest.fixture
def city() -> City:
    city = City(["a", "b"], [("a", "b")])
    city.join("a", "b")
    city.settle()
    return city


def keys_of(outcome: object) -> list[tuple[bytes, bytes]]:
    assert isinstance(outcome, Delivered), outcome
    return [(k.key_id, k.value) for k in outcome.keys]


def refusal(outcome: object) -> Reason:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


@pytest.mark.parametrize(("master", "slave"), [("a1", "b1"), ("b1", "a2")])
def test_both_applications_get_the_same_keys(city: City, master: str, slave: str) -> None:
    key = city.block("a", "b", 1, 100_000)
    ordered, fetched = city.exchange(master, slave, number=5)
    assert keys_of(ordered) == keys_of(fetched)
    values = [value for _, value in keys_of(ordered)]
    assert len(set(values)) == 5
    assert all(value in key for value in values)


def test_a_key_is_fetched_once(city: City) -> None:
    city.block("a", "b", 1, 100_000)
    ordered, _ = city.exchange("a1", "b1")
    again = city.fetch("b1", "a1", [ordered.keys[0].key_id])
    city.settle()
    assert refusal(again.outcome) is Reason.NOT_FOUND


def test_another_application_of_the_same_site_does_not_get_it(city: City) -> None:
    city.block("a", "b", 1, 100_000)
    ordered = city.order("a1", "b1")
    city.settle()
    fetched = city.fetch("b2", "a1", [keys_of(ordered.outcome)[0][0]])
    assert refusal(fetched.outcome) is Reason.NOT_PERMITTED


def test_crossing_orders_never_meet(city: City) -> None:
    city.block("a", "b", 1, 100_000)
    tickets = [city.order("a1", "b1", number=50), city.order("b1", "a1", number=50)]
    city.settle()
    values = [value for ticket in tickets for _, value in keys_of(ticket.outcome)]
    assert len(set(values)) == 100


def test_nothing_before_both_ends_hold_the_block(city: City) -> None:
    city.cut("a", "b")
    city.block("a", "b", 1, 100_000)
    refused = city.order("a1", "b1")
    assert refusal(refused.outcome) is Reason.PEER_DOWN
    city.join("a", "b")
    city.settle()
    city.exchange("a1", "b1")


def test_order_is_all_or_nothing(city: City) -> None:
    city.block("a", "b", 1, 2048)
    whole = city.order("a1", "b1", number=128, bits=4096)
    city.settle()
    other = city.order("b1", "a1", number=128, bits=4096)
    city.settle()
    assert refusal(whole.outcome) is refusal(other.outcome) is Reason.INSUFFICIENT
    free = [s.kme.state.stock.pools[p].own_bytes for s in city.sites.values() for p in s.kme.state.stock.pools]
    assert sum(free) == 2048 - 32


def test_after_a_crash_the_master_goes_on_behind_its_lease(city: City) -> None:
    city.block("a", "b", 1, 200_000)
    before, _ = city.exchange("a1", "b1", number=3)
    store = city.kill("a")
    city.start(city.names[0], store)
    city.join("a", "b")
    city.settle()
    after, _ = city.exchange("a1", "b1", number=3)
    assert not {v for _, v in keys_of(before)} & {v for _, v in keys_of(after)}


def test_an_acknowledged_key_survives_a_crash_of_either_site(city: City) -> None:
    city.block("a", "b", 1, 200_000)
    ordered = city.order("a1", "b1", number=2)
    city.settle()
    keys = keys_of(ordered.outcome)
    for name in city.names:
        city.start(name, city.kill(name))
        city.join("a", "b")
        city.settle()
    fetched = city.fetch("b1", "a1", [key_id for key_id, _ in keys])
    city.settle()
    assert keys_of(fetched.outcome) == keys


def test_a_fetch_that_was_cut_off_can_be_repeated(city: City) -> None:
    city.block("a", "b", 1, 200_000)
    ordered = city.order("a1", "b1")
    city.settle()
    [(key_id, value)] = keys_of(ordered.outcome)
    first = city.fetch("b1", "a1", [key_id])
    city.commit(city.names[1])  # the question leaves
    city.deliver(city.names[0])
    city.commit(city.names[0])  # the owner marks the key used; its answer is lost
    city.cut("a", "b")
    assert refusal(first.outcome) is Reason.PEER_DOWN
    city.join("a", "b")
    city.settle()
    second = city.fetch("b1", "a1", [key_id])
    city.settle()
    assert keys_of(second.outcome) == [(key_id, value)]
    third = city.fetch("b1", "a1", [key_id])
    city.settle()
    assert refusal(third.outcome) is Reason.NOT_FOUND


def test_a_master_set_back_to_an_old_image_gives_no_key_again(city: City) -> None:
    city.block("a", "b", 1, 200_000)
    image = city.sites[city.names[0]].store.image()
    before, _ = city.exchange("a1", "b1", number=100)
    city.kill("a")
    city.start(city.names[0], image)
    city.join("a", "b")
    city.settle()
    after, _ = city.exchange("a1", "b1", number=100)
    assert not {v for _, v in keys_of(before)} & {v for _, v in keys_of(after)}
    assert any(e.kind == "peer-rolled-back" for e in city.sites[city.names[1]].kme.take_events())


def test_a_slave_set_back_to_an_old_image_delivers_no_key_again(city: City) -> None:
    city.block("a", "b", 1, 200_000)
    ordered = city.order("a1", "b1")
    city.settle()
    image = city.sites[city.names[1]].store.image()
    [(key_id, _)] = keys_of(ordered.outcome)
    fetched = city.fetch("b1", "a1", [key_id])
    city.settle()
    assert isinstance(fetched.outcome, Delivered)
    city.kill("b")
    city.start(city.names[1], image)
    city.join("a", "b")
    city.settle()
    again = city.fetch("b1", "a1", [key_id])
    city.settle()
    assert refusal(again.outcome) is Reason.NOT_FOUND


def test_unequal_blocks_are_destroyed_at_both_ends(city: City) -> None:
    for name, byte in zip(city.names, (b"x", b"y"), strict=True):
        key = hashlib.shake_256(b"one block").digest(99_999) + byte
        block = Block(LinkId("a-b"), block_of_number(1), SecretBytes(key), PHOTONS)
        city.sites[name].kme.ingest(block)
        city.settle()
    left = [s.kme.state.stock.by_number for s in city.sites.values()]
    assert [len(records) for records in left] == [1, 1]  # the first halves agree
    assert [len(s.store.payloads) for s in city.sites.values()] == [1, 1]


def test_a_used_up_segment_is_destroyed_at_both_ends(city: City) -> None:
    city.block("a", "b", 1, 4000)
    ordered = city.order("b1", "a1", number=124)
    city.settle()
    keys = keys_of(ordered.outcome)
    city.fetch("a1", "b1", [k for k, _ in keys])
    city.settle()
    city.tick(1.0)
    city.tick(1.0)
    assert [len(s.store.payloads) for s in city.sites.values()] == [0, 0]
    assert [len(s.store.state.runs) for s in city.sites.values()] == [0, 0]


def test_unfetched_keys_expire(city: City) -> None:
    city.block("a", "b", 1, 100_000)
    ordered = city.order("a1", "b1")
    city.settle()
    city.tick(3601.0)
    fetched = city.fetch("b1", "a1", [keys_of(ordered.outcome)[0][0]])
    city.settle()
    assert refusal(fetched.outcome) is Reason.NOT_FOUND
    assert not city.sites[city.names[1]].store.state.runs


def test_a_share_that_runs_low_is_filled_from_the_other(city: City) -> None:
    city.block("a", "b", 2, 4000)  # one segment, whose owner is one of the two
    city.block("a", "b", 4, 4000)
    city.block("a", "b", 6, 4000)
    city.tick(1.0)
    shares = [s.kme.state.stock.pools[next(iter(s.kme.state.stock.pools))].own_bytes for s in city.sites.values()]
    assert min(shares) > 0


def test_keys_for_slaves_at_two_sites_are_the_same() -> None:
    city = City(["a", "b", "c"], [("a", "b"), ("a", "c")])
    for other in "bc":
        city.join("a", other)
        city.settle()
        city.block("a", other, 1, 100_000)
    ordered = city.order("a1", "b1", "c1", "c2", number=3)
    city.settle()
    keys = keys_of(ordered.outcome)
    for slave in ("b1", "c1", "c2"):
        fetched = city.fetch(slave, "a1", [key_id for key_id, _ in keys])
        city.settle()
        assert keys_of(fetched.outcome) == keys


def test_a_peer_of_a_later_version_is_understood(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later versions add fields at the end and messages of new types."""
    honest = PeerLink.take_frames

    def later(self: PeerLink, ledger: Ledger) -> list[bytes]:
        frames = [msgspec.msgpack.encode([*msgspec.msgpack.decode(f), "new"]) for f in honest(self, ledger)]
        return [*frames, msgspec.msgpack.encode([77, {"new": 1}])] if frames else []

    monkeypatch.setattr(PeerLink, "take_frames", later)
    city.cut("a", "b")
    city.join("a", "b")
    city.block("a", "b", 1, 100_000)
    city.exchange("a1", "b1", number=3)


def test_a_peer_without_a_version_in_common_is_refused(city: City) -> None:
    kme = city.sites[city.names[0]].kme
    number = kme.connected(city.names[1])
    hello = Hello(2, 3, "b", bytes(16), 1, [bytes(16)], [])
    with pytest.raises(ProtocolError, match="upgrade the older"):
        kme.received(city.names[1], number, encode(hello), 0.0)


class ReadableCity(City):
    """A city of tests, where masters may read their own keys back."""

    def policy(self, site: KmeId) -> Policy:
        p = super().policy(site)
        grants = [replace(grant, initiator_readback=True) for grant in p.grants]
        return Policy(site, p.applications.values(), grants, self.rule, self.limits)


def test_a_master_reads_its_own_keys_back_once_where_that_is_granted() -> None:
    city = ReadableCity(["a", "b"], [("a", "b")])
    city.join("a", "b")
    city.settle()
    city.block("a", "b", 1, 100_000)
    ordered = city.order("a1", "b1", number=2)
    city.settle()
    (first, second) = keys_of(ordered.outcome)
    assert keys_of(city.fetch("a1", "b1", [first[0]]).outcome) == [first]
    assert refusal(city.fetch("a1", "b1", [first[0]]).outcome) is Reason.NOT_FOUND
    assert keys_of(city.fetch("a1", "b1", [second[0]]).outcome) == [second]


def test_a_master_does_not_read_its_own_keys_back(city: City) -> None:
    city.block("a", "b", 1, 100_000)
    ordered = city.order("a1", "b1")
    city.settle()
    assert refusal(city.fetch("a1", "b1", [keys_of(ordered.outcome)[0][0]]).outcome) is Reason.NOT_FOUND


def test_a_site_that_joins_shares_keys_without_a_restart(city: City) -> None:
    before = city.order("a1", "b1")
    city.settle()
    city.names.append(KmeId("c"))
    city.pairs.append((KmeId("a"), KmeId("c")))
    city.start("c", MemoryStore(bytes(16)))
    a = city.sites[KmeId("a")].kme
    a.extend(city.settings(KmeId("a")))
    a.reload(city.policy(KmeId("a")), city.now)
    city.join("a", "c")
    city.settle()
    city.block("a", "c", 1, 8192)
    ordered, fetched = city.exchange("a1", "c1")
    assert keys_of(ordered) == keys_of(fetched)
    assert refusal(before.outcome) is Reason.INSUFFICIENT
    city.block("a", "b", 1, 8192)
    city.exchange("a1", "b1")


def test_a_pool_does_not_change_its_peer(city: City) -> None:
    with pytest.raises(ValueError, match="is shared with b"):
        city.sites[KmeId("a")].kme.extend([SharedPool(LinkId("a-b"), KmeId("c"))])
