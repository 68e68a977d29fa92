"""A question to a device that another thread may let go of meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from poliqi.base.errors import LinkDown
from poliqi.link.keydevice import KeyDevice

__all__ = ["until_let_go"]


@contextmanager
def until_let_go(closed: threading.Event, device: KeyDevice) -> Generator[None]:
    """Whatever a question raises is LinkDown once `closed` is set: clients say in many ways that they hung up."""
    if closed.is_set():
        raise LinkDown(f"{device.description}: it was let go")
    try:
        yield
    except Exception as error:
        if closed.is_set():
            raise LinkDown(f"{device.description}: it was let go") from error
        raise
