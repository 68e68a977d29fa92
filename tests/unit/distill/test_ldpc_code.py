"""The stored codes: their form, their girth by a search of its own, and syndromes against H x over GF(2)."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from poliqi.distill.reconcile.ldpc_code import BASE_LIFT, COLUMNS, base_codes, lifted
from poliqi.distill.reconcile.ldpc_frame import syndrome

CODES = base_codes()
SOME = [CODES[0], CODES[len(CODES) // 2], CODES[-1]]


def dense(code, lift):
    """H as uint8[rows * Z, COLUMNS * Z], from the base graph, by the definition."""
    rows = code.core + code.extra
    matrix = np.zeros((rows * lift, COLUMNS * lift), np.uint8)
    i = np.arange(lift)
    for c, edges in enumerate(code.columns):
        for row, shift in edges:
            matrix[row * lift + i, c * lift + (i + shift * lift // BASE_LIFT) % lift] ^= 1
    return matrix


def shortest_cycle(columns, lift, rows, limit):
    """Edges of the shortest cycle through bit 0 of any column of the lifted graph; `limit` where none is shorter.

    Shifts commute, so cycles through bit 0 stand for those through every bit of a column.
    """
    by_row = [[] for _ in range(rows)]
    for c, edges in enumerate(columns):
        for row, shift in edges:
            by_row[row].append((c, shift))
    best = limit
    for c in range(len(columns)):
        seen, front = {("bit", c, 0): None}, [("bit", c, 0)]
        depth = 0
        while front and 2 * depth + 1 < best:
            later = []
            for node in front:
                kind, at, place = node
                if kind == "bit":
                    around = [("check", row, (place - shift) % lift) for row, shift in columns[at]]
                else:
                    around = [("bit", col, (place + shift) % lift) for col, shift in by_row[at]]
                for other in around:
                    if other == seen[node]:
                        continue
                    if other in seen:
                        best = min(best, 2 * depth + (1 if other in front else 2))
                    else:
                        seen[other] = node
                        later.append(other)
            front, depth = later, depth + 1
    return best


def test_the_codes_cover_their_range_of_rates_in_small_steps():
    cores = [code.core for code in CODES]
    assert cores == sorted(set(cores))
    assert cores[0] <= 13
    assert cores[-1] >= 115
    assert max(b / a for a, b in pairwise(cores)) < 1.14


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.core))
def test_every_column_has_two_checks_of_the_core_and_no_row_twice(code):
    assert len(code.columns) == COLUMNS
    for edges in code.columns:
        rows = [row for row, _ in edges]
        assert len(set(rows)) == len(rows)
        assert sum(row < code.core for row in rows) >= 2
        assert all(0 <= row < code.core + code.extra and 0 <= shift < BASE_LIFT for row, shift in edges)


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.core))
def test_rows_of_the_core_have_nearly_equal_degrees(code):
    degrees = np.bincount([row for edges in code.columns for row, _ in edges if row < code.core])
    assert degrees.max() - degrees.min() <= 8


def differences(columns):
    """How often each (row, row, difference of shifts) occurs: one that occurs twice is a cycle of four edges."""
    found = [(a, b, (s - t) % BASE_LIFT) for edges in columns for a, s in edges for b, t in edges if a < b]
    return len(found), len(set(found))


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.core))
def test_no_cycle_of_four_edges(code):
    total, distinct = differences(code.columns)
    assert total == distinct


@pytest.mark.parametrize("code", [CODES[0], CODES[-1]], ids=lambda code: str(code.core))
def test_girth_is_six_by_a_breadth_first_search(code):
    assert shortest_cycle(code.columns[:40], BASE_LIFT, code.core + code.extra, 12) >= 6


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.core))
def test_columns_of_degree_two_close_no_short_cycle_among_themselves(code):
    """A cycle of w such columns, 2 w edges, is a codeword of weight w: none has less than nine."""
    twos = [edges for edges in ([e for e in c if e[0] < code.core] for c in code.columns) if len(edges) == 2]
    assert shortest_cycle(twos, BASE_LIFT, code.core, 18) >= 18


@pytest.mark.parametrize("code", SOME, ids=lambda code: str(code.core))
@pytest.mark.parametrize("lift", [64, 128])
def test_the_syndrome_is_h_times_x(code, lift):
    random = np.random.default_rng(code.core)
    bits = random.integers(0, 2, COLUMNS * lift, dtype=np.uint8)
    expected = (dense(code, lift) @ bits.astype(np.int64)) % 2 if lift == 64 else None
    packed = np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)
    got = np.unpackbits(syndrome(lifted(code, lift), packed).astype("<u8").view(np.uint8), bitorder="little")
    if expected is None:
        i = np.arange(lift)
        expected = np.zeros((code.core + code.extra, lift), np.int64)
        for c, edges in enumerate(code.columns):
            for row, shift in edges:
                expected[row] += bits[c * lift + (i + shift * lift // BASE_LIFT) % lift]
        expected = expected.reshape(-1) % 2
    assert (got == expected).all()


def test_a_short_frame_counts_as_filled_with_zeros():
    code = lifted(CODES[0], 64)
    long = np.zeros(COLUMNS, np.uint64)
    long[0] = 0x123456789ABCDEF
    assert (syndrome(code, long[:1]) == syndrome(code, long)).all()


def test_the_construction_gives_the_stored_code():
    from codes.construct import TARGET, record

    stored = {code["core"]: code for code in json.loads(TARGET.read_text())["codes"]}
    assert record(13) == stored[13]


def test_a_lift_that_is_no_multiple_of_64_is_refused():
    with pytest.raises(ValueError, match="multiple of 64"):
        lifted(CODES[0], 100)
