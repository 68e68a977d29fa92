"""Streams to one peer: how one is opened, and a few that are kept open so that a connection need not wait.

A stream carries one connection after another, so keys are used up by connections at once and by bytes, not by the
number of connections.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from poliqi.apps.identity import Identity
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer
from poliqi.apps.stream.channel import Channel, connect
from poliqi.apps.tunnel.messages import Kind, kind_of, open_message, read_refusal
from poliqi.base.errors import DataRefused, LinkDown, PoliqiError, ProtocolError
from poliqi.edge.keyanswers import KeysNotReady
from poliqi.edge.network import Address, keep_alive

__all__ = ["Call", "Streams", "clearer", "when_ready"]

_CONNECT_S: Final = 10.0
_KEPT_S: Final = 60.0
_ANSWER_S: Final = 10.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """Opens a stream to a peer. Raises LinkDown, KeysNotReady, ProtocolError, ConfigError."""

    identity: Identity
    peer: Peer
    keys: KeySource
    purpose: str
    address: Address
    is_watched: bool = False
    """True where the other side always takes what is sent: then one that does not within 30 s is gone."""

    def __call__(self) -> Channel:
        try:
            connection = socket.create_connection((self.address.host, self.address.port), _CONNECT_S)
        except OSError as error:
            raise LinkDown(f"cannot connect to {self.address}: {error.strerror or error}") from error
        if self.is_watched:
            keep_alive(connection)
        rule = self.peer.rule
        return connect(connection, self.identity, self.peer.contact, self.keys, rule, self.purpose, _CONNECT_S)


def when_ready(error: PoliqiError) -> str:
    """The error as a line for the log, with when there will be key where that is what is missing."""
    if not isinstance(error, KeysNotReady):
        return str(error)
    when = "nobody can say when" if error.retry_s is None else f"expected in {error.retry_s:.0f} s"
    return f"no key, so nothing is sent: {error}; more key: {when}"


def clearer(first: PoliqiError | None, second: PoliqiError) -> PoliqiError:
    """Of two failures of one stream the one that says what to do: key that is missing before a line that is lost.

    The two directions of a stream fail in either order.
    """
    is_told = isinstance(second, KeysNotReady) and not isinstance(first, KeysNotReady)
    return second if first is None or is_told else first


class Streams:
    """Open streams to one peer that carry nothing at the moment. Any thread may call."""

    def __init__(
        self,
        call: Callable[[], Channel],
        warm: int,
        opened: Callable[[Channel], None] = lambda _channel: None,
        answer_s: float = _ANSWER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`warm` streams are kept ready; `opened` is told of each new one.

        A host that vanished without a word does not answer what is to be opened: after `answer_s` seconds that
        stream is given up.
        """
        self._call: Final = call
        self._warm: Final = warm
        self._opened: Final = opened
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._idle: Final[list[tuple[float, Channel]]] = []
        self._answer_s: Final = answer_s
        self._asked: Final[dict[Channel, float]] = {}
        self._changed: Final = threading.Event()
        self._stopped: Final = threading.Event()
        threading.Thread(target=self._keep, name="tunnel streams", daemon=True).start()

    def open_to(self, target: str) -> Channel:
        """A stream with a connection to `target` under way on it.

        Raises DataRefused where the other side says no, and what opening a stream raises.
        """
        question = open_message(target)
        while (waiting := self._take()) is not None:
            try:
                return self._ask(waiting, question)
            except (LinkDown, ProtocolError):  # it died while it waited
                continue
        return self._ask(self._new(), question)

    def give_back(self, channel: Channel) -> None:
        """Its connection has ended on both sides."""
        with self._lock:
            if not self._stopped.is_set():
                self._idle.append((self._clock(), channel))
                return
        channel.close()

    def close(self) -> None:
        """Hang up those that wait."""
        with self._lock:
            self._stopped.set()
            idle = [channel for _, channel in self._idle]
            self._idle.clear()
        self._changed.set()
        for channel in idle:
            _end(channel)

    def _take(self) -> Channel | None:
        with self._lock:
            found = self._idle.pop()[1] if self._idle else None
            is_short = len(self._idle) < self._warm
        if is_short:
            self._changed.set()
        return found

    def _new(self) -> Channel:
        channel = self._call()
        self._opened(channel)
        return channel

    def _ask(self, channel: Channel, question: bytes) -> Channel:
        with self._lock:
            self._asked[channel] = self._clock()
        try:
            channel.send(question)
            answer = channel.receive()
            if answer is None:
                raise LinkDown("tunnel: the other side ended the stream")
            kind = kind_of(answer)
            if kind is Kind.OPENED:
                return channel
            if kind is not Kind.REFUSED:
                raise ProtocolError(f"tunnel: {kind.name.lower()} is no answer to what was to be opened")
            reason = read_refusal(answer)
        except BaseException:
            channel.close()
            raise
        finally:
            with self._lock:
                del self._asked[channel]
        self.give_back(channel)
        raise DataRefused(f"{channel.peer} refuses: {reason}")

    def _keep(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stopped.is_set():
            self._changed.clear()
            self._give_up()
            if not self._missing():
                self._thin()
                self._changed.wait(self._answer_s / 2)
                continue
            try:
                self.give_back(self._new())
                wait_s = _FIRST_WAIT_S
            except PoliqiError as error:  # whoever needs a stream now is told the same
                told_s = error.retry_s if isinstance(error, KeysNotReady) and error.retry_s else 0.0
                self._stopped.wait(min(max(told_s, wait_s), _LONGEST_WAIT_S))
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _missing(self) -> bool:
        with self._lock:
            return len(self._idle) < self._warm

    def _give_up(self) -> None:
        """Close those that were asked too long ago; whoever waits for the answer comes back with LinkDown."""
        with self._lock:
            silent = [c for c, since in self._asked.items() if self._clock() - since > self._answer_s]
        for channel in silent:
            channel.close()

    def _thin(self) -> None:
        """Hang up those that nobody needed for a minute, beyond twice the warm ones."""
        with self._lock:
            many = max(0, len(self._idle) - 2 * self._warm)
            old = [pair for pair in self._idle[:many] if self._clock() - pair[0] > _KEPT_S]
            del self._idle[: len(old)]
        for _, channel in old:
            _end(channel)


def _end(channel: Channel) -> None:
    with suppress(PoliqiError):
        channel.finish()
    channel.close()
