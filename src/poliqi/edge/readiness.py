"""Tells systemd how a service is doing: one datagram to NOTIFY_SOCKET, nothing where there is none."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

__all__ = ["tell_supervisor"]


def tell_supervisor(state: str) -> None:
    """Send "READY=1", "RELOADING=1" or "STOPPING=1" (sd_notify(3)); a supervisor that is not there is no error."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where.startswith(("/", "@")):
        return
    if state == "RELOADING=1":
        state += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.sendto(state.encode(), "\0" + where[1:] if where.startswith("@") else where)
