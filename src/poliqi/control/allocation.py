"""Who gets how much key over which ways: the question (AllocationProblem), the answer (Allocation), `allocate`.

Priorities come first, 7 before 6; within a priority shares of what was asked for are max-min fair; every relayed
bit costs one bit on each link of its path; of all answers with these shares one that spends the least key is taken
(docs/explanation/routing.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations

from poliqi.base.ids import KmeId
from poliqi.control.alloc_model import Allocation, AllocationProblem, Effort, Grant, GrantedWay, LinkCapacity
from poliqi.control.city import Demand, relayed_pool

__all__ = [
    "Allocation",
    "AllocationProblem",
    "Effort",
    "Grant",
    "GrantedWay",
    "LinkCapacity",
    "all_to_all",
    "allocate",
    "fast_reroute",
]


def all_to_all(sites: Iterable[KmeId], rate_bps: float = math.inf, priority: int = 0) -> tuple[Demand, ...]:
    """A demand for each pair of sites, named like its relayed pool."""
    return tuple(
        Demand(relayed_pool(a, b), (a, b), rate_bps, priority) for a, b in combinations(sorted(set(sites)), 2)
    )


def allocate(problem: AllocationProblem) -> Allocation:
    """The max-min fair allocation; linear programs with columns made as needed (alloc_fill.py)."""
    from poliqi.control.alloc_fill import fill  # HiGHS is loaded where it is used

    return fill(problem)


def fast_reroute(problem: AllocationProblem, previous: Allocation) -> Allocation:
    """`previous` on the links that are left, at once: ways that broke move to the lightest that remains, then what
    no longer fits is cut back, low priorities first (alloc_reroute.py).
    """
    from poliqi.control.alloc_reroute import reroute

    return reroute(problem, previous)
