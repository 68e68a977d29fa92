"""Lines for people, in their language: numbers get their units here, closed words their translation.

A line is a template with places as of `str.format`. Beside Python's own format codes a place may ask for `percent`,
`rate` (bits a second), `bits`, `duration` (seconds) or `word` (one of the words below). Text that
was put together by others is given twice: under its name in English, and with `_it` after the name in Italian.
"""

from __future__ import annotations

import string
from enum import StrEnum
from typing import Any, Final

__all__ = ["WORDS", "Language", "Value", "bits_text", "fill", "rate_text", "time_text"]

Value = str | int | float


class Language(StrEnum):
    """Languages in which the software speaks to people."""

    ENGLISH = "en"
    ITALIAN = "it"


WORDS: Final[dict[str, tuple[str, str]]] = {
    "key": ("key", "chiave"),
    "test": ("test", "prova"),
    "qber": ("the error rate is", "il tasso d'errore è"),
    "loss": ("the loss is", "la perdita è"),
    "noise": ("stray light is", "la luce estranea è"),
    "rate": ("the key rate is", "la produzione di chiave è"),
    "all": ("everything is", "tutto è"),
    "intercept-resend": ("interception", "intercettazione"),
    "photon-number-splitting": ("photon splitting", "separazione di fotoni"),
    "blinding": ("blinding of the detectors", "accecamento dei rivelatori"),
    "time-shift": ("a time shift", "uno spostamento nel tempo"),
    "trojan-horse": ("a Trojan horse", "un cavallo di Troia"),
    "tap": ("a tap or a bend", "una derivazione o una curva"),
    "jamming": ("jamming", "un disturbo luminoso"),
    "tampering": ("tampering with messages", "alterazione di messaggi"),
    "unknown": ("something unknown", "qualcosa di ignoto"),
    "blind": ("that it cannot judge", "di non poter giudicare"),
    "suspect": ("a suspicion", "un sospetto"),
}
"""Words from closed sets that stand in lines: English, Italian."""

_PREFIXES: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def _scaled(value: float, unit: str) -> str:
    for size, prefix in _PREFIXES:
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def rate_text(rate_bps: float) -> str:
    """A rate with three digits and a decimal prefix: 1234.0 is "1.23 kbit/s"."""
    return _scaled(rate_bps, "bit/s")


def bits_text(bits: float) -> str:
    """An amount of key with three digits and a decimal prefix: 2500000 is "2.5 Mbit"."""
    return _scaled(bits, "bit")


def time_text(seconds: float) -> str:
    """A length of time: "45 s", "12 min", "3.5 h", "2.1 d"; the symbols are those of the SI in both languages."""
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= size * (2.0 if unit == "d" else 1.0):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


class _Filler(string.Formatter):
    """Never raises for want of a value or for its type: a line of a log must not stop its writer."""

    def __init__(self, language: Language) -> None:
        self._language: Final = language

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:  # noqa: ARG002  # the base class names it
        if self._language is Language.ITALIAN and f"{key}_it" in kwargs:
            return kwargs[f"{key}_it"]
        return kwargs.get(key, "?")

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "word":
            words = WORDS.get(str(value))
            return str(value) if words is None else words[self._language is Language.ITALIAN]
        if not isinstance(value, int | float):
            return str(value)
        text = self._number(value, format_spec)
        return text.replace(".", ",") if self._language is Language.ITALIAN else text

    @staticmethod
    def _number(value: float, format_spec: str) -> str:
        match format_spec:
            case "percent":
                return f"{100.0 * value:.2f} %"
            case "rate":
                return rate_text(value)
            case "bits":
                return bits_text(value)
            case "duration":
                return time_text(value)
            case _:
                return format(value, format_spec)


def fill(template: str, values: dict[str, Value], language: Language) -> str:
    """The template with its places filled."""
    return _Filler(language).vformat(template, (), values)
