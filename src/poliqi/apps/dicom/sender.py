"""The images for one site on their way there: a stream that is opened when there are some, and again until they
are delivered. An image leaves the queue when the other side has said what became of it, whatever breaks before.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from poliqi.apps.dicom.images import Answer, Held, Outcome
from poliqi.apps.dicom.pace import Delay, Pace
from poliqi.apps.dicom.queue import Queue
from poliqi.apps.dicom.wire import ask_message, image_message, read_answer
from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.apps.stream.terms import Usage
from poliqi.base.errors import LinkDown, PoliqiError, ProtocolError, StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["Sender"]

_WINDOW_IMAGES: Final = 16
_WINDOW_BYTES: Final = 64 << 20
_SLOWEST_BYTES_S: Final = 1e6


@dataclass
class _Run:
    """One stream: what was sent and not answered yet; titles that were asked for, and those that said yes."""

    channel: Channel
    outstanding: dict[str, Held] = field(default_factory=dict[str, Held])
    asked: dict[str, str] = field(default_factory=dict[str, str])
    ready: set[str] = field(default_factory=set[str])
    changed: threading.Condition = field(default_factory=threading.Condition)
    error: PoliqiError | None = None
    short: KeysNotReady | None = None
    has_ended: bool = False
    answered_s: float = field(default_factory=time.monotonic)

    @property
    def bytes_out(self) -> int:
        return sum(image.size for image in self.outstanding.values())


class Sender:
    """A thread that sends the images for one peer, and one more while a stream is open."""

    def __init__(
        self,
        peer: SaeId,
        queue: Queue,
        call: Callable[[], Channel],
        say: Callable[..., None],
        pace: Pace | None = None,
        room: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """`call` opens a stream; `say(event, text, ...)` tells people.

        `room` raises KeysNotReady where there is not the key for so many bytes: an image that is given up halfway
        would have used up what there was.
        """
        self._peer: Final = peer
        self._queue: Final = queue
        self._call: Final = call
        self._say: Final = say
        self._room: Final = room
        self._pace: Final = pace or Pace()
        self._stopping: Final = threading.Event()
        self._delays: Final[dict[str, Delay]] = {}
        self._delay: Final = Delay(self._pace)
        self._lock: Final = threading.Lock()
        self._run_now: _Run | None = None
        self._seen = 0
        self._trouble_kind: type[Exception] | None = None
        self.trouble = ""
        """Why nothing moves; empty where it does."""
        self.usage: Usage | None = None
        """Of the stream that is open, or was last."""
        self._thread: Final = threading.Thread(target=self._live, name=f"dicom-to-{peer}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """Stop, in the middle of an image where need be; what is not answered is sent again another time."""
        self._stopping.set()
        self._queue.tell()
        self.hang_up()
        self._thread.join()

    def hang_up(self) -> None:
        """Open another stream for what is not answered."""
        with self._lock:
            run = self._run_now
        if run is not None:
            run.channel.close()

    def _live(self) -> None:
        while not self._stopping.is_set():
            wait_s = self._delay.until_s - time.monotonic()
            if wait_s > 0:
                self._stopping.wait(wait_s)
                continue
            try:
                self._step()
            except Exception as error:  # whatever it is, images that wait must not wait for ever
                self._troubled(error)

    def _step(self) -> None:
        if self._queue.waiting(self._peer, self._paused(), most=1):
            self._stream()
        else:
            self._seen = self._queue.await_news(self._seen, 1.0)

    def _paused(self) -> list[str]:
        """Titles whose machine said `later` a moment ago."""
        now = time.monotonic()
        with self._lock:
            return [ae for ae, delay in self._delays.items() if delay.until_s > now]

    def _stream(self) -> None:
        run = _Run(self._call())
        with self._lock:
            self._run_now = run
        reader = threading.Thread(target=self._hear, args=(run,), name=f"dicom-from-{self._peer}", daemon=True)
        reader.start()
        try:
            self._send_all(run)
            run.channel.finish()
            reader.join(self._pace.answer_s)
        except PoliqiError as error:
            run.error = run.error or error
        finally:
            self.usage = run.channel.usage
            run.channel.close()
            reader.join()
            with self._lock:
                self._run_now = None
        if run.error is None and (run.outstanding or run.asked):
            run.error = LinkDown(f"{self._peer} ended the stream with images unanswered")
        run.error = run.error or run.short
        if run.error is not None and not self._stopping.is_set():
            raise run.error

    def _troubled(self, error: Exception) -> None:
        told_s = error.retry_s if isinstance(error, KeysNotReady) and error.retry_s else 0.0
        self._delay.failed(time.monotonic(), told_s)
        wait_s = self._delay.until_s - time.monotonic()
        is_news = not self.trouble or type(error) is not self._trouble_kind
        self._trouble_kind = type(error)
        self.trouble = str(error) if isinstance(error, PoliqiError) else repr(error)
        if is_news:
            self._say(
                "dicom-waits",
                f"images for {self._peer} wait: {self.trouble}; again in {wait_s:.0f} s",
                peer=self._peer,
            )

    def _send_all(self, run: _Run) -> None:
        """Until there was nothing to send for a while. Raises what the channel raises."""
        busy_s, seen = time.monotonic(), 0
        while not self._stopping.is_set() and not run.has_ended:
            images = self._next(run)
            for image in images:
                if not self._has_room(run, image):
                    return
                self._send(run, image)
            now = time.monotonic()
            if images or run.outstanding or run.asked:
                busy_s = now
            if now - busy_s >= self._pace.idle_s:
                return
            if not images:
                seen = self._queue.await_news(seen, min(0.5, self._pace.idle_s))
                self._watch(run)
        if run.error is not None:
            raise run.error

    def _has_room(self, run: _Run, image: Held) -> bool:
        """False where the key for all of it is not there: what was sent is still answered, then the wait begins."""
        try:
            self._room(image.size)
        except KeysNotReady as error:
            run.short = error
        return run.short is None

    def _next(self, run: _Run) -> list[Held]:
        """What may be sent now: the oldest that wait for machines that said yes, and are not under way."""
        found = self._queue.waiting(self._peer, self._paused(), most=2 * _WINDOW_IMAGES)
        self._ask(run, {image.head.ae for image in found})
        with run.changed:
            room, free = _WINDOW_IMAGES - len(run.outstanding), _WINDOW_BYTES - run.bytes_out
            under_way = {image.head.ae for image in run.outstanding.values()}
            chosen: list[Held] = []
            for image in found:
                ae = image.head.ae
                if (
                    image.id in run.outstanding
                    or ae not in run.ready
                    or (ae in under_way and self._is_doubtful(ae))
                ):
                    continue
                if room <= 0 or (image.size > free and (run.outstanding or chosen)):
                    break
                chosen.append(image)
                under_way.add(ae)
                room, free = room - 1, free - image.size
            return chosen

    def _ask(self, run: _Run, titles: set[str]) -> None:
        """Ask for machines before the first image, and after one was not taken: images cost more than questions."""
        with run.changed:
            asking = {uuid.uuid4().hex: ae for ae in sorted(titles - run.ready - set(run.asked.values()))}
            run.asked |= asking
            if asking and not run.outstanding:
                run.answered_s = time.monotonic()
        for name, ae in asking.items():
            run.channel.send(ask_message(name, ae))

    def _is_doubtful(self, ae: str) -> bool:
        """True where the last image was not taken: then one goes at a time."""
        with self._lock:
            delay = self._delays.get(ae)
            return delay is not None and delay.wait_s > 0

    def _send(self, run: _Run, image: Held) -> None:
        with self._queue.open(image) as file:
            if os.fstat(file.fileno()).st_size != image.offset + image.size:
                self._queue.settle(Answer(image.id, Outcome.REFUSED, None, "its file in the queue is damaged"))
                return
            with run.changed:
                if not run.outstanding:
                    run.answered_s = time.monotonic()
                run.outstanding[image.id] = image
            run.channel.send(image_message(image))
            left = image.size
            while left:
                data = file.read(min(left, RECORD_BYTES))
                if not data:
                    raise StoreError(f"{image.id}: its file became shorter while it was sent")
                run.channel.send(data)
                left -= len(data)

    def _watch(self, run: _Run) -> None:
        """A peer that is there and never answers is hung up on."""
        with run.changed:
            most_s = self._pace.answer_s + run.bytes_out / _SLOWEST_BYTES_S
            if (run.outstanding or run.asked) and time.monotonic() - run.answered_s > most_s:
                raise LinkDown(f"{self._peer} has not answered for {most_s:.0f} s")

    def _hear(self, run: _Run) -> None:
        """Settle images as the other side answers."""
        try:
            while (data := run.channel.receive()) is not None:
                self._answered(run, read_answer(data))
        except PoliqiError as error:
            run.error = run.error or error
        finally:
            run.has_ended = True
            run.channel.close()
            self._queue.tell()

    def _answered(self, run: _Run, answer: Answer) -> None:
        with run.changed:
            run.answered_s = time.monotonic()
            title = run.asked.pop(answer.id, None)
            image = run.outstanding.get(answer.id)
        if title is not None:
            self._judged(run, title, answer, is_image=False)
        elif image is None:
            raise ProtocolError(f"{self._peer} answers for an image that it was not sent")
        else:
            self._queue.settle(answer)
            self._judged(run, image.head.ae, answer, is_image=True)
            with run.changed:
                del run.outstanding[answer.id]
            self._told(image, answer)
        self._queue.tell()

    def _judged(self, run: _Run, ae: str, answer: Answer, *, is_image: bool) -> None:
        """What an answer says of the machine itself."""
        is_later = answer.outcome is Outcome.LATER or (not is_image and answer.outcome is Outcome.REFUSED)
        with self._lock:
            delay = self._delays.setdefault(ae, Delay(self._pace))
            if is_later:
                delay.failed(time.monotonic())
            elif is_image:
                delay.worked()
        with run.changed:
            if is_later:
                run.ready.discard(ae)
            else:
                run.ready.add(ae)
        if is_later and self.trouble != answer.said:
            self._say("dicom-waits", f"images for {ae} wait: {answer.said}", peer=self._peer)
            self.trouble = answer.said

    def _told(self, image: Held, answer: Answer) -> None:
        match answer.outcome:
            case Outcome.DELIVERED:
                self._delay.worked()
                if self.trouble:
                    self._say("dicom-moves", f"images for {self._peer} move again", peer=self._peer)
                self.trouble = ""
            case Outcome.REFUSED:
                text = f"{image.head.ae} refused {image.head.instance_uid}: {answer.said}; it stays in the queue"
                self._say("dicom-refused", text, peer=self._peer, level="warning", image=image.id)
            case Outcome.LATER:
                pass
