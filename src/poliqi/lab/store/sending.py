"""A dataset sent to another site as a crate; the receipt becomes part of its provenance.

What is sent is a folder of hard links into the store (`TENANT/outgoing/PEER/dataset-ID`), which stays until the
receipt is entered: whoever sends again goes on where the last attempt stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share.client import send
from poliqi.apps.share.names import peer_folder
from poliqi.apps.share.progress import Progress
from poliqi.apps.share.receipt import Receipt
from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate.build import build
from poliqi.lab.store.crate.write import link_crate, metadata_of
from poliqi.lab.store.records import Action, ActionKind, DatasetId, NewAction
from poliqi.lab.store.tenant import TenantStore

__all__ = [
    "note_sent",
    "outgoing_folder",
    "receipt_action",
    "receipt_files",
    "send_dataset",
    "stage",
    "staged_bytes",
]

_RECEIPT: Final = "receipt.json"
_MANIFEST: Final = "manifest"
_KEPT_MOST: Final = 32 << 20


def stage(tenant: TenantStore, dataset: DatasetId, folder: Path, onward: str = "") -> Path:
    """Write the crate of a dataset below `folder`, best on the store's disk; the one path that is to be sent.

    Its name says nothing of title or tenant. Raises DataRefused, StoreError, ConfigError without rocrate.
    """
    target = folder / f"dataset-{dataset}"
    link_crate(tenant, build(tenant, dataset, onward=onward), target)
    return target


def staged_bytes(tenant: TenantStore, dataset: DatasetId) -> int:
    """How much would be sent, without writing it."""
    built = build(tenant, dataset)
    return built.size_bytes + len(metadata_of(built))


def outgoing_folder(tenant: TenantStore, peer: Peer) -> Path:
    """Where what is being sent to a peer stands."""
    return tenant.folder / "outgoing" / peer_folder(peer.sae)


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
    in, and as `send`.
    """
    problems = tenant.verify(dataset)
    if problems:
        raise DataRefused(f"dataset {dataset} is not sent: {problems[0]}; {len(problems)} files are damaged")
    crate = stage(tenant, dataset, outgoing_folder(tenant, peer), onward)
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
    return NewAction(kind, receipt.transfer, _unix(receipt.begun), _unix(receipt.received), facts, dict(files))


def _unix(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0
