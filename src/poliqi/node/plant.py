"""The simulated fibre plant of a demonstration: one small file that says what happens to each span.

Whoever may write the file cuts fibres and stands on them; the ends of links read it some ten times a second. It is
about SIMULATED light and nothing else: devices that see real light know of no such file.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.edge.durable import replace_file
from poliqi.optics.attack import parse_attack

__all__ = ["FibrePlant", "SpanState", "read_plant", "steer", "write_plant"]

_LARGEST: Final = 1 << 18
_LOOK_S: Final = 0.1


class SpanState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What happens to one fibre. `eve` is an attack as `poliqi.optics.attack.parse_attack` reads it, or empty.

    `tamper` and `replay` meet the messages that the ends of a link over it exchange: some are changed, or repeated.
    """

    cut: bool = False
    eve: Annotated[str, msgspec.Meta(max_length=40)] = ""
    extra_loss_db: Annotated[float, msgspec.Meta(ge=0.0, le=60.0)] = 0.0
    noise_hz: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = 0.0
    """False clicks a second of each of Bob's detectors, on top of its own dark counts."""
    tamper: bool = False
    replay: bool = False


Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class _Plant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    spans: dict[Name, SpanState]


_DECODER: Final = msgspec.json.Decoder(_Plant)


def read_plant(path: Path) -> dict[str, SpanState]:
    """State of every span. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"fibre plant {path}: cannot be read: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise ConfigError(f"fibre plant {path}: larger than {_LARGEST} bytes")
    try:
        spans = _DECODER.decode(data).spans
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"fibre plant {path}: {error}") from None
    for name, state in spans.items():
        if state.eve:
            try:
                parse_attack(state.eve)
            except ConfigError as error:
                raise ConfigError(f"fibre plant {path}: span {name}: {error}") from None
    return spans


def write_plant(path: Path, spans: dict[str, SpanState]) -> None:
    """A plant's file, in a private folder, whole or not at all. Raises ConfigError, StoreError."""
    folder = path.parent.stat()
    if folder.st_uid != os.geteuid() or folder.st_mode & 0o022:
        raise ConfigError(f"fibre plant {path}: others can write into its folder; run: chmod 700 {path.parent}")
    replace_file(path, msgspec.json.format(msgspec.json.encode(_Plant(spans)), indent=1))


def steer(path: Path, span: str, state: SpanState) -> SpanState:
    """Make this the state of one span; what it was before. Raises ConfigError, StoreError."""
    if state.eve:
        parse_attack(state.eve)
    held = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        spans = read_plant(path)
        if span not in spans:
            raise ConfigError(f"span {span[:64]!r}: there is none of this name; {', '.join(sorted(spans)[:16])}")
        before = spans[span]
        write_plant(path, {**spans, span: state})
    finally:
        os.close(held)
    return before


class FibrePlant:
    """A plant as the end of a link sees it, from any thread: its file is looked at ten times a second at most.

    A file that is gone or broken changes nothing: the fibres stay as they were last known.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._lock: Final = threading.Lock()
        self._spans: dict[str, SpanState] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")

    def look(self, spans: Sequence[str]) -> SpanState:
        """What happens to light that passes these spans."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked_at >= _LOOK_S:
                self._looked_at = now
                self._read()
            states = [self._spans[span] for span in spans if span in self._spans]
        return SpanState(
            cut=any(s.cut for s in states),
            eve=next((s.eve for s in states if s.eve), ""),
            extra_loss_db=min(60.0, sum(s.extra_loss_db for s in states)),
            noise_hz=min(1e9, sum(s.noise_hz for s in states)),
            tamper=any(s.tamper for s in states),
            replay=any(s.replay for s in states),
        )

    def _read(self) -> None:
        try:
            there = self._path.stat()
            stamp = there.st_mtime_ns, there.st_ino, there.st_size
            if stamp != self._stamp:
                self._spans = read_plant(self._path)
                self._stamp = stamp
        except (OSError, ConfigError):
            return
