"""What a trial found: a verdict for each check, figures for each load. Read from a child as outside data."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from poliqi.apps.testbench.seams import Kind

__all__ = ["Finding", "RecordFigures", "StreamFigures", "Trial", "Verdict"]

_Text = Annotated[str, msgspec.Meta(max_length=2000)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
_Number = Annotated[float, msgspec.Meta(ge=0.0)]


class Verdict(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_SEEN = "not seen"
    """It could not be looked at, and the text says why."""
    NOT_PROMISED = "not promised"
    """An installed program that does not claim it failed it, as it may; it is timed with that remark."""


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One check and what it found."""

    check: _Name
    verdict: Verdict
    text: _Text = ""


class RecordFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One round over records of `size_bytes` in memory. Rates of plaintext in Gbit/s, times in seconds."""

    size_bytes: int
    seal_gbps: _Number
    open_gbps: _Number
    p50_s: _Number
    """Sealing one record and opening it: half of them took no longer."""
    p99_s: _Number
    cpu_ns_per_byte: _Number
    """Processor time of sealing and opening."""


class StreamFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One round over a TCP connection of this machine. Latency is that of a way there and back."""

    write_bytes: int
    gbps: _Number
    cpu_ns_per_byte: _Number
    opened_s: _Number
    """Until the first byte could be sent: handshake and start of programs."""
    p50_s: _Number | None = None
    p99_s: _Number | None = None


class Trial(msgspec.Struct, forbid_unknown_fields=True):
    """One candidate: what it is, what was found, what was measured in each round."""

    name: str
    kind: Kind
    description: str
    origin: str
    """Where it came from: "built in", "installed", an entry point or a file."""
    findings: list[Finding] = []
    skipped: str | None = None
    records: list[RecordFigures] = []
    streams: list[StreamFigures] = []
    draw_gbps: list[float] = []
    keys_per_s: list[float] = []

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed."""
        return [finding.check for finding in self.findings if finding.verdict is Verdict.FAILED]

    @property
    def not_promised(self) -> list[str]:
        """Names of the checks that an installed program failed and does not claim."""
        return [finding.check for finding in self.findings if finding.verdict is Verdict.NOT_PROMISED]

    @property
    def may_be_timed(self) -> bool:
        """Only what works is compared."""
        return self.skipped is None and bool(self.findings) and not self.failed
