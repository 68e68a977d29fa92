"""What an emulated QSN-d-1 tells of itself, and what may be set."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from poliqi.link.qsn.correction import LEAST_BLOCK

__all__ = ["Attributes"]

_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_LARGEST: Final = {"channel_att": 255, "ttl": (1 << 32) - 1, "samples": (1 << 16) - 1}


@dataclass(slots=True)
class Attributes:
    """`wavelength` is the number of a WDM channel, `samples` the bits of a block."""

    wavelength: int = 34
    channel_att_db: int = 3
    ttl_s: int = 3_600
    samples: int = 2_048

    def get(self, name: str, qber: float) -> str | None:
        """The value as text; None where there is no such name."""
        match name:
            case "wavelength":
                return str(self.wavelength)
            case "QBER":
                return f"{qber:.6g}"
            case "channel_att":
                return str(self.channel_att_db)
            case "ttl":
                return str(self.ttl_s)
            case "samples":
                return str(self.samples)
            case _:
                return None

    def set(self, name: str, text: str) -> bool | None:
        """Whether the value is another than before; None where the name or the value is not allowed."""
        if name not in _LARGEST or _NUMBER.fullmatch(text) is None or int(text) > _LARGEST[name]:
            return None
        value = int(text)
        if name == "samples" and (value < LEAST_BLOCK or value & (value - 1)):
            return None
        before = self.get(name, 0.0)
        match name:
            case "channel_att":
                self.channel_att_db = value
            case "ttl":
                self.ttl_s = value
            case _:
                self.samples = value
        return self.get(name, 0.0) != before
