"""The conversation that brings a key into use at both ends (docs/spec/rotation.md)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from poliqi.apps.adapters.messages import (
    Done,
    Held,
    Message,
    Offer,
    Refused,
    Switch,
    Used,
    decode,
    encode,
)
from poliqi.apps.adapters.software import KEY_BYTES
from poliqi.apps.adapters.tunnel import Tunnel
from poliqi.apps.keysource import Key, KeySource
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import DataRefused, LinkDown, PoliqiError, ProtocolError

__all__ = ["CONVERSATION_S", "answer", "hung_up_after", "rotate"]

CONVERSATION_S: Final = 60.0
"""A conversation that takes longer is hung up on."""

M = TypeVar("M", Offer, Held, Switch, Used, Done)


def rotate(channel: Channel, tunnel: Tunnel, keys: KeySource, clock: Callable[[], float] = time.monotonic) -> str:
    """The first's part: draw a key and bring it into use; its key_ID.

    Raises KeysNotReady, DataRefused (either end refuses the key, or cannot install it), LinkDown, ConfigError,
    ProtocolError. Whatever is raised, the key is not used again.
    """
    began_s = clock()
    turn = tunnel.begin()
    key = keys.fresh(tunnel.peer, 1, KEY_BYTES)[0]
    key_id = key.key_id
    # judged before it is offered: once offered, the other end has installed it
    grade = tunnel.judge(key)
    with _wiped(key), _told(channel, key_id):
        starts = tunnel.can_start()
        channel.send(encode(Offer(tunnel=tunnel.name, kind=tunnel.kind, key_id=key_id, starts=starts)))
        held = _next(channel, Held, key_id)
        if not starts and not held.starts:
            raise DataRefused(f"{tunnel.name}: neither end can begin a session; tell one where the other is")
        tunnel.hold(turn, key)
        channel.send(encode(Switch(key_id=key_id, starter=not starts)))
        tunnel.use(turn, key_id, is_starter=starts)
        _next(channel, Used, key_id)
        tunnel.retire(turn, key_id)
        channel.send(encode(Done(key_id=key_id)))
        channel.finish()
    tunnel.tell_rotated(key_id, grade, clock() - began_s)
    return key_id


def answer(
    channel: Channel,
    find: Callable[[Offer], Tunnel],
    keys: KeySource,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """The second's part. `find` gives the tunnel that is named, or raises DataRefused. Raises as `rotate`."""
    offer = _next(channel, Offer, None)
    began_s = clock()
    key_id = offer.key_id
    with _told(channel, key_id):
        tunnel = find(offer)
        turn = tunnel.begin()
        key = keys.named(tunnel.peer, [key_id])[0]
        grade = tunnel.judge(key)
        tunnel.hold(turn, key)
        channel.send(encode(Held(key_id=key_id, starts=tunnel.can_start())))
        switch = _next(channel, Switch, key_id)
        tunnel.use(turn, key_id, is_starter=switch.starter)
        channel.send(encode(Used(key_id=key_id)))
        _next(channel, Done, key_id)
        tunnel.retire(turn, key_id)
    tunnel.tell_rotated(key_id, grade, clock() - began_s)


@contextmanager
def _wiped(key: Key) -> Generator[None]:
    """Wipe a key at the end, used or not."""
    try:
        yield
    finally:
        key.value.close()


@contextmanager
def hung_up_after(seconds: float, channel: Channel) -> Generator[None]:
    """Close the channel when what is done with it takes too long."""
    timer = threading.Timer(seconds, channel.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _told(channel: Channel, key_id: str) -> Generator[None]:
    """Tell the other end why nothing comes of a key."""
    try:
        yield
    except PoliqiError as error:
        if not isinstance(error, ProtocolError):
            with suppress(PoliqiError, OSError, ValueError):
                channel.send(encode(Refused(key_id=key_id, reason=str(error)[:500])))
        raise


def _next(channel: Channel, kind: type[M], key_id: str | None) -> M:
    """The next message, which has to be of this kind and about this key."""
    data = channel.receive()
    if data is None:
        raise LinkDown("rotation: the other end hung up")
    message: Message = decode(data)
    if isinstance(message, Refused):
        raise DataRefused(f"the other end refuses the key: {_printable(message.reason)}")
    if not isinstance(message, kind):
        raise ProtocolError(f"rotation: {type(message).__name__!r} came in place of {kind.__name__!r}")
    if key_id is not None and message.key_id != key_id:
        raise ProtocolError(f"rotation: {kind.__name__!r} is about key {message.key_id!r}, not {key_id!r}")
    return message


def _printable(text: str) -> str:
    """What another end said, fit for a log or a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
