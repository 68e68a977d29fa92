"""Rows in the order in which they were measured, where a file has them in another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from poliqi.lab.echem.readers.choosing import Chosen
from poliqi.lab.echem.readers.naming import Role
from poliqi.lab.echem.readers.table import Floats

__all__ = ["in_order"]


def in_order(chosen: Chosen) -> Chosen:
    """By the cycler's numbers of the points, where rows stand in another order and time rises in that one.

    A database tells its rows in any order.
    """
    numbers, time_s = chosen.numbers(Role.NUMBER), chosen.numbers(Role.TIME)
    if numbers is None or time_s is None or bool(np.all(numbers[1:] > numbers[:-1])):
        return chosen
    order = np.argsort(numbers, kind="stable")
    if not bool(np.all(np.diff(numbers[order]) > 0)) or not bool(np.all(np.diff(time_s[order]) >= 0)):
        return chosen
    table = chosen.table
    rows = np.arange(1, order.size + 1, dtype=np.int64) if table.rows is None else table.rows
    note = f"rows stand in another order than {chosen.name(Role.NUMBER)!r}: they were put in that one"

    def numbers_of(at: int) -> Floats:
        return table.numbers(at)[order]

    def words_of(at: int) -> list[str]:
        assert table.words is not None
        words = table.words(at)
        return [words[int(point)] for point in order]

    in_turn = replace(
        table,
        numbers=numbers_of,
        words=None if table.words is None else words_of,
        rows=rows[order],
        notes=(*table.notes, note),
    )
    return Chosen(in_turn, chosen.columns)
