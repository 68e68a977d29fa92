"""Frames of a handshake over a wire; why a call is not answered, in clear, and why a stream ends, sealed."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final, NoReturn

from poliqi.apps.stream.opening import Frame, Refusal
from poliqi.apps.stream.wire import HEAD_BYTES, Wire
from poliqi.base.errors import (
    AuthenticationError,
    ConfigError,
    DataRefused,
    KeyExhausted,
    LinkDown,
    PoliqiError,
    ProtocolError,
)
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["alert_reason", "alerted", "expect", "frame", "refuse", "refusing"]

_RETRY_S: Final = 1.0
_SAID: Final[Mapping[int, tuple[type[PoliqiError], str]]] = {
    Refusal.NOT_KNOWN: (
        ConfigError,
        "it does not know this application or its identity: exchange public files again",
    ),
    Refusal.MODE: (ConfigError, "its policy does not take this mode: set the same policy at both ends"),
    Refusal.GRADE: (
        ConfigError,
        "its rule refuses the key's grade: compare both rules, allow_simulated among them",
    ),
    Refusal.BROKEN: (AuthenticationError, "it could not read the call: the quantum keys of the two ends differ"),
    Refusal.BUSY: (LinkDown, "it has no room for another stream now: try again"),
}


def frame(kind: Frame, body: bytes) -> bytes:
    """A frame in clear."""
    return bytes([kind]) + len(body).to_bytes(HEAD_BYTES - 1, "big") + body


def expect(wire: Wire, kind: Frame) -> bytes:
    """The body of the next frame, which has to be of this kind. Raises as `channel.connect`."""
    read = wire.read()
    if read is None:
        raise LinkDown("the other side hung up during the handshake: try again, or look at its log")
    found, _, body = read
    if found == Frame.REFUSAL and kind is not Frame.CALL:
        _raise_refusal(bytes(body))
    if found != kind:
        raise ProtocolError(f"a frame of type {found} came where the handshake wants {kind.name.lower()}: hang up")
    return bytes(body)


def refuse(wire: Wire, why: Refusal) -> None:
    """Say in clear why a call is not answered: a hint that proves nothing."""
    try:
        wire.write(frame(Frame.REFUSAL, bytes([why])))
    except LinkDown:
        return


@contextmanager
def refusing(wire: Wire, why: Refusal) -> Generator[None]:
    """Refuse where the block fails, and let the error go on. About keys, the error says more than `why`."""
    try:
        yield
    except PoliqiError as error:
        if why is Refusal.NO_KEYS:
            why = _about_keys(error)
        refuse(wire, why)
        if isinstance(error, DataRefused):
            raise KeysNotReady(f"the caller named a key that is not there: {error}", None) from error
        raise


def _about_keys(error: PoliqiError) -> Refusal:
    match error:
        case DataRefused():
            return Refusal.KEY_NOT_FOUND
        case ConfigError():
            return Refusal.GRADE
        case ProtocolError():
            return Refusal.BROKEN
        case _:
            return Refusal.NO_KEYS


def _raise_refusal(body: bytes) -> NoReturn:
    code = body[0] if len(body) == 1 else 0
    by = "the call was refused (says an answer that nobody signed): "
    if code == Refusal.KEY_NOT_FOUND:
        raise KeysNotReady(by + "its site did not find the key that was named: try again", _RETRY_S)
    if code == Refusal.NO_KEYS:
        raise KeysNotReady(by + "its site gave it no key: try again", _RETRY_S)
    kind, text = _SAID.get(code, (ProtocolError, f"code {code} is not known here"))
    raise kind(by + text)


def alert_reason(error: PoliqiError) -> Refusal:
    """What the other side is told of an error in what it sent."""
    match error:
        case KeyExhausted() | LinkDown() | DataRefused():
            return Refusal.KEY_NOT_FOUND
        case ConfigError():
            return Refusal.GRADE
        case _:
            return Refusal.BROKEN


def alerted(peer: SaeId, text: bytes) -> PoliqiError:
    """The error that an alert means."""
    match text[0] if len(text) == 1 else 0:
        case Refusal.NO_KEYS:
            return KeysNotReady(f"{peer} has no key to go on with: open another stream later", None)
        case Refusal.KEY_NOT_FOUND:
            return KeysNotReady(f"{peer} was not given the key that was named: open another stream", None)
        case Refusal.GRADE:
            return KeysNotReady(f"{peer} refuses the grade of the next key: compare the rules of both ends", None)
        case Refusal.BROKEN:
            return AuthenticationError(f"{peer} read something that was not sent here: the line is disturbed")
        case Refusal.NOT_SERVED:
            return ConfigError(f"{peer} does not serve what this stream was opened for: set it up at its side")
        case _:
            return ProtocolError(f"{peer} sent an alert that is not known here: hang up")
