"""A fresh quantum key while the old one serves: drawn ahead, announced, fetched by the other side, switched to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from poliqi.apps.keygrade import GradeDemand, KeyGrade
from poliqi.apps.keysource import Key, KeySource
from poliqi.apps.stream.needs import not_ready
from poliqi.apps.stream.opening import read_key_ids
from poliqi.base.errors import ConfigError, DataRefused, PoliqiError, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["QUANTUM_KEY_BYTES", "Announced", "Asked", "Budget", "NextKey", "Pause", "judge", "read_grades"]

QUANTUM_KEY_BYTES: Final = 32
_AHEAD: Final = 0.5
"""Share of a budget after which the next key is drawn."""
_PAUSE_S: Final = (0.5, 30.0)
_PATIENCE_S: Final = 10.0
"""How long a question to the own site that is under way is waited for, once the old key is spent."""


class Budget:
    """How much one key may still do, in bytes and in time."""

    __slots__ = ("_bytes", "_clock", "_since_s", "_time_s", "used_bytes")

    def __init__(self, size_bytes: int, time_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes: Final = size_bytes
        self._time_s: Final = time_s
        self._clock: Final = clock
        self.used_bytes = 0
        self._since_s = clock()

    def is_worn(self, more_bytes: int) -> bool:
        """Time to get the next one."""
        return (
            self.used_bytes + more_bytes > _AHEAD * self._bytes
            or self._clock() - self._since_s > _AHEAD * self._time_s
        )

    def is_spent(self, more_bytes: int) -> bool:
        """This one does not do the next message; it always does one."""
        over = self.used_bytes + more_bytes > self._bytes or self._clock() - self._since_s > self._time_s
        return over and self.used_bytes > 0

    def renew(self) -> None:
        """A fresh key serves."""
        self.used_bytes, self._since_s = 0, self._clock()


class Asked:
    """One question to a key source, in a thread of its own: all keys of the demanded grade, or an error."""

    __slots__ = ("_done", "_error", "_keys", "_lock", "_unwanted")

    def __init__(
        self, ask: Callable[[], list[Key]], demand: GradeDemand, number: int = 1, size: int | None = None
    ) -> None:
        """`number` keys of `size` bytes each (None: of any size) are to come."""
        self._done: Final = threading.Event()
        self._lock: Final = threading.Lock()
        self._keys: list[Key] | None = None
        self._error: PoliqiError | None = None
        self._unwanted = False
        threading.Thread(
            target=self._run, args=(ask, demand, number, size), name="stream keys", daemon=True
        ).start()

    def _run(self, ask: Callable[[], list[Key]], demand: GradeDemand, number: int, size: int | None) -> None:
        try:
            keys = ask()
            with self._lock:
                self._keys = keys
                self._error = judge(keys, demand, number, size)
                if self._error or self._unwanted:
                    self._wipe()
        except PoliqiError as error:
            self._error = error
        finally:
            self._done.set()

    def is_done(self) -> bool:
        """Whether the answer is there."""
        return self._done.is_set()

    def result(self, wait_s: float) -> list[Key]:
        """Raises what the source raised, ConfigError for a grade, KeysNotReady where it has not answered."""
        if not self._done.wait(wait_s):
            raise KeysNotReady("the own site has not answered: open another stream later", 1.0)
        if self._error is not None or self._keys is None:
            raise self._error or KeysNotReady("the own site gave no key: open another stream later", 1.0)
        return self._keys

    def close(self) -> None:
        """Wipe the keys, now or when they come."""
        with self._lock:
            self._unwanted = True
            self._wipe()

    def _wipe(self) -> None:
        for key in self._keys or ():
            key.value.close()


def read_grades(keys: list[Key]) -> list[KeyGrade]:
    """One for each key; keys of one drawing mostly say the same, and then it is read once."""
    grades: list[KeyGrade] = []
    for place, key in enumerate(keys):
        is_same = place > 0 and key.grade == keys[place - 1].grade
        grades.append(grades[-1] if is_same else KeyGrade.read(key.grade))
    return grades


def judge(keys: list[Key], demand: GradeDemand, number: int, size: int | None) -> PoliqiError | None:
    """Why these keys are not used, or None. The caller wipes them then."""
    if len(keys) != number or any(size is not None and len(key.value) != size for key in keys):
        each = "" if size is None else f" of {size} bytes"
        return ProtocolError(f"the own site gave {len(keys)} keys where {number}{each} were asked for")
    if size is None and any(len(key.value) <= QUANTUM_KEY_BYTES for key in keys):
        # those are drawn for the computational modes: who kept one back there must not have it taken for pad here
        return ProtocolError(
            f"a key of {QUANTUM_KEY_BYTES} bytes or less is no pad: raise `max_size` at both sites"
        )
    judged: KeyGrade | None = None
    for key, grade in zip(keys, read_grades(keys), strict=True):
        refused = None if grade is judged else demand.judge(grade)
        if refused:
            return ConfigError(f"key {key.key_id} is refused: {refused}; see the peer's rule in the settings")
        judged = grade
    return None


class Pause:
    """After a question that failed before its answer was due: the site is not asked again at once."""

    __slots__ = ("_clock", "_until_s")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._until_s = 0.0

    def begin(self, error: PoliqiError) -> None:
        """As long as the site says, within limits."""
        said_s = error.retry_s if isinstance(error, KeysNotReady) else None
        self._until_s = self._clock() + min(max(said_s or 1.0, _PAUSE_S[0]), _PAUSE_S[1])

    def is_over(self) -> bool:
        """Whether to ask."""
        return self._clock() >= self._until_s


class NextKey:
    """The sender's: it is the master of the keys of its direction."""

    __slots__ = ("_announced", "_asked", "_demand", "_pause", "_peer", "_source")

    def __init__(self, source: KeySource, peer: SaeId, demand: GradeDemand) -> None:
        self._source, self._peer, self._demand = source, peer, demand
        self._asked: Asked | None = None
        self._announced = False
        self._pause: Final = Pause()

    def begin(self, is_due: bool) -> None:
        """Draw one in the background, where none was; again where that failed, after a pause or where it is due."""
        if self._asked is None and (is_due or self._pause.is_over()):
            self._asked = Asked(
                lambda: self._source.fresh(self._peer, 1, QUANTUM_KEY_BYTES), self._demand, 1, QUANTUM_KEY_BYTES
            )

    def announce(self, is_due: bool) -> str | None:
        """The name to announce, once; None where nothing is to be said now. Raises what the source raised.

        A failure that is not due yet is forgotten: another call draws again.
        """
        asked = self._asked
        if asked is None or self._announced or not (is_due or asked.is_done()):
            return None
        try:
            (key,) = asked.result(_PATIENCE_S)
        except PoliqiError as error:
            self._asked = None
            if not is_due:
                self._pause.begin(error)
                return None
            if isinstance(error, KeysNotReady):
                raise not_ready(self._source, self._peer, QUANTUM_KEY_BYTES, error) from error
            raise
        self._announced = True
        return key.key_id

    def take(self) -> Key:
        """The announced key, to switch to."""
        if self._asked is None:
            raise ValueError("a key is drawn before it is switched to")
        (key,) = self._asked.result(0.0)
        self._asked, self._announced = None, False
        return key

    def close(self) -> None:
        """Wipe what was drawn."""
        if self._asked is not None:
            self._asked.close()


class Announced:
    """The receiver's: fetched in the background when it is announced, taken at the switch."""

    __slots__ = ("_asked", "_demand", "_peer", "_source")

    def __init__(self, source: KeySource, peer: SaeId, demand: GradeDemand) -> None:
        self._source, self._peer, self._demand = source, peer, demand
        self._asked: Asked | None = None

    def fetch(self, name: bytes) -> None:
        """Raises ProtocolError for a name that is none, or while one is waiting."""
        if self._asked is not None:
            raise ProtocolError("a key was announced before the last one was used: hang up")
        ids = read_key_ids([name])
        self._asked = Asked(lambda: self._source.named(self._peer, ids), self._demand, 1, QUANTUM_KEY_BYTES)

    def take(self) -> Key:
        """Raises ProtocolError where none was announced, else what the source raised."""
        if self._asked is None:
            raise ProtocolError("a key is switched to that was not announced: hang up")
        asked, self._asked = self._asked, None
        try:
            (key,) = asked.result(_PATIENCE_S)
        except DataRefused as error:
            raise KeysNotReady(f"the key that {self._peer} named is not there: open another stream", 1.0) from error
        return key

    def close(self) -> None:
        """Wipe what was fetched."""
        if self._asked is not None:
            self._asked.close()
