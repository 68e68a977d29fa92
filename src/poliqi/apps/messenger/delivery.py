"""Bringing what waits in the outbox to a peer: a fresh pad for every attempt, one process at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.apps.dial import Dial
from poliqi.apps.envelope.call import Caller
from poliqi.apps.keysource import KeySource
from poliqi.apps.messenger.letter import ANSWER_BYTES, Verdict, decode_answer, encode_letter, padded_bytes
from poliqi.apps.messenger.mailbox import Mailbox, Waiting
from poliqi.apps.messenger.settings import PURPOSE, messenger_table, rule_for
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.base.errors import PoliqiError, ProtocolError, StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["Delivery", "Postman", "only_one"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the letters for a peer: how many were acknowledged, how many wait, and why they do."""

    delivered: int
    waiting: int
    why: str = ""
    retry_s: float | None = None
    """When there will be key again, in seconds, where that is what is missing and somebody can say."""


class Postman:
    """Delivers letters of one application. Any thread may call; letters of a peer go one after the other."""

    def __init__(self, settings: SaeSettings, mailbox: Mailbox, keys: KeySource, dial: Dial) -> None:
        """Raises ConfigError where [messenger] is wrong."""
        self._settings = settings
        self._mailbox: Final = mailbox
        self._keys: Final = keys
        self._dial: Final = dial
        self._step: Final = messenger_table(settings).pad_to

    def change(self, settings: SaeSettings) -> None:
        """Other peers and rules, for what is delivered from now on."""
        self._settings = settings

    def deliver(self, peer: Peer) -> Delivery:
        """Bring all that waits for a peer, as far as it goes. Raises StoreError alone: all else is an outcome."""
        done = 0
        try:
            with only_one(self._settings.state, peer.sae) as is_mine:
                if not is_mine:
                    return Delivery(0, self._mailbox.waiting(peer.sae), "another process is delivering them now")
                if self._mailbox.first_waiting(peer.sae) is None:
                    return Delivery(0, 0)
                caller = self.call(peer)
                try:
                    while (waiting := self._mailbox.first_waiting(peer.sae)) is not None:
                        self.hand_over(caller, peer.sae, waiting)
                        done += 1
                finally:
                    caller.finish()
        except StoreError:
            raise
        except PoliqiError as error:
            self._mailbox.undelivered(peer.sae, str(error))
            retry_s = error.retry_s if isinstance(error, KeysNotReady) else None
            return Delivery(done, self._mailbox.waiting(peer.sae), str(error), retry_s)
        return Delivery(done, 0)

    def call(self, peer: Peer) -> Caller:
        """A stream to the peer's messenger. Raises ConfigError, LinkDown and as `connect`."""
        rule = rule_for(self._settings, peer)
        return Caller(self._dial(peer, rule.carriage(peer), PURPOSE), self._keys, rule)

    def hand_over(self, caller: Caller, peer: SaeId, waiting: Waiting, size: int | None = None) -> None:
        """One letter, under a pad of its own; numbered anew at most once. Raises as `Caller.ask`."""
        for _ in range(2):
            bytes_ = padded_bytes(len(waiting.letter.text.encode()), self._step) if size is None else size
            answer, note = caller.ask(encode_letter(waiting.letter, bytes_), ANSWER_BYTES)
            verdict, _last = decode_answer(answer)
            if verdict is Verdict.STORED:
                self._mailbox.delivered(waiting, note)
                return
            self._mailbox.renumber(peer)
            again = self._mailbox.first_waiting(peer)
            if again is None or again.number != waiting.number:
                return
            waiting = again
        raise ProtocolError(f"{peer} refuses the first number of a new line: its mailbox contradicts itself")


@contextmanager
def only_one(state: Path, peer: SaeId) -> Generator[bool]:
    """Whether this process alone delivers to the peer, as long as the block runs. Raises StoreError."""
    name = f"deliver-{hashlib.sha256(peer.encode()).hexdigest()[:16]}.lock"
    try:
        handle = os.open(state / "messenger" / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(f"{state / 'messenger' / name}: cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(handle)
