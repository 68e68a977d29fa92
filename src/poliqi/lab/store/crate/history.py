"""The past of a dataset: what this store knows of it, and apart from that what the crates that it came in claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import DataRefused, StoreError
from poliqi.lab.store.crate.claims import Claim, claims_of
from poliqi.lab.store.crate.graph import read_graph
from poliqi.lab.store.crate.paths import METADATA
from poliqi.lab.store.deeds import Deed, deeds_of
from poliqi.lab.store.records import Action, DatasetId, Provenance
from poliqi.lab.store.tenant import TenantStore

__all__ = ["History", "Telling", "history"]

_CRATES_MOST: Final = 8
_CLAIMS_MOST: Final = 100
_METADATA_BYTES: Final = 4 << 20
"""The longest metadata that is read to be looked at; whoever wants more exports the crate."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What the crate that `dataset` came in tells of its past, the dataset itself first. `deed` brought it here.

    Unless `is_all` there is more in the crate. `problem` says why nothing can be told.
    """

    dataset: DatasetId
    deed: Deed
    claims: tuple[Claim, ...]
    is_all: bool = True
    problem: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """`known` was done in this store; `told` is what others wrote, at most 8 crates of 100 claims."""

    known: Provenance
    told: tuple[Telling, ...]

    @property
    def deeds(self) -> dict[DatasetId, list[Deed]]:
        """What was done with each dataset that is known, in the order it was entered."""
        found: dict[DatasetId, list[Deed]] = {}
        for action, deed in zip(self.known.actions, deeds_of(self.known.actions), strict=True):
            found.setdefault(action.dataset, []).append(deed)
        return found


def history(tenant: TenantStore, wanted: DatasetId) -> History:
    """Raises DataRefused where there is no such dataset, StoreError."""
    known = tenant.provenance(wanted)
    crates = [one for one in known.actions if any(file.path == METADATA for file in one.files)]
    return History(known, tuple(_telling(tenant, action) for action in crates[:_CRATES_MOST]))


def _telling(tenant: TenantStore, action: Action) -> Telling:
    [deed] = deeds_of([action])
    [file] = [file for file in action.files if file.path == METADATA]
    try:
        graph = read_graph(tenant.content(file, _METADATA_BYTES))
    except (DataRefused, StoreError) as error:
        return Telling(action.dataset, deed, (), problem=str(error))
    return Telling(action.dataset, deed, *claims_of(graph, _CLAIMS_MOST))
