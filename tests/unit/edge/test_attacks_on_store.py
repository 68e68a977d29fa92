"""Sites on real disks: erasing used bits and repeated relays neither give a wrong key nor stop a site."""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path

import pytest
from key_stores import MemoryKek
from kme_rig import City, CountedEntropy, MemoryStore, Site

from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.edge.keystore import KeyStore
from poliqi.keys import messages as m
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.kme import Kme, SharedPool
from poliqi.keys.onetime import seal
from poliqi.keys.relay import pad_bytes, send_share
from poliqi.keys.relay_messages import VERSION, PadRange, RelayOrder, RelayParcel, Scheme, encode_relay
from poliqi.keys.requests import Delivered
from poliqi.keys.segment import SegmentRecord
from poliqi.keys.shipments import ship_context

A, B = KmeId("a"), KmeId("b")


class DiskCity(City):
    """Two sites that keep their keys in real stores. Nothing looks into what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(["a", "b"], [("a", "b")], is_watched=False)
        self.join("a", "b")
        self.settle()
        for number in range(2):
            self.block("a", "b", number, 131_072)

    def settings(self, site: KmeId) -> list[SharedPool]:
        return [*super().settings(site), SharedPool(LinkId("a~b"), B if site == A else A, is_relayed=True)]

    def new_site(self, name: KmeId, store: MemoryStore) -> Site:
        disk = KeyStore(self.folder / name, MemoryKek(), create=True)
        kme = Kme(name, self.settings(name), self.policy(name), disk.load(), disk, CountedEntropy(name), self.now)
        return Site(name, kme, disk)  # type: ignore[arg-type]

    def says(self, message: m.Message) -> None:
        """Site a says something to site b that its program would not."""
        kme = self.sites[B].kme
        kme.received(A, kme.state.links[A].connection, m.encode(message), self.now)

    def segment_of_a(self) -> tuple[SegmentRecord, bytes]:
        stock = self.sites[A].kme.state.stock
        record = next(r for r in stock.by_number.values() if r.owner == A)
        bits = stock.bits(record)
        assert bits is not None
        return record, bytes(bits)

    def is_alive(self) -> bool:
        """Keys still go from b to a."""
        self.sites[A].inbox.clear()
        ordered, fetched = self.exchange("b1", "a1")
        return ordered.keys[0].value == fetched.keys[0].value


@pytest.fixture
def city(tmp_path: Path) -> Generator[DiskCity]:
    city = DiskCity(tmp_path)
    yield city
    for site in city.sites.values():
        site.kme.state.stock.close()
        site.store.close()  # type: ignore[attr-defined]


def sweep(site: Site) -> int:
    """What a site does every now and then."""
    return site.store.erase_used(site.kme.used_up())  # type: ignore[attr-defined]


def test_a_key_whose_delivery_broke_off_is_not_swept_before_it_is_fetched_again(city: DiskCity) -> None:
    ordered = city.order("a1", "b1")
    city.settle()
    assert isinstance(ordered.outcome, Delivered)
    key = ordered.outcome.keys[0]
    slave = city.sites[B]
    city.fetch("b1", "a1", [key.key_id])
    city.commit("b")  # marked used on b's disk, and asked
    city.cut("a", "b")
    city.settle()
    sweep(slave)
    slave.kme.state.stock.close()  # its bits come from the disk next time
    city.join("a", "b")
    city.settle()
    again = city.fetch("b1", "a1", [key.key_id])
    city.settle()
    assert isinstance(again.outcome, Delivered)
    assert again.outcome.keys[0].value == key.value
    assert sweep(slave) > 0  # now it is


def test_a_sweep_while_an_order_is_on_its_way_to_the_disk_changes_nothing(city: DiskCity) -> None:
    city.exchange("a1", "b1")
    ordered = city.order("a1", "b1")
    sweep(city.sites[A])
    city.settle()
    assert isinstance(ordered.outcome, Delivered)
    fetched = city.fetch("b1", "a1", [ordered.outcome.keys[0].key_id])
    city.settle()
    assert isinstance(fetched.outcome, Delivered)
    assert fetched.outcome.keys[0].value == ordered.outcome.keys[0].value


def test_runs_with_an_epsilon_that_is_no_number_do_not_stop_the_store(city: DiskCity) -> None:
    record, bits = city.segment_of_a()
    for number in (1, 2):
        grade = Grade(KeyOrigin.PHOTONS, "p", math.nan, ((A, B),))
        ids, at = bytes([number]) * 16, 64 * number
        cipher, tag = seal(
            bytes(32),
            bits[at + 32 : at + 64],
            bits[at : at + 32],
            ship_context("sae-a1", ("sae-b1",), ids, 32),  # type: ignore[arg-type]
        )
        place = (record.pool, record.name.block, record.name.part, at + 32, 32, 1)
        run = m.Promised(1000 + number, *place, "sae-a1", ["sae-b1"], ids, cipher, tag, grade)
        city.says(m.Promise(number, [run]))
        city.commit("b")
    assert city.is_alive()


def test_a_relayed_block_that_comes_twice_in_one_breath_does_not_stop_the_store(city: DiskCity) -> None:
    order = RelayOrder(VERSION, b"X" * 16, "a~b", "a", "b", Scheme.SINGLE, 1, (("a", "b"),), 1024)
    record, bits = city.segment_of_a()

    def parcel(at: int) -> RelayParcel:
        pads = (PadRange(record.name.block, record.name.part, at, pad_bytes(order)),)
        key = SecretBytes(bits[at : at + pad_bytes(order)])
        return send_share(order, 1, SecretBytes(b"s" * 1024), pads, key).parcel

    slave = city.sites[B]
    city.says(m.ParcelMessage(encode_relay(order)))
    city.says(m.ParcelMessage(encode_relay(parcel(32))))
    assert slave.kme.state.stock.pools[LinkId("a~b")].stored_bytes == 1024
    first, _ = slave.kme.take_marks()  # on its way to the disk
    city.says(m.Gone([("a~b", b"X" * 16, 0)]))
    city.says(m.ParcelMessage(encode_relay(order)))
    city.says(m.ParcelMessage(encode_relay(parcel(4000))))
    second, upto = slave.kme.take_marks()
    slave.store.apply(first)
    slave.store.apply(second)
    slave.kme.committed(upto)
    assert city.is_alive()
