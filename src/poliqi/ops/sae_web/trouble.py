"""What went wrong, by kind: the pages have words for each in both languages, and show the error itself below."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from poliqi.apps.share.messages import RefusalCode, Refused
from poliqi.base.errors import (
    AuthenticationError,
    ConfigError,
    DataRefused,
    KeyExhausted,
    LinkDown,
    PoliqiError,
    ProtocolError,
    StoreError,
)

__all__ = ["Declined", "Trouble", "trouble_of"]


class Trouble(StrEnum):
    """The name of the phrase that says it."""

    SETTING = "setting"
    REFUSED = "refused"
    STRANGER = "stranger"
    PROTOCOL = "protocol"
    NO_KEY = "no-key"
    KEY_GRADE = "key-grade"
    AWAY = "away"
    DISK = "disk"
    THEIR_DISK = "their-disk"
    THEIR_LIMIT = "their-limit"
    NAME = "name"
    SAME_NAME = "same-name"
    TOO_LARGE = "too-large"
    TOO_MANY = "too-many"
    BUSY = "busy"
    GONE = "gone"
    INSIDE = "inside"


class Declined(DataRefused):
    """What a person handed in is not taken."""

    def __init__(self, trouble: Trouble, text: str) -> None:
        super().__init__(text)
        self.trouble: Final = trouble


_CLASSES: Final[tuple[tuple[type[PoliqiError], Trouble], ...]] = (
    (AuthenticationError, Trouble.STRANGER),
    (ProtocolError, Trouble.PROTOCOL),
    (ConfigError, Trouble.SETTING),
    (DataRefused, Trouble.REFUSED),
    (KeyExhausted, Trouble.NO_KEY),
    (LinkDown, Trouble.AWAY),
    (StoreError, Trouble.DISK),
)
_CODES: Final = {
    RefusalCode.NO_SPACE: Trouble.THEIR_DISK,
    RefusalCode.STORE_FAILED: Trouble.THEIR_DISK,
    RefusalCode.TOO_LARGE: Trouble.THEIR_LIMIT,
    RefusalCode.TOO_MANY: Trouble.THEIR_LIMIT,
    RefusalCode.CLOSING: Trouble.AWAY,
}


def trouble_of(error: Exception) -> Trouble:
    """The kind of an error; what is no error of ours went wrong inside."""
    if isinstance(error, Declined):
        return error.trouble
    if isinstance(error, Refused) and error.refusal.code in _CODES:
        return _CODES[error.refusal.code]
    return next((trouble for kind, trouble in _CLASSES if isinstance(error, kind)), Trouble.INSIDE)
