"""What arrives from other sites: each image is brought to its machine before it is answered for."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from poliqi.apps.dicom.arrivals import Arrivals
from poliqi.apps.dicom.images import Answer, Outcome
from poliqi.apps.dicom.scu import Courier
from poliqi.apps.dicom.settings import DicomSettings
from poliqi.apps.dicom.toolkit import preface
from poliqi.apps.dicom.wire import Announced, Asked, answer_message, read_request
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import LinkDown, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.edge.folder import make_private_folder

__all__ = ["Receiver"]


@dataclass
class _Round:
    """One stream: associations that are kept open, and machines that failed a moment ago."""

    couriers: dict[str, Courier] = field(default_factory=dict[str, Courier])
    resting: dict[str, tuple[float, Answer]] = field(default_factory=dict[str, tuple[float, Answer]])

    def close(self) -> None:
        for courier in self.couriers.values():
            courier.close()


class Receiver:
    """Serves streams of images. One at a time for each peer: a newer one takes the place of the older."""

    def __init__(self, settings: DicomSettings, arrivals: Arrivals, rest_s: float = 2.0) -> None:
        """Images lie in `settings.folder`/spool on their way to a machine; what a crash left there is deleted.

        A machine that failed is not called again for `rest_s`: so long, images for it are answered `later` at once.
        """
        self._settings: Final = settings
        self._arrivals: Final = arrivals
        self._rest_s: Final = rest_s
        self._spool: Final = settings.folder / "spool"
        self._lock: Final = threading.Lock()
        self._turns: Final[dict[SaeId, threading.Lock]] = {}
        self._channels: Final[dict[SaeId, Channel]] = {}
        make_private_folder(self._spool)
        for path in self._spool.iterdir():
            path.unlink()

    def serve(self, channel: Channel) -> None:
        """Until the sender finishes. Raises what the channel raises, ProtocolError, StoreError."""
        with self._turn(channel):
            round_ = _Round()
            try:
                while (data := channel.receive()) is not None:
                    request = read_request(data)
                    if isinstance(request, Asked):
                        answer = self._asked(channel.peer, round_, request)
                    else:
                        answer = self._one(channel, round_, request)
                    channel.send(answer_message(answer))
                channel.finish()
            finally:
                round_.close()

    @contextmanager
    def _turn(self, channel: Channel) -> Generator[None]:
        """So that no image is under way twice: its sender has given up the older stream when it opens a newer."""
        with self._lock:
            older = self._channels.get(channel.peer)
            self._channels[channel.peer] = channel
            turn = self._turns.setdefault(channel.peer, threading.Lock())
        if older is not None:
            older.close()
        with turn:
            try:
                yield
            finally:
                with self._lock:
                    if self._channels.get(channel.peer) is channel:
                        del self._channels[channel.peer]

    def _one(self, channel: Channel, round_: _Round, image: Announced) -> Answer:
        """Take in one image, and bring it where it belongs."""
        known = self._arrivals.find(channel.peer, image.id) or self._foreseen(channel.peer, round_, image)
        if known is not None:
            _take_in(channel, image.size, None)
            return known
        path = self._spool / f"{uuid.uuid4().hex}.dcm"
        try:
            answer = self._received(channel, image, path)
            if answer is None:
                answer = self._delivered(round_, image, path)
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        if answer.outcome is Outcome.DELIVERED:
            self._arrivals.note(channel.peer, answer)
        return answer

    def _asked(self, peer: SaeId, round_: _Round, question: Asked) -> Answer:
        """Whether images may come: nothing but a few bytes is spent where the machine is off."""
        excuse = self._excuse(peer, round_, question)
        if excuse is not None:
            return excuse
        outcome, said = self._courier(round_, question.ae).reach()
        answer = Answer(question.id, outcome, None, said)
        if outcome is Outcome.LATER:
            round_.resting[question.ae] = time.monotonic() + self._rest_s, answer
        return answer

    def _foreseen(self, peer: SaeId, round_: _Round, image: Announced) -> Answer | None:
        """The answer, where it does not depend on the image's bytes."""
        if image.size > self._settings.largest_bytes:
            most = self._settings.largest_bytes
            said = f"it has {image.size} bytes, and at most {most} are taken there (largest_mb)"
            return Answer(image.id, Outcome.REFUSED, None, said)
        return self._excuse(peer, round_, image)

    def _excuse(self, peer: SaeId, round_: _Round, request: Announced | Asked) -> Answer | None:
        """Why nothing can come for this title now; a setting can be mended, so what waits may wait for that."""
        node = self._settings.nodes.get(request.ae)
        if node is None or not node.takes_from(peer):
            said = f"no [[dicom.node]] there is called {request.ae} and takes images from {peer}"
            return Answer(request.id, Outcome.LATER, None, said)
        until_s, last = round_.resting.get(request.ae, (0.0, None))
        if last is not None and time.monotonic() < until_s:
            return Answer(request.id, Outcome.LATER, last.status, last.said)
        return None

    def _received(self, channel: Channel, image: Announced, path: Path) -> Answer | None:
        """None where the whole image lies at `path`."""
        file: BinaryIO | None = None
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            file = os.fdopen(handle, "wb")
            file.write(preface(image.head))
        except OSError as error:
            if file is not None:
                with suppress(OSError):
                    file.close()
            _take_in(channel, image.size, None)
            return Answer(image.id, Outcome.LATER, None, f"the gateway cannot write: {error.strerror}")
        try:
            digest, error = _take_in(channel, image.size, file)
        finally:
            with suppress(OSError):
                file.close()
        if error is not None:
            return Answer(image.id, Outcome.LATER, None, f"the gateway cannot write: {error.strerror}")
        if digest != image.digest:
            return Answer(image.id, Outcome.REFUSED, None, "it was damaged in the sender's queue: hand it in again")
        return None

    def _delivered(self, round_: _Round, image: Announced, path: Path) -> Answer:
        outcome, status, said = self._courier(round_, image.ae).deliver(image.head, path, image.size)
        answer = Answer(image.id, outcome, status, said)
        if outcome is Outcome.LATER:
            round_.resting[image.ae] = time.monotonic() + self._rest_s, answer
        return answer

    def _courier(self, round_: _Round, ae: str) -> Courier:
        courier = round_.couriers.get(ae)
        if courier is None:
            settings = self._settings
            courier = round_.couriers[ae] = Courier(settings.ae, settings.nodes[ae], settings.timeout_s)
        return courier


def _take_in(channel: Channel, size: int, file: BinaryIO | None) -> tuple[bytes, OSError | None]:
    """Read the `size` bytes that follow, into a file or to nowhere; their SHA-256, and why they are not written."""
    digest, left, failure = hashlib.sha256(), size, None
    while left:
        data = channel.receive()
        if data is None:
            raise LinkDown(f"{channel.peer} ended the stream {left} bytes before the end of an image")
        if not 0 < len(data) <= left:
            raise ProtocolError(f"{channel.peer}: {len(data)} bytes of an image that lacks {left}")
        digest.update(data)
        if file is not None and failure is None:
            try:
                file.write(data)
            except OSError as error:
                failure = error
        left -= len(data)
    if file is not None and failure is None:
        try:
            file.flush()
        except OSError as error:
            failure = error
    return digest.digest(), failure
