"""Another vendor's key management over ETSI GS QKD 004: both ends read the same chunks of one key stream.

The standard leaves the transport open; this is the JSON binding of docs/spec/streams.md. A key is called
`STREAM:LIFE:INDEX`: a stream that is opened anew counts from 0, and its keys are others.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import Meta

from poliqi.base.errors import ConfigError, LinkDown, PoliqiError, ProtocolError
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.keyclient import client_context
from poliqi.edge.sources.letgo import until_let_go
from poliqi.edge.stream_client import StreamClient
from poliqi.keys.etsi004_messages import GetKeyReply, Qos, Status
from poliqi.link.keydevice import DeviceKey

__all__ = ["Etsi004Device", "Options", "open_device"]

_LOOK_S: Final = 0.5
_LIFE_BYTES: Final = 8
_NAME: Final = re.compile(r"([0-9a-f-]{36}):([0-9a-f]{16}):(\d{1,10})")
_LATER: Final = (Status.INSUFFICIENT_KEY, Status.PEER_NOT_CONNECTED, Status.TIMEOUT)
_OPENED: Final = (Status.OK, Status.PEER_NOT_CONNECTED_YET)

_Sae = Annotated[str, Meta(min_length=1, max_length=200)]


class Options(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The settings. `stream` is the same at both ends; `own` and `other` are the two SAE ids."""

    url: str
    cert: Path
    key: Path
    ca: Path
    own: _Sae
    other: _Sae
    stream: UUID
    key_bytes: Annotated[int, Meta(ge=8, le=1 << 15)] = 32


def open_device(options: Options) -> Etsi004Device:
    """The stream is opened: neither end gives keys before the other has. Raises ConfigError, LinkDown."""
    device = Etsi004Device(options, OperatingSystemEntropy())
    try:
        device.open()
    except BaseException:
        device.close()
        raise
    return device


class Etsi004Device:
    """One end of a key stream of the other system."""

    def __init__(self, options: Options, entropy: Entropy) -> None:
        o = options
        if not o.url.startswith("https://"):
            raise ConfigError(f"url {o.url[:80]!r}: write https://HOST:PORT")
        self._options: Final = o
        self._client: Final = StreamClient.over_http(o.url, client_context(o.cert, o.key, o.ca))
        self._life: Final = entropy.draw(_LIFE_BYTES).hex()
        self._closed: Final = threading.Event()

    @property
    def description(self) -> str:
        """Where it is."""
        return f"ETSI 004 at {self._options.url}, stream {self._options.stream}"

    def fresh(self, most: int, timeout_s: float) -> list[DeviceKey]:
        """The next chunks."""
        until = time.monotonic() + timeout_s
        found: list[DeviceKey] = []
        while len(found) < most:
            got = self._chunk(None)
            if got is not None and got.index is not None:
                found.append(DeviceKey(f"{self._options.stream}:{self._life}:{got.index}", SecretBytes(got.key)))
            elif found or not self._wait(until):
                break
        return found

    def named(self, names: Sequence[str], timeout_s: float) -> list[DeviceKey | None]:
        """The chunks of these indices. Without any, whether the stream still stands: if not, it is opened again."""
        until = time.monotonic() + timeout_s
        if not names:
            self.open(is_new=False)
        found: list[DeviceKey | None] = []
        for name in names:
            told = _NAME.fullmatch(name)
            got = None
            if told is not None and told[1] == str(self._options.stream) and int(told[3]) < 1 << 32:
                while (got := self._chunk(int(told[3]))) is None and self._wait(until):
                    pass
            found.append(None if got is None else DeviceKey(name, SecretBytes(got.key)))
        return found

    def close(self) -> None:
        """Hang up; what waits in another thread ends."""
        self._closed.set()
        self._client.disconnect()

    def _wait(self, until: float) -> bool:
        left = until - time.monotonic()
        if left > 0:
            self._closed.wait(min(left, _LOOK_S))
        return left > 0

    def _chunk(self, index: int | None) -> GetKeyReply | None:
        """A chunk; None where it is not there now."""
        with until_let_go(self._closed, self):
            reply = self._client.get_key(self._options.stream, index)
        if reply.status in _LATER:
            return None
        if reply.status is Status.NO_CONNECTION:
            raise LinkDown(f"{self.description}: the stream is gone")
        if reply.status is not Status.OK or reply.index is None or index not in (None, reply.index):
            raise ProtocolError(f"{self.description}: answered {reply.status.name} with index {reply.index}")
        if len(reply.key) != self._options.key_bytes:
            raise ProtocolError(f"{self.description}: {len(reply.key)} bytes came, not {self._options.key_bytes}")
        return reply

    def open(self, *, is_new: bool = True) -> None:
        """Open this end of the stream; one of an earlier life is closed before. Raises ConfigError, LinkDown."""
        o = self._options
        qos = Qos(chunk_bytes=o.key_bytes)
        ends = f"qkd://{quote(o.own, safe='')}", f"qkd://{quote(o.other, safe='')}"
        with until_let_go(self._closed, self):
            reply = self._client.open(*ends, qos, o.stream)
            if reply.status is Status.KSID_IN_USE and not is_new:
                return
            if reply.status is Status.KSID_IN_USE:
                with suppress(PoliqiError):
                    self._client.close(o.stream)
                reply = self._client.open(*ends, qos, o.stream)
        if reply.status is Status.QOS_NOT_MET:
            would = "-" if reply.qos is None else str(reply.qos.chunk_bytes)
            raise ConfigError(
                f"{self.description}: no chunks of {o.key_bytes} bytes are given (key_bytes; {would} would)"
            )
        if reply.status not in _OPENED:
            raise LinkDown(f"{self.description}: it cannot be opened: {reply.status.name}")
