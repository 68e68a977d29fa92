"""Conformance of a driver of a device that hands out finished keys. Every key that is looked at is used up."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

from poliqi.apps.testbench.checking import Check, NotSeen, Wrong
from poliqi.base.errors import LinkDown, PoliqiError
from poliqi.base.secret import SecretBytes
from poliqi.link.keydevice import LONGEST_NAME, MOST_KEY_BYTES, DeviceKey, KeyDevice
from poliqi.node.drivercheck.waiting import Call

__all__ = ["KEY_CHECKS", "PEER_CHECKS", "KeyBench"]

_UNKNOWN: Final = "poliqi-no-such-key-0000"
_WAIT_S: Final = 2.0
_SHORT_S: Final = 0.3
_LATE_S: Final = 2.0
_LONG_S: Final = 30.0
_WINDOW: Final = 16
_FEW: Final = 8


class KeyBench:
    """One end of a device, or both. `figures` gets what is measured on the way."""

    def __init__(self, opener: Callable[[], KeyDevice], peer: Callable[[], KeyDevice] | None) -> None:
        self._opener: Final = opener
        self._peer: Final = peer
        self.figures: Final[dict[str, float]] = {}
        self._names: Final[set[str]] = set()
        self._marks: Final[set[bytes]] = set()

    @contextmanager
    def open(self) -> Generator[KeyDevice]:
        """The end that leads."""
        with _closing(self._opener()) as device:
            yield device

    @contextmanager
    def open_both(self) -> Generator[tuple[KeyDevice, KeyDevice]]:
        """The end that leads, and the one that follows."""
        assert self._peer is not None
        with _closing(self._opener()) as one, _closing(self._peer()) as other:
            yield one, other

    def fresh(self, device: KeyDevice, most: int = _FEW) -> list[DeviceKey]:
        """Fresh keys, held to what the device promises; none of them was seen before. Raises Wrong, NotSeen."""
        keys = device.fresh(most, _WAIT_S)
        if len(keys) > most:
            raise Wrong(f"at most {most} keys were asked for, and {len(keys)} are given")
        if not keys:
            raise NotSeen(f"no key came within {_WAIT_S:g} s: let it make some")
        for key in keys:
            _check_key(key)
            if key.name in self._names:
                raise Wrong(f"the name {key.name!r} is given twice")
            self._names.add(key.name)
            self._remember(key)
        return keys

    def _remember(self, key: DeviceKey) -> None:
        data = bytes(key.bits.view())
        if len(set(data)) == 1 or (len(data) > 16 and any(data[n:] == data[:-n] for n in range(1, 9))):
            raise Wrong(f"key {key.name!r} is one pattern over and over: the generator is stuck")
        pieces = [data[at : at + _WINDOW] for at in range(0, max(1, len(data) - _WINDOW + 1), _WINDOW)]
        marks = {hashlib.sha256(piece).digest() for piece in pieces}
        if len(marks) < len(pieces) or marks & self._marks:
            raise Wrong(f"key {key.name!r} has bits that were in a key before: key material is given twice")
        self._marks.update(marks)


@contextmanager
def _closing(device: KeyDevice) -> Generator[KeyDevice]:
    try:
        yield device
    finally:
        with suppress(PoliqiError):
            device.close()


def _check_key(key: object) -> None:
    if not isinstance(key, DeviceKey):
        raise Wrong(f"a {type(key).__name__} is given, not a DeviceKey")
    if type(key.bits) is not SecretBytes:
        raise Wrong(f"bits are a {type(key.bits).__name__}, not SecretBytes: they would show in a traceback")
    if not 8 <= len(key.bits) <= MOST_KEY_BYTES:
        raise Wrong(f"key {key.name[:LONGEST_NAME]!r} has {len(key.bits)} bytes, 8 to {MOST_KEY_BYTES} are taken")
    if not 1 <= len(key.name) <= LONGEST_NAME or not key.name.isprintable() or any(c.isspace() for c in key.name):
        raise Wrong(f"the name {key.name[:40]!r} is not 1 to {LONGEST_NAME} printable characters without blanks")


def description(bench: KeyBench) -> str:
    """One line that says what it is."""
    with bench.open() as device:
        text = device.description
    if not 1 <= len(text) <= 200 or not text.isprintable():
        raise Wrong(f"description is {text[:60]!r}: one line of at most 200 characters")
    return text


def fresh(bench: KeyBench) -> str:
    """Names and bits as they have to be, each once, also after it was opened again."""
    with bench.open() as device:
        keys = bench.fresh(device) + bench.fresh(device, 1)
    with bench.open() as device:
        keys += bench.fresh(device)
    return f"{len(keys)} keys of {len(keys[0].bits)} bytes, some of them after it was opened again"


def timeouts(bench: KeyBench) -> str:
    """Calls come back in time, with what there is."""
    with bench.open() as device:
        for name, call in (
            ("fresh", lambda: device.fresh(1 << 20, _SHORT_S)),
            ("named", lambda: device.named([_UNKNOWN], _SHORT_S)),
        ):
            under_way = Call(call)
            if not under_way.is_over(_SHORT_S + _LATE_S):
                raise Wrong(f"{name} with a timeout of {_SHORT_S:g} s took more than {_SHORT_S + _LATE_S:g} s")
            _check_error(under_way.error)
    return "kept"


def unknown(bench: KeyBench) -> str:
    """None for a name that nobody gave, in its place."""
    with bench.open() as device:
        found = device.named([_UNKNOWN], _SHORT_S)
        if found != [None]:
            raise Wrong(f"for a name that nobody gave it answers with {_shape(found)}, not [None]")
        if device.named([], _SHORT_S):
            raise Wrong("no names are asked for, and keys are given")
    return "None"


def closing(bench: KeyBench) -> str:
    """`close` ends a call that waits in another thread, and every later one, with LinkDown."""
    with bench.open() as device:
        under_way = Call(lambda: device.named([_UNKNOWN], _LONG_S))
        waited = not under_way.is_over(_SHORT_S)
        device.close()
        if not under_way.is_over(_LATE_S):
            raise Wrong(f"close() did not end a call that waits in another thread within {_LATE_S:g} s")
        if waited and not isinstance(under_way.error, LinkDown):
            how = "answered" if under_way.error is None else f"raised {type(under_way.error).__name__}"
            raise Wrong(f"a call that was closed {how}: raise LinkDown")
        later = Call(lambda: device.fresh(1, _SHORT_S))
        if not later.is_over(_SHORT_S + _LATE_S) or not isinstance(later.error, LinkDown):
            how = "keys" if later.error is None else type(later.error).__name__
            raise Wrong(f"after close() `fresh` gives {how}: raise LinkDown")
    return "ends it" if waited else "later calls are refused (no call waited for an unknown name)"


def speed(bench: KeyBench) -> str:
    """How many keys a second it gives at most."""
    with bench.open() as device:
        began = time.perf_counter()
        keys = bench.fresh(device, 256)
        took_s = time.perf_counter() - began
    bench.figures["keys_per_s"] = len(keys) / took_s
    bench.figures["key_bits_per_s"] = 8.0 * sum(len(key.bits) for key in keys) / took_s
    return f"{len(keys) / took_s:.3g} keys/s, {bench.figures['key_bits_per_s']:.3g} bit/s, of {len(keys)} keys"


def both_ends(bench: KeyBench) -> str:
    """The other end gives the same bits under the same names, in the order asked for."""
    with bench.open_both() as (one, other):
        keys = bench.fresh(one)
        names = [key.name for key in reversed(keys)]
        asked = [*names[:1], _UNKNOWN, *names[1:]]
        found = other.named(asked, _WAIT_S)
        if len(found) != len(asked) or found[1] is not None:
            raise Wrong(f"asked for {len(names)} names and, second, an unknown one, it answers {_shape(found)}")
        for key, twin in zip(reversed(keys), [*found[:1], *found[2:]], strict=True):
            if twin is None:
                raise Wrong(f"the other end has no key {key.name!r} within {_WAIT_S:g} s")
            _check_key(twin)
            if twin.name != key.name:
                raise Wrong(
                    f"asked for {key.name!r} the other end gives {twin.name!r}: keep the order of the names"
                )
            if twin.bits != key.bits:
                raise Wrong(f"the two ends give different bits under the name {key.name!r}")
    return f"{len(keys)} keys"


def _shape(found: object) -> str:
    """An answer without what is in it."""
    if not isinstance(found, list):
        return f"a {type(found).__name__}"
    answers: list[object] = found  # pyright: ignore[reportUnknownVariableType]  # it comes of code of others
    return "[" + ", ".join("None" if key is None else type(key).__name__ for key in answers[:12]) + "]"


def _check_error(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, PoliqiError):
        raise Wrong(
            f"{type(error).__name__} was raised ({error}): LinkDown, ProtocolError or ConfigError are heard"
        )


KEY_CHECKS: Final[tuple[Check[KeyBench], ...]] = (
    ("description", description),
    ("fresh", fresh),
    ("unknown name", unknown),
    ("timeouts", timeouts),
    ("close", closing),
    ("speed", speed),
)
PEER_CHECKS: Final[tuple[Check[KeyBench], ...]] = (("both ends", both_ends),)
"""In the order in which they are run and shown."""
