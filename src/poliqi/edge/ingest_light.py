"""The link's side of news of light: tells a site each second, and at once when something changes.

A connection of its own beside that for blocks: its end tells the site that this link fell silent, and no block that
is being stored holds news up. A site that takes no such news is asked again now and then; nothing here ends a link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from poliqi.base.errors import LinkDown, ProtocolError
from poliqi.control.lightframe import LIGHT, encode_light
from poliqi.control.messages import LinkReport
from poliqi.edge.framing import FrameStream
from poliqi.keys.ingest import MOST_ANSWER_BYTES, decode_answer, decode_greeting
from poliqi.keys.requests import Accepted

__all__ = ["tell_of_light"]

_LOOK_S: Final = 0.05
_REPEAT_S: Final = 1.0
_ANSWER_S: Final = 30.0
_FIRST_S: Final = 0.1
_MOST_S: Final = 2.0
_UNWANTED_S: Final = 60.0


async def tell_of_light(path: Path, report: Callable[[], LinkReport]) -> None:
    """Tell the site at `path` what `report` says, until cancelled; one that is away is called again and again."""
    wait_s = _FIRST_S
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(str(path))
        except OSError:
            wait_s = min(2 * wait_s, _MOST_S)
        else:
            stream = FrameStream(reader, writer)
            try:
                wait_s = await _tell(stream, report)
            except (LinkDown, TimeoutError):
                wait_s = _FIRST_S
            except ProtocolError:
                wait_s = _UNWANTED_S
            finally:
                stream.abort()
                with suppress(OSError):
                    await writer.wait_closed()
        await asyncio.sleep(wait_s)


async def _tell(stream: FrameStream, report: Callable[[], LinkReport]) -> float:
    """Until the site goes or refuses; after how many seconds to call it again."""
    greeting = decode_greeting(await _read(stream))
    if LIGHT not in greeting.takes:
        return _UNWANTED_S
    loop = asyncio.get_running_loop()
    told, due = None, 0.0
    while True:
        now = report()
        news = msgspec.structs.replace(now, age_s=0.0)
        if news != told or loop.time() >= due:
            async with asyncio.timeout(_ANSWER_S):
                await stream.write((encode_light(now),))
                answer = decode_answer(await _read(stream))
            if not isinstance(answer, Accepted):
                return _UNWANTED_S
            told, due = news, loop.time() + _REPEAT_S
        await asyncio.sleep(_LOOK_S)


async def _read(stream: FrameStream) -> bytes:
    async with asyncio.timeout(_ANSWER_S):
        frame = await stream.read(lambda: MOST_ANSWER_BYTES)
    if frame is None:
        raise LinkDown("the site closed the connection")
    return frame
