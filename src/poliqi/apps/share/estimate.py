"""What key a transfer takes, what is there, and when the rest will be: said before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poliqi.apps.keysource import Supply
from poliqi.apps.stream.needs import TAG_KEY_BYTES, needed_bytes, quantum_key_bytes
from poliqi.apps.stream.terms import Mode, Policy, StreamRule

__all__ = ["Estimate", "Load", "estimate"]

_TALK_BYTES: Final = 4096
_ENTRY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Load:
    """What is still to be sent: files, their bytes, and the bytes of the list."""

    files: int
    size_bytes: int
    list_bytes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Key in bytes, in the sender's direction. `ready_s`: seconds until it is there; None where nobody can say."""

    mode: Mode
    needed_bytes: int
    available_bytes: int
    ready_s: float | None
    is_simulated: bool

    @property
    def is_ready(self) -> bool:
        """True where all of it is there now."""
        return self.ready_s == 0.0

    def text(self) -> str:
        """For a person, in English; the pages have their own words."""
        if self.mode is Mode.PQC:
            return "no quantum key is needed"
        have = f"{_size(self.needed_bytes)} of key needed ({self.mode.value}), {_size(self.available_bytes)} there"
        if self.is_ready:
            return f"{have}: available now"
        when = "nobody can say when" if self.ready_s is None else f"available in about {_span(self.ready_s)}"
        return f"{have}: {when}"


def mode_of(rule: StreamRule, one_time: bool) -> Mode:
    """The mode that a caller under this rule offers first."""
    if one_time or rule.policy is Policy.ITS:
        return Mode.ONE_TIME
    if rule.policy is Policy.PQC:
        return Mode.PQC
    return Mode.QUANTUM if rule.policy is Policy.STRICT else Mode.HYBRID


def estimate(load: Load, supply: Supply, rule: StreamRule, one_time: bool) -> Estimate:
    """For a rule and what waits between the two applications."""
    mode = mode_of(rule, one_time)
    if mode is Mode.PQC:
        return Estimate(mode, 0, supply.available_bytes, 0.0, is_simulated=False)
    length = load.size_bytes + load.list_bytes + _ENTRY_BYTES * load.files + _TALK_BYTES
    if mode is Mode.ONE_TIME:
        # each message ends a record, and each record takes a tag's key
        wanted = needed_bytes(length, supply.most_bytes) + 2 * TAG_KEY_BYTES * load.files
    else:
        wanted = quantum_key_bytes(length, rule.rekey_bytes)
    return Estimate(
        mode=mode,
        needed_bytes=wanted,
        available_bytes=supply.available_bytes,
        ready_s=supply.seconds_until(wanted),
        is_simulated=any(grade.is_simulated for grade in supply.grades),
    )


def _size(count: int) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _span(seconds: float) -> str:
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{max(1.0, seconds):.3g} s"
