"""What live time taggers share: a source that asks its instrument again and again until there are tags."""

from __future__ import annotations

import importlib
import threading
from abc import ABC, abstractmethod
from typing import Any, Final

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.link.timetags.tags import Meaning, Tagging, Tags, check_tagging, check_tags, code_table

__all__ = ["LiveTags", "vendor_module"]

_PAUSE_S: Final = 0.002


class LiveTags(ABC):
    """A tagger as `poliqi.link.timetags.tags.TagSource`.

    A driver gives `_poll` and `_shut`. An instrument says that it lost tags: `_poll` then raises DataRefused, since
    a gap that nobody counts would be read as loss on the fibre.
    """

    def __init__(self, tagging: Tagging) -> None:
        check_tagging(tagging)
        self._tagging: Final = tagging
        self._table: Final = code_table(tagging)
        self._stop: Final = threading.Event()
        self._lock: Final = threading.Lock()
        self._last_ps = 0
        self._count = 0

    @property
    def tagging(self) -> Tagging:
        return self._tagging

    @property
    def inputs(self) -> list[int]:
        """The inputs that are asked for: all but the unused ones."""
        return [c.number for c in self._tagging.channels if c.meaning is not Meaning.UNUSED]

    def read(self) -> Tags | None:
        """The next tags; waits for some. None once closed. Raises DataRefused."""
        while not self._stop.is_set():
            with self._lock:
                tags = None if self._stop.is_set() else self._poll()
            if tags is not None and tags.times_ps.size:
                known = np.isin(tags.channels, np.array(self.inputs, np.uint8))
                if not known.all():
                    tags = Tags(tags.times_ps[known], tags.channels[known])
                check_tags(tags, self._table, self._last_ps, self._count)
                if tags.times_ps.size:
                    self._last_ps = int(tags.times_ps[-1])
                    self._count += tags.times_ps.size
                    return tags
            self._stop.wait(_PAUSE_S)
        return None

    def close(self) -> None:
        """End a `read` that waits, and let go of the instrument."""
        self._stop.set()
        with self._lock:
            self._shut()

    @abstractmethod
    def _poll(self) -> Tags:
        """What came since the call before, in order of time; may be empty."""

    @abstractmethod
    def _shut(self) -> None:
        """Let go of the instrument; may be called more than once."""


def vendor_module(names: tuple[str, ...], what: str, remedy: str) -> Any:
    """The first of these modules that is installed. Raises ConfigError."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ConfigError(f"{what}: its Python module ({' or '.join(names)}) is not installed; {remedy}")
