"""The wires between processes: streams that are slow, that break, that fall silent; each keeps its order.

A stream loses nothing in its middle: what was sent arrives in order or the stream ends, as with TCP. A partition
stops what is on its way; it arrives when the partition is over, unless an end has lost its patience by then.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np

from poliqi.keys.messages import KemMessage, encode
from poliqi.twin.clock import Clock

__all__ = ["Network", "Party", "Stream"]

_BACKOFF_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 1.0
_HANDSHAKE_TRIPS: Final = 3.0
_DRAWN: Final = encode(KemMessage(1, 0, b""))[:2]
"""How a step of a post-quantum agreement begins: the library draws its keys, so that they differ in each run."""


class Party(Protocol):
    """A process that talks: it has a name, and is alive or not."""

    name: str
    is_alive: bool

    def began(self, stream: Stream) -> None:
        """A stream to another process stands."""
        ...

    def heard(self, stream: Stream, frame: bytes) -> None:
        """A frame arrived."""
        ...

    def ended(self, stream: Stream) -> None:
        """The stream is gone, as far as this end knows."""
        ...


class Stream:
    """One connection. `other` of an end is the party at the other one."""

    __slots__ = ("_late", "_network", "held", "is_open", "is_stalled", "left", "number", "right")

    def __init__(self, network: Network, left: Party, right: Party) -> None:
        self._network: Final = network
        self.left: Final = left
        self.right: Final = right
        self.is_open = True
        self.is_stalled = False
        self.number: dict[str, int] = {}
        """What each end calls this connection, by the end's name."""
        self.held: Final[deque[tuple[Party, bytes]]] = deque()
        self._late: Final = {left.name: 0.0, right.name: 0.0}

    def other(self, end: Party) -> Party:
        """The party at the other end."""
        return self.right if end is self.left else self.left

    def send(self, sender: Party, frame: bytes) -> None:
        """Let a frame travel."""
        if not self.is_open:
            return
        network = self._network
        receiver = self.other(sender)
        network.note(sender.name, frame)
        arrives = max(self._late[receiver.name], network.clock.now + network.trip_s())
        self._late[receiver.name] = arrives
        network.clock.at(arrives, partial(self._arrive, receiver, frame))

    def _arrive(self, receiver: Party, frame: bytes) -> None:
        if not self.is_open:
            return
        if self.is_stalled or self.held:
            self.held.append((receiver, frame))
        elif receiver.is_alive:
            receiver.heard(self, frame)

    def resume(self) -> None:
        """The silence is over: what waited arrives."""
        self.is_stalled = False
        while self.held and self.is_open and not self.is_stalled:
            receiver, frame = self.held.popleft()
            if receiver.is_alive:
                receiver.heard(self, frame)

    def close(self, by: Party | None = None) -> None:
        """End the stream. The end that ends it knows; the other learns of it a trip later."""
        if not self.is_open:
            return
        self.is_open = False
        self.held.clear()
        self._network.forget(self)
        for end in (self.left, self.right):
            if end is by:
                end.ended(self)
            else:
                self._network.clock.after(self._network.trip_s(), partial(end.ended, self))


@dataclass(slots=True)
class _Call:
    """One process keeps calling another."""

    caller: Party
    called: Party
    is_wanted: Callable[[], bool]
    wait_s: float = _BACKOFF_S
    is_over: bool = False


class Network:
    """Every stream, who may not reach whom, and who calls whom."""

    def __init__(self, clock: Clock, dice: np.random.Generator, delay_s: float, jitter_s: float) -> None:
        self.clock: Final = clock
        self._dice: Final = dice
        self._delay_s: Final = delay_s
        self._jitter_s: Final = jitter_s
        self._streams: Final[dict[frozenset[str], Stream]] = {}
        self.frames = 0
        self._said: Final = hashlib.blake2b(digest_size=16)
        self._calls: Final[dict[frozenset[str], _Call]] = {}
        self._parted: Final[dict[frozenset[str], int]] = {}
        """Pairs that a partition keeps apart, and how many partitions do."""

    def trip_s(self) -> float:
        """How long a frame takes."""
        return self._delay_s + self._jitter_s * float(self._dice.random())

    def note(self, sender: str, frame: bytes) -> None:
        """Count a frame into the digest of everything that was ever said."""
        self.frames += 1
        self._said.update(sender.encode())
        self._said.update(len(frame).to_bytes(4, "big") if frame.startswith(_DRAWN) else frame)

    @property
    def digest(self) -> str:
        """Of every frame so far, in order: two runs that differ anywhere differ here."""
        return self._said.copy().hexdigest()

    def stream(self, a: str, b: str) -> Stream | None:
        """The stream between two, where one stands."""
        return self._streams.get(frozenset((a, b)))

    # ---------------------------------------------------------------- calling

    def keep_calling(self, caller: Party, called: Party, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Have one party call another whenever there is no stream between them and one is wanted."""
        call = _Call(caller, called, is_wanted)
        self._calls[frozenset((caller.name, called.name))] = call
        self.clock.after(self.trip_s(), partial(self._try, call))

    def stop_calling(self, caller: Party, called: Party) -> None:
        """Call no more."""
        call = self._calls.pop(frozenset((caller.name, called.name)), None)
        if call is not None:
            call.is_over = True

    def forget(self, stream: Stream) -> None:
        """A stream ended: its caller tries again."""
        pair = frozenset((stream.left.name, stream.right.name))
        if self._streams.get(pair) is stream:
            del self._streams[pair]
            call = self._calls.get(pair)
            if call is not None:
                self.clock.after(_BACKOFF_S * (0.5 + 0.5 * float(self._dice.random())), partial(self._try, call))

    def _try(self, call: _Call) -> None:
        a, b = call.caller, call.called
        if call.is_over or self.stream(a.name, b.name) is not None:
            return
        if not (a.is_alive and b.is_alive) or self.is_apart(a.name, b.name) or not call.is_wanted():
            call.wait_s = min(2 * call.wait_s, _LONGEST_BACKOFF_S)
            self.clock.after(call.wait_s * (0.5 + 0.5 * float(self._dice.random())), partial(self._try, call))
        else:
            call.wait_s = _BACKOFF_S
            self.clock.after(_HANDSHAKE_TRIPS * self.trip_s(), partial(self._meet, call))

    def _meet(self, call: _Call) -> None:
        a, b = call.caller, call.called
        if call.is_over or self.stream(a.name, b.name) is not None:
            return
        if not (a.is_alive and b.is_alive) or self.is_apart(a.name, b.name):
            self._try(call)
            return
        stream = Stream(self, a, b)
        self._streams[frozenset((a.name, b.name))] = stream
        a.began(stream)
        if stream.is_open:
            b.began(stream)

    # ---------------------------------------------------------------- trouble

    def is_apart(self, a: str, b: str) -> bool:
        """True while a partition is between two."""
        return bool(self._parted) and frozenset((a, b)) in self._parted

    def part(self, pairs: list[frozenset[str]], patience_s: float) -> None:
        """Nothing passes between these pairs until `heal`; who waits longer than about `patience_s` hangs up."""
        for pair in pairs:
            self._parted[pair] = self._parted.get(pair, 0) + 1
            stream = self._streams.get(pair)
            if stream is not None and not stream.is_stalled:
                stream.is_stalled = True
                self.clock.after(patience_s * (0.5 + float(self._dice.random())), partial(self._give_up, stream))

    def _give_up(self, stream: Stream) -> None:
        if stream.is_open and stream.is_stalled:
            stream.close()

    def heal(self, pairs: list[frozenset[str]]) -> None:
        """A partition is over."""
        for pair in pairs:
            left = self._parted.get(pair, 0) - 1
            if left > 0:
                self._parted[pair] = left
                continue
            self._parted.pop(pair, None)
            stream = self._streams.get(pair)
            if stream is not None and stream.is_stalled:
                self.clock.after(self.trip_s(), stream.resume)

    def break_stream(self, a: str, b: str) -> None:
        """A stream breaks; frames on their way are lost, both ends notice."""
        stream = self.stream(a, b)
        if stream is not None:
            stream.close()

    def lose(self, party: Party, *, is_noticed: bool, patience_s: float) -> None:
        """A process is gone: its peers see their streams end, or only after a while (the power went)."""
        for stream in [s for s in self._streams.values() if party in (s.left, s.right)]:
            if is_noticed:
                stream.close(party)
            else:
                stream.is_stalled = True
                self.forget(stream)
                other = stream.other(party)
                self.clock.after(
                    patience_s * (0.5 + float(self._dice.random())), partial(self._hang_up, stream, other)
                )

    def _hang_up(self, stream: Stream, end: Party) -> None:
        if stream.is_open:
            stream.is_open = False
            stream.held.clear()
            end.ended(stream)
