"""Datasets from store to store: the receipt in the provenance of both, what is taken in once, what goes on."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from transfer_rig import Transfer

from poliqi.apps.keysource import NoSite
from poliqi.apps.share.receipt import Receipt, verify_receipt
from poliqi.apps.share.service import InboxService
from poliqi.apps.stream.terms import Mode, Policy, StreamRule
from poliqi.base.errors import DataRefused, LinkDown, StoreError
from poliqi.base.ids import SaeId
from poliqi.lab.store import arriving, sending
from poliqi.lab.store.arriving import Arriving, TakingIn
from poliqi.lab.store.crate.build import build
from poliqi.lab.store.outgoing import MARK, hold_outgoing, marks_below, sweep_outgoing
from poliqi.lab.store.records import ActionKind, Dataset, Kind, NewAction, Task
from poliqi.lab.store.sending import (
    enter_missed,
    note_sent,
    outgoing_folder,
    receipt_action,
    send_dataset,
    stage,
    staged_bytes,
)
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore
from poliqi.ops.lab_inbox import lab_arriving


class Labs:
    """The laboratory of "office" sends to that of "archive", which takes in what arrives."""

    def __init__(self, folder: Path, forward: dict[str, str] | None = None, policy: Policy = Policy.STRICT) -> None:
        self.rig = Transfer(folder)
        self.ours = LabStore.create(folder / "ours", "Office").tenant()
        self.root = folder / "theirs"
        store = LabStore.create(self.root, "Archive")
        for tenant in (forward or {}).values():
            store.add_tenant(tenant)
        self.theirs = store.tenant()
        self.said: list[tuple[str, str]] = []
        self.rules = TakingIn(self.root, "", forward or {})
        if policy is not Policy.STRICT:
            for end in (self.rig.sender, self.rig.receiver):
                for sae, peer in end.peers.items():
                    end.peers[sae] = replace(peer, rule=StreamRule(policy))  # type: ignore[index]
            self.rig.peer = self.rig.sender.peers[SaeId("archive")]
        self.arriving = self.start()

    def start(self) -> Arriving:
        """As the service does."""
        keys = self.rig.site.keys("archive")
        arriving = Arriving(
            self.rig.receiver, keys, self.rules, lambda event, text, **_: self.said.append((event, text))
        )
        self.rig.service = InboxService(self.rig.receiver, arriving.arrived)
        arriving.start()
        return arriving

    def add(self, folder: Path, data: bytes = b"12345") -> Dataset:
        (folder / "curve.dat").write_bytes(data)
        return self.ours.register([folder / "curve.dat"], title="Curve", licence="CC-BY-4.0", once=True)

    def send(self, dataset: Dataset, **how: Any) -> Any:
        keys = self.rig.site.keys("office")
        try:
            return send_dataset(
                self.rig.sender,
                keys,
                self.rig.peer,
                self.ours,
                dataset.id,
                opening=lambda: self.rig.open(how.get("one_time", False)),
                patience_s=0.0,
                **how,
            )
        finally:
            self.rig.join()

    def wait(self, event: str) -> str:
        """The text of an event."""
        return until(lambda: next((text for name, text in self.said if name == event), ""), self.said)


def until(look: Callable[[], Any], told: object) -> Any:
    end = time.monotonic() + 20
    while not (found := look()):
        assert time.monotonic() < end, told
        time.sleep(0.005)
    return found


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[Labs]:
    made = Labs(tmp_path)
    yield made
    made.arriving.close()


def facts(tenant: TenantStore, kind: ActionKind, dataset: Dataset) -> dict[str, Any]:
    [action] = [one for one in tenant.actions(dataset.id) if one.kind is kind]
    return json.loads(action.facts_json)


def test_a_dataset_arrives_the_same_and_both_ends_keep_the_receipt(labs: Labs, tmp_path: Path) -> None:
    dataset = labs.add(tmp_path)
    receipt = labs.send(dataset)
    labs.wait("lab-taken-in")
    [taken] = [labs.theirs.dataset(one.id) for one in labs.theirs.find()]
    assert taken.files == dataset.files
    assert (taken.title, taken.licence, taken.kind) == ("Curve", "CC-BY-4.0", Kind.RECEIVED)
    for tenant, kind, one in (
        (labs.ours, ActionKind.SENT, dataset),
        (labs.theirs, ActionKind.RECEIVED, taken),
    ):
        said = facts(tenant, kind, one)
        assert said["key_ids"] == list(receipt.key_ids) != []
        assert (said["mode"], said["epsilon"], said["simulated"]) == ("quantum", "computational", False)
        assert (said["sender"], said["receiver"]) == ("office", "archive")
        assert said["manifest_sha256"] == receipt.manifest_sha256
        [action] = tenant.actions(one.id)
        signed = tenant.action_file(action, "receipt.json")
        assert verify_receipt(signed, labs.rig.receiver.identity.contact) == receipt
    assert list(labs.rig.arrived.iterdir()) == []
    assert list(outgoing_folder(labs.ours, labs.rig.peer).iterdir()) == []


def test_the_crate_of_what_was_received_tells_the_receipt(labs: Labs, tmp_path: Path) -> None:
    receipt = labs.send(labs.add(tmp_path), one_time=True)
    labs.wait("lab-taken-in")
    [taken] = [labs.theirs.dataset(one.id) for one in labs.theirs.find()]
    built = build(labs.theirs, taken.id)
    entities = {entity["@id"]: entity for entity in built.entities}
    [action] = [one for one in built.entities if one["@type"] == ["CreateAction", "ReceiveAction"]]
    values = {
        entities[ref["@id"]]["propertyID"].partition("#")[2]: entities[ref["@id"]]["value"]
        for ref in action["additionalProperty"]
    }
    assert values["mode"] == "one-time-pad"
    assert values["key_ids"] == list(receipt.key_ids)
    assert values["epsilon"] == receipt.epsilon > 0
    assert values["manifest_sha256"] == receipt.manifest_sha256
    assert entities[action["agent"]["@id"]]["name"] == "office"
    assert entities[action["recipient"]["@id"]]["name"] == "archive"
    [enclosed] = built.enclosed
    assert action["subjectOf"] == {"@id": enclosed.path}
    assert verify_receipt(enclosed.data, labs.rig.receiver.identity.contact).transfer == receipt.transfer


def test_whom_it_was_shared_with_is_told_to_nobody_else(labs: Labs, tmp_path: Path) -> None:
    dataset = labs.add(tmp_path)
    labs.send(dataset)
    assert "archive" not in json.dumps(build(labs.ours, dataset.id).entities)
    assert "archive" in json.dumps(build(labs.ours, dataset.id, with_sendings=True).entities)


def test_what_is_no_crate_stays_in_the_inbox(labs: Labs, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a").write_text("a")
    labs.rig.send(tmp_path / "plain")
    labs.send(labs.add(tmp_path))
    labs.wait("lab-taken-in")
    assert [path.name for path in labs.rig.arrived.iterdir()] == ["plain"]


def test_a_crate_that_is_refused_stays_in_the_inbox_and_is_said(labs: Labs, tmp_path: Path) -> None:
    crate = stage(labs.ours, labs.add(tmp_path).id, tmp_path / "staged")
    (crate / "curve.dat").unlink()
    (crate / "curve.dat").write_bytes(b"54321")
    labs.rig.send(crate)
    assert "was promised" in labs.wait("lab-refused")
    assert labs.theirs.count() == 0
    assert [path.name for path in labs.rig.arrived.iterdir()] == [crate.name]


def test_what_arrived_while_nobody_took_in_is_taken_in_once(labs: Labs, tmp_path: Path) -> None:
    labs.rig.service = InboxService(labs.rig.receiver)
    labs.send(labs.add(tmp_path))
    assert labs.theirs.count() == 0
    other = labs.start()
    labs.wait("lab-taken-in")
    # as if it had died after it took in, before it tidied up
    crate = stage(labs.ours, labs.ours.find()[0].id, tmp_path / "staged")
    crate.rename(labs.rig.arrived / crate.name)
    labs.said.clear()
    third = labs.start()
    labs.wait("lab-taken-in")
    assert labs.theirs.count() == 1
    other.close()
    third.close()


# what must not end it, and what must not be removed


def crate(folder: Path, text: str, name: Any = "Results") -> Path:
    """A crate called "results" with one file, as others write them."""
    made = folder / text / "results"
    made.mkdir(parents=True)
    (made / "data.txt").write_text(text)
    graph = [
        {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}},
        {"@id": "./", "@type": "Dataset", "name": name},
        {"@id": "data.txt", "@type": "File"},
    ]
    (made / "ro-crate-metadata.json").write_text(json.dumps({"@context": "x", "@graph": graph}))
    return made


def arrived(labs: Labs, path: Path) -> Receipt:
    """Sent while nobody takes in."""
    labs.rig.service = InboxService(labs.rig.receiver)
    return labs.rig.send(path)


def sweep(labs: Labs) -> list[str]:
    """As `poliqi lab store receive`; what it said happened."""
    labs.said.clear()
    Arriving(
        labs.rig.receiver, NoSite(), labs.rules, lambda event, text, **_: labs.said.append((event, text))
    ).sweep()
    return [event for event, _ in labs.said]


def told(labs: Labs) -> list[str]:
    """What stands in the store, oldest first, by the text of its first file."""
    held = [labs.theirs.dataset(one) for one in labs.theirs.all_ids()]
    return [labs.theirs.content(one.files[0], 100).decode() for one in held]


def test_a_crate_whose_name_is_null_is_taken_in_as_any_other(labs: Labs, tmp_path: Path) -> None:
    labs.rig.send(crate(tmp_path, "odd", [None]))
    labs.wait("lab-taken-in")
    assert told(labs) == ["odd"]


@pytest.mark.parametrize("error", [AttributeError("no\nsuch"), RecursionError(), OSError(5, "Input/output error")])
def test_a_crate_that_nobody_foresaw_stops_no_other(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def look(folder: Path) -> Any:
        monkeypatch.undo()
        raise error

    monkeypatch.setattr(arriving, "look", look)
    labs.rig.send(crate(tmp_path, "odd"))
    said = labs.wait("lab-refused")
    assert "stays in the inbox" in said
    assert said.isprintable()
    labs.send(labs.add(tmp_path))
    labs.wait("lab-taken-in")
    assert [path.name for path in labs.rig.arrived.iterdir()] == ["results"]
    assert [text for event, text in labs.said if event == "lab-refused"] == [said]


def test_a_name_that_served_before_is_taken_in_by_its_own_receipt(labs: Labs, tmp_path: Path) -> None:
    first = labs.rig.send(crate(tmp_path, "monday"))
    labs.wait("lab-taken-in")
    until(lambda: not list(labs.rig.arrived.iterdir()), labs.said)
    second = arrived(labs, crate(tmp_path, "tuesday"))
    assert first.stored_as == second.stored_as
    assert sweep(labs) == ["lab-taken-in"]
    assert told(labs) == ["monday", "tuesday"]
    transfers = [facts(labs.theirs, ActionKind.RECEIVED, labs.theirs.dataset(one)) for one in labs.theirs.all_ids()]
    assert [one["transfer"] for one in transfers] == [first.transfer, second.transfer]
    assert list(labs.rig.arrived.iterdir()) == []


@pytest.mark.parametrize("was_taken_in", [True, False])
def test_what_has_no_receipt_yet_is_not_taken_for_what_had_its_name(
    labs: Labs, tmp_path: Path, was_taken_in: bool
) -> None:
    """It was moved to its place, and the service died before it signed."""
    arrived(labs, crate(tmp_path, "monday"))
    if was_taken_in:
        assert sweep(labs) == ["lab-taken-in"]
    else:
        (labs.rig.arrived / "results").rename(tmp_path / "gone")
    before = told(labs)
    crate(tmp_path, "tuesday").rename(labs.rig.arrived / "results")
    assert sweep(labs) == ["lab-refused"]
    assert "is not what transfer" in labs.said[0][1]
    assert (labs.rig.arrived / "results" / "data.txt").read_text() == "tuesday"
    assert told(labs) == before


@pytest.mark.parametrize("change", ["another", "more", "less", "link"])
def test_what_was_changed_in_the_inbox_is_not_taken_in(labs: Labs, tmp_path: Path, change: str) -> None:
    arrived(labs, crate(tmp_path, "monday"))
    folder = labs.rig.arrived / "results"
    match change:
        case "another":
            (folder / "data.txt").write_text("sunday")
        case "more":
            (folder / "more.txt").write_text("more")
        case "less":
            (folder / "data.txt").unlink()
        case _:
            (folder / "data.txt").rename(tmp_path / "data.txt")
            (folder / "data.txt").symlink_to(tmp_path / "data.txt")
    assert sweep(labs) == ["lab-refused"]
    assert labs.theirs.count() == 0
    assert folder.is_dir()


def test_what_no_manifest_tells_of_stays(labs: Labs, tmp_path: Path) -> None:
    receipt = arrived(labs, crate(tmp_path, "monday"))
    [manifest] = labs.rig.receiver.inbox.glob(f".receipts/*/{receipt.transfer}.manifest")
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-1])
    assert sweep(labs) == ["lab-refused"]
    manifest.unlink()
    assert sweep(labs) == ["lab-refused"]
    assert labs.theirs.count() == 0
    manifest.write_bytes(whole)
    assert sweep(labs) == ["lab-taken-in"]


def test_a_transfer_of_another_sender_with_the_same_id_is_another(labs: Labs, tmp_path: Path) -> None:
    """The id is the sender's choice, and crates tell ids: it gives nobody what a third party sent."""
    receipt = arrived(labs, crate(tmp_path, "monday"))
    (tmp_path / "secret").write_text("secret")
    theirs = receipt_action(ActionKind.RECEIVED, msgspec.structs.replace(receipt, sender="hospital"), {})
    labs.theirs.register([tmp_path / "secret"], title="Secret", kind=Kind.RECEIVED, action=theirs)
    assert sweep(labs) == ["lab-taken-in"]
    assert "Results" in labs.said[0][1]
    assert told(labs) == ["secret", "monday"]


def test_the_same_transfer_with_other_content_is_refused(labs: Labs, tmp_path: Path) -> None:
    receipt = arrived(labs, crate(tmp_path, "monday"))
    (tmp_path / "before").write_text("before")
    before = receipt_action(ActionKind.RECEIVED, msgspec.structs.replace(receipt, manifest_sha256="0" * 64), {})
    labs.theirs.register([tmp_path / "before"], title="Before", kind=Kind.RECEIVED, action=before)
    assert sweep(labs) == ["lab-refused"]
    assert "and this is another" in labs.said[0][1]
    assert told(labs) == ["before"]
    assert (labs.rig.arrived / "results" / "data.txt").read_text() == "monday"


def test_a_removal_that_a_crash_cut_short_is_ended_while_the_store_holds_it_whole(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = arrived(labs, crate(tmp_path, "monday"))

    def ends(folder: Path) -> None:
        (folder / "data.txt").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(arriving, "remove_arrived", ends)
        sweep(labs)
    [taken] = [labs.theirs.dataset(one) for one in labs.theirs.all_ids()]
    blob = labs.theirs.file_path(taken.files[0])
    blob.chmod(0o600)
    blob.write_bytes(b"friday")
    assert sweep(labs) == ["lab-refused"]
    assert (labs.rig.arrived / receipt.stored_as).is_dir()
    blob.write_bytes(b"monday")
    assert sweep(labs) == ["lab-taken-in"]
    assert told(labs) == ["monday"]
    assert list(labs.rig.arrived.iterdir()) == []


def test_two_processes_do_not_take_in_the_same_at_once(labs: Labs, tmp_path: Path) -> None:
    arrived(labs, crate(tmp_path, "monday"))
    other = os.open(labs.rig.arrived / "results", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert sweep(labs) == ["lab-refused"]
    os.close(other)
    assert sweep(labs) == ["lab-taken-in"]


def test_a_damaged_dataset_is_not_sent(labs: Labs, tmp_path: Path) -> None:
    dataset = labs.add(tmp_path)
    blob = labs.ours.file_path(dataset.files[0])
    blob.chmod(0o600)
    blob.write_bytes(b"54321")
    with pytest.raises(DataRefused, match=r"is not sent.*was changed"):
        labs.send(dataset)
    assert labs.ours.actions(dataset.id) == []


def test_a_sending_that_stopped_goes_on_and_is_entered_once(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = labs.add(tmp_path)

    def stopped(*_: Any, **__: Any) -> None:
        raise LinkDown("cut")

    with monkeypatch.context() as patched:
        patched.setattr(sending, "send", stopped)
        with pytest.raises(LinkDown):
            labs.send(dataset)
    assert labs.ours.actions(dataset.id) == []
    receipt = labs.send(dataset)
    again = note_sent(labs.ours, dataset.id, receipt, labs.rig.sender)
    assert [one.id for one in labs.ours.actions(dataset.id)] == [again.id]


def crashed(labs: Labs, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything has arrived, the receipt is kept, and the program ends before it is entered."""

    def ends(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sending, "note_sent", ends)
        labs.send(dataset)
    assert labs.ours.actions(dataset.id) == []


def test_a_receipt_that_a_crash_kept_out_is_entered_at_the_next_start(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = labs.add(tmp_path)
    crashed(labs, dataset, monkeypatch)
    store = LabStore.open(tmp_path / "ours")
    store.add_tenant("another")
    [entered] = enter_missed(store, labs.rig.sender)
    [action] = labs.ours.actions(dataset.id)
    assert action == entered
    assert facts(labs.ours, ActionKind.SENT, dataset)["receiver"] == "archive"
    assert {file.path for file in action.files} == {"receipt.json", "manifest"}
    assert enter_missed(store, labs.rig.sender) == []


def test_a_service_enters_it_at_its_start_whether_it_takes_in_or_not(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = labs.add(tmp_path)
    crashed(labs, dataset, monkeypatch)
    keys, said = labs.rig.site.keys("office"), list[str]()
    for store in ("nowhere", "ours"):
        settings = replace(labs.rig.sender, extra={"lab": {"store": str(tmp_path / store)}})
        assert lab_arriving(settings, keys, lambda event, *_, **__: said.append(event)) is None
    assert said == ["lab-receipts-left", "lab-receipt-entered"]
    assert facts(labs.ours, ActionKind.SENT, dataset)["receiver"] == "archive"


def test_what_else_was_sent_under_the_name_of_a_dataset_is_not_entered(labs: Labs, tmp_path: Path) -> None:
    dataset = labs.add(tmp_path)
    folder = tmp_path / f"dataset-{dataset.id}"
    folder.mkdir()
    (folder / "curve.dat").write_bytes(b"other")
    labs.rig.send(folder)
    (labs.rig.sender.state / "receipts" / "broken.json").write_text("{")
    assert enter_missed(LabStore.open(tmp_path / "ours"), labs.rig.sender) == []


def test_a_manifest_of_any_size_tells_what_was_sent(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too large to be kept in the store, too."""
    dataset = labs.add(tmp_path)
    crashed(labs, dataset, monkeypatch)
    [signed] = (labs.rig.sender.state / "receipts").glob("*.json")
    monkeypatch.setattr(sending, "_KEPT_MOST", signed.with_suffix(".manifest").stat().st_size - 1)
    [entered] = enter_missed(LabStore.open(tmp_path / "ours"), labs.rig.sender)
    assert "manifest" not in {file.path for file in entered.files}


@pytest.mark.parametrize("change", ["another", "broken", "gone"])
def test_a_manifest_that_is_not_the_receipts_tells_nothing(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    dataset = labs.add(tmp_path)
    crashed(labs, dataset, monkeypatch)
    [manifest] = (labs.rig.sender.state / "receipts").glob("*.manifest")
    match change:
        case "another":
            manifest.write_bytes(manifest.read_bytes() + b"d - - - more\n")
        case "broken":
            manifest.write_bytes(b"{")
        case _:
            manifest.unlink()
    assert enter_missed(LabStore.open(tmp_path / "ours"), labs.rig.sender) == []


@pytest.mark.parametrize("receiver", ["archive", "another"])
def test_what_was_sent_on_is_not_sent_again_where_its_receipt_could_not_be_entered(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: str
) -> None:
    """Unless the receipt is of another application."""
    dataset, tries, said = labs.add(tmp_path), list[Path](), list[str]()
    crashed(labs, dataset, monkeypatch)
    (labs.rig.sender.state / "receipts" / "broken.json").write_text("{")
    (labs.rig.sender.state / "receipts" / "folder.json").mkdir()

    def again(settings: Any, keys: Any, peer: Any, paths: Any, *_: Any, **__: Any) -> Any:
        tries.extend(paths)
        raise LinkDown("away")

    def full(*_: Any, **__: Any) -> Any:
        entered.undo()
        raise StoreError("the disk is full")

    monkeypatch.setattr(sending, "send", again)
    monkeypatch.setattr(arriving, "_Onward", partial(arriving._Onward, wait_s=0.01))
    entered = pytest.MonkeyPatch()
    entered.setattr(sending, "note_sent", full)
    settings, tenant = labs.rig.sender, labs.ours.name
    if receiver == "another":
        contact = replace(labs.rig.peer.contact, sae=SaeId("another"))
        settings.peers[SaeId("another")] = replace(labs.rig.peer, contact=contact, place="Lecco")  # type: ignore[index]
    folder = outgoing_folder(labs.ours, settings.peers[SaeId(receiver)])
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    mark = folder / f"{MARK}{dataset.id}"
    mark.touch()
    rules = TakingIn(tmp_path / "ours", tenant, {receiver: tenant})
    made = Arriving(settings, labs.rig.site.keys("office"), rules, lambda event, *_, **__: said.append(event))
    made.start()
    try:
        until(lambda: tries or not mark.exists(), said)
    finally:
        made.close()
        made._thread.join(20)
        entered.undo()
    if receiver == "archive":
        assert tries == []
        assert said == ["lab-onward-waits", "lab-receipt-entered"]
        assert facts(labs.ours, ActionKind.SENT, dataset)["receiver"] == "archive"
    else:
        assert labs.ours.actions(dataset.id) == []
        assert mark.exists()


def test_a_dataset_is_sent_to_one_peer_by_one_at_a_time(labs: Labs, tmp_path: Path) -> None:
    dataset, folder = labs.add(tmp_path), outgoing_folder(labs.ours, labs.rig.peer)
    (tmp_path / "curve.dat").write_bytes(b"other")
    other = labs.ours.register([tmp_path / "curve.dat"], title="Other", licence="CC-BY-4.0")
    with hold_outgoing(folder, dataset.id):
        crate = stage(labs.ours, dataset.id, folder)
        with pytest.raises(DataRefused, match=f"dataset {dataset.id} is being sent to archive already"):
            labs.send(dataset)
        assert (crate / "curve.dat").read_bytes() == b"12345"
        labs.send(other)
    labs.send(dataset)
    assert list(folder.iterdir()) == []


def test_how_much_is_sent_is_known_beforehand(labs: Labs, tmp_path: Path) -> None:
    dataset = labs.add(tmp_path)
    crate = stage(labs.ours, dataset.id, tmp_path / "staged")
    assert crate.name == f"dataset-{dataset.id}"
    assert staged_bytes(labs.ours, dataset.id) == sum(p.stat().st_size for p in crate.rglob("*") if p.is_file())


def test_a_derived_dataset_goes_with_its_past(labs: Labs, tmp_path: Path) -> None:
    task = Task("saxs", "1", {"model": "sphere"}, (labs.add(tmp_path).id,), title="Sizes")
    labs.send(labs.ours.run(task, lambda work: (work / "s").write_text("s") and None)[0])
    labs.wait("lab-taken-in")
    [taken] = [labs.theirs.dataset(one.id) for one in labs.theirs.find()]
    told = [one for one in build(labs.theirs, taken.id).entities if one.get("name") == "saxs" and "result" in one]
    assert [one["@type"] for one in told] == ["CreateAction"]


# companies without a node


def test_a_company_without_a_site_gets_it_by_post_quantum_keys_and_the_receipt_says_so(tmp_path: Path) -> None:
    labs = Labs(tmp_path, policy=Policy.PQC)
    receipt = labs.send(labs.add(tmp_path))
    labs.wait("lab-taken-in")
    assert (receipt.mode, receipt.key_ids, receipt.epsilon) == ("pqc", (), "computational")
    [taken] = [labs.theirs.dataset(one.id) for one in labs.theirs.find()]
    said = facts(labs.theirs, ActionKind.RECEIVED, taken)
    assert (said["mode"], said["key_ids"], said["epsilon"]) == ("pqc", [], "computational")
    labs.arriving.close()


def test_a_wish_to_send_on_that_nobody_allowed_is_not_followed(labs: Labs, tmp_path: Path) -> None:
    labs.send(labs.add(tmp_path), onward="acme")
    assert "does not name that" in labs.wait("lab-refused")
    assert labs.theirs.count() == 0


def test_what_is_to_be_sent_on_is_kept_for_that_company_alone_and_tried_until_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs = Labs(tmp_path, forward={"office": "acme"})  # office is the only peer here: it gets its own back
    tries: list[str] = []

    def onward(settings: Any, keys: Any, peer: Any, paths: Any, *_: Any, **__: Any) -> Any:
        tries.append(f"{peer.sae} {paths[0].name}")
        raise LinkDown("away") if len(tries) == 1 else StoreError("enough")

    dataset = labs.add(tmp_path)
    crate = stage(labs.ours, dataset.id, tmp_path / "staged", onward="Leonardo")
    monkeypatch.setattr(sending, "send", onward)
    labs.rig.send(crate)
    labs.wait("lab-onward-waits")
    with LabStore.open(labs.root).tenant("acme") as acme:
        [kept] = [acme.dataset(one.id) for one in acme.find()]
        assert kept.files == dataset.files
        assert tries == [f"office dataset-{kept.id}"]
        assert [
            path.name for path in outgoing_folder(acme, labs.rig.receiver.peers[SaeId("office")]).glob("onward-*")
        ]
    assert labs.theirs.count() == 0
    labs.arriving.close()
    other = labs.start()  # the next run of the service goes on by itself
    until(lambda: len(tries) == 2, tries)
    other.close()


class Forwarding:
    """ "archive" sends on to "office", which "acme" keeps; what it tries is counted, and answered with `answer`."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.labs = Labs(folder, forward={"office": "acme"})
        self.tries: list[str] = []
        self.answer: Exception = LinkDown("away")
        patch.setattr(arriving, "_Onward", partial(arriving._Onward, wait_s=0.01))
        patch.setattr(sending, "send", self.send)
        self.labs.arriving.close()

    def send(self, settings: Any, keys: Any, peer: Any, paths: Any, *_: Any, **__: Any) -> Any:
        self.tries.append(f"{peer.sae} {paths[0].name}")
        raise self.answer

    def mark(self, name: str) -> Dataset:
        """A dataset of a tenant that is to be sent on, as a run of the service left it."""
        with LabStore.open(self.labs.root).tenant(name) as tenant:
            (self.labs.root / "x").write_text(name)
            made = tenant.register([self.labs.root / "x"], title="Curve")
            folder = outgoing_folder(tenant, self.labs.rig.receiver.peers[SaeId("office")])
            folder.mkdir(parents=True, mode=0o700)
            (folder / f"onward-{made.id}").touch()
        return made

    def marks(self) -> list[str]:
        return [path.name for path in self.labs.root.glob("tenants/*/outgoing/*/onward-*")]

    def run(self, forward: dict[str, str], enough: Callable[[Arriving], Any]) -> None:
        """The next run of the service, until `enough`."""
        self.labs.rules = replace(self.labs.rules, forward=forward)
        made = self.labs.start()
        try:
            until(lambda: enough(made), (self.tries, self.labs.said))
        finally:
            made.close()
            made._thread.join(20)


@pytest.fixture
def forwarding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forwarding:
    return Forwarding(tmp_path, monkeypatch)


@pytest.mark.parametrize("forward", [{}, {"office": "acme"}])
def test_a_rule_that_was_taken_back_sends_nothing(forwarding: Forwarding, forward: dict[str, str]) -> None:
    kept = forwarding.mark("archive")
    forwarding.run(forward, lambda made: made._onward == [])
    assert forwarding.tries == []
    assert forwarding.marks() == [f"onward-{kept.id}"]
    forwarding.run({"office": "archive"}, lambda _: forwarding.tries)


@pytest.mark.parametrize("rules", [None, {}])
def test_a_rule_that_is_taken_back_while_it_runs_sends_nothing(forwarding: Forwarding, rules: Any) -> None:
    forwarding.mark("acme")

    def taken_back(made: Arriving) -> bool:
        if not forwarding.tries:
            return False
        settings = forwarding.labs.rig.receiver
        made.change(settings, None if rules is None else replace(forwarding.labs.rules, forward=rules))
        return any("does not name it for tenant acme" in text for _, text in forwarding.labs.said)

    forwarding.run({"office": "acme"}, taken_back)
    last = max(number for number, (_, text) in enumerate(forwarding.labs.said) if "away" in text)
    assert all("does not name it" in text for _, text in forwarding.labs.said[last + 1 :])
    assert len(forwarding.tries) == sum("away" in text for _, text in forwarding.labs.said)


def test_a_mark_is_one_sending_also_where_the_house_is_named(forwarding: Forwarding) -> None:
    kept = forwarding.mark("archive")
    found: list[int] = []
    forwarding.run(
        {"office": "archive", "Leonardo": "archive"}, lambda made: found.append(len(made._onward)) or True
    )
    assert found == [1]
    assert set(forwarding.tries) <= {f"office dataset-{kept.id}"}


def test_what_was_sent_on_before_a_crash_is_not_sent_again(forwarding: Forwarding) -> None:
    kept = forwarding.mark("acme")
    with LabStore.open(forwarding.labs.root).tenant("acme") as acme:
        acme.add_action(kept.id, NewAction(ActionKind.SENT, "t", 1.0, 2.0, {"receiver": "office"}))
    forwarding.run({"office": "acme"}, lambda _: not forwarding.marks())
    assert forwarding.tries == []


def test_what_fails_as_nobody_foresaw_is_tried_again_and_stops_nothing(
    forwarding: Forwarding, tmp_path: Path
) -> None:
    forwarding.mark("acme")
    forwarding.answer = AttributeError("no such")
    forwarding.run({"office": "acme"}, lambda _: len(forwarding.tries) > 1)
    assert "AttributeError 'no such'; again in" in forwarding.labs.said[0][1]


def two_companies(tmp_path: Path, forward: dict[str, str]) -> Labs:
    """The archive knows "office" at Leonardo and "mill" at Lecco; for both there is a tenant."""
    labs = Labs(tmp_path, forward={"office": "acme", "mill": "beta"})
    labs.arriving.close()
    office = labs.rig.receiver.peers[SaeId("office")]
    contact = replace(office.contact, sae=SaeId("mill"))
    labs.rig.receiver.peers[SaeId("mill")] = replace(office, contact=contact, place="Lecco")  # type: ignore[index]
    labs.rules = TakingIn(labs.root, "", forward)
    labs.arriving = labs.start()
    return labs


def kept(labs: Labs) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in ("acme", "beta", ""):
        with LabStore.open(labs.root).tenant(name) as tenant:
            found[name] = tenant.count()
    return found


@pytest.mark.parametrize(("onward", "tenant"), [("Leonardo", "acme"), ("Lecco", "beta"), ("mill", "beta")])
def test_of_two_companies_each_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, onward: str, tenant: str
) -> None:
    labs = two_companies(tmp_path, {"office": "acme", "Lecco": "beta"})
    crate = stage(labs.ours, labs.add(tmp_path).id, tmp_path / "staged", onward=onward)

    def away(settings: Any, keys: Any, peer: Any, *_: Any, **__: Any) -> Any:
        raise LinkDown(f"to {peer.place}")

    monkeypatch.setattr(sending, "send", away)
    labs.rig.send(crate)
    assert f"to {'Leonardo' if tenant == 'acme' else 'Lecco'}" in labs.wait("lab-onward-waits")
    assert kept(labs) == {"acme": 0, "beta": 0, "": 0} | {tenant: 1}
    labs.arriving.close()


def test_a_peer_that_is_known_and_not_named_is_sent_nothing(tmp_path: Path) -> None:
    labs = two_companies(tmp_path, {"office": "acme"})
    labs.rig.send(stage(labs.ours, labs.add(tmp_path).id, tmp_path / "staged", onward="Lecco"))
    assert "does not name that" in labs.wait("lab-refused")
    assert kept(labs) == {"acme": 0, "beta": 0, "": 0}
    labs.arriving.close()


def test_the_crate_of_a_sending_that_was_given_up_is_swept(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opens the store next does it, and leaves alone what is being sent, and marks."""
    dataset, folder = labs.add(tmp_path), outgoing_folder(labs.ours, labs.rig.peer)
    seen: list[list[str]] = []

    def others_open(*_: Any, **__: Any) -> None:
        LabStore.open(tmp_path / "ours").tenant().close()
        seen.append(sorted(path.name for path in folder.iterdir()))
        raise LinkDown("cut")

    monkeypatch.setattr(sending, "send", others_open)
    with pytest.raises(LinkDown):
        labs.send(dataset)
    (folder / ".dataset-other.partial").mkdir()
    (folder / ".dataset-other.lock").touch()
    (folder / f"onward-{dataset.id}").touch()
    LabStore.open(tmp_path / "ours").tenant().close()
    assert seen == [[f".dataset-{dataset.id}.lock", f"dataset-{dataset.id}"]]
    assert [path.name for path in folder.iterdir()] == [f"onward-{dataset.id}"]
    assert not labs.ours.verify(dataset.id)


def test_what_strays_in_outgoing_closes_no_tenant(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, outgoing = labs.add(tmp_path), labs.ours.folder / "outgoing"
    folder = outgoing_folder(labs.ours, labs.rig.peer)
    (folder / "dataset-left").mkdir(parents=True)
    (folder / "notes.txt").touch()
    (folder / ".DS.lock").mkdir()
    (outgoing / ".DS_Store").touch()
    (tmp_path / "elsewhere" / f"{MARK}x").mkdir(parents=True)
    (outgoing / "link").symlink_to(tmp_path / "elsewhere")
    LabStore.open(tmp_path / "ours").tenant().close()
    assert sorted(path.name for path in folder.iterdir()) == [".DS.lock", "notes.txt"]
    assert (tmp_path / "elsewhere" / f"{MARK}x").is_dir()
    assert marks_below(labs.ours.folder) == {}
    labs.send(dataset)
    (folder / "dataset-left").mkdir()

    def busy(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "iterdir", busy)
    sweep_outgoing(labs.ours.folder)
    monkeypatch.undo()
    assert (folder / "dataset-left").is_dir()


def test_a_tenant_that_cannot_be_looked_through_stops_no_other(labs: Labs) -> None:
    labs.arriving.close()
    store = LabStore.open(labs.root)
    for name in ("beta", "gamma"):
        store.add_tenant(name)
    (labs.root / "tenants" / "beta" / "outgoing").touch()
    folder = labs.root / "tenants" / "gamma" / "outgoing" / "mill"
    folder.mkdir(parents=True, mode=0o700)
    (folder / f"{MARK}{'a' * 26}").touch()
    other = labs.start()
    other.close()
    assert [event for event, _ in labs.said] == ["lab-onward-unread", "lab-onward-unserved"]
    assert "tenant beta was not looked through" in labs.said[0][1]
    assert "must be a folder" in labs.said[0][1]


def test_what_waits_for_a_peer_that_was_removed_is_told(labs: Labs) -> None:
    labs.arriving.close()
    for name in ("office", "old%20mill"):
        folder = labs.theirs.folder / "outgoing" / name
        folder.mkdir(parents=True, mode=0o700)
        (folder / f"onward-{'a' * 26}").touch()
    labs.rules = TakingIn(labs.root, "", {"office": "archive"})
    other = labs.start()
    told = [text for event, text in labs.said if event == "lab-onward-unserved"]
    other.close()
    assert len(told) == 1
    assert "1 datasets of tenant archive are for old%20mill" in told[0]


def test_a_rule_for_one_peer_is_no_rule_for_another() -> None:
    assert StreamRule(Policy.PQC).modes == {Mode.PQC}
    for policy in (Policy.STRICT, Policy.HYBRID, Policy.ITS):
        assert Mode.PQC not in StreamRule(policy).modes
