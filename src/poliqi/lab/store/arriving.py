"""Datasets that arrive from other sites: taken into the store as they come, and sent on where that is asked for.

Work is done in one thread, apart from the streams: whoever sent does not wait for it. Nothing is lost by a crash:
what stands in the inbox is looked through at the start, what is to be sent on has a mark in the store. Nothing is
removed from the inbox but what the store holds (`arrived`).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share.inbox import Inbox, InboxRules
from poliqi.apps.share.names import peer_folder
from poliqi.apps.share.receipt import Receipt, read_receipt
from poliqi.base.errors import ConfigError, DataRefused, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.folder import make_private_folder
from poliqi.lab.store.arrived import check_arrived, check_stands, hold, remove_arrived
from poliqi.lab.store.crate.paths import METADATA
from poliqi.lab.store.crate.take import look, take_crate
from poliqi.lab.store.outgoing import MARK, marks_below
from poliqi.lab.store.records import ActionKind, Dataset, DatasetId
from poliqi.lab.store.sending import (
    enter_missed_of,
    outgoing_folder,
    receipt_action,
    receipt_files,
    received_key,
    send_dataset,
)
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore

__all__ = ["Arriving", "TakingIn"]

_FIRST_WAIT_S: Final = 5.0
_LONGEST_WAIT_S: Final = 600.0

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

    def is_of(self, other: _Onward) -> bool:
        """True for the same mark."""
        return (self.tenant, self.dataset, self.peer) == (other.tenant, other.dataset, other.peer)


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
        store.tenant(self._rules.tenant).close()
        for peer, name in self._served().items():
            with store.tenant(name) as tenant:
                self._onward += _marked(tenant, self._settings.peers[peer])
        self._tell_unserved(store)
        self._look_through()
        self._thread.start()

    def _tell_unserved(self, store: LabStore) -> None:
        """Marks that nobody sends: lab.forward was changed since, or the peer was removed. They stay."""
        served = {(name, peer_folder(peer)) for peer, name in self._served().items()}
        for name in store.tenants():
            try:
                with store.tenant(name) as tenant:
                    waiting = marks_below(tenant.folder)
            except PoliqiError as error:  # no other tenant waits for this one
                text = f"tenant {name} was not looked through for what is to be sent on: {error}"
                self._tell("lab-onward-unread", text, level="warning")
                continue
            for folder, count in waiting.items():
                if (name, folder) not in served:
                    text = (
                        f"{count} datasets of tenant {name} are for {folder}, which lab.forward does not name for "
                        f"it any more; name it again, or remove {MARK}* in tenants/{name}/outgoing/{folder}"
                    )
                    self._tell("lab-onward-unserved", text, level="warning")

    def sweep(self) -> None:
        """Take in what stands in the inbox, here and now, and end. Raises as `start`."""
        LabStore.open(self._rules.root).tenant(self._rules.tenant).close()
        self._look_through()
        self._waiting.put(None)
        self._run()

    def _look_through(self) -> None:
        found: dict[Path, Receipt] = {}
        for file in self._inbox.receipts():  # the newest first: earlier ones of a name are of what is gone
            with suppress(DataRefused):
                receipt = read_receipt(file.read_bytes())
                path = self._inbox.peer_path(SaeId(receipt.sender)) / receipt.stored_as
                if path.is_dir():
                    found.setdefault(path, receipt)
        for item in reversed(found.items()):
            self._waiting.put(item)

    def arrived(self, path: Path, receipt: Receipt) -> None:
        """Something is in the inbox."""
        self._waiting.put((path, receipt))

    def change(self, settings: SaeSettings, rules: TakingIn | None) -> None:
        """Other peers and rules, for what comes from now on; without rules nothing is sent on any more."""
        self._settings, self._rules = settings, rules or replace(self._rules, forward={})

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
            path, receipt = item
            try:
                self._take(path, receipt)
            except PoliqiError as error:
                self._tell("lab-refused", f"{path.name} of {receipt.sender}: {error}", level="warning")
            except Exception as error:  # whatever one crate does, the next ones are taken in
                text = f"{path.name} of {receipt.sender}: {_words(error)}; it stays in the inbox"
                self._tell("lab-refused", text, level="error")

    def _take(self, path: Path, receipt: Receipt) -> None:
        if not (path / METADATA).is_file() or path.is_symlink():
            return  # no crate: it is in the inbox, as everything else
        with hold(path):
            peer, name = self._place(look(path).onward)
            with LabStore.open(self._rules.root).tenant(name) as tenant:
                dataset = self._standing(tenant, path, receipt) or self._enter(tenant, path, receipt)
                if peer is not None:
                    self._mark(tenant, dataset.id, peer)
            remove_arrived(path)
        text = f"{dataset.title!r} of {receipt.sender} is dataset {dataset.id} of {tenant.name}"
        more = {"dataset": dataset.id, "tenant": tenant.name, "transfer": receipt.transfer}
        self._tell("lab-taken-in", text, peer=receipt.sender, **more)

    def _standing(self, tenant: TenantStore, path: Path, receipt: Receipt) -> Dataset | None:
        """What it became before a crash kept it from being removed. Raises DataRefused where it is another."""
        standing = tenant.find_action(ActionKind.RECEIVED, received_key(receipt))
        check_arrived(path, receipt, self._signed(receipt), is_rest=standing is not None)
        if standing is None:
            return None
        check_stands(tenant, standing, receipt)
        return tenant.dataset(standing.dataset)

    def _enter(self, tenant: TenantStore, path: Path, receipt: Receipt) -> Dataset:
        place = self._settings.peer(receipt.sender)
        files = receipt_files(self._signed(receipt))
        action = receipt_action(ActionKind.RECEIVED, receipt, files, place=place.place if place else "")
        return take_crate(tenant, path, action).dataset

    def _signed(self, receipt: Receipt) -> Path:
        return self._inbox.receipt_file(SaeId(receipt.sender), receipt.transfer)

    def _served(self) -> dict[SaeId, str]:
        """Who is sent what passes through for them now, each with the tenant that keeps it."""
        found: dict[SaeId, str] = {}
        for name, tenant in self._rules.forward.items():
            peer = self._settings.peer(name)
            if peer is not None:
                found.setdefault(peer.sae, tenant)
        return found

    def _place(self, onward: str) -> tuple[Peer | None, str]:
        """Whom a crate is to be sent on to, and the tenant that keeps it. Raises DataRefused."""
        if not onward:
            return None, self._rules.tenant
        peer = self._settings.peer(onward)
        tenant = None if peer is None else self._served().get(peer.sae)
        if peer is not None and tenant is not None:
            return peer, tenant
        raise DataRefused(
            f"it is to be sent on to {onward[:60]!r}, and lab.forward of {self._settings.file.name} does not name "
            "that; it stays in the inbox"
        )

    def _mark(self, tenant: TenantStore, dataset: DatasetId, peer: Peer) -> None:
        folder = outgoing_folder(tenant, peer)
        make_private_folder(folder)
        (folder / f"{MARK}{dataset}").touch(mode=0o600)
        one = _Onward(tenant.name, dataset, peer.sae)
        if not any(one.is_of(other) for other in self._onward):
            self._onward.append(one)

    def _send_on(self) -> None:
        now = time.monotonic()
        for one in [one for one in self._onward if one.due_s <= now]:
            try:
                self._send(one)
                self._onward.remove(one)
            except Exception as error:  # whatever one does, the others are sent, and intake goes on
                text = f"dataset {one.dataset} for {one.peer}: {_words(error)}; again in {one.wait_s:g} s"
                self._tell("lab-onward-waits", text, peer=one.peer, level="warning")
                one.due_s = time.monotonic() + one.wait_s
                one.wait_s = min(_LONGEST_WAIT_S, 2 * one.wait_s)

    def _send(self, one: _Onward) -> None:
        settings = self._settings
        peer = settings.peers.get(one.peer)
        if peer is None:
            raise ConfigError(f"{one.peer} is no peer any more")
        if self._served().get(one.peer) != one.tenant:
            raise ConfigError(f"lab.forward does not name it for tenant {one.tenant} any more")
        with LabStore.open(self._rules.root).tenant(one.tenant) as tenant:
            mark = outgoing_folder(tenant, peer) / f"{MARK}{one.dataset}"
            if _was_sent(tenant, one):  # and a crash left the mark
                mark.unlink(missing_ok=True)
                return
            missed = enter_missed_of(tenant, one.dataset, peer, settings)
            if missed is not None:  # it was sent, and its receipt could not be entered
                mark.unlink(missing_ok=True)
                text = f"receipt {missed.key} had not been entered; dataset {one.dataset} is not sent on again"
                self._tell("lab-receipt-entered", text, dataset=one.dataset, transfer=missed.key)
                return
            receipt = send_dataset(settings, self._keys, peer, tenant, one.dataset, patience_s=0.0)
            mark.unlink(missing_ok=True)
        text = f"dataset {one.dataset} was sent on to {peer.place}, mode {receipt.mode}"
        self._tell("lab-sent-on", text, peer=one.peer, dataset=one.dataset, mode=receipt.mode)


def _marked(tenant: TenantStore, peer: Peer) -> list[_Onward]:
    """What was to be sent on to a peer when the service ended."""
    marks = outgoing_folder(tenant, peer).glob(f"{MARK}*")
    return [_Onward(tenant.name, DatasetId(mark.name.removeprefix(MARK)), peer.sae) for mark in marks]


def _was_sent(tenant: TenantStore, one: _Onward) -> bool:
    sent = [action for action in tenant.actions(one.dataset) if action.kind is ActionKind.SENT]
    return any(msgspec.json.decode(action.facts_json).get("receiver") == one.peer for action in sent)


def _words(error: Exception) -> str:
    """For the log: what was not foreseen is named by its type, and cannot write lines of its own."""
    if isinstance(error, PoliqiError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__} {str(error)[:200]!r}"
