"""What an evaluation found, as JSON that other tools read: named quantities, each with value, sigma and unit.

`saxs` writes particle sizes so, `xrd` lattice parameters and crystallite sizes. Names are lower-case words joined
with underscores; where there are several phases or populations the name ends in `@` and which one:
`lattice_a@LaB6`, `crystallite_size@LaB6`, `radius_mean`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from poliqi.base.errors import DataRefused, words_of

if TYPE_CHECKING:
    from poliqi.lab.store.records import Dataset
    from poliqi.lab.store.tenant import TenantStore

__all__ = ["FORMAT", "Finding", "Findings", "findings_bytes", "findings_from", "findings_in", "read_findings"]

FORMAT: Final = "poliqi-findings-1"
_MOST_BYTES: Final = 4 << 20
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}(@[^\s@/\\]{1,64})?")
_REMEDY: Final = "write it anew with the tool that made it"


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One quantity. `sigma` is one standard deviation in the same unit; None where nobody knows it."""

    name: str
    value: float
    unit: str
    """SI or what the field writes: "nm", "A", "deg", "1/nm", "1" for a pure number."""
    sigma: float | None = None
    method: str = ""
    """How it was found, in a few words: "Rietveld", "Guinier", "size distribution, volume-weighted"."""
    sigma_covers: str = ""
    """What `sigma` contains, such as "counting statistics"; what is not named here is not in it."""


class Findings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All that one evaluation found, with what it was about."""

    findings: tuple[Finding, ...]
    program: str
    """What wrote this, such as "poliqi lab xray xrd"."""
    title: str = ""
    simulated: bool = False
    """Whether the data came from a calculation in place of an instrument."""
    cautions: tuple[str, ...] = ()
    """What a reader has to know before using the numbers."""
    format: str = FORMAT

    def named(self, name: str) -> Finding:
        """The quantity of that name; DataRefused where there is none."""
        for one in self.findings:
            if one.name == name:
                return one
        there = ", ".join(one.name for one in self.findings)[:400] or "nothing"
        raise DataRefused(f"findings {self.title!r} hold no {name!r}; they hold {there}")


def findings_bytes(findings: Findings) -> bytes:
    """As JSON, one quantity a line apart. Raises DataRefused for what `findings_from` would not read."""
    _check(findings, f"findings {findings.title!r}")
    return msgspec.json.format(msgspec.json.encode(findings), indent=1) + b"\n"


def findings_from(data: bytes, name: str = "findings") -> Findings:
    """What JSON says; `name` is told in errors. Raises DataRefused."""
    if len(data) > _MOST_BYTES:
        raise DataRefused(f"{name}: {len(data)} bytes, must be at most {_MOST_BYTES}; {_REMEDY}")
    try:
        findings = msgspec.json.decode(data, type=Findings)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataRefused(f"{name}: not a file of findings ({words_of(error)}); {_REMEDY}") from error
    _check(findings, name)
    return findings


def read_findings(path: Path) -> Findings:
    """The findings of a file. Raises DataRefused."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror or error}; name a file of findings") from error
    return findings_from(data, str(path))


def findings_in(part: TenantStore, start: str) -> tuple[Dataset, Findings]:
    """The dataset whose identifier begins so, and what it found. Raises DataRefused, StoreError.

    What stands in a simulated dataset is simulated, whatever its file says.
    """
    dataset = part.dataset(part.resolve(start))
    files = [file for file in dataset.files if file.path == "findings.json"]
    if not files:
        raise DataRefused(
            f"dataset {dataset.id}, {dataset.title!r}, holds no findings.json; name one that a tool has evaluated"
        )
    findings = findings_from(part.content(files[0], _MOST_BYTES), f"findings.json of dataset {dataset.id}")
    return dataset, msgspec.structs.replace(findings, simulated=findings.simulated or dataset.is_simulated)


def _check(findings: Findings, name: str) -> None:
    if findings.format != FORMAT:
        raise DataRefused(f"{name}: its format is {findings.format!a:.60}, must be {FORMAT!r}; {_REMEDY}")
    seen: set[str] = set()
    for one in findings.findings:
        if not _NAME.fullmatch(one.name) or not one.name.isprintable():
            raise DataRefused(f"{name}: {one.name!a:.80} names no quantity; such as lattice_a@LaB6; {_REMEDY}")
        if one.name in seen:
            raise DataRefused(f"{name}: {one.name!r} stands there twice; {_REMEDY}")
        seen.add(one.name)
        if not math.isfinite(one.value) or not one.unit or not one.unit.isprintable():
            raise DataRefused(f"{name}: {one.name!r} is {one.value} {one.unit!a:.20}, must be a number with a unit")
        if one.sigma is not None and not 0 <= one.sigma < math.inf:
            raise DataRefused(f"{name}: sigma of {one.name!r} is {one.sigma}, must be a number of 0 or more")
