"""The messenger behind an application's door: takes letters at any time, and brings what waits in its outbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from poliqi.apps.dial import dialling
from poliqi.apps.envelope.call import Question, answer_calls
from poliqi.apps.keysource import KeySource
from poliqi.apps.messenger.delivery import Postman
from poliqi.apps.messenger.letter import ANSWER_BYTES, decode_letter, encode_answer
from poliqi.apps.messenger.mailbox import Mailbox
from poliqi.apps.messenger.settings import PURPOSE, messenger_table, rule_for
from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import DataRefused, PoliqiError, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy

__all__ = ["Courier", "MessageService", "message_service", "open_mailbox"]

_LOOK_S: Final = 2.0
_LEAST_WAIT_S: Final = 2.0
_MOST_WAIT_S: Final = 60.0


def open_mailbox(settings: SaeSettings, entropy: Entropy, clock: Callable[[], float] = time.time) -> Mailbox:
    """Outbox and mailbox of an application. Raises StoreError."""
    return Mailbox(settings.state / "messenger", entropy, clock)


class MessageService:
    """Takes letters from peers. Implements apps.service.Service."""

    def __init__(
        self, settings: SaeSettings, mailbox: Mailbox, keys: KeySource, courier: Courier | None = None
    ) -> None:
        """Raises ConfigError where [messenger] is wrong. `courier` ends with the service."""
        messenger_table(settings)
        self._settings = settings
        self._mailbox: Final = mailbox
        self._keys: Final = keys
        self._courier: Final = courier

    @property
    def purpose(self) -> str:
        """As Service."""
        return PURPOSE

    def change(self, settings: SaeSettings) -> None:
        """Other peers and rules, from now on. Raises ConfigError where [messenger] is wrong."""
        messenger_table(settings)
        self._settings = settings
        if self._courier is not None:
            self._courier.change(settings)

    def serve(self, channel: Channel) -> None:
        """Take the caller's letters until it finishes."""
        peer = self._settings.peers.get(channel.peer)
        if peer is None:
            raise ProtocolError(f"{channel.peer} is no contact of {channel.local}")
        answer_calls(channel, self._keys, rule_for(self._settings, peer), self._take)

    def _take(self, question: Question) -> bytes:
        letter = decode_letter(question.body)
        if question.answer_bytes != ANSWER_BYTES:
            raise DataRefused(f"a letter is answered in {ANSWER_BYTES} bytes")
        return encode_answer(*self._mailbox.arrived(question.sender, letter, question.note))

    def close(self) -> None:
        """As Service."""
        if self._courier is not None:
            self._courier.close()
        self._mailbox.close()


class Courier:
    """A thread that tries again what could not be delivered, with longer pauses while a peer stays away."""

    def __init__(
        self, settings: SaeSettings, mailbox: Mailbox, postman: Postman, say: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._mailbox: Final = mailbox
        self._postman: Final = postman
        self._say: Final = say
        self._pauses: Final[dict[SaeId, tuple[float, float]]] = {}
        self._ended: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="courier", daemon=True)

    def change(self, settings: SaeSettings) -> None:
        """Other peers and rules, from the next round on."""
        self._settings = settings
        self._postman.change(settings)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End after the letter that is on its way."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(30.0)

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            try:
                self.round(time.monotonic())
            except PoliqiError as error:
                self._say(f"the outbox: {error}")

    def round(self, now_s: float) -> None:
        """Try every peer whose turn it is. Raises StoreError."""
        for name in self._mailbox.waiting_peers():
            due_s, pause_s = self._pauses.get(name, (0.0, _LEAST_WAIT_S))
            peer = self._settings.peers.get(name)
            if peer is None or peer.address is None or now_s < due_s or self._ended.is_set():
                continue
            outcome = self._postman.deliver(peer)
            if outcome.waiting == 0:
                self._pauses.pop(name, None)
                continue
            wait_s = min(max(pause_s, outcome.retry_s or 0.0), _MOST_WAIT_S)
            self._pauses[name] = (now_s + wait_s, min(2 * pause_s, _MOST_WAIT_S))
            if pause_s == _LEAST_WAIT_S:
                self._say(f"{outcome.waiting} messages wait for {peer.place}: {outcome.why}")


def message_service(
    settings: SaeSettings, keys: KeySource, entropy: Entropy, say: Callable[[str], None]
) -> MessageService:
    """The service with its outbox, its courier begun. Raises ConfigError, StoreError."""
    mailbox = open_mailbox(settings, entropy)
    postman = Postman(settings, mailbox, keys, dialling(settings, keys, say))
    courier = Courier(settings, mailbox, postman, say)
    service = MessageService(settings, mailbox, keys, courier)
    courier.start()
    return service
