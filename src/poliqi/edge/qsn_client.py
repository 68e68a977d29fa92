"""Driver of one end of a QSN-d-1: a `poliqi.link.keydevice.KeyDevice` over TCP (docs/spec/qsn-d-1.md).

**The device's protocol authenticates nobody**: what answers at the address is believed. So the address is loopback,
or one that somebody declared isolated, and what comes from here is never more than `unproven`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import LinkDown, ProtocolError
from poliqi.edge.isolated import check_isolated
from poliqi.edge.network import Address
from poliqi.edge.wakeable import WakeableConnection
from poliqi.link.keydevice import DeviceKey
from poliqi.link.qsn.client import MOST_ASKED, Answer, ClientCore, GetNamed, Question
from poliqi.link.qsn.replies import MOST_KEY_BYTES, AttributeValue, KeyReply, Keys, Refusal, qber_of
from poliqi.link.qsn.requests import (
    Attribute,
    DeleteByIds,
    GetAttribute,
    GetKey,
    GetKeys,
    is_key_id,
)

__all__ = ["QsnClient", "QsnWaits"]

_MOST_DELETED: Final = 1_000  # IDs in one request


@dataclass(frozen=True, slots=True)
class QsnWaits:
    """How long the driver waits, in seconds.

    `answer_s`: for a connection and for a reply; `promise_s`: for the next of the keys that were promised;
    `again_s`: before it asks again for what was not there; `first_pause_s`, `longest_pause_s`: before it connects
    again, doubled each time.
    """

    answer_s: float = 2.0
    promise_s: float = 60.0
    again_s: float = 0.2
    first_pause_s: float = 0.1
    longest_pause_s: float = 30.0


class _NoAnswer(LinkDown):
    """A request was not answered; its connection is dropped, since the answer might still come."""


class QsnClient:
    """One end of a device. It connects when it is first asked, and again after every loss, in growing pauses.

    A call may take `answer_s` longer than its timeout where a request is under way: a reply that nobody awaits
    would be a lost key. Where a connection breaks, keys that had come are given out before LinkDown is raised.
    """

    def __init__(
        self,
        address: Address,
        *,
        isolated: bool = False,
        most_key_bytes: int = MOST_KEY_BYTES,
        waits: QsnWaits | None = None,
    ) -> None:
        check_isolated("QSN-d-1", address, isolated=isolated)
        self._address: Final = address
        self._waits: Final = waits or QsnWaits()
        self._core: Final = ClientCore(most_key_bytes)
        self._connection: Final = WakeableConnection(address, "QSN-d-1")
        self._busy: Final = threading.Lock()
        self._closed = False
        self._pause_s = 0.0
        self._not_before = 0.0
        self._promise_until = 0.0
        self._deletes = True

    @property
    def description(self) -> str:
        """What it is and where."""
        return f"QSN-d-1 at {self._address} (no authentication: its keys are unproven)"

    def fresh(self, most: int, timeout_s: float) -> list[DeviceKey]:
        """The next keys, up to `most`, each ID once; what comes later than `timeout_s` comes with the next call."""
        keys: list[DeviceKey] = []
        with self._one_call():
            deadline = time.monotonic() + timeout_s
            try:
                keys += self._core.take_fresh(most)
                while len(keys) < most:
                    self._gather(most - len(keys), deadline)
                    keys += self._core.take_fresh(most - len(keys))
                    if time.monotonic() >= deadline:
                        break
            except (LinkDown, ProtocolError):
                keys += self._core.take_fresh(most - len(keys))
                if not keys or self._closed:
                    raise
        return keys

    def named(self, names: Sequence[str], timeout_s: float) -> list[DeviceKey | None]:
        """The keys of these IDs; None for one that the device does not give, or that `fresh` would not have named.

        A device that has no such key says nothing at all, which costs `answer_s` and the connection; it is asked
        again until the time is over. ValueError where a name stands twice.
        """
        if len(set(names)) != len(names):
            raise ValueError("a name was asked for twice")
        found: dict[str, DeviceKey] = {}
        with self._one_call():
            deadline = time.monotonic() + timeout_s
            try:
                while missing := [n for n in names if is_key_id(n) and n == n.lower() and n not in found]:
                    for first in range(0, len(missing), MOST_ASKED):
                        self._look_for(tuple(missing[first : first + MOST_ASKED]), deadline)
                        found |= self._core.take_found()
                    if time.monotonic() >= deadline:
                        break
                    self._connection.pause(min(deadline, time.monotonic() + self._waits.again_s))
            except (LinkDown, ProtocolError):
                found |= self._core.take_found()
                if not found or self._closed:
                    raise
        return [found.get(name) for name in names]

    def settled(self, names: Sequence[str]) -> None:
        """Delete these keys, which both ends have stored or given up: a device may keep what it gave out.

        Only the receiver is documented to delete. A device that does not answer is not asked again by this driver.
        """
        with self._one_call():
            self._delete([name for name in names if is_key_id(name)])

    def attribute(self, name: Attribute, timeout_s: float = 5.0) -> str | None:
        """What the device says of itself; None where it knows no such attribute. Raises LinkDown, ProtocolError."""
        with self._one_call():
            answer = self._ask(GetAttribute(name), time.monotonic() + timeout_s)
        return answer.value if isinstance(answer, AttributeValue) else None

    def qber(self, timeout_s: float = 5.0) -> float | None:
        """The error rate that the device says its last key had: what it says, and no reason to trust a key.

        Raises ProtocolError where it is no number from 0 to 1.
        """
        told = self.attribute(Attribute.QBER, timeout_s)
        return None if told is None else qber_of(told)

    def close(self) -> None:
        """Let go of the device; a call that waits in another thread ends with LinkDown."""
        self._closed = True
        self._connection.stop()
        with self._busy:
            self._connection.release()

    @contextmanager
    def _one_call(self) -> Generator[None]:
        with self._busy:
            if self._closed:
                raise LinkDown("QSN-d-1: closed")
            yield

    def _gather(self, most: int, deadline: float) -> None:
        """Have some more fresh keys come, or the deadline."""
        if self._core.promised:
            owed = self._core.promised
            self._receive(min(deadline, self._promise_until))
            if self._core.promised < owed:
                self._promise_until = time.monotonic() + self._waits.promise_s
            elif time.monotonic() >= self._promise_until:
                self._give_up()  # it may have forgotten: ask anew
        else:
            self._delete(self._core.shown_again)
            self._core.deleted()
            if not self._ask_fresh(most, deadline):
                self._connection.pause(min(deadline, time.monotonic() + self._waits.again_s))

    def _ask_fresh(self, most: int, deadline: float) -> bool:
        """Whether anything came of it: a key, or the promise of one."""
        answer = self._ask(GetKey() if most == 1 else GetKeys(min(most, MOST_ASKED)), deadline)
        self._promise_until = time.monotonic() + self._waits.promise_s
        match answer:
            case Refusal(message):
                self._give_up()
                raise ProtocolError(f"QSN-d-1 at {self._address} gives no key: {message}")
            case Keys(records):
                return bool(records) or bool(self._core.promised)
            case KeyReply(record):
                return record is not None
            case _:
                return False

    def _delete(self, names: Sequence[str]) -> None:
        for first in range(0, len(names), _MOST_DELETED):
            if not self._deletes:
                return
            try:
                self._ask(DeleteByIds(tuple(names[first : first + _MOST_DELETED])), time.monotonic())
            except _NoAnswer:
                self._deletes, self._not_before = False, 0.0

    def _look_for(self, names: tuple[str, ...], deadline: float) -> None:
        """Ask for all of them at once; those that are not there are met with silence."""
        try:
            self._ask(GetNamed(names), deadline)
        except _NoAnswer:
            self._pause_s = self._not_before = 0.0  # it is so when there is no such key

    def _ask(self, question: Question, deadline: float) -> Answer:
        """What it answers; `answer_s` after the last that came, or after the deadline, it counts as silent."""
        self._open(deadline)
        frames = self._core.ask(question)
        now = time.monotonic()
        until, last = now + self._waits.answer_s, max(now, deadline) + self._waits.answer_s
        try:
            self._connection.send(frames, until)
        except LinkDown:
            self._give_up()
            raise
        while (answer := self._core.take_answer()) is None:
            if time.monotonic() >= until or not self._receive(until):
                self._give_up()
                raise _NoAnswer(
                    f"QSN-d-1 at {self._address}: no answer to {type(question).__name__} within "
                    f"{self._waits.answer_s:g} s; the connection is dropped and made again"
                )
            if isinstance(question, GetNamed):  # one of several has come
                until = min(last, time.monotonic() + self._waits.answer_s)
        self._pause_s = 0.0
        return answer

    def _receive(self, until: float) -> bool:
        """Whether anything came. Whatever is wrong with it ends the connection."""
        try:
            data = self._connection.read(until)
            if data is not None:
                self._core.receive(data)
        except (LinkDown, ProtocolError):
            self._give_up()
            raise
        return data is not None

    def _open(self, deadline: float) -> None:
        """Connect where there is no connection, not before the pause is over. Raises LinkDown."""
        if self._connection.is_open:
            return
        self._core.connected()
        if self._not_before > deadline:
            self._connection.pause(deadline)
            raise LinkDown(
                f"QSN-d-1 at {self._address}: down; the next attempt is due in "
                f"{self._not_before - time.monotonic():.1f} s"
            )
        self._connection.pause(self._not_before)
        try:
            self._connection.connect(time.monotonic() + self._waits.answer_s)
        except LinkDown:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Drop the connection; the next one is made after a pause, twice as long each time."""
        waits = self._waits
        self._connection.drop()
        self._core.connected()
        self._pause_s = min(waits.longest_pause_s, max(waits.first_pause_s, 2.0 * self._pause_s))
        self._not_before = time.monotonic() + self._pause_s
