"""Pages that change while they are looked at: server-sent events, each patch made once for all who see the same.

A channel is a page in a language for a role. After a change of the city, at most ten times a second, each channel
that somebody looks at is rendered, and the pieces that differ are sent. Who takes less than is sent misses patches
and gets the whole content instead.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from starlette.responses import Response

from poliqi.control.events import Language
from poliqi.ops.web.roles import Role

__all__ = ["Broadcast", "Changing", "ChannelKey", "LiveResponse", "Viewer"]

SPACING_S: Final = 0.1
RESTLESS_S: Final = 2.0
"""So often pages are rendered though nothing changed: what they say of ages does."""
HEARTBEAT_S: Final = 15.0
_OF_ONE: Final = 8
_CHANNELS: Final = 64
_HEARTBEAT: Final = b":\n\n"

_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Seen = TypeVar("_Seen")


class Changing(Protocol):
    """What pages show: something that has another version after each change."""

    @property
    def version(self) -> int: ...
    async def changed(self, version: int) -> int:
        """Wait until the version is another than this; the new one. It may be cancelled at any time."""
        ...


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """What makes two viewers see the same: the page with its query, the language, the role."""

    at: str
    language: Language
    role: Role


class Viewer:
    """One open page. `holds` tells whether its login still does; `who` are its person and address."""

    __slots__ = ("_behind", "_ended", "_message", "_wake", "holds", "sent_at", "who")

    def __init__(self, holds: Callable[[], bool], who: tuple[str, str]) -> None:
        self.holds: Final = holds
        self.who: Final = who
        self.sent_at = 0.0
        self._message: bytes | None = None
        self._behind = False
        self._ended = False
        self._wake: Final = asyncio.Event()

    def offer(self, message: bytes, now: float) -> None:
        """Have it send this next; where the one before is still there, everything instead."""
        self._behind = self._behind or self._message is not None
        self._message, self.sent_at = message, now
        self._wake.set()

    def end(self) -> None:
        """Let it go."""
        self._ended = True
        self._wake.set()

    async def next(self) -> tuple[bytes, bool] | None:
        """What is to be sent, and whether something was missed before it; None at the end."""
        while self._message is None and not self._ended:
            self._wake.clear()
            await self._wake.wait()
        if self._ended or self._message is None:
            return None
        message, behind, self._message, self._behind = self._message, self._behind, None, False
        return message, behind


class _Channel:
    """The pieces as they were sent last, and who has them."""

    __slots__ = ("pieces", "viewers")

    def __init__(self, pieces: Mapping[str, str]) -> None:
        self.pieces = pieces
        self.viewers: Final[set[Viewer]] = set()

    def whole(self) -> bytes:
        """Everything, for who comes or was behind."""
        return _message({"main": self.pieces["main"], "title": self.pieces["title"], **_foot(self.pieces)})

    def renew(self, pieces: Mapping[str, str]) -> bytes | None:
        """The patch from the pieces of before to these; None where nothing differs."""
        before, self.pieces = self.pieces, pieces
        if before.keys() != pieces.keys():
            return self.whole()
        changed = {k: v for k, v in pieces.items() if k != "main" and v != before[k]}
        return _message(changed) if changed else None


def _foot(pieces: Mapping[str, str]) -> dict[str, str]:
    return {"live-foot": pieces["live-foot"]} if "live-foot" in pieces else {}


def _message(pieces: Mapping[str, str]) -> bytes:
    return b"data: " + json.dumps(pieces, ensure_ascii=False).encode() + b"\n\n"


class Broadcast(Generic[_Seen]):
    """Watches a city, or what else pages show, while anybody looks at it."""

    def __init__(
        self,
        source: Changing,
        look: Callable[[], _Seen],
        render: Callable[[ChannelKey, _Seen], Mapping[str, str] | None],
        most: int,
        complain: Callable[[str], None],
    ) -> None:
        self._source: Final = source
        self._look: Final = look
        self._render: Final = render
        self._complain: Final = complain
        self._most: Final = most
        self._channels: Final[dict[ChannelKey, _Channel]] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def viewers(self) -> int:
        """How many pages are live."""
        return sum(len(channel.viewers) for channel in self._channels.values())

    @property
    def is_full(self) -> bool:
        """No more pages may be live."""
        return self._is_closed or self.viewers >= self._most

    def has_room(self, key: ChannelKey, who: tuple[str, str]) -> bool:
        """Whether this person, from this address, may have another live page."""
        theirs = sum(viewer.who == who for channel in self._channels.values() for viewer in channel.viewers)
        is_known = key in self._channels
        return not self.is_full and theirs < _OF_ONE and (is_known or len(self._channels) < _CHANNELS)

    async def close(self) -> None:
        """End all streams."""
        self._is_closed = True
        for channel in self._channels.values():
            for viewer in channel.viewers:
                viewer.end()
        task = self._rest()
        if task is not None:
            with suppress(asyncio.CancelledError):
                await task

    def _rest(self) -> asyncio.Task[None] | None:
        """Stop watching the city; the task that did."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    async def serve(
        self, key: ChannelKey, holds: Callable[[], bool], who: tuple[str, str], receive: _Receive, send: _Send
    ) -> None:
        """Send a page's patches until its browser is gone, its login ends or the streams are closed."""
        channel = self._channels.get(key)
        if channel is None:
            pieces = self._render(key, self._look())
            if pieces is None:
                return
            channel = self._channels[key] = _Channel(pieces)
        viewer = Viewer(holds, who)
        viewer.offer(b"retry: 2000\n" + channel.whole(), asyncio.get_running_loop().time())
        channel.viewers.add(viewer)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        watcher = asyncio.create_task(_until_gone(receive, viewer))
        try:
            while (found := await viewer.next()) is not None:
                message, is_behind = found
                await send(
                    {
                        "type": "http.response.body",
                        "body": channel.whole() if is_behind else message,
                        "more_body": True,
                    }
                )
            await send({"type": "http.response.body", "body": b""})
        finally:
            watcher.cancel()
            channel.viewers.discard(viewer)
            if not channel.viewers and self._channels.get(key) is channel:
                del self._channels[key]
            if not self._channels:
                self._rest()

    async def _watch(self) -> None:
        """Render and send after each change, while there are viewers."""
        loop = asyncio.get_running_loop()
        version = self._source.version
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._source.changed(version), RESTLESS_S)
            version = self._source.version
            started = loop.time()
            await self._publish(self._look(), started)
            took = loop.time() - started
            await asyncio.sleep(max(SPACING_S - took, took))

    async def _publish(self, snapshot: _Seen, now: float) -> None:
        """A page at a time: whoever else works in this loop gets its turn in between."""
        for key, channel in list(self._channels.items()):
            await asyncio.sleep(0)
            try:
                pieces = self._render(key, snapshot)
            except Exception as error:  # one page that cannot be made must not stop the others
                self._complain(f"{key.at} cannot be shown: {type(error).__name__}")
                pieces = None
            message = None if pieces is None else channel.renew(pieces)
            for viewer in list(channel.viewers):
                if pieces is None or not viewer.holds():
                    viewer.end()
                elif message is not None:
                    viewer.offer(message, now)
                elif now - viewer.sent_at > HEARTBEAT_S:
                    viewer.offer(_HEARTBEAT, now)


async def _until_gone(receive: _Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.end()


class LiveResponse(Response):
    """The patches of a page as server-sent events. It ends with its browser, its login or the pages."""

    def __init__(
        self, broadcast: Broadcast[Any], key: ChannelKey, holds: Callable[[], bool], who: tuple[str, str]
    ) -> None:
        self._broadcast: Final = broadcast
        self._key: Final = key
        self._holds: Final = holds
        self._who: Final = who

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:  # noqa: ARG002
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._broadcast.serve(self._key, self._holds, self._who, receive, send)
