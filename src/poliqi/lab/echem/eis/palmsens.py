"""PalmSens sessions (.pssession): JSON in UTF-16, each impedance measurement with its arrays and their units."""

from __future__ import annotations

from typing import Final

import msgspec

from poliqi.base.errors import DataRefused, words_of
from poliqi.lab.echem.eis.layouts import Block

__all__ = ["is_palmsens", "palmsens_blocks"]

_NAMES: Final = {"Frequency": "frequency", "ZRe": "Re(Z)", "ZIm": "Im(Z)"}


class _Unit(msgspec.Struct):
    symbol: str | None = msgspec.field(name="S", default=None)
    quantity: str | None = msgspec.field(name="Q", default=None)


class _Value(msgspec.Struct):
    number: float | None = msgspec.field(name="V", default=None)


class _Array(msgspec.Struct, rename="pascal"):
    description: str | None = None
    unit: _Unit | None = None
    data_values: list[_Value] = []


class _Set(msgspec.Struct, rename="pascal"):
    values: list[_Array] = []


class _Spectrum(msgspec.Struct, rename="pascal"):
    data_set: _Set
    title: str | None = None


class _Measurement(msgspec.Struct, rename="pascal"):
    spectra: list[_Spectrum] = msgspec.field(name="EISDataList", default_factory=list[_Spectrum])


class _Session(msgspec.Struct, rename="pascal"):
    type: str
    measurements: list[_Measurement]


def is_palmsens(text: str) -> bool:
    """Whether a text begins like a session."""
    return text.lstrip("\ufeff \r\n").startswith('{"Type":"PalmSens.DataFiles.SessionFile"')


def palmsens_blocks(text: str, name: str) -> list[Block]:
    """One table a spectrum; its rows are numbered as points. Raises DataRefused."""
    whole = text.strip("\ufeff\0 \r\n")
    try:
        session = msgspec.json.decode(whole, type=_Session)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise DataRefused(f"{name}: a PalmSens session that cannot be read ({words_of(error)})") from error
    blocks = [_block(one, name) for part in session.measurements for one in part.spectra]
    if not blocks:
        raise DataRefused(f"{name}: a PalmSens session without a measurement of impedance")
    return blocks


def _block(spectrum: _Spectrum, name: str) -> Block:
    heads: list[str] = []
    columns: list[list[str]] = []
    for array in spectrum.data_set.values:
        kind = _NAMES.get(array.description or "")
        if kind is None:
            continue
        unit = array.unit or _Unit()
        minus = "-" if (unit.quantity or "").startswith("-") else ""
        heads.append(f"{minus}{kind}/{unit.symbol or ''}")
        columns.append(["" if one.number is None else repr(one.number) for one in array.data_values])
    counts = {len(column) for column in columns}
    if len(counts) > 1:
        raise DataRefused(f"{name}: arrays of {sorted(counts)} points in one spectrum; the session is damaged")
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Block(heads, rows, list(range(1, len(rows) + 1)))
