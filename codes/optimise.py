"""`python -m codes.optimise ROWS MEAN_DEGREE`: degrees of columns for a code, by linear programming.

At a fixed error rate, and given the messages from checks, the error of the messages that columns send is linear in
the shares of edges lambda_i. Each step maximises sum lambda_i / i (the fewest checks) in a trust region around the
last density evolution, with a least progress in every iteration (S.-Y. Chung et al., IEEE Commun. Lett. 5, 58).
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.optimize import linprog

from codes.density import SOLVED, Density, Evolution, entropy, inverse_entropy

COLUMNS = 256
DEGREES = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40)
TWOS = 1.25
"""Columns of degree 2 for each row, at most: more of them close short cycles, which are codewords."""
PROGRESS = 0.02
"""By this share at least the error falls in each iteration."""
LIMIT = 250


def _start(evolution: Evolution, ceiling: Density) -> tuple[Density, Density, Density]:
    """Shares that converge: edges are taken from degree 3 to the greatest degree until they do."""
    shares = np.zeros(len(evolution.degrees))
    shares[:2] = 0.05, 0.3
    shares[evolution.degrees.index(min(10, evolution.degrees[-1]))] += 0.5
    shares[-1] += 1 - shares.sum()
    shares = np.minimum(shares, ceiling)
    shares[1] += 1 - shares.sum()
    errors, table = evolution.run(shares, LIMIT)
    while errors[-1] > SOLVED and shares[1] > 0.05:
        shares[1] -= 0.05
        shares[-1] += 0.05
        errors, table = evolution.run(shares, LIMIT)
    return shares, errors, table


def optimise(check: float, qber: float, top: int, steps: int = 12) -> tuple[list[int], Density, int]:
    """Degrees, shares of edges and iterations, for checks of mean degree `check` and columns up to degree `top`."""
    degrees = [d for d in DEGREES if d <= top]
    inverse = 1 / np.array(degrees)
    evolution = Evolution(degrees, check, qber)
    # degree 2 also within 95 % of the stability condition lambda_2 (check - 1) 2 sqrt(q (1 - q)) < 1
    stable = 0.95 / (2 * np.sqrt(qber * (1 - qber)) * (check - 1))
    ceiling = np.array([min(2 * TWOS / check, stable)] + [1.0] * (len(degrees) - 1))
    shares, errors, table = _start(evolution, ceiling)
    trust, progress = 0.05, PROGRESS
    for _ in range(steps):
        answer = linprog(
            -inverse,
            A_ub=table,
            b_ub=errors[:-1] * (1 - progress + 1e-3),
            A_eq=np.ones((1, len(degrees))),
            b_eq=[1.0],
            bounds=list(zip(np.maximum(shares - trust, 0), np.minimum(shares + trust, ceiling), strict=True)),
        )
        if not answer.success:
            progress *= 0.8
            continue
        new_errors, new_table = evolution.run(answer.x, LIMIT)
        if new_errors[-1] < SOLVED:
            gain = (answer.x * inverse).sum() - (shares * inverse).sum()
            shares, errors, table = answer.x, new_errors, new_table
            if gain < 1e-5:
                break
        else:
            trust *= 0.4
            if trust < 1e-3:
                break
    if errors[-1] > SOLVED:
        raise SystemExit("no start converges: give a greater mean degree")
    return degrees, shares, len(errors) - 1


def rounded(degrees: list[int], shares: Density) -> dict[int, int]:
    """Whole columns of each degree, COLUMNS in all."""
    exact = shares / np.array(degrees)
    exact *= COLUMNS / exact.sum()
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact)[: COLUMNS - counts.sum()]] += 1
    return {d: int(n) for d, n in zip(degrees, counts, strict=True) if n}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m codes.optimise", description=__doc__)
    parser.add_argument("rows", type=int)
    parser.add_argument("mean_degree", type=float, help="edges for each column")
    parser.add_argument("--efficiency", type=float, default=1.06, help="what to aim at: rows / (256 h(q))")
    args = parser.parse_args()
    qber = inverse_entropy(args.rows / COLUMNS / args.efficiency)
    check = args.mean_degree * COLUMNS / args.rows
    degrees, shares, iterations = optimise(check, qber, min(40, args.rows))
    rate = 1 / (check * (shares / np.array(degrees)).sum())
    print(f"{args.rows}: {rounded(degrees, shares)},")
    print(
        f"rows {COLUMNS * rate:.2f} at error rate {qber:.5f}, f {rate / entropy(qber):.4f}, {iterations} iterations"
    )


if __name__ == "__main__":
    main()
