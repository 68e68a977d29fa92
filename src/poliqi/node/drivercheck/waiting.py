"""Calls into a driver from a thread of their own, so that a look can see whether they wait, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from poliqi.apps.testbench.checking import Wrong

__all__ = ["Call", "in_time"]

_GLANCE_S: Final = 1.0
"""A look that takes longer has waited for something."""


class Call:
    """A call that is under way."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function: Final = function
        self.error: BaseException | None = None
        self.value: Any = None
        self._thread: Final = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.value = self._function()
        except BaseException as error:  # code of others: whatever it raises is what was found
            self.error = error

    def is_over(self, within_s: float = 0.0) -> bool:
        """Whether it has ended, waiting for that as long."""
        self._thread.join(within_s)
        return not self._thread.is_alive()


def in_time(name: str, function: Callable[[], Any]) -> Any:
    """What a look gives that must never wait. Raises Wrong, and what it raises."""
    began, call = time.monotonic(), Call(function)
    if not call.is_over(_GLANCE_S):
        raise Wrong(f"{name} did not answer within {_GLANCE_S:g} s while `detect` waits: it must never wait")
    if call.error is not None:
        raise Wrong(f"{name} raised {type(call.error).__name__}: {call.error}")
    if time.monotonic() - began > 2.0 * _GLANCE_S:
        raise Wrong(f"{name} took {time.monotonic() - began:.1f} s")
    return call.value
