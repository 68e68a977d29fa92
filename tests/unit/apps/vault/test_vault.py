"""Secrets at five sites: put, got with any two gone, refused with three, liars named, renewed, crash-proof."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sealed_talk import Town, application

from bench.played_keys import PHOTONS, SIMULATED, PlayedSite
from poliqi.apps.envelope.call import pad_bytes
from poliqi.apps.keygrade import Knowledge
from poliqi.apps.settings import SaeSettings
from poliqi.apps.vault.catalogue import Catalogue, Phase
from poliqi.apps.vault.keepers import Keepers
from poliqi.apps.vault.owner import Owner
from poliqi.apps.vault.parcel import BLOCK_BYTES, KeyMatrix, parcel_bytes, tagged
from poliqi.apps.vault.requests import DONE, Entry, Give, Keep, encode
from poliqi.apps.vault.service import VaultService, open_shelf
from poliqi.apps.vault.sharing import split
from poliqi.base.errors import ConfigError, DataRefused, LinkDown, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.keyanswers import KeysNotReady

SYSTEM = OperatingSystemEntropy()
SITES = ["leonardo", "bovisa", "santabarbara", "intesa", "aria"]
OTHERS = SITES[1:]
FIVE = ["here", *OTHERS]
SECRET = os.urandom(100)
LONG = os.urandom(70_000)
"""Two blocks, the second odd."""


class City:
    """Five applications with vaults; the owner is at Leonardo."""

    def __init__(
        self, folder: Path, site: PlayedSite | None = None, simulated: bool = False, **tables: dict
    ) -> None:
        self.folder, self.town = folder, Town(site)
        self.settings: dict[str, SaeSettings] = {}
        self.shelves = {}
        for name in SITES:
            peers = [other for other in SITES if other != name]
            extra = {"vault": tables[name]} if name in tables else {}
            self.settings[name] = application(name, folder / name, peers, simulated, **extra)
            self.shelves[name] = open_shelf(self.settings[name], SYSTEM)
            self.town.services[name] = VaultService(self.settings[name], self.shelves[name], self.town.keys(name))

    def owner(self, name: str = "leonardo", catalogue: str = "catalogue") -> Owner:
        settings = self.settings[name]

        def wait(error: KeysNotReady) -> None:
            raise error

        keepers = Keepers(
            settings, self.town.keys(name), self.town.dial(name), lambda: open_shelf(settings, SYSTEM), wait
        )
        self.catalogue = Catalogue(settings.state / "vault" / catalogue, SYSTEM, lambda: 1000.0)
        return Owner(self.catalogue, keepers, SYSTEM)

    def put(self, name: str = "plan", data: bytes = SECRET, sites: list[str] = FIVE, threshold: int = 3, **more):
        return self.owner().put(name, len(data), [data], threshold, sites, **more)

    def get(self, name: str = "plan") -> bytes:
        return b"".join(self.owner().read(name).blocks())

    def falsify(self, name: str, flip: int = 0) -> None:
        """From now on this site changes a byte of every share that it gives."""
        shelf = self.shelves[name]
        honest = shelf.give

        def lie(caller: SaeId, ask: Give) -> bytes:
            data = bytearray(honest(caller, ask))
            if flip < len(data):
                data[flip] ^= 0x80
            return bytes(data)

        shelf.give = lie  # pyright: ignore[reportAttributeAccessIssue]


def test_what_was_put_comes_back_with_its_name(tmp_path: Path):
    city = City(tmp_path)
    record = city.put("Protocollo riservato n. 7", LONG)
    assert record.phase is Phase.KEPT and record.epoch == 1
    reading = city.owner().read("Protocollo riservato n. 7")
    assert b"".join(reading.blocks()) == LONG
    assert reading.name == "Protocollo riservato n. 7" and not reading.lying and not reading.silent


@pytest.mark.parametrize("size", [0, 64_505, 64_506, 64_507, 129_024])
def test_sizes_around_a_block(tmp_path: Path, size: int):
    """The header of "plan" has 6 bytes: 64,506 more make one block."""
    city = City(tmp_path)
    data = os.urandom(size)
    city.put(data=data)
    assert city.get() == data


@pytest.mark.parametrize("gone", list(itertools.combinations(OTHERS, 2)))
def test_any_two_of_five_may_be_gone(tmp_path: Path, gone: tuple[str, str]):
    city = City(tmp_path)
    city.put(data=b"for any three")
    city.town.away.update(gone)
    assert city.get() == b"for any three"


def test_with_three_gone_it_refuses_and_names_them(tmp_path: Path):
    city = City(tmp_path)
    city.put()
    city.town.away.update(["bovisa", "intesa", "aria"])
    with pytest.raises(DataRefused, match="3 true shares are needed and 2 are there") as refused:
        city.get()
    for name in ("Aria", "Bovisa", "Intesa"):
        assert f"{name}: {name}: Connection refused" in str(refused.value)


@pytest.mark.parametrize(
    ("at", "named"), [(0, {"Bovisa"}), (60_415, {"Bovisa"}), (60_416, {"Bovisa"}), (60_500, set())]
)
def test_a_liar_is_named_and_the_others_suffice(tmp_path: Path, at: int, named: set[str]):
    """A false byte in the share or in the owner's tag; in what the owner does not look at it changes nothing."""
    city = City(tmp_path)
    city.put(data=bytes(200_000))
    city.falsify("bovisa", at)
    reading = city.owner().read("plan")
    assert b"".join(reading.blocks()) == bytes(200_000)
    assert reading.lying == named


def test_three_liars_give_nothing_and_are_named(tmp_path: Path):
    city = City(tmp_path)
    city.put()
    for name in ("bovisa", "intesa", "aria"):
        city.falsify(name)
    with pytest.raises(DataRefused, match="Aria: lies about its share; Bovisa: lies about its share; Intesa"):
        city.get()


def test_without_the_catalogue_the_sites_name_a_liar(tmp_path: Path):
    """The owner's disk is lost: the sites' own keys judge."""
    city = City(tmp_path)
    record = city.put(data=LONG)
    city.falsify("santabarbara")
    reading = city.owner(catalogue="empty").recover(record.record, {})
    assert b"".join(reading.blocks()) == LONG
    assert (reading.lying, reading.name) == ({"Santabarbara"}, "plan")


def test_without_the_catalogue_two_liars_of_five_are_named(tmp_path: Path):
    city = City(tmp_path)
    record = city.put()
    city.falsify("bovisa")
    city.falsify("aria")
    reading = city.owner(catalogue="empty").recover(record.record, {})
    assert b"".join(reading.blocks()) == SECRET
    assert reading.lying <= {"Bovisa", "Aria"}


def test_without_the_catalogue_a_liar_among_three_is_not_believed(tmp_path: Path):
    city = City(tmp_path)
    record = city.put()
    city.town.away.update(["intesa", "aria"])
    city.falsify("bovisa")
    reading = city.owner(catalogue="empty").recover(record.record, {})
    with pytest.raises(DataRefused, match="who lies cannot be told"):
        b"".join(reading.blocks())


def test_a_reader_may_read_and_nobody_else(tmp_path: Path):
    city = City(tmp_path)
    record = city.put(readers=("aria",))
    reading = city.owner("aria").recover(record.record, {})
    assert b"".join(reading.blocks()) == SECRET
    with pytest.raises(DataRefused, match="too few sites keep"):
        city.owner("intesa").recover(record.record, {})


def test_a_reader_may_not_delete(tmp_path: Path):
    city = City(tmp_path)
    record = city.put(readers=("aria",))
    from poliqi.apps.vault.requests import Drop

    with pytest.raises(DataRefused, match="belongs to somebody else"):
        city.shelves["bovisa"].drop(SaeId("aria"), Drop(record.record, 0))


def _parcels(city: City, epoch: int) -> dict[int, bytes]:
    [record] = city.catalogue.all()
    rows = {}
    for site in record.sites:
        rows[site.place] = city.shelves[site.sae].give(SaeId("leonardo"), Give(record.record, epoch, 0))
    return rows


def test_renewal_changes_every_share_and_destroys_the_old(tmp_path: Path):
    from poliqi.apps.vault.sharing import join

    city = City(tmp_path)
    city.put(data=b"s" * 100)
    old = _parcels(city, 1)
    renewed = city.owner().renew("plan")
    assert renewed.epoch == 2
    new = _parcels(city, 2)
    size = 106  # the header is 2 + 4 bytes
    whole = (4).to_bytes(2, "big") + b"plan" + b"s" * 100
    for chosen in itertools.combinations(range(1, 6), 3):
        assert join({place: new[place][:size] for place in chosen}) == whole
        mixed = {place: (old if place == chosen[0] else new)[place][:size] for place in chosen}
        assert join(mixed) != whole
    with pytest.raises(DataRefused, match="epoch 1 of this record is not here"):
        _parcels(city, 1)
    assert city.get() == b"s" * 100


def test_after_renewals_liars_are_still_named_both_ways(tmp_path: Path):
    city = City(tmp_path)
    record = city.put(data=LONG)
    for _ in range(3):
        city.owner().renew("plan")
    city.falsify("bovisa")
    reading = city.owner().read("plan")
    assert b"".join(reading.blocks()) == LONG and reading.lying == {"Bovisa"}
    reading = city.owner(catalogue="empty").recover(record.record, {})
    assert b"".join(reading.blocks()) == LONG and reading.lying == {"Bovisa"}


def test_an_old_share_among_renewed_ones_counts_as_false(tmp_path: Path):
    city = City(tmp_path)
    city.put(data=LONG)
    shelf = city.shelves["bovisa"]
    old = [shelf.give(SaeId("leonardo"), Give(city.catalogue.find("plan").record, 1, block)) for block in (0, 1)]
    city.owner().renew("plan")
    shelf.give = lambda _caller, ask: old[ask.block]
    reading = city.owner().read("plan")
    assert b"".join(reading.blocks()) == LONG
    assert reading.lying == {"Bovisa"}


def test_renewal_needs_every_site_and_changes_nothing_without(tmp_path: Path):
    city = City(tmp_path)
    city.put()
    city.town.away.add("intesa")
    with pytest.raises(LinkDown):
        city.owner().renew("plan")
    assert city.get() == SECRET
    city.town.away.clear()
    assert city.owner().renew("plan").epoch > 1
    assert city.get() == SECRET


def test_a_lost_site_is_replaced(tmp_path: Path):
    city = City(tmp_path)
    before = city.put(data=LONG, sites=["here", "bovisa", "intesa"], threshold=2)
    city.town.away.add("intesa")
    record, reading = city.owner().rebuild("plan", 3, ["here", "bovisa", "santabarbara", "aria"])
    assert reading.silent == {} and record.count == 4 and record.record != before.record
    assert city.get() == LONG
    city.town.away.clear()
    city.owner().settle()
    assert [city.shelves[name].notes() == [] for name in SITES] == [False, False, False, True, False]


def test_delete_destroys_every_share_also_later(tmp_path: Path):
    city = City(tmp_path)
    city.put()
    city.town.away.add("aria")
    assert city.owner().delete("plan") == {"Aria": "Aria: Connection refused"}
    with pytest.raises(ConfigError, match="nothing called 'plan'"):
        city.get()
    city.town.away.clear()
    assert city.owner().settle() == {}
    assert all(city.shelves[name].notes() == [] for name in SITES) and city.catalogue.all() == []


@pytest.mark.parametrize("dies_at", [0, 3, 4, 7, 8, 11, 12])
@pytest.mark.parametrize("command", ["put", "renew"])
def test_a_crash_anywhere_leaves_the_old_or_the_new(tmp_path: Path, command: str, dies_at: int):
    """The owner dies at its n-th message; nothing is tidied up. 4 sites over the wire: 12 messages."""
    city = City(tmp_path)
    if command == "renew":
        city.put(data=b"old and new alike")
    sent = itertools.count()

    def die(who: str, data: bytes) -> bytes:
        if who == "leonardo" and next(sent) >= dies_at:
            raise Died
        return data

    city.town.wire.change = die
    is_done = False
    try:
        if command == "put":
            city.put(data=b"old and new alike")
        else:
            city.owner().renew("plan")
        is_done = True
    except Died:
        pass
    city.town.wire.change = lambda _who, data: data
    kept = {record.name: record for record in city.owner().check() and city.catalogue.all()}
    if command == "renew" or "plan" in kept:
        assert city.get() == b"old and new alike"
        [health] = city.owner().check(is_deep=True)
        assert len(health.there) == 5
        assert {len(city.shelves[name].notes()) for name in SITES} == {1}
    else:
        assert not is_done
        assert city.put(data=b"again").phase is Phase.KEPT
    assert all(city.shelves[name].notes()[0][3] for name in SITES)


class Died(BaseException):
    """The process is gone."""


def test_check_tells_what_is_missing_and_who_lies(tmp_path: Path):
    city = City(tmp_path)
    city.put()
    city.town.away.add("aria")
    city.falsify("bovisa")
    [health] = city.owner().check(is_deep=True)
    assert health.there == ("here", "Santabarbara", "Intesa")
    assert health.lying == ("Bovisa",) and health.missing == {"Aria": "Aria: Connection refused"}
    assert health.spare == 0


RELAYED = {**PHOTONS, "paths": [["leonardo", "aria", "bovisa"]]}


@pytest.mark.parametrize("strict", ["leonardo", "bovisa"])
def test_a_pad_that_a_relay_could_know_is_refused_at_either_end(tmp_path: Path, strict: str):
    city = City(tmp_path, PlayedSite(grade=RELAYED), **{strict: {"knowledge": "direct"}})
    with pytest.raises(DataRefused, match="relayed"):
        city.put()
    assert city.owner().check() == [] and all(city.shelves[name].notes() == [] for name in SITES)


def test_each_share_says_who_could_know_its_pad(tmp_path: Path):
    city = City(tmp_path, PlayedSite(grade=RELAYED))
    record = city.put()
    notes = {site.sae: site.note for site in record.sites}
    assert notes[SaeId("leonardo")] is None, "nothing travels to the owner's own site"
    for name in OTHERS:
        note = notes[SaeId(name)]
        assert note is not None and note.knowledge is Knowledge.RELAYED and note.is_hybrid
        assert note.sites == ("aria",) and "ML-KEM" in note.text
        [(_owner, _record, _epoch, _counts, kept)] = city.shelves[name].notes()
        assert kept is not None and kept.knowledge is Knowledge.RELAYED


def test_simulated_light_says_so(tmp_path: Path):
    city = City(tmp_path, PlayedSite(grade=SIMULATED), simulated=True)
    record = city.put()
    assert all(site.note is None or site.note.is_simulated for site in record.sites)


def test_the_key_needed_is_told_beforehand_and_about_right(tmp_path: Path):
    city = City(tmp_path, PlayedSite(stock_bytes=1 << 22, rate_bps=8e6))
    needs = city.owner().needs(len(LONG), FIVE)
    assert needs[0].outlook is None
    told = needs[1].outlook
    assert told is not None and told.seconds == 0.0 and told.refusal is None
    before = city.town.site.stock_bytes
    city.put(data=LONG)
    used = (before - city.town.site.stock_bytes) / 4
    assert used <= told.needed_bytes * 1.02 and used >= told.needed_bytes * 0.95


def test_key_that_runs_out_leaves_nothing(tmp_path: Path):
    city = City(tmp_path, PlayedSite(stock_bytes=200_000))
    with pytest.raises(KeysNotReady):
        city.put(data=LONG)
    city.town.site.stock_bytes = 1 << 30
    city.owner().settle()
    assert all(city.shelves[name].notes() == [] for name in SITES)
    city.put(data=LONG)
    assert city.get() == LONG


def test_no_key_is_used_twice(tmp_path: Path):
    city = City(tmp_path)
    city.put()
    city.owner().renew("plan")
    city.get()
    assert len(set(city.town.site.delivered)) == len(city.town.site.delivered)


def test_nothing_of_the_secret_is_on_the_wire_or_on_disk(tmp_path: Path):
    city = City(tmp_path)
    city.put("MARKER-NAME", b"MARKER-OF-A-SECRET" * 100)
    assert not any(b"MARKER" in data for _, _, data in city.town.wire.passed)
    for path in tmp_path.rglob("*"):
        if path.is_file() and "catalogue" not in str(path):
            assert b"MARKER" not in path.read_bytes(), path
        if path.is_file():
            assert b"MARKER-OF" not in path.read_bytes(), path
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_share_damaged_on_disk_is_found_at_its_site(tmp_path: Path):
    city = City(tmp_path)
    city.put(data=LONG)
    box = city.shelves["bovisa"]._box
    [(sealed,)] = box.run("SELECT sealed FROM blocks WHERE block=0")
    box.run("UPDATE blocks SET sealed=? WHERE block=0", (bytes([sealed[0] ^ 1]) + sealed[1:],))
    reading = city.owner().read("plan")
    assert b"".join(reading.blocks()) == LONG
    assert "Bovisa" in reading.silent


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.put(sites=["here", "bovisa", "Bovisa"]), "named twice"),
        (lambda c: c.put(sites=["here", "milano"]), "'milano' is not known; these are: here, Aria"),
        (lambda c: c.put(threshold=6), "6 of 5 sites"),
        (lambda c: c.put(threshold=1), "1 of 5 sites"),
        (lambda c: c.put(name=""), "name of 0 bytes"),
        (lambda c: (c.put(), c.put()), "plan is kept already"),
        (lambda c: c.owner().read("other"), "nothing called 'other'"),
    ],
)
def test_mistakes_are_refused_in_words(tmp_path: Path, change: Callable[[City], object], words: str):
    with pytest.raises(ConfigError, match=words):
        change(City(tmp_path))


@pytest.mark.parametrize("came", [b"x" * 9, b"x" * 11])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, came: bytes):
    city = City(tmp_path)
    with pytest.raises(DataRefused, match="did the file change"):
        city.owner().put("plan", 10, [came], 3, FIVE)
    assert all(city.shelves[name].notes() == [] for name in SITES)


def test_no_room_is_said_and_leaves_nothing(tmp_path: Path):
    city = City(tmp_path, bovisa={"room": "400 kbit"})
    with pytest.raises(DataRefused, match=r"Bovisa.*no room"):
        city.put(data=LONG)
    assert all(city.shelves[name].notes() == [] for name in SITES)


def test_a_stranger_learns_nothing_of_what_is_kept(tmp_path: Path):
    city = City(tmp_path)
    record = city.put()
    for error in (_refusal(city, record.record), _refusal(city, bytes(16))):
        assert error == "epoch 1 of this record is not here for intesa"


def _refusal(city: City, record: bytes) -> str:
    try:
        city.shelves["bovisa"].give(SaeId("intesa"), Give(record, 1, 0))
    except PoliqiError as error:
        return str(error)
    return ""


def test_a_block_for_sixteen_sites_takes_one_request_of_a_site_with_default_limits():
    """docs/reference/site-toml.md: 128 keys of 4096 bit. Several requests are not all or nothing."""
    keep = Keep(bytes([3, 16, *range(14)]), 1 << 40, (1 << 40) // BLOCK_BYTES, bytes(parcel_bytes(BLOCK_BYTES, 16)))
    most = 128 * 512 - 127 * 32  # the first 32 bytes of each further key serve nothing
    assert pad_bytes(len(encode(keep)), len(DONE)) <= most
    give = Give(keep.record, keep.epoch, keep.block)
    assert pad_bytes(len(encode(give)), len(keep.parcel)) <= most


def _alike(record: bytes, threshold: int, epoch: int, content: bytes) -> dict[int, tuple[Entry, bytes]]:
    """What five sites would list and give of one block, at places 1 to 5."""
    secret = (4).to_bytes(2, "big") + b"plan" + content
    made = tagged(split(secret, threshold, 5, SYSTEM), KeyMatrix.draw(5, SYSTEM))
    return {
        p.place: (Entry(record, epoch, "leonardo", p.place, 5, threshold, len(secret), True, True), p.encode())
        for p in made
    }


def _lie(city: City, name: str, entries: list[Entry], parcel: bytes) -> None:
    shelf = city.shelves[name]
    shelf.look = lambda _caller, _ask: entries  # pyright: ignore[reportAttributeAccessIssue]
    shelf.give = lambda _caller, _ask: parcel  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("threshold", [2, 3])
def test_without_the_catalogue_two_liars_of_five_pass_no_secret_of_their_own(tmp_path: Path, threshold: int):
    """They agree on a newer epoch of another secret, for which they say two sites are enough."""
    city = City(tmp_path)
    record = city.put(data=SECRET)
    false = _alike(record.record, threshold, 9, bytes(100))
    for name, place in (("intesa", 4), ("aria", 5)):
        _lie(city, name, [false[place][0]], false[place][1])
    reading = city.owner(catalogue="empty").recover(record.record, {})
    assert b"".join(reading.blocks()) == SECRET
    assert reading.lying == ({"Intesa", "Aria"} if threshold == 2 else set())


@pytest.mark.parametrize("threshold", [2, 3])
def test_without_the_catalogue_a_site_counts_once(tmp_path: Path, threshold: int):
    """One liar lists a newer epoch under every place: it alone brings about no epoch, and stops no other."""
    city = City(tmp_path)
    record = city.put(data=SECRET)
    false = _alike(record.record, threshold, 9, bytes(100))
    _lie(city, "aria", [entry for entry, _parcel in false.values()], false[5][1])
    reading = city.owner(catalogue="empty").recover(record.record, {})
    assert b"".join(reading.blocks()) == SECRET
    assert reading.lying == {"Aria"}


def test_without_the_catalogue_three_who_contradict_the_id_leave_too_few(tmp_path: Path):
    city = City(tmp_path)
    record = city.put(data=SECRET)
    false = _alike(record.record, 2, 9, bytes(100))
    for name, place in (("santabarbara", 3), ("intesa", 4), ("aria", 5)):
        _lie(city, name, [false[place][0]], false[place][1])
    with pytest.raises(DataRefused, match="Aria: contradicts the id or itself; Intesa: contradicts"):
        city.owner(catalogue="empty").recover(record.record, {})


@pytest.mark.parametrize("wrong", [b"", bytes(16), bytes([6, 5]) + bytes(14), bytes([2, 17]) + bytes(14)])
def test_what_is_no_id_of_a_record_is_refused(tmp_path: Path, wrong: bytes):
    with pytest.raises(ConfigError, match="no id of a record"):
        City(tmp_path).owner().recover(wrong, {})
