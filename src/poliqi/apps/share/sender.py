"""The sending end of one transfer over an open stream (docs/spec/transfer.md, "send 1").

Where a stream breaks, the next one goes on: the receiver says what it has, both compare, the rest is sent.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from poliqi.apps.share.content import Hasher, hash_prefix
from poliqi.apps.share.giving import Giving, Having, Outgoing
from poliqi.apps.share.manifest import Manifest, close_manifest
from poliqi.apps.share.messages import (
    Kind,
    Partial,
    Prefix,
    Refusal,
    Refused,
    Summary,
    pack,
    read_groups,
    read_json,
    split,
)
from poliqi.apps.share.progress import Phase, Progress
from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.base.errors import DataRefused, LinkDown, PoliqiError, ProtocolError

__all__ = ["Outgoing", "Sent", "Stopped", "send_over"]

_ANSWER_S: Final = 2.0


class Stopped(LinkDown):
    """Whoever asked for the transfer asked to end it; the peer keeps what it has."""


class Sent(NamedTuple):
    """The receipt as it came, and the sender's own manifest to hold it against."""

    receipt: bytes
    manifest: Manifest
    is_new: bool
    """False where the receiver had all of it before, and only its receipt was lost."""


def send_over(
    channel: Channel, out: Outgoing, progress: Progress, clock_ns: Callable[[], int] = time.time_ns
) -> Sent:
    """Send all of it, or what is missing. Raises Refused, Stopped, what a channel raises, OSError of own files."""
    return _Sending(channel, out, progress).run(clock_ns())


class _Answer:
    """What the receiver says while it is being sent to: a receipt or a refusal, once."""

    def __init__(self, channel: Channel) -> None:
        self._channel: Final = channel
        self._message: bytes | None = None
        self._error: PoliqiError | None = None
        self._thread: Final = threading.Thread(target=self._listen, name="answer", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            message = self._channel.receive()
            if message is None:
                raise LinkDown(f"{self._channel.peer} ended the stream before its receipt")
            self._message = bytes(message)
        except PoliqiError as error:
            self._error = error

    @property
    def is_there(self) -> bool:
        """True once it has said something, or can no more."""
        return not self._thread.is_alive()

    def read(self, seconds: float | None) -> memoryview | None:
        """Wait for it; None where nothing came in time. Raises Refused, and what a channel raises."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            return None
        if self._error is not None:
            raise self._error
        kind, body = split(memoryview(self._message or b""), Kind.RECEIPT, Kind.REFUSED)
        if kind is Kind.REFUSED:
            raise Refused(self._channel.peer, read_json(body, Refusal))
        return body


class _Sending:
    def __init__(self, channel: Channel, out: Outgoing, progress: Progress) -> None:
        self._channel: Final = channel
        self._out: Final = out
        self._progress: Final = progress
        self._answer: _Answer | None = None
        self._theirs: Final = Having(out.entries)

    def run(self, clock_ns: int) -> Sent:
        self._progress.enter(Phase.COMPARING)
        self._channel.send(pack(Kind.OFFER, self._out.offer(clock_ns)))
        kind, body = self._receive(Kind.SEND_LIST, Kind.PARTIAL, Kind.RECEIPT)
        if kind is Kind.RECEIPT:
            receipt = bytes(body)
            return Sent(receipt, close_manifest(self._out.list_path, self._out.facts), is_new=False)
        if kind is Kind.SEND_LIST:
            self._send_list()
            kind, body = self._receive(Kind.PARTIAL)
        partial, hasher = self._compare(read_json(body, Partial))
        self._progress.enter(Phase.SENDING)
        self._answer = _Answer(self._channel)
        try:
            Giving(self._channel, self._out, self._progress, self._theirs, self._look_up).run(partial, hasher)
            return self._confirm()
        except Stopped:
            raise
        except LinkDown:
            # a receiver that refuses says so before it hangs up
            self._answer.read(_ANSWER_S)
            raise

    def _receive(self, *allowed: Kind) -> tuple[Kind, memoryview]:
        message = self._channel.receive()
        if message is None:
            raise LinkDown(f"{self._channel.peer} ended the stream")
        kind, body = split(message, *allowed, Kind.REFUSED)
        if kind is Kind.REFUSED:
            raise Refused(self._channel.peer, read_json(body, Refusal))
        return kind, body

    def _send_list(self) -> None:
        with self._out.list_path.open("rb", buffering=0) as file:
            while data := file.read(RECORD_BYTES):
                self._channel.send(data)

    def _compare(self, partial: Partial) -> tuple[Partial, Hasher | None]:
        """Hold what the receiver has against what is known here; both hash the partial file at the same time."""
        hasher = None if partial.index is None else self._hash_prefix(partial)
        while True:
            kind, body = self._receive(Kind.GROUPS, Kind.GO)
            if kind is Kind.GO:
                break
            for group in read_groups(body, self._out.entries):
                if self._out.facts.agrees(group):
                    self._theirs.add(group.number, group.done)
        known = read_json(body, Prefix).blake3
        if hasher is None or known is None or hasher.digest().hex() != known:
            if partial.index is not None and partial.size_bytes:
                self._progress.note("a file that was under way has changed since; it is sent anew")
            return Partial(), None
        return partial, hasher

    def _hash_prefix(self, partial: Partial) -> Hasher | None:
        entry = next((e for i, e in enumerate(self._out.entries_of_list()) if i == partial.index), None)
        if entry is None or entry.is_folder:
            raise ProtocolError(f"{self._channel.peer} has a part of what is no file: drop the stream")
        try:
            handle = self._out.source.open(entry.names)
        except OSError:
            return None
        try:
            return hash_prefix(handle, partial.size_bytes)
        finally:
            os.close(handle)

    def _look_up(self) -> None:
        """Between messages: is there a refusal, or does someone want an end?"""
        if self._answer is not None and self._answer.is_there:
            self._answer.read(0)
            raise ProtocolError(f"{self._channel.peer} gave a receipt before the end: drop the stream")
        if self._progress.is_stopping:
            raise Stopped("stopped; run the same command again and it goes on from here")

    def _confirm(self) -> Sent:
        self._progress.enter(Phase.CONFIRMING)
        m = close_manifest(self._out.list_path, self._out.facts)
        if not m.files + m.folders:
            raise DataRefused(f"nothing could be sent: {self._out.left_out[0]}")
        self._channel.send(pack(Kind.END, Summary(m.digest, m.files, m.folders, m.size_bytes, m.left_out)))
        assert self._answer is not None
        body = self._answer.read(None)
        assert body is not None  # it was waited for
        self._channel.finish()
        return Sent(bytes(body), m, is_new=True)
