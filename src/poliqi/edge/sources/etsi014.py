"""Another vendor's key management over ETSI GS QKD 014: the leading end asks for keys, the other for the same ones.

At both ends this process is an application of that system, with a certificate of it. A key's name is its key_ID.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from poliqi.base.errors import DataRefused
from poliqi.base.secret import SecretBytes
from poliqi.edge.keyanswers import Key, KeysNotReady
from poliqi.edge.keyclient import KeyClient
from poliqi.edge.sources.letgo import until_let_go
from poliqi.link.keydevice import DeviceKey

__all__ = ["Etsi014Device", "Options", "open_device"]

_LOOK_S: Final = 1.0


class Options(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The settings. `other` is the SAE id of the process at the other end."""

    url: str
    cert: Path
    key: Path
    ca: Path
    other: Annotated[str, Meta(min_length=1, max_length=255)]
    key_bits: Annotated[int, Meta(ge=64, le=1 << 23, multiple_of=8)] = 256
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0


def open_device(options: Options) -> Etsi014Device:
    """A connection is made with the first question. Raises ConfigError."""
    return Etsi014Device(options)


class Etsi014Device:
    """One end of the other system."""

    def __init__(self, options: Options) -> None:
        o = options
        self._options: Final = o
        self._client: Final = KeyClient(o.url, cert=o.cert, key=o.key, ca=o.ca, timeout_s=o.timeout_s)
        self._closed: Final = threading.Event()
        self._most = 0

    @property
    def description(self) -> str:
        """Where it is."""
        return f"ETSI 014 at {self._options.url}, keys with {self._options.other}"

    def fresh(self, most: int, timeout_s: float) -> list[DeviceKey]:
        """Keys that the other system gives now; it is asked how many it has, since it gives all or none."""
        until = time.monotonic() + timeout_s
        while True:
            pause_s = _LOOK_S
            ready = self._ready(most)
            if ready:
                try:
                    return [DeviceKey(key.key_id, key.value) for key in self._get(ready)]
                except KeysNotReady as error:
                    pause_s = max(_LOOK_S, error.retry_s or 0.0)
            left = until - time.monotonic()
            if left <= 0:
                return []
            self._closed.wait(min(pause_s, left))

    def named(self, names: Sequence[str], timeout_s: float) -> list[DeviceKey | None]:
        """The keys of these key_IDs. Where one is missing all are refused, so they are asked for by halves."""
        until = time.monotonic() + timeout_s
        if not self._most:
            self._ready(1)
        found: dict[str, SecretBytes] = {}
        ahead = deque(list(names[i : i + self._most]) for i in range(0, len(names), self._most))
        while ahead and time.monotonic() < until:
            asked = ahead.popleft()
            try:
                found |= {name: key.value for name, key in zip(asked, self._get_named(asked), strict=True)}
            except DataRefused:
                half = len(asked) // 2
                if half:
                    ahead.extendleft((asked[half:], asked[:half]))
            except KeysNotReady as error:
                ahead.append(asked)
                self._closed.wait(min(max(_LOOK_S, error.retry_s or 0.0), max(0.0, until - time.monotonic())))
        return [DeviceKey(name, found[name]) if name in found else None for name in names]

    def close(self) -> None:
        """Hang up."""
        self._closed.set()
        self._client.close()

    def _ready(self, most: int) -> int:
        """How many keys may be asked for now."""
        with until_let_go(self._closed, self):
            try:
                status = self._client.status(self._options.other)
            except KeysNotReady:
                return 0
        self._most = max(1, status.max_keys_per_request)
        # what is in stock is counted in keys of the usual size
        stored = status.stored_keys * max(1, status.key_size_bits) // self._options.key_bits
        return max(0, min(most, self._most, stored))

    def _get(self, number: int) -> list[Key]:
        with until_let_go(self._closed, self):
            return self._client.get_keys(self._options.other, number, self._options.key_bits)

    def _get_named(self, names: list[str]) -> list[Key]:
        with until_let_go(self._closed, self):
            return self._client.get_named_keys(self._options.other, names)
