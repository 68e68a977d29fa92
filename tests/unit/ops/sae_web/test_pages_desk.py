"""The desk of an application: its shelf on disk, its stock, its transfers, without a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from http_wire import until

from poliqi.apps.identity import Identity
from poliqi.apps.keygrade import GradeDemand, KeyGrade, Knowledge
from poliqi.apps.keysource import Supply
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share.names import peer_folder
from poliqi.apps.share.receipt import GradeUse, KeyUse, Receipt, sign_receipt
from poliqi.apps.share.sender import Stopped
from poliqi.apps.stream.terms import Mode, Policy, StreamRule
from poliqi.base.errors import ConfigError, LinkDown
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address
from poliqi.ops.sae_web import Direction, TransferState
from poliqi.ops.sae_web.appdesk import ApplicationDesk
from poliqi.ops.sae_web.sending import Sending, Sendings
from poliqi.ops.sae_web.shelf import Shelf, receipt_id
from poliqi.ops.sae_web.trouble import Trouble

ME, BANK, REGION = (Identity.make(SaeId(name), OperatingSystemEntropy()) for name in ("lab", "bank", "region"))
GRADES = (
    GradeUse("simulated", "simulated", "direct fibre", 1),
    GradeUse("simulated", "simulated", "relayed", 1),
)
SIMULATED = KeyGrade(name="simulated", origin="simulated")


class Keys:
    """A site that answers the same for all, or not at all."""

    def __init__(self, supply: Supply | None) -> None:
        self.now = supply
        self.asked = 0

    def supply(self, peer: SaeId) -> Supply:
        self.asked += 1
        if self.now is None:
            raise LinkDown(f"{peer}: the site does not answer")
        return self.now

    def fresh(self, *_: Any) -> Any:
        raise AssertionError("no key is taken by looking")

    named = fresh

    def close(self) -> None: ...


def stock(available: int, grades: tuple[KeyGrade, ...] = ()) -> Supply:
    return Supply(available, 8000.0, 8, 1024, 128, True, grades)


def peer(identity: Identity, place: str, policy: Policy = Policy.STRICT, simulated: bool = True) -> Peer:
    usual = GradeDemand(allow_simulated=simulated)
    pad = GradeDemand(information_theoretic=True, allow_simulated=simulated)
    address = Address("127.0.0.1", 1)
    return Peer(identity.contact, place, address, StreamRule(policy, usual), StreamRule(Policy.ITS, pad))


def settings(folder: Path, **more: Any) -> SaeSettings:
    peers = {p.sae: p for p in (peer(BANK, "Intesa"), peer(REGION, "ARIA", Policy.PQC_FALLBACK))}
    for name in ("state", "inbox"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    made = SaeSettings(folder / "sae.toml", ME, folder / "state", folder / "inbox", peers)
    return replace(made, **more)


def receipt(sender: Identity, receiver: Identity, transfer: str, name: str, mode: str = "quantum") -> bytes:
    use = KeyUse(
        mode=Mode.QUANTUM, keys=1, key_ids=("k1",), key_ids_sha256="00", grades=GRADES, epsilon="computational",
        simulated=True,
    )  # fmt: skip
    made = Receipt(
        transfer=transfer, name=name, stored_as=name, sender=sender.sae, receiver=receiver.sae,
        sender_fingerprint=sender.contact.fingerprint, receiver_fingerprint=receiver.contact.fingerprint,
        begun="2026-11-23T07:00:00.000Z", received="2026-11-23T07:00:01.500Z", clock_skew_s=0.0, mode=mode,
        policy="strict", simulated=True, epsilon="computational", manifest_sha256="ab" * 32, files=1, folders=0,
        size_bytes=5, left_out=0, streams=(use,),
    )  # fmt: skip
    return sign_receipt(made, receiver)


def arrive(here: SaeSettings, sender: Identity, transfer: str, name: str) -> Path:
    """What the inbox holds after a transfer."""
    folder = here.inbox / ".receipts" / peer_folder(sender.sae)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{transfer}.json").write_bytes(receipt(sender, ME, transfer, name))
    place = here.inbox / peer_folder(sender.sae)
    place.mkdir(exist_ok=True)
    return place / name


def test_what_came_is_listed_and_opened(tmp_path: Path) -> None:
    here = settings(tmp_path)
    shelf = Shelf(here)
    arrive(here, BANK, "t1", "a.pdf").write_bytes(b"hello")
    tree = arrive(here, REGION, "t1", "scans")
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "1.dcm").write_bytes(b"one")
    (tree / "2.dcm").write_bytes(b"two")
    receipts = shelf.receipts()
    assert {r.place for r in receipts} == {"Intesa", "ARIA"}
    assert len({r.id for r in receipts}) == 2, "two senders chose the same name for their transfer"
    found = {a.name: a for a in shelf.arrivals(receipts)}
    assert [f.name for f in found["a.pdf"].files] == ["a.pdf"]
    assert [f.name for f in found["scans"].files] == ["2.dcm", "deep/1.dcm"]
    for arrival, number, content in (("a.pdf", 0, b"hello"), ("scans", 0, b"two"), ("scans", 1, b"one")):
        opened = shelf.open(found[arrival], number)
        assert opened is not None
        with opened:
            assert opened.read() == content
    assert shelf.open(found["scans"], 2) is None
    (here.inbox / "bank" / "a.pdf").unlink()
    assert [a.name for a in shelf.arrivals(shelf.receipts())] == ["scans"]


def test_a_symlink_in_the_inbox_is_not_followed(tmp_path: Path) -> None:
    here = settings(tmp_path)
    shelf = Shelf(here)
    secret = tmp_path / "secret"
    secret.write_bytes(b"hidden")
    file = arrive(here, BANK, "t1", "a.pdf")
    file.write_bytes(b"hello")
    tree = arrive(here, BANK, "t2", "scans")
    tree.mkdir()
    (tree / "x").write_bytes(b"1")
    found = {a.name: a for a in shelf.arrivals(shelf.receipts())}
    file.unlink()
    file.symlink_to(secret)
    (tree / "x").unlink()
    tree.rmdir()
    tree.symlink_to(tmp_path)
    (tmp_path / "x").write_bytes(b"hidden")
    assert shelf.open(found["a.pdf"], 0) is None
    assert shelf.open(found["scans"], 0) is None


def test_what_somebody_else_under_this_roof_sent_has_no_receipt_here(tmp_path: Path) -> None:
    here = settings(tmp_path)
    shelf = Shelf(here)
    shelf.is_foreign = lambda name: name.startswith("dataset-")
    folder = here.state / "receipts"
    folder.mkdir()
    for transfer, name in (("t1", "dataset-x"), ("t2", "report.pdf")):
        (folder / f"{transfer}.json").write_bytes(receipt(ME, BANK, transfer, name))
    arrive(here, BANK, "t3", "dataset-y").write_bytes(b"came")
    seen = shelf.receipts()
    assert sorted(view.name for view in seen) == ["dataset-y", "report.pdf"], "what came is the house's"
    assert shelf.receipt_bytes(receipt_id(Direction.SENT, BANK.sae, "t1")) is None
    assert shelf.receipt_bytes(receipt_id(Direction.SENT, BANK.sae, "t2")) is not None


def test_what_is_no_receipt_is_passed_over(tmp_path: Path) -> None:
    here = settings(tmp_path)
    shelf = Shelf(here)
    folder = here.state / "receipts"
    folder.mkdir()
    (folder / "bad.json").write_bytes(b"{}")
    (folder / "t9.json").write_bytes(receipt(ME, BANK, "t9", "a", "hybrid and pqc"))
    shelf.note_sender("t9", "anna")
    [view] = shelf.receipts()
    assert (view.direction, view.who, view.mode, view.epsilon) == (Direction.SENT, "anna", Mode.PQC, None)
    assert view.key_ids == ("k1",)
    assert view.knowledge is Knowledge.RELAYED
    assert shelf.receipt_bytes(view.id) == (folder / "t9.json").read_bytes()
    assert shelf.receipt_bytes("../sae.toml") is None


Desk = Callable[[Keys], ApplicationDesk]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made: list[ApplicationDesk] = []

    def make(keys: Keys) -> ApplicationDesk:
        made.append(ApplicationDesk(settings(tmp_path), keys, "Leonardo", 1, lambda _: None, lambda: 0.0))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_an_estimate_says_what_is_needed_and_when_it_is_there(desk: Desk) -> None:
    found = desk(Keys(stock(10_000, (SIMULATED,))))
    usual = found.estimate(SaeId("bank"), 1_000_000, False)
    assert (usual.mode, usual.needed_bytes, usual.wait_s, usual.problem) == (Mode.QUANTUM, 32, 0.0, "")
    assert found.estimate(SaeId("intesa"), 5, False).mode is Mode.QUANTUM, "places name peers, too"
    with pytest.raises(ConfigError, match="nobody"):
        found.estimate(SaeId("nobody"), 1, False)


def test_keys_that_may_not_be_used_are_no_supply(desk: Desk) -> None:
    pad = desk(Keys(stock(10_000, (SIMULATED,)))).estimate(SaeId("bank"), 5, True)
    assert pad.mode is Mode.ONE_TIME
    assert "information-theoretic" in pad.problem
    assert pad.trouble is Trouble.KEY_GRADE


def test_without_key_the_fallback_says_that_it_is_one(desk: Desk) -> None:
    keys = Keys(stock(0))
    found = desk(keys)
    assert found.estimate(SaeId("region"), 5, False).mode is Mode.PQC
    assert found.estimate(SaeId("bank"), 5, False).mode is Mode.QUANTUM


def test_a_site_that_does_not_answer_is_said_and_nobody_waits(desk: Desk) -> None:
    view = desk(Keys(None)).view()
    assert [n.supply for n in view.neighbours] == [None, None]
    assert all("does not answer" in n.problem for n in view.neighbours)
    assert [n.place for n in view.neighbours] == ["ARIA", "Intesa"]


class Sends:
    """Stands for `send`: says what it was asked, and waits until told how to end."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[Any] = []
        self.fails: Exception | None = None

    def __call__(self, here: Any, keys: Any, to: Peer, paths: Any, progress: Any, **more: Any) -> Any:
        self.asked.append((to.sae, tuple(paths), more))
        while not self.go.wait(0.01):
            if progress.is_stopping:
                raise Stopped("stopped")
        if self.fails is not None:
            raise self.fails
        return "receipt"


def sending(key: str, done: list[str]) -> Sending:
    return Sending(
        key, peer(BANK, "Intesa"), (Path("/a"),), 5, True, Mode.ONE_TIME, "anna", lambda: done.append(key), 0.0
    )


def test_transfers_take_turns_and_end_once(tmp_path: Path) -> None:
    send, done, receipts, said = Sends(), list[str](), list[Any](), list[str]()
    all_of = Sendings(Keys(None), 1, lambda s, r: receipts.append((s.id, r)), said.append, send)
    first, second, third = (sending(key, done) for key in "abc")
    all_of.begin(settings(tmp_path), first)
    until(lambda: len(send.asked) == 1)
    all_of.begin(settings(tmp_path), second)
    assert second.state is TransferState.QUEUED
    all_of.begin(settings(tmp_path), third)
    assert all_of.stop("c")
    until(lambda: third.state is TransferState.STOPPED and "c" in done)
    send.fails = LinkDown("no answer")
    send.go.set()
    until(lambda: sorted(done) == ["a", "b", "c"])
    assert {first.state, second.state} == {TransferState.FAILED}
    assert (first.problem, first.trouble) == ("no answer", Trouble.AWAY)
    assert send.asked[0] == ("bank", (Path("/a"),), {"one_time": True, "when_ready": True})
    assert not all_of.stop("a")
    assert receipts == []
    assert len(said) == 2


def test_a_mistake_of_ours_ends_a_transfer_too(tmp_path: Path) -> None:
    send, done, said = Sends(), list[str](), list[str]()
    send.fails = KeyError("secret detail")
    send.go.set()
    all_of = Sendings(Keys(None), 1, lambda s, r: None, said.append, send)
    one = sending("a", done)
    all_of.begin(settings(tmp_path), one)
    until(lambda: done == ["a"])
    assert (one.state, one.problem, one.trouble) == (
        TransferState.FAILED,
        "failed inside: KeyError",
        Trouble.INSIDE,
    )


def test_closing_stops_what_goes_on(tmp_path: Path) -> None:
    send, done = Sends(), list[str]()
    all_of = Sendings(Keys(None), 1, lambda s, r: None, lambda _: None, send)
    one = sending("a", done)
    all_of.begin(settings(tmp_path), one)
    all_of.close()
    until(lambda: done == ["a"])
    assert one.state is TransferState.STOPPED
