"""What is said on a stream of purpose "tunnel 1" (docs/spec/tunnel.md): one TCP connection after another.

Each message of the stream is a byte that says its kind, then its content.

```
kind         content                          who
1 open       the target's name or port        caller, when no connection is under way
2 opened     -                                answerer
3 refused    why, for people                  answerer; the stream can open another
4 data       1 byte to RECORD_BYTES - 1       both
5 end        -                                both, once each: a half-close; after both, the next may be opened
```

Anything else, and any end of the stream between `opened` and the second `end`, is a cut: the application sees a
reset.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

from poliqi.apps.stream.channel import RECORD_BYTES
from poliqi.base.errors import ProtocolError

__all__ = [
    "DATA_BYTES",
    "END",
    "OPENED",
    "PURPOSE",
    "Kind",
    "is_target_name",
    "kind_of",
    "open_message",
    "read_open",
    "read_refusal",
    "refusal",
]

PURPOSE: Final = "tunnel 1"
DATA_BYTES: Final = RECORD_BYTES - 1
"""The most of an application's bytes in one message."""
_REASON_BYTES: Final = 200
_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")


class Kind(IntEnum):
    """The first byte of a message."""

    OPEN = 1
    OPENED = 2
    REFUSED = 3
    DATA = 4
    END = 5


OPENED: Final = bytes([Kind.OPENED])
END: Final = bytes([Kind.END])
_KINDS: Final = {int(kind): kind for kind in Kind}


def is_target_name(text: str) -> bool:
    """True for a lower-case letter and up to 63 letters, digits, `.`, `_` or `-`."""
    return _NAME.fullmatch(text) is not None


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= 65535


def kind_of(message: memoryview | bytes) -> Kind:
    """Raises ProtocolError for one that is empty, unknown or has content where none belongs."""
    kind = _KINDS.get(message[0]) if len(message) else None
    if kind is None:
        said = "is empty" if not len(message) else f"is of kind {message[0]}"
        raise ProtocolError(f"tunnel: a message {said}; kinds are 1 to 5")
    if kind in (Kind.OPENED, Kind.END) and len(message) != 1:
        raise ProtocolError(f"tunnel: a message {kind.name.lower()} of {len(message)} bytes; it has no content")
    if kind is Kind.DATA and len(message) == 1:
        raise ProtocolError("tunnel: a message of data without data")
    return kind


def open_message(target: str) -> bytes:
    """Ask for `target`, a name or a port in digits. Raises ValueError for anything else."""
    if not (is_target_name(target) or _is_port(target)):
        raise ValueError(f"{target!r} is neither a target's name nor a port")
    return bytes([Kind.OPEN]) + target.encode("ascii")


def read_open(message: memoryview | bytes) -> str:
    """The target that is asked for. Raises ProtocolError."""
    if kind_of(message) is not Kind.OPEN:
        raise ProtocolError(f"tunnel: message {kind_of(message).name.lower()} where a connection is to be opened")
    text = bytes(message[1:66]).decode("ascii", "replace")
    if len(message) > 65 or not (is_target_name(text) or _is_port(text)):
        raise ProtocolError("tunnel: what is to be opened is neither a name nor a port")
    return text


def refusal(reason: str) -> bytes:
    """Say no; the reason is cut to 200 bytes."""
    return bytes([Kind.REFUSED]) + reason.encode()[:_REASON_BYTES]


def read_refusal(message: memoryview | bytes) -> str:
    """Why; nothing in it can move a terminal's cursor."""
    text = bytes(message[1 : 1 + _REASON_BYTES]).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)
