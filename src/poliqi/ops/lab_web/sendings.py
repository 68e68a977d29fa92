"""Datasets on their way out: staged as crates, handed to the desk, written down when their receipt is there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poliqi.apps.settings import SaeSettings
from poliqi.apps.share.receipt import Receipt
from poliqi.base.errors import DataRefused
from poliqi.base.ids import SaeId
from poliqi.lab.store.records import Dataset, DatasetId
from poliqi.lab.store.tenant import TenantStore
from poliqi.ops.sae_web.desk import Estimate, Neighbour, Transfer

if TYPE_CHECKING:
    from poliqi.ops.lab_web.room import Guest, LabDesk

__all__ = ["Sendings"]

_KEPT: Final = 500
_VERIFIED_BYTES: Final = 1 << 30
"""Up to so much is read before it is sent; larger ones are held against their hashes by who receives them."""


@dataclass(frozen=True, slots=True)
class _Owned:
    tenant: str
    dataset: DatasetId


class Sendings:
    """Whose transfers are whose; the desk itself knows only what is sent. Any thread may call."""

    def __init__(self, desk: LabDesk, settings: Callable[[], SaeSettings | None] = lambda: None) -> None:
        self._desk: Final = desk
        self._settings: Final = settings
        self._lock: Final = threading.Lock()
        self._owned: Final[dict[str, _Owned]] = {}

    def estimate(
        self, store: TenantStore, dataset: DatasetId, peer: SaeId, one_time: bool, onward: str = ""
    ) -> Estimate:
        """What sending would need. Raises ConfigError where there is no such site."""
        from poliqi.lab.store.sending import staged_bytes

        return self._desk.estimate(peer, staged_bytes(store, dataset, onward), one_time)

    def begin(self, guest: Guest, dataset: Dataset, to: Neighbour, one_time: bool, onward: str = "") -> str:
        """Send it; the transfer's id. `onward`: whom that site is asked to send it on to.

        Raises PoliqiError where it cannot begin: nothing stays of it then.
        """
        from poliqi.lab.store.sending import note_sent, stage, staged_bytes

        store, who = guest.store, guest.who
        if dataset.size_bytes <= _VERIFIED_BYTES and (problems := store.verify(dataset.id)):
            raise DataRefused(f"dataset {dataset.id} is not sent: {problems[0]}; {len(problems)} files are damaged")

        def arrived(receipt: Receipt) -> None:
            note_sent(store, dataset.id, receipt, self._settings(), place=to.place, who=who)

        with ExitStack() as undoing:
            folder = undoing.enter_context(store.scratch())
            path = stage(store, dataset.id, folder, onward)
            size = staged_bytes(store, dataset.id, onward)
            kept = undoing.pop_all()
        done = _once(kept.close)
        try:
            made = self._desk.begin([path], to.sae, one_time, who, done, size_bytes=size, on_receipt=arrived)
        except BaseException:
            done()
            raise
        with self._lock:
            while len(self._owned) >= _KEPT:
                self._owned.pop(next(iter(self._owned)))
            self._owned[made] = _Owned(store.name, dataset.id)
        return made

    def of(self, guest: Guest, dataset: DatasetId) -> list[Transfer]:
        """Those of a dataset since the application started, the newest first."""
        mine = _Owned(guest.store.name, dataset)
        with self._lock:
            ids = [key for key, owned in self._owned.items() if owned == mine]
        found = [self._desk.transfer(key) for key in reversed(ids)]
        return [transfer for transfer in found if transfer is not None]

    def find(self, guest: Guest, transfer: str) -> tuple[Transfer, DatasetId] | None:
        """One of the guest's tenant, and of which dataset."""
        with self._lock:
            owned = self._owned.get(transfer)
        if owned is None or owned.tenant != guest.store.name:
            return None
        found = self._desk.transfer(transfer)
        return None if found is None else (found, owned.dataset)

    def stop(self, guest: Guest, transfer: str) -> bool:
        """Give one of the guest's tenant up."""
        return self.find(guest, transfer) is not None and self._desk.stop(transfer)


def _once(close: Callable[[], None]) -> Callable[[], None]:
    """The same, but a second call does nothing."""
    lock = threading.Lock()
    is_done = False

    def closing() -> None:
        nonlocal is_done
        with lock:
            if is_done:
                return
            is_done = True
        close()

    return closing
