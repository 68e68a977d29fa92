"""A dataset sent to another site as a crate; the receipt becomes part of its provenance.

What is sent is a folder of hard links into the store (`TENANT/outgoing/PEER/dataset-ID`), which stays until the
receipt is entered, and goes when somebody opens the store after its process has died: whoever sends again makes it
anew, and goes on where the last attempt stopped.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share.client import send
from poliqi.apps.share.outbox import sent_receipts
from poliqi.apps.share.progress import Progress
from poliqi.apps.share.receipt import RECEIPT_BYTES, Receipt, read_receipt
from poliqi.apps.share.verify import check_manifest, read_manifest
from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate.build import build
from poliqi.lab.store.crate.write import link_crate, metadata_of
from poliqi.lab.store.outgoing import hold_outgoing, outgoing_below
from poliqi.lab.store.records import Action, ActionKind, DatasetId, NewAction
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore

__all__ = [
    "enter_missed",
    "enter_missed_of",
    "note_sent",
    "outgoing_folder",
    "receipt_action",
    "receipt_files",
    "received_key",
    "send_dataset",
    "stage",
    "staged_bytes",
]

_RECEIPT: Final = "receipt.json"
_MANIFEST: Final = "manifest"
_KEPT_MOST: Final = 32 << 20
_MISSED_MOST: Final = 500
"""So many of the newest receipts are looked through: what was missed was missed when the service last ended."""
_SENT_AS: Final = re.compile("dataset-([a-z2-7]{26})", re.ASCII)


def stage(tenant: TenantStore, dataset: DatasetId, folder: Path, onward: str = "") -> Path:
    """Write the crate of a dataset below `folder`, best on the store's disk; the one path that is to be sent.

    Its name says nothing of title or tenant. Raises DataRefused, StoreError, ConfigError without rocrate.
    """
    target = folder / f"dataset-{dataset}"
    link_crate(tenant, build(tenant, dataset, onward=onward), target)
    return target


def staged_bytes(tenant: TenantStore, dataset: DatasetId, onward: str = "") -> int:
    """How much would be sent, without writing it."""
    built = build(tenant, dataset, onward=onward)
    return built.size_bytes + len(metadata_of(built))


def outgoing_folder(tenant: TenantStore, peer: Peer) -> Path:
    """Where what is being sent to a peer stands."""
    return outgoing_below(tenant.folder, peer.sae)


def send_dataset(
    settings: SaeSettings,
    keys: KeySource,
    peer: Peer,
    tenant: TenantStore,
    dataset: DatasetId,
    progress: Progress | None = None,
    *,
    onward: str = "",
    who: str = "",
    **how: Any,
) -> Receipt:
    """Verify it, send it, enter the receipt. `onward`: whom the receiver is asked to send it on to.

    `how` as `poliqi.apps.share.client.send`. Raises DataRefused where the store does not hold any more what was put
    in or where it is being sent to this peer already, and as `send`.
    """
    problems = tenant.verify(dataset)
    if problems:
        raise DataRefused(f"dataset {dataset} is not sent: {problems[0]}; {len(problems)} files are damaged")
    folder = outgoing_folder(tenant, peer)
    with hold_outgoing(folder, dataset):
        crate = stage(tenant, dataset, folder, onward)
        receipt = send(settings, keys, peer, [crate], progress, **how)
        note_sent(tenant, dataset, receipt, settings, place=peer.place, who=who)
        shutil.rmtree(crate, ignore_errors=True)
    return receipt


def note_sent(
    tenant: TenantStore,
    dataset: DatasetId,
    receipt: Receipt,
    settings: SaeSettings | None = None,
    *,
    place: str = "",
    who: str = "",
) -> Action:
    """Enter the receipt that the other site signed; once, however often it is called.

    With `settings` the signed file is kept, too, and its manifest. Raises DataRefused, StoreError.
    """
    files: dict[str, bytes] = {}
    if settings is not None:
        signed = settings.state / "receipts" / f"{receipt.transfer}.json"
        files = receipt_files(signed)
    return tenant.add_action(dataset, receipt_action(ActionKind.SENT, receipt, files, place=place, who=who))


def enter_missed(store: LabStore, settings: SaeSettings) -> list[Action]:
    """Enter receipts of datasets that a crash kept from being entered; what is entered already stays as it is.

    A receipt counts where its manifest names every file of the one dataset of that name: what else was sent under
    such a name is none of ours. Raises DataRefused, StoreError, OSError.
    """
    waiting = list(_kept(settings, _MISSED_MOST))
    entered: list[Action] = []
    for name in store.tenants() if waiting else []:
        with store.tenant(name) as tenant:
            for wanted, receipt, path in waiting:
                is_entered = tenant.find_action(ActionKind.SENT, receipt.transfer) is not None
                if not is_entered and _is_of(tenant, wanted, receipt, path):
                    peer = settings.peer(receipt.receiver)
                    place = peer.place if peer else ""
                    entered.append(note_sent(tenant, wanted, receipt, settings, place=place))
    return entered


def enter_missed_of(tenant: TenantStore, wanted: DatasetId, peer: Peer, settings: SaeSettings) -> Action | None:
    """Enter the receipt that this peer gave for one dataset, however long ago; None where no such receipt is kept.

    What counts is as in `enter_missed`. Raises DataRefused, StoreError, OSError.
    """
    for named, receipt, path in _kept(settings):
        if (named, receipt.receiver) == (wanted, peer.sae) and _is_of(tenant, wanted, receipt, path):
            return note_sent(tenant, wanted, receipt, settings, place=peer.place)
    return None


def _kept(settings: SaeSettings, most: int | None = None) -> Iterator[tuple[DatasetId, Receipt, Path]]:
    """Receipts of what was sent under the name of a dataset, of the newest `most` receipts of all."""
    for path in islice(sent_receipts(settings.state), most):
        try:
            with path.open("rb") as file:
                receipt = read_receipt(file.read(RECEIPT_BYTES + 1))
        except (DataRefused, FileNotFoundError, IsADirectoryError):
            continue
        if found := _SENT_AS.fullmatch(receipt.name):
            yield DatasetId(found[1]), receipt, path


def _is_of(tenant: TenantStore, wanted: DatasetId, receipt: Receipt, signed: Path) -> bool:
    """Whether the tenant has this dataset, and the manifest beside the receipt names all of its files."""
    manifest = signed.with_suffix(".manifest")
    try:
        dataset = tenant.dataset(wanted)
        check_manifest(manifest, receipt)
        unnamed = {(file.blake3, f"dataset-{wanted}/{file.path}") for file in dataset.files}
        for entry, digest in read_manifest(manifest):
            unnamed.discard((digest.hex(), entry.path))
    except (DataRefused, FileNotFoundError):
        return False
    return not unnamed


def receipt_files(signed: Path) -> dict[str, bytes]:
    """The signed receipt and its manifest, where they stand."""
    found: dict[str, bytes] = {}
    for name, path in ((_RECEIPT, signed), (_MANIFEST, signed.with_suffix(".manifest"))):
        try:
            if path.stat().st_size <= _KEPT_MOST:
                found[name] = path.read_bytes()
        except FileNotFoundError:
            continue
    return found


def receipt_action(
    kind: ActionKind, receipt: Receipt, files: Mapping[str, bytes], *, place: str = "", who: str = ""
) -> NewAction:
    """A receipt as an action: what it says of both ends, keys, mode and epsilon is searchable, the file is kept."""
    facts = msgspec.to_builtins(receipt)
    facts |= {
        "key_ids": list(receipt.key_ids),
        "keys": sum(stream.keys for stream in receipt.streams),
        "place": place,
        "who": who,
    }
    key = received_key(receipt) if kind is ActionKind.RECEIVED else receipt.transfer
    return NewAction(kind, key, _unix(receipt.begun), _unix(receipt.received), facts, dict(files))


def received_key(receipt: Receipt) -> str:
    """What the action of receiving is known by: whoever sends chooses the transfer's id, so it is theirs alone."""
    return f"{receipt.transfer} of {receipt.sender}"


def _unix(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0
