"""One tunnel at one end: its software, and how long its key may serve.

Fail closed: a key that was proven in use may serve for `longest_s`; when no other has come until then, the software
is shut, whoever is to blame, and an error is reported. Before the first key it is shut, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from poliqi.apps.adapters.events import Event, Happening, Report
from poliqi.apps.adapters.software import KEY_BYTES, Software
from poliqi.apps.keygrade import GradeDemand, KeyGrade
from poliqi.apps.keysource import Key
from poliqi.base.errors import DataRefused, PoliqiError, ProtocolError
from poliqi.base.ids import SaeId

__all__ = ["Tunnel"]

_AGAIN_S: Final = 5.0


class Tunnel:
    """Software under a lock and a watch. `begin` makes older conversations about it invalid."""

    def __init__(
        self,
        name: str,
        peer: SaeId,
        software: Software,
        demand: GradeDemand,
        longest_s: float,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name: Final = name
        self.peer: Final = peer
        self.longest_s: Final = longest_s
        self._software: Final = software
        self._demand = demand
        self._report: Final = report
        self._clock: Final = clock
        self._changed: Final = threading.Condition()
        self._turn = 0
        self._deadline: float | None = None
        self._is_closed = False
        self._watcher: threading.Thread | None = None

    @property
    def kind(self) -> str:
        """Of its software."""
        return self._software.kind

    def open(self) -> None:
        """Look whether the software is there, shut it, and watch it; no more where that is done already.

        Raises ConfigError, LinkDown; it may be called again.
        """
        with self._changed:
            if self._watcher is not None or self._is_closed:
                return
            told = self._software.open()
            self._watcher = threading.Thread(target=self._watch, name=f"watch {self.name}", daemon=True)
            self._watcher.start()
        for text in told:
            self.tell(Happening.WARNING, text)

    def begin(self) -> int:
        """A new conversation: what comes of an older one is refused from now on. Opens as `open`."""
        self.open()
        with self._changed:
            self._turn += 1
            return self._turn

    def can_start(self) -> bool:
        """As Software."""
        with self._changed:
            return self._software.can_start()

    def judge(self, key: Key) -> KeyGrade:
        """Its grade. Raises DataRefused, and wipes the key, where that is too low."""
        grade = KeyGrade.read(key.grade)
        why = self._demand.judge(grade)
        if why is None and len(key.value) != KEY_BYTES:
            why = f"it has {len(key.value)} bytes, and {KEY_BYTES} are asked for"
        if why is not None:
            key.value.close()
            raise DataRefused(f"key {key.key_id}: {why}")
        return grade

    def change(self, demand: GradeDemand) -> None:
        """What is asked of keys from now on."""
        self._demand = demand

    def hold(self, turn: int, key: Key) -> None:
        """As Software; the key is wiped. Where it is the first, it serves for `longest_s` from here on."""
        try:
            with self._mine(turn):
                if self._deadline is None:
                    self._deadline = self._clock() + self.longest_s
                    self._changed.notify_all()
                self._software.hold(key.key_id, key.value)
        finally:
            key.value.close()

    def use(self, turn: int, key_id: str, *, is_starter: bool) -> None:
        """As Software; from here on the key serves for `longest_s`."""
        with self._mine(turn):
            self._software.use(key_id, is_starter=is_starter)
            self._deadline = self._clock() + self.longest_s
            self._changed.notify_all()

    def retire(self, turn: int, key_id: str) -> None:
        """As Software."""
        with self._mine(turn):
            self._software.retire(key_id)

    def close(self, *, is_left_open: bool = False) -> None:
        """Shut, unless the last key is left in force, and let go."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._changed.notify_all()
        if self._watcher is None:
            return
        self._watcher.join()
        try:
            if not is_left_open:
                self._shut("the adapter ends; no session can begin until it runs again")
        finally:
            self._software.close()

    def tell(self, happening: Happening, text: str) -> None:
        """Report it."""
        self._report(Event(happening, self.name, self.peer, text))

    def tell_rotated(self, key_id: str, grade: KeyGrade, latency_s: float) -> None:
        """Report that a key is in use at both ends."""
        simulated = " of SIMULATED LIGHT, which protects nothing" if grade.is_simulated else ""
        text = f"key {key_id}, grade {grade.name}{simulated}, in use after {1e3 * latency_s:.0f} ms"
        self._report(
            Event(
                Happening.ROTATED,
                self.name,
                self.peer,
                text,
                key_id=key_id,
                grade=grade.name,
                simulated=grade.is_simulated,
                latency_s=round(latency_s, 6),
            )
        )

    @contextmanager
    def _mine(self, turn: int) -> Generator[None]:
        """The lock, for the conversation that began last. Raises ProtocolError."""
        with self._changed:
            if turn != self._turn or self._is_closed:
                raise ProtocolError(
                    f"{self.name}: another rotation began, or the adapter ends; this one is dropped"
                )
            yield

    def _watch(self) -> None:
        """Shut at the deadline; where that fails, try again."""
        with self._changed:
            while not self._is_closed:
                now = self._clock()
                if self._deadline is None or now < self._deadline:
                    self._changed.wait(None if self._deadline is None else self._deadline - now)
                    continue
                is_shut = self._shut(
                    f"no new key came into use for {self.longest_s:g} s: no session can begin until one does "
                    "(`poliqi sae check` shows the stock)"
                )
                self._deadline = None if is_shut else now + _AGAIN_S

    def _shut(self, why: str) -> bool:
        """Let no session begin, and say so; False, and said, where that cannot be done."""
        try:
            with self._changed:
                self._software.shut()
        except PoliqiError as error:
            self.tell(Happening.FAILED, f"cannot be shut: {error}; stop it by hand")
            return False
        self.tell(Happening.SHUT, why)
        return True
