"""Datasets from store to store: the receipt in the provenance of both, what is taken in once, what goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transfer_rig import Transfer

from poliqi.apps.share.receipt import verify_receipt
from poliqi.apps.share.service import InboxService
from poliqi.apps.stream.terms import Mode, Policy, StreamRule
from poliqi.base.errors import DataRefused, LinkDown, StoreError
from poliqi.base.ids import SaeId
from poliqi.lab.store import sending
from poliqi.lab.store.arriving import Arriving, TakingIn
from poliqi.lab.store.crate.build import build
from poliqi.lab.store.records import ActionKind, Dataset, Kind, Task
from poliqi.lab.store.sending import note_sent, outgoing_folder, send_dataset, stage, staged_bytes
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore


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
    [taken] = labs.theirs.find()
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
    [taken] = labs.theirs.find()
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


def test_how_much_is_sent_is_known_beforehand(labs: Labs, tmp_path: Path) -> None:
    dataset = labs.add(tmp_path)
    crate = stage(labs.ours, dataset.id, tmp_path / "staged")
    assert crate.name == f"dataset-{dataset.id}"
    assert staged_bytes(labs.ours, dataset.id) == sum(p.stat().st_size for p in crate.rglob("*") if p.is_file())


def test_a_derived_dataset_goes_with_its_past(labs: Labs, tmp_path: Path) -> None:
    task = Task("saxs", "1", {"model": "sphere"}, (labs.add(tmp_path).id,), title="Sizes")
    labs.send(labs.ours.run(task, lambda work: (work / "s").write_text("s") and None)[0])
    labs.wait("lab-taken-in")
    [taken] = labs.theirs.find()
    told = [one for one in build(labs.theirs, taken.id).entities if one.get("name") == "saxs" and "result" in one]
    assert [one["@type"] for one in told] == ["CreateAction"]


# companies without a node


def test_a_company_without_a_site_gets_it_by_post_quantum_keys_and_the_receipt_says_so(tmp_path: Path) -> None:
    labs = Labs(tmp_path, policy=Policy.PQC)
    receipt = labs.send(labs.add(tmp_path))
    labs.wait("lab-taken-in")
    assert (receipt.mode, receipt.key_ids, receipt.epsilon) == ("pqc", (), "computational")
    [taken] = labs.theirs.find()
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
        [kept] = acme.find()
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


def test_a_rule_for_one_peer_is_no_rule_for_another() -> None:
    assert StreamRule(Policy.PQC).modes == {Mode.PQC}
    for policy in (Policy.STRICT, Policy.HYBRID, Policy.ITS):
        assert Mode.PQC not in StreamRule(policy).modes
