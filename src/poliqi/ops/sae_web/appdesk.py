"""The desk of a running application: its peers, its key, its transfers, its inbox. Satisfies `Desk`."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from poliqi.apps.keygrade import GradeDemand, KeyGrade
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share import estimate as needs
from poliqi.apps.share.receipt import Receipt
from poliqi.apps.stream.terms import Mode, Policy
from poliqi.base.errors import ConfigError, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.ops.sae_web.desk import Arrival, DeskView, Direction, Estimate, Neighbour, Transfer
from poliqi.ops.sae_web.sending import Sending, Sendings
from poliqi.ops.sae_web.shelf import Shelf, receipt_id
from poliqi.ops.sae_web.stock import Stock, StockWatch
from poliqi.ops.sae_web.trouble import Trouble

__all__ = ["ApplicationDesk"]

_LINE_BYTES: Final = 160
"""Of the list of what is sent, for a file."""


class ApplicationDesk:
    """Close it with its application. Any thread may call."""

    def __init__(
        self,
        settings: SaeSettings,
        keys: KeySource,
        place: str,
        at_once: int,
        complain: Callable[[str], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._place: Final = place
        self._wall: Final = wall
        self._complain: Final = complain
        self._stock: Final = StockWatch(keys)
        self._is_foreign: Callable[[str], bool] = lambda _: False
        self._shelf: Final = Shelf(settings)
        self._sendings: Final = Sendings(keys, at_once, self._on_receipt, complain)
        self._lock: Final = threading.Lock()
        self._arrivals: Mapping[str, Arrival] = {}

    def change(self, settings: SaeSettings) -> None:
        """Other peers and rules, for what begins from now on."""
        self._settings = self._shelf.settings = settings

    def hide(self, is_foreign: Callable[[str], bool]) -> None:
        """What is sent under a name that `is_foreign` is somebody else's under this roof: not for `view`."""
        self._is_foreign = self._shelf.is_foreign = is_foreign

    @property
    def settings(self) -> SaeSettings:
        """Those in force."""
        return self._settings

    def close(self) -> None:
        """Ask all transfers to end."""
        self._sendings.close()
        self._stock.close()

    # ---- what is shown

    def view(self) -> DeskView:
        """Everything now."""
        settings = self._settings
        stocks = self._stock.look(_with_keys(settings))
        with self._lock:
            receipts = self._shelf.receipts()
            arrivals = self._shelf.arrivals(receipts)
            self._arrivals = {arrival.id: arrival for arrival in arrivals}
        peers = sorted(settings.peers.values(), key=lambda peer: peer.place.casefold())
        return DeskView(
            sae=settings.sae,
            place=self._place,
            is_simulated=settings.allow_simulated,
            unix_s=self._wall(),
            neighbours=tuple(_neighbour(peer, stocks.get(peer.sae, Stock())) for peer in peers),
            transfers=tuple(self._shown(s) for s in self._sendings.all if not self._is_foreign(s.files[0].name)),
            arrivals=tuple(arrivals),
            receipts=tuple(receipts),
        )

    def _shown(self, sending: Sending) -> Transfer:
        receipt = sending.receipt
        known = "" if receipt is None else receipt_id(Direction.SENT, sending.peer.sae, receipt.transfer)
        is_simulated = self._settings.allow_simulated if receipt is None else receipt.simulated
        return sending.shown(self._wait_s, is_simulated, known)

    def transfer(self, transfer: str) -> Transfer | None:
        """One of them, whoever's it is."""
        found = next((sending for sending in self._sendings.all if sending.id == transfer), None)
        return None if found is None else self._shown(found)

    def _wait_s(self, sending: Sending) -> float | None:
        peer = self._settings.peers.get(sending.peer.sae)
        return None if peer is None else self._estimate(peer, sending.size_bytes, sending.one_time).wait_s

    # ---- before it is sent

    def _peer(self, name: SaeId) -> Peer:
        found = self._settings.peer(name)
        if found is None:
            raise ConfigError(f"{name[:64]!r}: no site or application of this name is set up here")
        return found

    def estimate(self, peer: SaeId, size_bytes: int, one_time: bool) -> Estimate:
        """What so many bytes for this peer need, as far as is known."""
        return self._estimate(self._peer(peer), size_bytes, one_time)

    def _estimate(self, peer: Peer, size_bytes: int, one_time: bool) -> Estimate:
        stock = self._stock.look(_with_keys(self._settings)).get(peer.sae, Stock())
        rule = peer.one_time if one_time else peer.rule
        mode = needs.mode_of(rule, one_time)
        supply = stock.supply
        if mode is Mode.PQC:
            return Estimate(mode, 0, None if supply is None else supply.available_bytes, 0.0)
        if supply is None:
            size = size_bytes if mode is Mode.ONE_TIME else 32
            return Estimate(mode, size, None, None, stock.problem, stock.trouble)
        found = needs.estimate(needs.Load(1, size_bytes, _LINE_BYTES), supply, rule, one_time)
        problem = _objection(supply.grades, rule.demand)
        if rule.policy is Policy.PQC_FALLBACK and (problem or not found.is_ready):
            return Estimate(Mode.PQC, 0, found.available_bytes, 0.0)
        trouble = Trouble.KEY_GRADE if problem else None
        return Estimate(found.mode, found.needed_bytes, found.available_bytes, found.ready_s, problem, trouble)

    # ---- sending

    def begin(
        self,
        files: Sequence[Path],
        peer: SaeId,
        one_time: bool,
        who: str,
        done: Callable[[], None],
        *,
        size_bytes: int | None = None,
        on_receipt: Callable[[Receipt], None] | None = None,
    ) -> str:
        """Send these files, in turn; the transfer's id. Folders may be sent, too, with the size of what is in them.

        `on_receipt` is called before `done`; PoliqiError of it is told and changes nothing.
        """
        found = self._peer(peer)
        if found.address is None:
            raise ConfigError(f"{found.place} has no address in {self._settings.file.name}: it can only call")
        sending = Sending(
            id=secrets.token_hex(8),
            peer=found,
            files=tuple(files),
            size_bytes=sum(file.stat().st_size for file in files) if size_bytes is None else size_bytes,
            one_time=one_time,
            mode=needs.mode_of(found.one_time if one_time else found.rule, one_time),
            who=who,
            done=done,
            begun_unix_s=self._wall(),
            on_receipt=on_receipt,
        )
        self._sendings.begin(self._settings, sending)
        return sending.id

    def _on_receipt(self, sending: Sending, receipt: Receipt) -> None:
        self._shelf.note_sender(receipt.transfer, sending.who)
        if sending.on_receipt is not None:
            try:
                sending.on_receipt(receipt)
            except PoliqiError as error:
                self._complain(f"{sending.id} arrived, but that was not written down: {error}")

    def stop(self, transfer: str) -> bool:
        """Give one up."""
        return self._sendings.stop(transfer)

    # ---- what is kept

    def receipt(self, receipt: str) -> bytes | None:
        """A receipt as it is kept."""
        return self._shelf.receipt_bytes(receipt)

    def open(self, arrival: str, number: int) -> BinaryIO | None:
        """A file of the inbox."""
        found = self._arrivals.get(arrival)
        return None if found is None else self._shelf.open(found, number)


def _neighbour(peer: Peer, stock: Stock) -> Neighbour:
    can_be_called = peer.address is not None
    return Neighbour(
        peer.sae, peer.place, can_be_called, peer.rule.policy, stock.supply, stock.problem, stock.trouble
    )


def _objection(grades: Sequence[KeyGrade], demand: GradeDemand) -> str:
    """Why none of the keys that are there may be used, or nothing."""
    found = [demand.judge(grade) for grade in grades]
    return next((text for text in found if text), "") if found and all(found) else ""


def _with_keys(settings: SaeSettings) -> list[SaeId]:
    """The peers with whom quantum keys are shared."""
    return [peer.sae for peer in settings.peers.values() if peer.rule.policy is not Policy.PQC]
