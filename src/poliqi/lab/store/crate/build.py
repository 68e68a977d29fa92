"""All entities of a dataset's crate, in the order they are written: what this store knows, and what it was told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate.describe import file_entity, root_entities, thing_entities
from poliqi.lab.store.crate.graph import read_graph
from poliqi.lab.store.crate.lineage import (
    action_entities,
    ancestor_entities,
    job_entities,
    measuring_entities,
    place_of,
)
from poliqi.lab.store.crate.paths import METADATA, id_of
from poliqi.lab.store.crate.terms import (
    DEFINITIONS,
    ONWARD,
    RECEIPT_TYPE,
    RECEIPTS,
    SOFTWARE,
    TOLD_RECEIPT,
    entity,
    ref,
    refs,
)
from poliqi.lab.store.crate.told import told_entities
from poliqi.lab.store.records import Action, ActionKind, Dataset, DatasetId, StoredFile
from poliqi.lab.store.tenant import TenantStore

__all__ = ["Built", "Enclosed", "build"]

_UNVERIFIED: Final = "a receipt that another's crate brought, not verified"


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A small file beside those of the dataset: a receipt. `is_told`: another's crate brought it, unverified."""

    path: str
    data: bytes
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """What a crate consists of: the dataset's files, what is enclosed, and the entities, the root first."""

    dataset: Dataset
    entities: tuple[dict[str, Any], ...]
    enclosed: tuple[Enclosed, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files but the metadata."""
        return self.dataset.size_bytes + sum(len(one.data) for one in self.enclosed)


def build(
    tenant: TenantStore,
    wanted: DatasetId,
    *,
    with_sendings: bool = False,
    onward: str = "",
    publisher: str = "",
) -> Built:
    """The crate of a dataset, with all that it comes from.

    `with_sendings`: also where it was sent, which says whom it was shared with. `onward`: whom it is to be sent on
    to by whoever receives it. Raises DataRefused, StoreError.
    """
    found = tenant.provenance(wanted)
    dataset, place = found.datasets[0], place_of(found)
    for file in dataset.files:
        if file.path == METADATA:
            raise DataRefused(
                f"{file.path!r} of dataset {dataset.id} has a name that RO-Crate keeps for itself: copy the files "
                "out (`poliqi lab store get`), rename it, and put them in as a new dataset"
            )
    root, *described = root_entities(dataset, publisher)
    listed = _Listed([*described, _software(), *DEFINITIONS])
    folder = _free_folder(dataset.files)
    enclosed: list[Enclosed] = []
    mentioned: list[str] = []
    listed.add(thing_entities(found.samples, found.instruments))
    listed.add(ancestor_entities(found.datasets[1:], place))
    for one in found.datasets:
        mentioned += listed.add(measuring_entities(one, place))[:1]
    for job in found.jobs:
        mentioned += listed.add(job_entities(job, place))[:1]
    for number, action in enumerate(found.actions):
        if action.kind is ActionKind.SENT and not with_sendings:
            continue
        receipts = _receipts(tenant, action, folder)
        enclosed += receipts
        own = [id_of(one.path) for one in receipts if not one.is_told]
        mentioned += listed.add(action_entities(action, place, own))[:1]
        told = _told(tenant, action, number, place(action.dataset))
        mentioned += [one["@id"] for one in told if "endTime" in one or "startTime" in one]
        listed.add(told)
    if onward:
        listed.add(_onward(onward))
        mentioned.append(ONWARD)
    files = [file_entity(file) for file in dataset.files] + [_receipt_entity(one) for one in enclosed]
    root["hasPart"] = refs([file["@id"] for file in files])
    if mentioned:
        root["mentions"] = refs(list(dict.fromkeys(mentioned)))
    return Built(dataset, (root, *files, *listed.entities.values()), tuple(enclosed))


def _software() -> dict[str, Any]:
    now = version("poliqi")
    return entity(SOFTWARE, "SoftwareApplication", name="poliqi", softwareVersion=now, version=now)


class _Listed:
    """Entities by name; of two of one name the first stays."""

    def __init__(self, entities: Iterable[dict[str, Any]]) -> None:
        self.entities: Final[dict[str, dict[str, Any]]] = {}
        self.add(entities)

    def add(self, entities: Iterable[dict[str, Any]]) -> list[str]:
        """Their names, all of them."""
        names: list[str] = []
        for one in entities:
            self.entities.setdefault(one["@id"], one)
            names.append(one["@id"])
        return names


def _free_folder(files: Iterable[StoredFile]) -> str:
    taken = {file.path.partition("/")[0] for file in files}
    return next(
        name for name in (RECEIPTS, *(f"{RECEIPTS}-{number}" for number in range(2, 1 << 20))) if name not in taken
    )


def _receipts(tenant: TenantStore, action: Action, folder: str) -> list[Enclosed]:
    """Receipts of an action under names of their own: that of the action, and those that came with the dataset."""
    kept = [file.path for file in action.files if file.path.startswith("receipt")]
    return [
        Enclosed(
            f"{folder}/{action.id[:8]}-{path.replace('/', '-')}",
            tenant.action_file(action, path),
            path.startswith(TOLD_RECEIPT),
        )
        for path in kept
    ]


def _receipt_entity(one: Enclosed) -> dict[str, Any]:
    from blake3 import blake3

    return entity(
        id_of(one.path),
        "File",
        name=_UNVERIFIED if one.is_told else "signed receipt of a transfer",
        contentSize=str(len(one.data)),
        encodingFormat=RECEIPT_TYPE,
        blake3=blake3(one.data).hexdigest(),
    )


def _told(tenant: TenantStore, action: Action, number: int, place: str) -> list[dict[str, Any]]:
    if all(file.path != METADATA for file in action.files):
        return []
    return told_entities(read_graph(tenant.action_file(action, METADATA)), number, place, ONWARD)


def _onward(recipient: str) -> list[dict[str, Any]]:
    end = entity(f"#onward-{recipient}", "Organization", name=recipient)
    status = {"@id": "http://schema.org/PotentialActionStatus"}
    wish = entity(
        ONWARD, "SendAction", name=f"To be sent on to {recipient}", object=ref("./"), recipient=ref(end["@id"])
    )
    return [wish | {"actionStatus": status}, end]
