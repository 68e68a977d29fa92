"""What the inputs of a tagger mean, as an option of a command: `0=key,2=test0,3=test1:120`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.link.timetags.tags import Channel, Meaning, Tagging, check_tagging

if TYPE_CHECKING:
    from poliqi.optics.parameters import LinkParameters

__all__ = ["parse_channels", "tagging_from"]

_FORM: Final = "write NUMBER=MEANING or NUMBER=MEANING:DELAY (ps), with commas between: 0=key0,1=key1:120"
_DIGITS: Final = 13


def parse_channels(text: str) -> tuple[Channel, ...]:
    """The channels of an option. Raises ConfigError."""
    found: list[Channel] = []
    for entry in text.split(",")[:257]:
        number, equals, rest = entry.strip().partition("=")
        name, colon, delay = rest.partition(":")
        if not (equals and number.isascii() and number.isdigit() and len(number) <= 3):
            raise ConfigError(f"--channels: {entry[:40]!r}; {_FORM}")
        if name not in list(Meaning):
            raise ConfigError(f"--channels: {name[:40]!r} is no meaning of an input; known: {', '.join(Meaning)}")
        digits = delay.removeprefix("-")
        if colon and not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
            raise ConfigError(f"--channels: delay {delay[:40]!r} of input {number}; {_FORM}")
        found.append(Channel(int(number), Meaning(name), int(delay) if colon else 0))
    return tuple(found)


def tagging_from(link: LinkParameters | None, channels: str | None) -> Tagging | None:
    """The tagging that --link and --channels tell; None where they tell none. Raises ConfigError."""
    if link is None:
        if channels is not None:
            raise ConfigError("--channels needs --link LINK.toml: the clock and the bins are there")
        return None
    from poliqi.link.timetags.simulated import tagging_of

    tagging = tagging_of(link)
    if channels is not None:
        tagging = replace(tagging, channels=parse_channels(channels))
    try:
        check_tagging(tagging)
    except DataRefused as error:
        raise ConfigError(f"--channels: {error}") from error
    return tagging
