"""A dataset for many: who may have it gets all of it, who may not learns nothing; the audit tells."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from played_channels import channel_pair, identity

from bench.played_keys import PHOTONS, SIMULATED, PlayedSite
from poliqi.apps.atrest import LocalSeal
from poliqi.apps.datasets.fetch import Fetched, fetch_dataset, list_datasets
from poliqi.apps.datasets.service import PURPOSE, DatasetService
from poliqi.apps.datasets.shelf import Shelf
from poliqi.apps.datasets.wire import Ask, Listing, Offer, Refusal, expect, say
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.stream.channel import Channel
from poliqi.apps.stream.terms import StreamRule
from poliqi.base.errors import ConfigError, DataRefused, PoliqiError, ProtocolError, StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy

OWNER, HOSPITAL, LAB = (SaeId(name) for name in ("owner", "hospital", "lab"))
MARKER = b"ROSSI^MARIO 1961"


def settings(folder: Path, own: SaeId, *others: SaeId) -> SaeSettings:
    rule = StreamRule()
    peers = {sae: Peer(identity(sae).contact, sae.title(), None, rule, rule) for sae in others}
    (folder / "inbox").mkdir(parents=True, exist_ok=True)
    return SaeSettings(
        file=folder / "sae.toml",
        identity=identity(own),
        state=folder / "state",
        inbox=folder / "inbox",
        peers=peers,
    )


class Town:
    """An owner with a shelf, and two who may ask."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = PlayedSite()
        self.owner = settings(folder / "owner", OWNER, HOSPITAL, LAB)
        entropy = OperatingSystemEntropy()
        self.owner.state.mkdir()
        self.shelf = Shelf(self.owner.state, LocalSeal.of_folder(self.owner.state, entropy), entropy)
        self.guests = {sae: settings(folder / sae, sae, OWNER) for sae in (HOSPITAL, LAB)}
        self.data = folder / "scans"
        (self.data / "a" / "empty").mkdir(parents=True)
        (self.data / "a" / "one.dcm").write_bytes(MARKER + os.urandom(300_000))
        (self.data / "two.txt").write_bytes(b"")

    def stream(self, guest: SaeId) -> tuple[Channel, Channel]:
        return channel_pair(site=self.site, purpose=PURPOSE, caller=guest, callee=OWNER)

    def served(self, channel: Channel, service: DatasetService | None = None) -> None:
        keys = self.site.keys(OWNER)
        try:
            (service or DatasetService(self.owner, keys, self.shelf)).serve(channel)
        finally:
            channel.close()

    def fetch(self, guest: SaeId, dataset_id: str, stop_after: int | None = None) -> Fetched:
        def progress(done: int, total: int) -> None:
            if stop_after is not None and done > stop_after:
                raise KeyboardInterrupt

        mine, theirs = self.stream(guest)
        with ThreadPoolExecutor(1) as pool:
            answered = pool.submit(self.served, theirs)
            try:
                found = fetch_dataset(mine, self.guests[guest], self.site.keys(guest), dataset_id, progress)
                answered.result()
                return found
            finally:
                mine.close()
                answered.exception()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    yield Town(tmp_path)


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): None if p.is_dir() else p.read_bytes() for p in folder.rglob("*")}


def test_each_who_may_have_it_gets_all_of_it_by_a_key_of_its_own(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL, LAB])
    found = [town.fetch(guest, made.id) for guest in (HOSPITAL, LAB)]
    for guest in found:
        assert tree(guest.folder / "scans") == tree(town.data)
    assert found[0].key_id != found[1].key_id
    assert [r.fetched for r in town.shelf.get(made.id).recipients] == [1, 1]


def test_what_lies_on_the_owner_s_disk_holds_no_plaintext_and_no_key(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    key = bytes(town.shelf.key(made).view())
    town.fetch(HOSPITAL, made.id)
    for path in town.owner.state.rglob("*"):
        if path.is_file():
            assert MARKER not in path.read_bytes(), path
            assert key not in path.read_bytes(), path
            assert key.hex().encode() not in path.read_bytes(), path


def test_who_was_not_named_learns_nothing_not_even_whether_it_is_there(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    said: list[str] = []
    for dataset_id in (made.id, "0" * 32):
        with pytest.raises(DataRefused) as refused:
            town.fetch(LAB, dataset_id)
        said.append(str(refused.value))
    assert said[0] == said[1]
    mine, theirs = town.stream(LAB)
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(town.served, theirs)
        assert list_datasets(mine) == ()
        answered.result()
    mine.close()


def test_revoking_stops_later_fetches_and_takes_nothing_back(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    had = town.fetch(HOSPITAL, made.id)
    town.shelf.revoke(made.id, HOSPITAL)
    drawn = len(town.site.delivered)
    with pytest.raises(DataRefused):
        town.fetch(HOSPITAL, made.id)
    assert tree(had.folder / "scans") == tree(town.data)
    # only the stream's own key was drawn: none to wrap with
    assert len(town.site.delivered) == drawn + 1
    with pytest.raises(ConfigError, match="anyway"):
        town.shelf.revoke(made.id, HOSPITAL)
    town.shelf.grant(made.id, HOSPITAL)
    assert town.fetch(HOSPITAL, made.id).digest == made.digest


def test_a_fetch_that_was_cut_goes_on_where_it_stopped_with_a_fresh_key(town: Town) -> None:
    (town.data / "large").write_bytes(os.urandom(2_000_000))
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    with pytest.raises(KeyboardInterrupt):
        town.fetch(HOSPITAL, made.id, stop_after=900_000)
    [partial] = [p for p in (town.guests[HOSPITAL].inbox / ".datasets").iterdir() if p.suffix != ".lock"]
    have = partial.stat().st_size
    assert 900_000 < have < made.sealed_bytes
    assert tree(town.fetch(HOSPITAL, made.id).folder / "scans") == tree(town.data)
    starts = [line["detail"]["start"] for line in town.shelf.audit() if line["event"] == "wrapped"]
    ids = [line["detail"]["key_id"] for line in town.shelf.audit() if line["event"] == "wrapped"]
    assert starts == [0, have]
    assert len(set(ids)) == 2
    assert len(set(town.site.delivered)) == len(town.site.delivered)


def test_without_key_nothing_is_given_and_the_reason_is_said(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    mine, theirs = town.stream(HOSPITAL)
    town.site.stock_bytes, town.site.rate_bps = 0, 8.0
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(town.served, theirs)
        with pytest.raises(DataRefused, match="no quantum key now; ask again in 64 s"):
            fetch_dataset(mine, town.guests[HOSPITAL], town.site.keys(HOSPITAL), made.id)
        answered.result()
    mine.close()
    assert [line["event"] for line in town.shelf.audit()][-1] == "not-wrapped"


def test_the_wrapping_key_is_held_to_the_rule_at_both_ends(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    mine, theirs = town.stream(HOSPITAL)
    town.site.grade = SIMULATED
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(town.served, theirs)
        with pytest.raises(DataRefused, match="cannot be wrapped"):
            fetch_dataset(mine, town.guests[HOSPITAL], town.site.keys(HOSPITAL), made.id)
        answered.result()
    mine.close()
    lax = StreamRule(demand=GradeDemand(allow_simulated=True))
    town.owner = replace(town.owner, peers={p: replace(v, rule=lax) for p, v in town.owner.peers.items()})
    town.site.grade = PHOTONS
    mine, theirs = town.stream(HOSPITAL)
    town.site.grade = SIMULATED
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(town.served, theirs)
        with pytest.raises(DataRefused, match="refused"):
            fetch_dataset(mine, town.guests[HOSPITAL], town.site.keys(HOSPITAL), made.id)
        mine.close()
        answered.exception()


def test_the_audit_is_a_chain_that_shows_a_changed_line(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    town.fetch(HOSPITAL, made.id)
    town.shelf.revoke(made.id, HOSPITAL)
    events = [line["event"] for line in town.shelf.audit()]
    assert events == ["published", "granted", "wrapped", "fetched", "revoked"]
    path = town.owner.state / "datasets" / "audit.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for wrong in ([*lines[:1], *lines[2:]], [lines[0].replace("trial", "trail"), *lines[1:]], lines[1:]):
        path.write_text("".join(wrong))
        with pytest.raises(DataRefused, match="does not continue the chain"):
            list(town.shelf.audit())
    # a line that a crash cut short goes, and the chain goes on
    path.write_text("".join(lines) + lines[-1][:40])
    town.shelf.grant(made.id, LAB)
    assert [line["event"] for line in town.shelf.audit()] == [*events, "granted"]


def test_removing_destroys_the_key_first(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    town.shelf.remove(made.id)
    assert town.shelf.all() == []
    with pytest.raises(DataRefused):
        town.fetch(HOSPITAL, made.id)


def test_links_and_pipes_are_not_published_and_leave_nothing(town: Town) -> None:
    (town.data / "link").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match="link"):
        town.shelf.publish([town.data], "trial", [])
    assert not [p for p in (town.owner.state / "datasets").iterdir() if p.is_dir()]


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "new\nline", "x" * 300])
def test_odd_names_are_refused(town: Town, name: str) -> None:
    with pytest.raises(ConfigError, match="a name has"):
        town.shelf.publish([town.data], name, [])


def hostile(kind: str) -> bytes:
    """A tar that means harm."""
    out = io.BytesIO()
    with tarfile.open(mode="w", fileobj=out, format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo({"escape": "../../escaped", "absolute": "/tmp/escaped-poliqi"}.get(kind, "x"))
        member.type = {"link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE, "hard": tarfile.LNKTYPE}.get(
            kind, tarfile.REGTYPE
        )
        member.linkname = "/etc/passwd" if kind in ("link", "hard") else ""
        tar.addfile(member, io.BytesIO())
    return out.getvalue()


@pytest.mark.parametrize("kind", ["escape", "absolute", "link", "device", "hard", "garbage"])
def test_a_hostile_owner_reaches_nothing_outside_the_inbox(
    town: Town, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from poliqi.apps.datasets import shelf as shelf_module
    from poliqi.apps.datasets.container import SealedWriter

    data = os.urandom(5000) if kind == "garbage" else hostile(kind)

    def pack(_paths: object, out: io.BytesIO, key: object, name: bytes, _progress: object) -> tuple[int, int]:
        with SealedWriter(out, key.view(), name) as writer:  # type: ignore[attr-defined]
            writer.write(data)
        return 1, len(data)

    monkeypatch.setattr(shelf_module, "_pack", pack)
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    before = {p for p in town.folder.rglob("*") if "inbox" not in p.parts}
    try:
        found = town.fetch(HOSPITAL, made.id)
        # the filter made an absolute name a relative one
        assert kind == "absolute"
        assert (found.folder / "tmp" / "escaped-poliqi").exists()
    except DataRefused as refused:
        assert "cannot be unpacked" in str(refused)
    assert not Path("/tmp/escaped-poliqi").exists()
    new = {p for p in town.folder.rglob("*") if "inbox" not in p.parts} - before
    assert new <= {town.owner.state / "datasets" / "audit.jsonl"}
    assert not [p for p in town.guests[HOSPITAL].inbox.rglob("*") if p.is_symlink()]


def test_an_owner_that_sends_another_content_is_found_out(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    content = town.owner.state / "datasets" / made.id / "content"
    data = bytearray(content.read_bytes())
    data[-1] ^= 1
    content.write_bytes(data)
    with pytest.raises(DataRefused, match="not what its owner sealed"):
        town.fetch(HOSPITAL, made.id)


def test_too_little_room_is_said_before_anything_is_drawn(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    monkeypatch.setattr("shutil.disk_usage", lambda _: os.terminal_size((0, 0)) and type("U", (), {"free": 10})())
    with pytest.raises(StoreError, match="has 10"):
        town.fetch(HOSPITAL, made.id)


def test_two_datasets_of_one_owner_fetched_at_once_are_not_mixed(town: Town) -> None:
    made: dict[str, str] = {}
    for name in ("alpha", "beta"):
        folder = town.folder / name
        folder.mkdir()
        for i in range(300):
            (folder / f"{name}{i}").write_text(name)
        made[name] = town.shelf.publish([folder], name, [HOSPITAL]).id
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda name: town.fetch(HOSPITAL, made[name]), made))
    for name, fetched in zip(made, found, strict=True):
        assert tree(fetched.folder / name) == tree(town.folder / name)


def test_one_dataset_is_fetched_once_at_a_time(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])

    def again(done: int, total: int) -> None:
        with pytest.raises(StoreError, match="being fetched already"):
            town.fetch(HOSPITAL, made.id)

    mine, theirs = town.stream(HOSPITAL)
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(town.served, theirs)
        fetch_dataset(mine, town.guests[HOSPITAL], town.site.keys(HOSPITAL), made.id, again)
        answered.result()
    mine.close()


def test_a_header_that_would_fill_the_memory_is_refused(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from poliqi.apps.datasets import shelf as shelf_module
    from poliqi.apps.datasets.container import SealedWriter

    member = tarfile.TarInfo("x" * 100)
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 3 << 20

    def pack(_paths: object, out: io.BytesIO, key: object, name: bytes, _progress: object) -> tuple[int, int]:
        with SealedWriter(out, key.view(), name) as writer:  # type: ignore[attr-defined]
            writer.write(member.tobuf(tarfile.GNU_FORMAT) + b"y" * (3 << 20))
        return 1, 1

    monkeypatch.setattr(shelf_module, "_pack", pack)
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    with pytest.raises(DataRefused, match="a header of 3145728 bytes"):
        town.fetch(HOSPITAL, made.id)
    member.type, member.size = tarfile.XGLTYPE, 0
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    with pytest.raises(DataRefused, match="a header for all that follows"):
        town.fetch(HOSPITAL, made.id)


@given(st.binary(max_size=200))
def test_hostile_messages_are_protocol_errors(data: bytes) -> None:
    class Told:
        peer = OWNER

        def receive(self) -> memoryview:
            return memoryview(data)

    for kind in (Ask, Listing, Offer):
        try:
            found = expect(Told(), kind)  # type: ignore[arg-type]
        except ProtocolError:
            continue
        assert isinstance(found, kind | Refusal)


def test_a_stranger_s_request_beyond_the_end_is_refused_politely(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    mine, theirs = town.stream(HOSPITAL)
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(town.served, theirs)
        say(mine, Ask(made.id, made.sealed_bytes + 1))
        said = expect(mine, Offer)
        answered.result()
    mine.close()
    assert isinstance(said, Refusal)
    assert str(made.sealed_bytes) in said.reason


def test_two_processes_that_change_a_shelf_at_once_lose_nothing(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [])
    names = [SaeId(f"sae{i}") for i in range(20)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda sae: town.shelf.grant(made.id, sae), names))
    assert sorted(r.sae for r in town.shelf.get(made.id).recipients) == sorted(names)
    assert len(list(town.shelf.audit())) == 21


def test_audit_lines_are_json_with_no_key(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [HOSPITAL])
    town.fetch(HOSPITAL, made.id)
    for text in (town.owner.state / "datasets" / "audit.jsonl").read_text().splitlines():
        assert set(json.loads(text)) == {"seq", "time_ns", "event", "detail", "hash"}
        assert "key" not in {k for k in json.loads(text)["detail"] if k != "key_id"}


def test_a_damaged_record_is_a_store_error(town: Town) -> None:
    made = town.shelf.publish([town.data], "trial", [])
    path = town.owner.state / "datasets" / made.id / "record"
    path.write_bytes(msgspec.msgpack.encode({"id": 5}))
    with pytest.raises((StoreError, PoliqiError), match="record"):
        town.shelf.get(made.id)
