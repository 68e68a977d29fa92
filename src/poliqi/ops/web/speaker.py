"""Figures and times as people of a language write them; "–" stands for what was not measured."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from poliqi.control.events import Language
from poliqi.ops.web.words import Catalogue, catalogue

__all__ = ["MISSING", "Quantity", "Speaker"]

MISSING: Final = "–"
_UP: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SUPERSCRIPT: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SPACE: Final = "\u00a0"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit, to be set in different sizes."""

    number: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.number}{_SPACE}{self.unit}" if self.unit else self.number


_NOTHING: Final = Quantity(MISSING)


class Speaker:
    """Speaks one language. Called with a phrase's key it gives the phrase."""

    __slots__ = ("_words", "language")

    def __init__(self, language: Language, words: Catalogue | None = None) -> None:
        self.language: Final = language
        self._words: Final = words or catalogue()

    def __call__(self, key: str, **values: object) -> str:
        return self._words[key][self.language].format_map(values)

    def _localised(self, text: str) -> str:
        return text.translate(_ITALIAN) if self.language is Language.ITALIAN else text

    def count(self, number: int) -> str:
        """A whole number, thousands apart."""
        return self._localised(f"{number:,}")

    def number(self, value: float, decimals: int) -> str:
        """With so many decimals."""
        return self._localised(f"{value:,.{decimals}f}")

    def _three(self, value: float) -> str:
        """Three figures, so that a number that moves keeps its width."""
        size = 0 if value == 0.0 else math.floor(math.log10(abs(value)) + 1e-9)
        return self.number(value, min(2, max(0, 2 - size)))

    def _prefixed(self, value: float | None, unit: str) -> Quantity:
        if value is None or not math.isfinite(value):
            return _NOTHING
        for factor, prefix in _UP:
            if abs(value) >= factor * 0.9995:
                return Quantity(self._three(value / factor), prefix + unit)
        return Quantity(self.number(value, 0), unit)

    def rate(self, bps: float | None) -> Quantity:
        """Bits a second."""
        return self._prefixed(bps, "bit/s")

    def bits(self, count: float | None) -> Quantity:
        """An amount of key."""
        return self._prefixed(count, "bit")

    def data(self, count: float | None) -> Quantity:
        """An amount of data, or of key that is counted in bytes."""
        return self._prefixed(count, "B")

    def percent(self, share: float | None, decimals: int = 2) -> Quantity:
        """A share, as percent."""
        return _NOTHING if share is None else Quantity(self.number(100.0 * share, decimals), "%")

    def decibel(self, value_db: float | None) -> Quantity:
        """A loss."""
        return _NOTHING if value_db is None else Quantity(self.number(value_db, 2), "dB")

    def tick(self, value: float, unit: str) -> str:
        """A round number on an axis, without zeros that say nothing."""
        factor, prefix = next(((f, p) for f, p in _UP if abs(value) >= f and unit in ("bit", "bit/s")), (1.0, ""))
        number = self._localised(f"{value / factor:.4g}")
        return number if value == 0.0 else f"{number}{_SPACE}{prefix}{unit}"

    def kilometres(self, value_km: float) -> Quantity:
        """A length."""
        return Quantity(self.number(value_km, 1), "km")

    def power(self, value: float | None) -> str:
        """A small probability: 1.2·10⁻¹⁰."""
        if value is None or not math.isfinite(value):
            return MISSING
        if value <= 0.0:
            return "0"
        exponent = math.floor(math.log10(value))
        mantissa = value / 10.0**exponent
        if mantissa >= 9.95:
            mantissa, exponent = 1.0, exponent + 1
        power = f"10{str(exponent).translate(_SUPERSCRIPT)}"
        return power if abs(mantissa - 1.0) < 0.05 else f"{self.number(mantissa, 1)}·{power}"

    def lasting(self, hours: float | None) -> Quantity:
        """How long something goes on."""
        if hours is None or not math.isfinite(hours):
            return _NOTHING
        if hours < 1.0:
            return Quantity(self.number(math.floor(hours * 60.0), 0), "min")
        if hours < 100.0:
            return Quantity(self.number(math.floor(hours * 10.0) / 10.0, 1), "h")
        return Quantity(self.number(math.floor(hours / 24.0), 0), self("unit.days"))

    def ago(self, seconds: float | None) -> str:
        """How long something is past."""
        if seconds is None or not math.isfinite(seconds):
            return MISSING
        whole = max(0, int(seconds))
        if whole < 60:
            return self("time.seconds", n=whole)
        if whole < 3600:
            return self("time.minutes", n=whole // 60)
        if whole < 2 * 86400:
            return self("time.hours", n=whole // 3600)
        return self("time.days", n=whole // 86400)

    def moment(self, unix_s: float, now_unix_s: float) -> str:
        """When something happened: the time, with the date where it was not today; in the server's zone."""
        then, now = datetime.fromtimestamp(unix_s).astimezone(), datetime.fromtimestamp(now_unix_s).astimezone()
        clock = then.strftime("%H:%M:%S")
        if then.date() == now.date():
            return clock
        return self("time.dated", day=then.day, month=self(f"month.m{then.month}"), clock=clock)

    @staticmethod
    def stamp(unix_s: float) -> str:
        """For machines: 2026-11-23T14:03:22Z."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))


_ITALIAN: Final = str.maketrans({",": ".", ".": ","})
