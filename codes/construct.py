"""`python -m codes.construct`: the base graphs and shifts of the codes, from the table of degrees and a seed.

Columns are placed by ascending degree. Rows of a column are those with the fewest edges so far (two rows of a
column of degree 2: the farthest apart in the graph of such columns). The shifts are the best of many draws: no
cycle of four edges, and as few of six as can be had.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path

import numpy as np

COLUMNS = 256
LIFT = 256
DRAWS = 64
SEED = 1
TARGET = Path(__file__).parents[1] / "src/poliqi/distill/reconcile/ldpc_codes.json"

CORES = (*range(13, 47), *range(48, 91, 2), *range(93, 119, 3), 119)
"""Rows of the cores: steps of 2 to 8 %, the finest where links work."""

# rows of the core -> columns of each degree, as `codes/optimise.py` found them
DEGREES = {
    13: {2: 16, 3: 128, 6: 56, 13: 56},
    15: {2: 18, 3: 128, 6: 56, 15: 54},
    17: {2: 22, 3: 123, 4: 31, 5: 8, 16: 72},
    19: {2: 24, 3: 125, 5: 31, 6: 17, 18: 59},
    21: {2: 28, 3: 113, 4: 3, 6: 27, 7: 26, 8: 7, 20: 52},
    23: {2: 29, 3: 125, 4: 3, 6: 25, 7: 24, 8: 6, 20: 44},
    25: {2: 31, 3: 131, 8: 54, 9: 12, 24: 28},
    29: {2: 37, 3: 128, 8: 44, 9: 21, 28: 26},
    33: {2: 41, 3: 127, 8: 28, 9: 14, 10: 26, 32: 20},
    37: {2: 46, 3: 124, 8: 25, 9: 9, 10: 34, 32: 9, 36: 9},
    41: {2: 51, 3: 120, 7: 3, 8: 22, 9: 7, 10: 34, 28: 4, 32: 4, 36: 6, 40: 5},
    52: {2: 64, 3: 109, 7: 20, 8: 12, 10: 33, 24: 3, 28: 5, 36: 1, 40: 9},
    60: {2: 74, 3: 100, 6: 9, 7: 19, 8: 7, 10: 30, 28: 8, 32: 8, 36: 1},
    66: {2: 81, 3: 95, 7: 14, 8: 46, 24: 12, 28: 8},
    73: {2: 86, 3: 91, 6: 4, 7: 15, 8: 40, 16: 2, 24: 8, 28: 10},
    80: {2: 89, 3: 91, 6: 5, 7: 13, 8: 39, 16: 3, 24: 5, 28: 11},
    88: {2: 93, 3: 89, 6: 5, 7: 14, 8: 35, 16: 5, 24: 2, 28: 13},
    97: {2: 97, 3: 88, 6: 5, 7: 14, 8: 34, 16: 3, 18: 2, 28: 13},
    107: {2: 101, 3: 87, 6: 1, 7: 22, 8: 27, 16: 5, 28: 13},
    118: {2: 106, 3: 86, 6: 3, 7: 18, 8: 26, 16: 5, 28: 12},
}


class Builder:
    """The edges so far, with what cycles of four and of six a further one would close."""

    def __init__(self, core: int, extra: int, seed: int) -> None:
        rows = core + extra
        self.rows, self.core = rows, core
        self.random = np.random.default_rng([seed, core])
        self.columns: list[list[tuple[int, int]]] = []
        self.load = np.zeros(core, int)
        self.seen = np.zeros((rows, rows, LIFT), np.float32)
        """How many columns have edges in rows a and b whose shifts differ by d."""
        self.twice = np.zeros((core, core, LIFT), np.float32)
        """The same for two columns one after the other, through a third row."""
        self.links = np.full((core, core), np.inf)
        """Steps from row to row through columns of degree 2."""
        np.fill_diagonal(self.links, 0)

    def put(self, edges: list[tuple[int, int]]) -> None:
        self.columns.append(edges)
        for r, s in edges:
            self.load[r] += 1
            for q, t in edges:
                if q != r:
                    self.seen[r, q, (s - t) % LIFT] += 1
        if len(edges) == 2:
            (a, _), (b, _) = edges
            d = self.links
            w = np.minimum(d[a, b], 1.0)
            self.links = np.minimum(d, np.minimum(d[:, [a]] + w + d[[b], :], d[:, [b]] + w + d[[a], :]))

    def refresh(self) -> None:
        f = np.fft.rfft(self.seen[: self.core, : self.core], axis=2).transpose(2, 0, 1)
        self.twice = np.rint(np.fft.irfft((f @ f).transpose(1, 2, 0), LIFT, axis=2)).astype(np.float32)

    def choose_rows(self, degree: int) -> list[int]:
        jitter = self.random.random(self.core)
        if degree != 2:
            return sorted(np.lexsort((jitter, self.load))[:degree].tolist())
        best = None
        for a in range(self.core):
            for b in range(a):
                load = int(self.load[a]), int(self.load[b])
                key = (min(self.links[a, b], 1e9), -max(load), -sum(load), jitter[a] + jitter[b])
                if best is None or key > best[0]:
                    best = key, [b, a]
        assert best is not None
        return best[1]

    def add(self, degree: int, draws: int) -> None:
        rows = np.array(self.choose_rows(degree))
        if len(self.columns) % 4 == 0:
            self.refresh()
        shifts = self.random.integers(0, LIFT, (draws, degree))
        a, b = np.triu_indices(degree, 1)
        difference = (shifts[:, a] - shifts[:, b]) % LIFT
        four = self.seen[rows[a], rows[b], difference].sum(axis=1)
        six = self.twice[rows[a], rows[b], difference].sum(axis=1)
        cost = four * 1e4 + six
        pick = int(cost.argmin())
        s = shifts[pick].copy()
        # then each edge in turn
        for _ in range(2):
            for k in range(degree):
                others = np.array([j for j in range(degree) if j != k])
                trial = (np.arange(LIFT)[:, None] - s[others][None, :]) % LIFT
                c4 = self.seen[rows[k], rows[others], trial].sum(axis=1)
                c6 = self.twice[rows[k], rows[others], trial].sum(axis=1)
                c = c4 * 1e4 + c6 + self.random.random(LIFT) * 0.5
                s[k] = int(c.argmin())
        self.put(list(zip(rows.tolist(), s.tolist(), strict=True)))

    def extend(self, row: int, weight: int) -> None:
        """Edges of `row`, one of the rows after the core, in the `weight` columns that had the fewest such."""
        late = [sum(r >= self.core for r, _ in edges) for edges in self.columns]
        order = np.lexsort((self.random.random(len(late)), late))
        for c in order[:weight].tolist():
            rows = np.array([r for r, _ in self.columns[c]])
            shifts = np.array([s for _, s in self.columns[c]])
            trial = (np.arange(LIFT)[:, None] - shifts[None, :]) % LIFT
            four = self.seen[row, rows, trial].sum(axis=1)
            s = int((four + self.random.random(LIFT) * 0.5).argmin())
            for r, t in self.columns[c]:
                self.seen[row, r, (s - t) % LIFT] += 1
                self.seen[r, row, (t - s) % LIFT] += 1
            self.columns[c].append((row, s))


def build(nodes: dict[int, int], core: int, extra: int, seed: int = 1) -> list[list[tuple[int, int]]]:
    """Edges (row, shift) of each column, columns in a drawn order; rows from `core` on are the increments."""
    builder = Builder(core, extra, seed)
    for degree in sorted(nodes):
        for _ in range(nodes[degree]):
            builder.add(degree, DRAWS)
    mean = sum(d * n for d, n in nodes.items()) / core
    for row in range(core, core + extra):
        builder.extend(row, max(3, round(mean / (2 if row % 2 else 3))))
    order = builder.random.permutation(len(builder.columns))
    return [builder.columns[i] for i in order]


def degrees(core: int) -> dict[int, int]:
    """Columns of each degree: between neighbours of the table, in proportion."""
    below = max((k for k in DEGREES if k <= core), default=min(DEGREES))
    above = min((k for k in DEGREES if k >= core), default=max(DEGREES))
    part = 0.0 if above == below else (core - below) / (above - below)
    names = sorted(DEGREES[below].keys() | DEGREES[above].keys())
    exact = {d: (1 - part) * DEGREES[below].get(d, 0) + part * DEGREES[above].get(d, 0) for d in names}
    counts = {d: int(n) for d, n in exact.items()}
    by_rest = sorted(names, key=lambda d: counts[d] - exact[d])
    for d in by_rest[: COLUMNS - sum(counts.values())]:
        counts[d] += 1
    found: dict[int, int] = {}
    for d, n in counts.items():
        if n:
            found[min(d, core)] = found.get(min(d, core), 0) + n
    return found


def extra_rows(core: int) -> int:
    """Rows for increments: a quarter of the core's, at least ten; a row's number has seven bits."""
    return min(max(10, core // 4), 128 - core)


def packed(columns: list[list[tuple[int, int]]]) -> str:
    """Base64 of one little-endian 16-bit word for each edge: shift, row << 8, and 1 << 15 on a column's first."""
    words = [(0 if k else 1 << 15) | row << 8 | shift for edges in columns for k, (row, shift) in enumerate(edges)]
    return base64.b64encode(np.array(words, "<u2").tobytes()).decode()


def record(core: int) -> dict[str, object]:
    """One code as it stands in the file."""
    extra = extra_rows(core)
    columns = build(degrees(core), core, extra, SEED)
    return {"core": core, "extra": extra, "edges": packed(columns)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m codes.construct", description=__doc__)
    parser.add_argument("--check", type=int, metavar="ROWS", help="build one code and compare it with the file")
    args = parser.parse_args()
    if args.check is None:
        codes = [record(core) for core in CORES]
        text = {"columns": COLUMNS, "lift": LIFT, "seed": SEED, "codes": codes}
        TARGET.write_text(json.dumps(text, indent=0) + "\n")
        return
    stored = {code["core"]: code for code in json.loads(TARGET.read_text())["codes"]}
    if record(args.check) != stored[args.check]:
        raise SystemExit(f"the code of {args.check} rows is not the one in {TARGET}")


if __name__ == "__main__":
    main()
