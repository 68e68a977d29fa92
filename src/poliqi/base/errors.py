"""Errors: one class for each decision that a caller can take.

```
PoliqiError
├── ConfigError          mend the file or the option that is named, then run again
├── DataRefused          the data at hand (a recording, a table of counts) cannot be used; nothing was lost
├── ProtocolError        the peer broke the protocol: drop the connection, keep the state
│   └── AuthenticationError   what arrived was not sent by the paired peer: drop, and count it
├── KeyExhausted         no key or pad is left: wait for more, or pair again
├── LinkDown             the peer cannot be reached: try again later
└── StoreError           the state on disk could not be read or written: stop, do not guess
```

Expected outcomes are values, not errors: a block that yields no key is `poliqi.distill.Aborted`.
Each message names the thing, its value, the limit and what to do next.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "ConfigError",
    "DataRefused",
    "KeyExhausted",
    "LinkDown",
    "PoliqiError",
    "ProtocolError",
    "StoreError",
    "words_of",
]

_MOST_TOLD = 160


class PoliqiError(Exception):
    """Root of every error that POLIQI raises on purpose."""


class ConfigError(PoliqiError):
    """A setting or an option is missing, unknown, out of range or contradicts another."""


class DataRefused(PoliqiError):
    """Data at hand is truncated, corrupt or contradicts itself."""


class ProtocolError(PoliqiError):
    """The peer sent what the protocol does not allow here."""


class AuthenticationError(ProtocolError):
    """A tag did not verify: the message was not sent by the paired peer in this place."""


class KeyExhausted(PoliqiError):
    """No key or pad is left for what was asked."""


class LinkDown(PoliqiError):
    """The peer cannot be reached or has gone silent."""


class StoreError(PoliqiError):
    """State on disk could not be read or written."""


def words_of(error: BaseException) -> str:
    """An error's kind and words, at most 160 characters of printable ASCII: words may quote what came from outside.

    Where what came may hold key, say the kind alone: `type(error).__name__`.
    """
    return f"{type(error).__name__}: {ascii(str(error)[:_MOST_TOLD])[1:-1]}"[:_MOST_TOLD]
