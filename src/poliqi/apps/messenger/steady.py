"""Writing at a constant rate: one envelope of one size each period, a letter where one waits, else a dummy.

Whoever watches the wire, the key stock or the names of keys sees the same whether people write or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from poliqi.apps.envelope.call import Caller, pad_bytes
from poliqi.apps.messenger.delivery import Postman
from poliqi.apps.messenger.letter import (
    ANSWER_BYTES,
    HEAD_BYTES,
    Verdict,
    decode_answer,
    dummy,
    encode_letter,
)
from poliqi.apps.messenger.mailbox import Mailbox, Waiting
from poliqi.apps.settings import Peer
from poliqi.base.errors import PoliqiError, StoreError
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["Rate", "Steady", "Tick"]

_DAY_S: Final = 86400.0
_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rate:
    """One envelope of `size_bytes` every `period_s` seconds."""

    period_s: float
    size_bytes: int

    @property
    def text_most(self) -> int:
        """The longest text that fits, in bytes."""
        return self.size_bytes - HEAD_BYTES

    @property
    def pad_bytes(self) -> int:
        """Pad for one envelope and its answer; the key that it takes (`PadSource.outlook`) is somewhat more."""
        return pad_bytes(self.size_bytes, ANSWER_BYTES)

    def day_bytes(self, each: int) -> float:
        """Key a day, where one envelope takes `each` bytes."""
        return each * _DAY_S / self.period_s

    def rate_bps(self, each: int) -> float:
        """Key in bits a second, where one envelope takes `each` bytes."""
        return 8 * each / self.period_s


@dataclass(frozen=True, slots=True)
class Tick:
    """What happened at one time: an envelope, a letter in it or not; or `why` there was none."""

    was_letter: bool
    why: str = ""


class Steady:
    """Runs the schedule with one peer. `clock` is monotonic; `wait` sleeps so many seconds, False to stop."""

    def __init__(
        self,
        postman: Postman,
        mailbox: Mailbox,
        peer: Peer,
        rate: Rate,
        clock: Callable[[], float],
        wait: Callable[[float], bool],
    ) -> None:
        self._postman: Final = postman
        self._mailbox: Final = mailbox
        self._peer: Final = peer
        self._rate: Final = rate
        self._clock: Final = clock
        self._wait: Final = wait
        self._due_s = clock()

    def run(self) -> Iterator[Tick]:
        """Ticks until `wait` says stop. A lost stream or missing key leaves times out, whatever people write.

        Raises StoreError.
        """
        caller: Caller | None = None
        try:
            while self._until_next():
                try:
                    caller = caller or self._postman.call(self._peer)
                    yield self._tick(caller)
                except StoreError:
                    raise
                except PoliqiError as error:
                    if caller is not None:
                        caller.finish()
                        caller = None
                    self._skip(error)
                    yield Tick(False, str(error))
        finally:
            if caller is not None:
                caller.finish()

    def _tick(self, caller: Caller) -> Tick:
        """The pad is drawn whatever is sent, and what is sent is chosen by what waits when it is due."""
        waiting = self._next()
        size = self._rate.size_bytes
        body = dummy(size) if waiting is None else encode_letter(waiting.letter, size)
        answer, note = caller.ask(body, ANSWER_BYTES)
        verdict, _last = decode_answer(answer)
        if waiting is None:
            return Tick(False)
        if verdict is Verdict.STORED:
            self._mailbox.delivered(waiting, note)
        else:
            self._mailbox.renumber(self._peer.sae)
        return Tick(True)

    def _next(self) -> Waiting | None:
        waiting = self._mailbox.first_waiting(self._peer.sae)
        if waiting is not None and len(waiting.letter.text.encode()) > self._rate.text_most:
            self._mailbox.undelivered(
                self._peer.sae, f"longer than the {self._rate.text_most} bytes that fit at this constant rate"
            )
            return None
        return waiting

    def _until_next(self) -> bool:
        """Sleep until the next time on the schedule; times that are past are left out."""
        period_s = self._rate.period_s
        while self._due_s <= self._clock():
            self._due_s += period_s
        return self._wait(self._due_s - self._clock())

    def _skip(self, error: PoliqiError) -> None:
        told_s = error.retry_s if isinstance(error, KeysNotReady) else None
        self._due_s += max(_PAUSE_S, told_s or 0.0) // self._rate.period_s * self._rate.period_s
