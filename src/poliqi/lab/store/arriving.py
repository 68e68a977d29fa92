"""Datasets that arrive from other sites: taken into the store as they come, and sent on where that is asked for.

Work is done in one thread, apart from the streams: whoever sent does not wait for it. Nothing is lost by a crash:
what stands in the inbox is looked through at the start, what is to be sent on has a mark in the store.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share.inbox import Inbox, InboxRules
from poliqi.apps.share.receipt import Receipt, read_receipt
from poliqi.base.errors import ConfigError, DataRefused, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.folder import make_private_folder
from poliqi.lab.store.crate.paths import METADATA
from poliqi.lab.store.crate.take import look, take_crate
from poliqi.lab.store.records import ActionKind, DatasetId
from poliqi.lab.store.sending import outgoing_folder, receipt_action, receipt_files, send_dataset
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore

__all__ = ["Arriving", "TakingIn"]

_FIRST_WAIT_S: Final = 5.0
_LONGEST_WAIT_S: Final = 600.0
_MARK: Final = "onward-"

Tell = Callable[..., None]
"""Told an event, a text, and more by name, as the service's log has it."""


@dataclass(frozen=True, slots=True)
class TakingIn:
    """Where what arrives goes: the store, the tenant, and who is served onward, with the tenant that keeps it."""

    root: Path
    tenant: str
    forward: Mapping[str, str]


@dataclass(slots=True)
class _Onward:
    tenant: str
    dataset: DatasetId
    peer: SaeId
    due_s: float = 0.0
    wait_s: float = _FIRST_WAIT_S


class Arriving:
    """Takes in what it is told of, in turn. Any thread may call."""

    def __init__(self, settings: SaeSettings, keys: KeySource, rules: TakingIn, tell: Tell) -> None:
        self._settings = settings
        self._keys: Final = keys
        self._rules = rules
        self._tell: Final = tell
        self._inbox: Final = Inbox(settings.inbox, InboxRules.of(settings.extra))
        self._waiting: Final[queue.SimpleQueue[tuple[Path, Receipt] | None]] = queue.SimpleQueue()
        self._onward: list[_Onward] = []
        self._thread: Final = threading.Thread(target=self._run, name="arriving", daemon=True)

    def start(self) -> None:
        """Look through the inbox, then wait for more. Raises ConfigError, StoreError where there is no store."""
        store = LabStore.open(self._rules.root)
        for name in {self._rules.tenant, *self._rules.forward.values()}:
            with store.tenant(name) as tenant:
                self._onward += _marked(tenant, self._settings)
        self._look_through()
        self._thread.start()

    def sweep(self) -> None:
        """Take in what stands in the inbox, here and now, and end. Raises as `start`."""
        LabStore.open(self._rules.root).tenant(self._rules.tenant).close()
        self._look_through()
        self._waiting.put(None)
        self._run()

    def _look_through(self) -> None:
        for file in reversed(self._inbox.receipts()):
            with suppress(DataRefused):
                receipt = read_receipt(file.read_bytes())
                path = self._inbox.peer_path(SaeId(receipt.sender)) / receipt.stored_as
                if path.is_dir():
                    self._waiting.put((path, receipt))

    def arrived(self, path: Path, receipt: Receipt) -> None:
        """Something is in the inbox."""
        self._waiting.put((path, receipt))

    def change(self, settings: SaeSettings, rules: TakingIn) -> None:
        """Other peers and rules, for what comes from now on."""
        self._settings, self._rules = settings, rules

    def close(self) -> None:
        """Take no more; what is under way is gone on with at the next start."""
        self._waiting.put(None)

    def _run(self) -> None:
        while True:
            wait_s = min((one.due_s for one in self._onward), default=time.monotonic() + _LONGEST_WAIT_S)
            try:
                item = self._waiting.get(timeout=max(0.0, wait_s - time.monotonic()))
            except queue.Empty:
                self._send_on()
                continue
            if item is None:
                return
            try:
                self._take(*item)
            except PoliqiError as error:
                self._tell("lab-refused", f"{item[0].name} of {item[1].sender}: {error}", level="warning")
            except OSError as error:
                self._tell("lab-refused", f"{item[0].name}: {error.strerror}; it stays in the inbox", level="error")

    def _take(self, path: Path, receipt: Receipt) -> None:
        if not (path / METADATA).is_file() or path.is_symlink():
            return  # no crate: it is in the inbox, as everything else
        peer, name = self._place(look(path).onward)
        with LabStore.open(self._rules.root).tenant(name) as tenant:
            standing = tenant.find_action(ActionKind.RECEIVED, receipt.transfer)
            if standing is None:
                signed = self._inbox.receipt_file(SaeId(receipt.sender), receipt.transfer)
                place = self._settings.peer(receipt.sender)
                action = receipt_action(
                    ActionKind.RECEIVED, receipt, receipt_files(signed), place=place.place if place else ""
                )
                dataset = take_crate(tenant, path, action).dataset
                identifier, title = dataset.id, dataset.title
            else:
                identifier, title = standing.dataset, tenant.dataset(standing.dataset).title
            if peer is not None:
                self._mark(tenant, identifier, peer)
        shutil.rmtree(path)
        text = f"{title!r} of {receipt.sender} is dataset {identifier} of {name}"
        more = {"dataset": identifier, "tenant": name, "transfer": receipt.transfer}
        self._tell("lab-taken-in", text, peer=receipt.sender, **more)

    def _place(self, onward: str) -> tuple[Peer | None, str]:
        """Whom a crate is to be sent on to, and the tenant that keeps it. Raises DataRefused."""
        if not onward:
            return None, self._rules.tenant
        peer = self._settings.peer(onward)
        for name, tenant in self._rules.forward.items():
            if peer is not None and self._settings.peer(name) is peer:
                return peer, tenant
        raise DataRefused(
            f"it is to be sent on to {onward[:60]!r}, and lab.forward of {self._settings.file.name} does not name "
            "that; it stays in the inbox"
        )

    def _mark(self, tenant: TenantStore, dataset: DatasetId, peer: Peer) -> None:
        folder = outgoing_folder(tenant, peer)
        make_private_folder(folder)
        (folder / f"{_MARK}{dataset}").touch(mode=0o600)
        self._onward.append(_Onward(tenant.name, dataset, peer.sae))

    def _send_on(self) -> None:
        now = time.monotonic()
        for one in [one for one in self._onward if one.due_s <= now]:
            try:
                self._send(one)
                self._onward.remove(one)
            except PoliqiError as error:
                text = f"dataset {one.dataset} for {one.peer}: {error}; again in {one.wait_s:g} s"
                self._tell("lab-onward-waits", text, peer=one.peer, level="warning")
                one.due_s = time.monotonic() + one.wait_s
                one.wait_s = min(_LONGEST_WAIT_S, 2 * one.wait_s)

    def _send(self, one: _Onward) -> None:
        settings = self._settings
        peer = settings.peers.get(one.peer)
        if peer is None:
            raise ConfigError(f"{one.peer} is no peer any more")
        with LabStore.open(self._rules.root).tenant(one.tenant) as tenant:
            receipt = send_dataset(settings, self._keys, peer, tenant, one.dataset, patience_s=0.0)
            (outgoing_folder(tenant, peer) / f"{_MARK}{one.dataset}").unlink(missing_ok=True)
        text = f"dataset {one.dataset} was sent on to {peer.place}, mode {receipt.mode}"
        self._tell("lab-sent-on", text, peer=one.peer, dataset=one.dataset, mode=receipt.mode)


def _marked(tenant: TenantStore, settings: SaeSettings) -> list[_Onward]:
    """What was to be sent on when the service ended."""
    found: list[_Onward] = []
    for peer in settings.peers.values():
        marks = outgoing_folder(tenant, peer).glob(f"{_MARK}*")
        found += [_Onward(tenant.name, DatasetId(mark.name.removeprefix(_MARK)), peer.sae) for mark in marks]
    return found
