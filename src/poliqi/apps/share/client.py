"""Send files to another application: for programs, pages and the command line.

Goes on by itself after a lost connection. What stopped for good is gone on with by calling again with the same
paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from poliqi.apps.dial import dialling
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share.estimate import Estimate, estimate
from poliqi.apps.share.messages import PURPOSE, RefusalCode, Refused
from poliqi.apps.share.outbox import Outbox
from poliqi.apps.share.progress import Phase, Progress
from poliqi.apps.share.receipt import Receipt, verify_receipt
from poliqi.apps.share.sender import Outgoing, Sent, Stopped, send_over
from poliqi.apps.share.source import Source
from poliqi.apps.stream.channel import Channel
from poliqi.apps.stream.terms import Policy
from poliqi.base.errors import LinkDown, ProtocolError, StoreError
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["Open", "send"]

Open = Callable[[], Channel]

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_LOOK_S: Final = 1.0
_DIFFERS_MOST: Final = 2
_WITHOUT_KEYS: Final = (Policy.PQC_FALLBACK, Policy.PQC)


def send(
    settings: SaeSettings,
    keys: KeySource,
    peer: Peer,
    paths: Sequence[Path],
    progress: Progress | None = None,
    *,
    one_time: bool = False,
    when_ready: bool = False,
    patience_s: float = 600.0,
    opening: Open | None = None,
) -> Receipt:
    """Send files and folders; the receipt, verified and kept in `settings.state`/receipts.

    `one_time`: under one-time pad. `when_ready`: wait for key rather than fail. `patience_s`: how long to try again
    while nothing gets through. `opening` opens a stream where it is not to be dialled.
    Raises ConfigError, DataRefused, Refused (by the receiver), KeysNotReady, LinkDown (Stopped where `progress` was
    asked to stop), ProtocolError, StoreError. All that was sent is kept, whatever is raised.
    """
    progress = progress or Progress()
    source = Source(paths)
    outbox = Outbox(settings.state, peer.sae, one_time, source, OperatingSystemEntropy())
    try:
        rule = peer.one_time if one_time else peer.rule
        call = opening or (lambda: dialling(settings, keys)(peer, rule, PURPOSE))
        sending = _Client(settings, keys, peer, outbox, progress, call, one_time, when_ready, patience_s)
        return sending.run()
    except OSError as error:
        raise StoreError(
            f"{settings.state}: {error.strerror}; mend that and send again, the rest follows"
        ) from error
    finally:
        source.close()
        outbox.close()


class _Client:
    def __init__(
        self,
        settings: SaeSettings,
        keys: KeySource,
        peer: Peer,
        outbox: Outbox,
        progress: Progress,
        opening: Open,
        one_time: bool,
        when_ready: bool,
        patience_s: float,
    ) -> None:
        self._settings: Final = settings
        self._keys: Final = keys
        self._peer: Final = peer
        self._outbox: Final = outbox
        self._progress: Final = progress
        self._opening: Final = opening
        self._one_time: Final = one_time
        self._when_ready: Final = when_ready
        self._patience_s: Final = patience_s
        self._differed = 0

    def run(self) -> Receipt:
        """Until there is a receipt for what is here now."""
        out = self._outbox.prepare(self._progress)
        while True:
            self._await_key(out)
            sent = self._send(out)
            receipt = verify_receipt(sent.receipt, self._peer.contact)
            if self._fits(receipt, out, sent):
                self._outbox.keep(out, sent.receipt)
                self._progress.enter(Phase.DONE)
                return receipt
            self._progress.note(
                f"an earlier state of {out.source.name} has arrived already; what is here now follows"
            )
            self._outbox.begin_anew()
            out = self._outbox.prepare(self._progress)

    def _fits(self, receipt: Receipt, out: Outgoing, sent: Sent) -> bool:
        """False where it is for an earlier state of the source. Raises ProtocolError on one for something else."""
        if (receipt.transfer, receipt.sender) != (out.transfer, self._settings.sae):
            raise ProtocolError(f"{self._peer.place} gave a receipt for another transfer: ask its operator")
        m = sent.manifest
        mine = m.digest, m.files, m.folders, m.size_bytes, m.left_out
        theirs = receipt.manifest_sha256, receipt.files, receipt.folders, receipt.size_bytes, receipt.left_out
        if mine == theirs and not m.missing:
            return True
        if sent.is_new:
            raise ProtocolError(f"{self._peer.place} signed for other files than were sent: ask its operator")
        return False

    def _await_key(self, out: Outgoing) -> None:
        """Under one-time pad key is there for all of it before anything is sent; else only with `when_ready`."""
        rule = self._peer.one_time if self._one_time else self._peer.rule
        is_one_time = self._one_time or rule.policy is Policy.ITS
        if rule.policy in _WITHOUT_KEYS or not (is_one_time or self._when_ready):
            return
        load = self._outbox.load(out)
        while True:
            found: Estimate = estimate(load, self._keys.supply(self._peer.sae), rule, is_one_time)
            if found.is_ready:
                return
            if not self._when_ready:
                raise KeysNotReady(
                    f"{found.text()}; nothing was sent: wait, send less, or have it wait with --when-ready",
                    found.ready_s,
                )
            self._progress.enter(Phase.WAITING_FOR_KEY)
            self._progress.note(found.text())
            self._pause(min(_LONGEST_WAIT_S, max(_LOOK_S, (found.ready_s or _LONGEST_WAIT_S) / 4)))

    def _send(self, out: Outgoing) -> Sent:
        """Try, and again where the connection is lost."""
        waited_s, wait_s, best = 0.0, _FIRST_WAIT_S, -1
        while True:
            try:
                return self._once(out)
            except Stopped:
                raise
            except KeysNotReady as error:
                if self._is_another_due(best):
                    best = self._progress.done_bytes
                    continue
                if not self._when_ready:
                    raise
                self._progress.enter(Phase.WAITING_FOR_KEY)
                self._progress.note(str(error))
                self._pause(min(_LONGEST_WAIT_S, max(_LOOK_S, error.retry_s or _LONGEST_WAIT_S)))
            except (LinkDown, Refused) as error:
                self._judge(error)
                if self._progress.done_bytes > best:
                    waited_s, wait_s, best = 0.0, _FIRST_WAIT_S, self._progress.done_bytes
                if waited_s >= self._patience_s:
                    raise
                self._progress.enter(Phase.WAITING_FOR_PEER)
                self._progress.note(f"{error}; again in {wait_s:g} s")
                self._pause(wait_s)
                waited_s, wait_s = waited_s + wait_s, min(2 * wait_s, _LONGEST_WAIT_S)

    def _is_another_due(self, best: int) -> bool:
        """True where a stream without a quantum key came to its limit, having got something through."""
        is_without = self._peer.rule.policy in _WITHOUT_KEYS and not self._one_time
        return is_without and self._progress.done_bytes > best

    def _judge(self, error: LinkDown | Refused) -> None:
        """Raise it again where another try does not mend it."""
        if not isinstance(error, Refused):
            return
        match error.refusal.code:
            case RefusalCode.CLOSING:
                return
            case RefusalCode.DIFFERS if self._differed < _DIFFERS_MOST:
                self._differed += 1
            case _:
                raise error

    def _once(self, out: Outgoing) -> Sent:
        self._progress.enter(Phase.CONNECTING)
        channel = self._opening()
        try:
            return send_over(channel, out, self._progress)
        finally:
            channel.close()

    def _pause(self, seconds: float) -> None:
        if self._progress.wait(seconds):
            raise Stopped("stopped; run the same command again and it goes on from here")
