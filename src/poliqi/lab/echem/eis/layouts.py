"""Where in a text file of each vendor the table stands: its heads, its rows, what its units are by its format.

Each layout is known by what the file says of itself, not by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.eis.columns import Column, Kind, column_of

__all__ = ["LAYOUTS", "Block", "Layout"]

_OF_VENDOR: Final[Mapping[Kind, str]] = {Kind.FREQUENCY: "Hz", Kind.REAL: "Ohm", Kind.IMAGINARY: "Ohm"}
_SEARCHED: Final = 400
_LONGEST: Final = 4000


@dataclass(frozen=True, slots=True)
class Block:
    """One table. `rows` are its cells, `numbers` the line of the file that each stands in, from 1."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int]
    units: Mapping[Kind, str] | None = None
    """What the format has where heads do not say."""
    with_direct: bool = False
    """Whether points at 0 Hz, from before the sweep, stand among the rows."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """`fits` looks at the first lines, `blocks` takes all lines and the name for errors."""

    name: str
    words: str
    fits: Callable[[Sequence[str]], bool]
    blocks: Callable[[Sequence[str], str], list[Block]]


def _cells(line: str, separator: str) -> list[str]:
    """Cells of a line; a decimal comma is made a point where commas do not separate."""
    if separator == ",":
        return [cell.strip() for cell in line.split(",")]
    cells = line.split() if separator == " " else line.split(separator)
    return [cell.strip().replace(",", ".") if re.fullmatch(r"\s*[-+0-9,eE]+\s*", cell) else cell for cell in cells]


def _table(
    lines: Sequence[str],
    head: int,
    first: int,
    separator: str,
    *,
    end: int | None = None,
    units: Mapping[Kind, str] | None = None,
    with_direct: bool = False,
    notes: tuple[str, ...] = (),
) -> Block:
    """The table of that head line with rows from `first` until `end`, empty lines left out."""
    heads = lines[head].split(None if separator == " " else separator)
    kept = [(at, lines[at]) for at in range(first, len(lines) if end is None else end) if lines[at].strip()]
    return Block(
        heads,
        [_cells(line, separator) for _, line in kept],
        [at + 1 for at, _ in kept],
        units,
        with_direct,
        notes,
    )


def _line(lines: Sequence[str], has: Callable[[str], bool], name: str, what: str) -> int:
    for at, line in enumerate(lines):
        if has(line):
            return at
    raise DataRefused(f"{name}: {what} is missing; the file is truncated or none of impedance: export it anew")


def _gamry(lines: Sequence[str], name: str) -> list[Block]:
    starts = [at for at, line in enumerate(lines) if line.startswith("ZCURVE")]
    if not starts:
        raise DataRefused(f"{name}: a Gamry file without a ZCURVE table; name one of impedance")
    blocks: list[Block] = []
    for start in starts:
        if start + 2 >= len(lines):
            raise DataRefused(f"{name}: the ZCURVE table of line {start + 1} is cut: the file is truncated")
        names, units = (lines[start + one].split("\t") for one in (1, 2))
        heads = [f"{a.strip()}/{b.strip()}" for a, b in zip(names, units, strict=False)]
        end = start + 3
        while end < len(lines) and lines[end].startswith("\t"):
            end += 1
        block = _table(lines, start + 1, start + 3, "\t", end=end)
        aborted = any(line.startswith("EXPERIMENTABORTED") for line in lines[end : end + 3])
        notes = ("the experiment was aborted, says the file",) if aborted else ()
        blocks.append(Block(heads, block.rows, block.numbers, notes=notes))
    return blocks


def _biologic(lines: Sequence[str], name: str) -> list[Block]:
    at = _line(lines[:10], lambda line: line.startswith("Nb header lines"), name, "the number of header lines")
    count = lines[at].partition(":")[2].strip()
    if not count.isdecimal() or not 1 <= int(count[:6]) <= len(lines):
        raise DataRefused(f"{name}: line {at + 1} tells {count!a:.20} header lines of {len(lines)}; export it anew")
    return [_table(lines, int(count) - 1, int(count), "\t", with_direct=True)]


def _autolab(lines: Sequence[str], name: str) -> list[Block]:
    at = _line(lines, lambda line: "Freq (Hz)" in line, name, "the line of heads")
    words = lines[at].replace('"', "").replace("Freq (Hz)", "Freq(Hz)").split()
    block = _table(lines, at, at + 1, ",", units=_OF_VENDOR)
    return [Block(words, block.rows, block.numbers, block.units)]


def _zplot(lines: Sequence[str], name: str) -> list[Block]:
    at = _line(lines, lambda line: "Freq(Hz)" in line, name, "the line of heads")
    first = at + 2 if at + 1 < len(lines) and "End Comments" in lines[at + 1] else at + 1
    block = _table(lines, at, first, "\t", units=_OF_VENDOR)
    return [Block([head.strip() for head in block.heads], block.rows, block.numbers, block.units)]


def _versastudio(lines: Sequence[str], name: str) -> list[Block]:
    blocks: list[Block] = []
    at = 0
    while at < len(lines):
        found = re.fullmatch(r"<(Segment[0-9]{1,4})>", lines[at].strip())
        at += 1
        if not found:
            continue
        start = at
        end = next((one for one in range(start, len(lines)) if lines[one].strip() == f"</{found[1]}>"), None)
        if end is None:
            raise DataRefused(f"{name}: {found[1]} of line {start} has no end: the file is truncated")
        head = next((one for one in range(start, end) if lines[one].startswith("Definition=")), None)
        at = end + 1
        if head is None:
            continue
        cells = [_cells(lines[one], ",") for one in range(head + 1, end) if lines[one].strip()]
        numbers = [one + 1 for one in range(head + 1, end) if lines[one].strip()]
        heads = [cell.strip() for cell in lines[head].removeprefix("Definition=").split(",")]
        blocks.append(Block(heads, cells, numbers, _OF_VENDOR, with_direct=True))
    if not blocks:
        raise DataRefused(f"{name}: no segment with data; the file is truncated or none of impedance")
    return blocks


def _chi(lines: Sequence[str], name: str) -> list[Block]:
    at = _line(lines, lambda line: line.startswith("Freq/Hz"), name, "the line of heads")
    return [_table(lines, at, at + 1, ",")]


def _powersuite(lines: Sequence[str], _name: str) -> list[Block]:
    units = "its units are those that PowerSuite writes: Hz and ohm"
    return [_table(lines, 0, 1, "\t", units=_OF_VENDOR, notes=(units,))]


def _parstat(lines: Sequence[str], _name: str) -> list[Block]:
    return [_table(lines, 0, 1, "\t", with_direct=True)]


def _ivium(lines: Sequence[str], name: str) -> list[Block]:
    """Blocks of Re Z, Im Z and frequency, after a line with how many columns and one with how many rows."""
    blocks: list[Block] = []
    at = 0
    while at < len(lines):
        if not lines[at].startswith("primary_data"):
            at += 1
            continue
        told = [lines[one].strip() for one in range(at + 1, min(at + 3, len(lines)))]
        if len(told) < 2 or told[0] != "3" or not told[1].isdecimal():
            raise DataRefused(f"{name}: the data of line {at + 1} are not three columns of impedance")
        first, count = at + 3, int(told[1][:9])
        if first + count > len(lines):
            raise DataRefused(
                f"{name}: {count} points are told in line {at + 3} and {len(lines) - first} are there: truncated"
            )
        blocks.append(
            Block(
                ("Re(Z)/Ohm", "Im(Z)/Ohm", "frequency/Hz"),
                [lines[one].split() for one in range(first, first + count)],
                list(range(first + 1, first + count + 1)),
            )
        )
        at = first + count
    if not blocks:
        raise DataRefused(f"{name}: an Ivium file without data; export it anew")
    return blocks


def _eco_chemie(lines: Sequence[str], name: str) -> list[Block]:
    """A count, then nine lines a point: frequency, Re Z, -Im Z, and six more."""
    told = lines[1].strip() if len(lines) > 1 else ""
    if not told.isdecimal() or int(told[:9]) == 0:
        raise DataRefused(f"{name}: line 2 tells {told!a:.20} points; export the file anew")
    count = int(told[:9])
    if 3 + 9 * count > len(lines):
        raise DataRefused(f"{name}: {count} points are told and {(len(lines) - 3) // 9} are there: truncated")
    starts = range(3, 3 + 9 * count, 9)
    rows = [[lines[at + one].strip() for one in range(3)] for at in starts]
    return [Block(("frequency/Hz", "Re(Z)/Ohm", "-Im(Z)/Ohm"), rows, [at + 1 for at in starts])]


def _delimited(lines: Sequence[str], name: str) -> list[Block]:
    """A line of heads with units, then rows; separated by tabs, semicolons, commas or blanks."""
    for at, whole in enumerate(lines[:_SEARCHED]):
        line = whole[:_LONGEST]
        for separator in ("\t", ";", ",", " "):
            cells = line.split() if separator == " " else line.split(separator)
            kinds = [column_of(cell) for cell in cells]
            told = {one.kind for one in kinds if one is not None}
            if Kind.FREQUENCY in told and len(told) > 1:
                block = _table(lines, at, at + 1, separator)
                return [Block([cell.strip() for cell in cells], block.rows, block.numbers)]
            if any(isinstance(one, Column) and one.kind is Kind.FREQUENCY for one in kinds):
                break
    raise DataRefused(
        f"{name}: no line says what its columns are; give --columns, such as frequency/Hz,Re(Z)/Ohm,-Im(Z)/Ohm"
    )


def _starts(*words: str) -> Callable[[Sequence[str]], bool]:
    return lambda lines: bool(lines) and lines[0].lstrip("\ufeff \"'").startswith(words)


def _has(*words: str) -> Callable[[Sequence[str]], bool]:
    return lambda lines: any(word in line for line in lines[:_SEARCHED] for word in words)


LAYOUTS: Final = (
    Layout("gamry", "Gamry .DTA", _starts("EXPLAIN"), _gamry),
    Layout("biologic", "BioLogic EC-Lab .mpt", _starts("EC-Lab ASCII FILE"), _biologic),
    Layout("zplot", "Scribner ZPlot .z", _starts("ZPLOT"), _zplot),
    Layout("versastudio", "Ametek VersaStudio .par", _has("Name=VersaStudio"), _versastudio),
    Layout("chinstruments", "CH Instruments .txt", _has("A.C. Impedance"), _chi),
    Layout("ecochemie", "Eco Chemie .dfr", _starts("VERSION"), _eco_chemie),
    Layout("ivium", "Ivium .idf, .ids", _has("primary_data"), _ivium),
    Layout("autolab", "Autolab FRA .txt", _has("Z60W Data File", "Freq (Hz)  "), _autolab),
    Layout("powersuite", "PowerSuite .txt", _has("Frequency\t Zre\t Zimg"), _powersuite),
    Layout("parstat", "Parstat .txt", _starts("Potential (V)\tCurrent (A)\tElapsed Time (s)"), _parstat),
    Layout("table", "a table whose heads have units, .csv or .txt", lambda _: True, _delimited),
)
"""Every layout of text, the first that fits is taken."""
