"""The service behind an application's door that takes what others send: purpose "send 1"."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from poliqi.apps.settings import SaeSettings
from poliqi.apps.share.inbox import Inbox, InboxRules
from poliqi.apps.share.manifest import Manifest, close_manifest
from poliqi.apps.share.messages import PURPOSE, Kind, Offer, Refusal, RefusalCode, pack, read_json, split
from poliqi.apps.share.receipt import Receipt, sign_receipt, total
from poliqi.apps.share.receiver import Receiving
from poliqi.apps.share.staged import Staged
from poliqi.apps.stream.channel import Channel
from poliqi.apps.stream.terms import Mode
from poliqi.base.errors import LinkDown, StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.durable import replace_file
from poliqi.edge.folder import make_private_folder

__all__ = ["Arrival", "InboxService"]

_TAKEOVER_S: Final = 10.0
_TIDY_S: Final = 3600.0

Arrival = Callable[[Path, Receipt], None]
"""Told of everything that has arrived: where it is, and its receipt."""


class _Turn:
    """Whose turn a transfer is: the newest stream's. An older one, of a connection that is dead, is hung up on."""

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.channel: Channel | None = None
        self.streams = 0
        """That have it or wait for it."""


class InboxService:
    """Any number of senders at once. Raises StoreError where the inbox cannot be used, ConfigError for [inbox]."""

    def __init__(
        self,
        settings: SaeSettings,
        on_arrival: Arrival | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._settings = settings
        self._on_arrival: Final = on_arrival
        self._clock_ns: Final = clock_ns
        self._inbox: Final = Inbox(settings.inbox, InboxRules.of(settings.extra))
        self._lock: Final = threading.Lock()
        self._turns: Final[dict[tuple[SaeId, str], _Turn]] = {}
        self._is_closed = False
        self._tidied_s = 0.0

    @property
    def purpose(self) -> str:
        """What callers name."""
        return PURPOSE

    def serve(self, channel: Channel) -> None:
        """Take one transfer, or what is missing of it."""
        self._tidy()
        message = channel.receive()
        if message is None:
            raise LinkDown(f"{channel.peer} ended the stream before its offer")
        offer = read_json(split(message, Kind.OFFER)[1], Offer)
        with self._turn(channel, offer.transfer) as is_mine:
            if is_mine:
                Receiving(channel, self._inbox, self._give, self._clock_ns).run(offer)
            else:
                channel.send(pack(Kind.REFUSED, Refusal(RefusalCode.CLOSING)))
                channel.finish()

    def change(self, settings: SaeSettings) -> None:
        """Other contacts and rules, for what comes from now on; the inbox stays where it is."""
        self._settings = settings

    def close(self) -> None:
        """Take no more."""
        with self._lock:
            self._is_closed = True
            channels = [turn.channel for turn in self._turns.values() if turn.channel is not None]
        for channel in channels:
            channel.close()

    @contextmanager
    def _turn(self, channel: Channel, transfer: str) -> Generator[bool]:
        """The turn; False where the one before does not end in time, or the service is closing."""
        key = channel.peer, transfer
        with self._lock:
            turn = self._turns.setdefault(key, _Turn())
            turn.streams += 1
            before = turn.channel
        if before is not None:
            before.close()
        has_it = turn.lock.acquire(timeout=_TAKEOVER_S)
        try:
            with self._lock:
                is_mine = has_it and not self._is_closed
                if is_mine:
                    turn.channel = channel
            yield is_mine
        finally:
            with self._lock:
                turn.streams -= 1
                if not turn.streams:
                    del self._turns[key]
                if has_it:
                    turn.channel = None
                    turn.lock.release()

    def _tidy(self) -> None:
        with self._lock:
            is_time = time.monotonic() - self._tidied_s > _TIDY_S or not self._tidied_s
            if is_time:
                self._tidied_s = time.monotonic()
        if is_time:
            self._inbox.tidy()

    def _give(self, staged: Staged, manifest: Manifest, channel: Channel) -> bytes:
        """Put what came in its place, durable first; then sign for it. Raises OSError, StoreError."""
        if manifest.missing or not manifest.files + manifest.folders:
            raise StoreError(
                f"transfer {staged.folder.name}: {manifest.missing} of its files are not known to have come; "
                "no receipt is given"
            )
        staged.sync()
        if not staged.is_moved:
            self._move(staged, channel.peer)
        receipt = self._receipt(staged, manifest, channel)
        signed = sign_receipt(receipt, self._settings.identity)
        file = self._inbox.receipt_file(channel.peer, staged.folder.name)
        make_private_folder(file.parent)
        with file.with_suffix(".manifest").open("wb") as out:
            close_manifest(staged.ledger.list_path, staged.ledger.facts, out.write)
            out.flush()
            os.fsync(out.fileno())
        replace_file(file, signed)
        staged.remove()
        if self._on_arrival is not None:
            self._on_arrival(self._inbox.peer_path(channel.peer) / receipt.stored_as, receipt)
        return signed

    def _move(self, staged: Staged, peer: SaeId) -> None:
        """Under a free name, which is written down first: after a crash it is known where what was moved is."""
        root, state = staged.root, staged.state
        tree = os.open(staged.folder / "tree", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while True:
                state.placed = self._inbox.free_name(peer, root.path, root.is_folder)
                staged.save()
                if self._inbox.move(peer, tree, root.path, state.placed):
                    return
        finally:
            os.close(tree)

    def _receipt(self, staged: Staged, manifest: Manifest, channel: Channel) -> Receipt:
        state, settings = staged.state, self._settings
        streams = tuple(state.streams)
        modes = {stream.mode for stream in streams} | set(state.earlier_modes)
        peer = settings.peers.get(channel.peer)
        rule = None if peer is None else peer.one_time if modes == {Mode.ONE_TIME} else peer.rule
        return Receipt(
            transfer=staged.folder.name,
            name=staged.root.path,
            stored_as=state.placed or "",
            sender=channel.peer,
            receiver=settings.sae,
            sender_fingerprint="" if peer is None else peer.contact.fingerprint,
            receiver_fingerprint=settings.identity.contact.fingerprint,
            begun=iso_time(state.begun_ns),
            received=iso_time(self._clock_ns()),
            clock_skew_s=round(state.skew_ns / 1e9, 3),
            mode=" and ".join(sorted(mode.value for mode in modes)),
            policy="" if rule is None else rule.policy.value,
            simulated=state.earlier_simulated or any(stream.simulated for stream in streams),
            epsilon=total(
                [*([state.earlier_epsilon] if state.earlier_streams else ()), *(s.epsilon for s in streams)]
            ),
            manifest_sha256=manifest.digest,
            files=manifest.files,
            folders=manifest.folders,
            size_bytes=manifest.size_bytes,
            left_out=manifest.left_out,
            streams=streams,
            earlier_streams=state.earlier_streams,
        )


def iso_time(unix_ns: int) -> str:
    """A moment as "2026-11-23T07:00:00.123Z"."""
    moment = datetime.fromtimestamp(unix_ns // 1_000_000 / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
