"""Calling another application: which one, the connection, and the stream over it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Final

from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.stream.channel import Channel, connect
from poliqi.apps.stream.terms import Mode, StreamRule
from poliqi.base.errors import ConfigError, LinkDown

__all__ = ["Dial", "dialling", "find_peer"]

Dial = Callable[[Peer, StreamRule, str], Channel]
"""Opens a stream with a peer, under a rule, for a purpose. Raises ConfigError, LinkDown and as `connect`."""

_CONNECT_S: Final = 10.0


def find_peer(settings: SaeSettings, name: str) -> Peer:
    """The peer whom people call `name`. Raises ConfigError, naming those that there are."""
    found = settings.peer(name)
    if found is None:
        known = ", ".join(sorted(peer.place for peer in settings.peers.values())) or "none yet: `poliqi sae meet`"
        raise ConfigError(f"{name[:60]!r} is no peer of {settings.sae}; there are {known}")
    return found


def _to_stderr(text: str) -> None:
    print(f"poliqi: {text}", file=sys.stderr)


def dialling(settings: SaeSettings, keys: KeySource, warn: Callable[[str], None] | None = None) -> Dial:
    """How this application calls others. `warn` is told of every stream without a quantum key (stderr, if None)."""

    def dial(peer: Peer, rule: StreamRule, purpose: str) -> Channel:
        if peer.address is None:
            raise ConfigError(f"{peer.place} has no address: give its [[peer]] one, else it can only call")
        try:
            connection = socket.create_connection((peer.address.host, peer.address.port), timeout=_CONNECT_S)
        except OSError as error:
            raise LinkDown(f"{peer.place} at {peer.address}: {error.strerror or error}") from error
        channel = connect(connection, settings.identity, peer.contact, keys, rule, purpose)
        if channel.usage.mode is Mode.PQC:
            (warn or _to_stderr)(f"{purpose} to {peer.place}: NO QUANTUM KEY, post-quantum keys alone protect it")
        return channel

    return dial
