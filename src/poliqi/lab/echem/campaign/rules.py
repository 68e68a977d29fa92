"""In which order jobs are placed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from poliqi.lab.echem.campaign.plan import Campaign

__all__ = ["Rule", "rules_of"]

_SPREAD: Final = 0.35

Rule = Callable[[int, int, int], tuple[float, ...]]
"""From cell, time at which its next job may begin, and work that is left (s): what is placed first is smallest."""


def rules_of(campaign: Campaign, many: int, seed: int) -> Sequence[Rule]:
    """So many orders: by remaining work, by slack, by readiness, then by work with weights of that seed."""
    cells = campaign.cells
    never = float(campaign.span_s)

    def longest(cell: int, ready: int, left: int) -> tuple[float, ...]:
        return cells[cell].priority, -left, ready

    def by_slack(cell: int, ready: int, left: int) -> tuple[float, ...]:
        return cells[cell].priority, (cells[cell].deadline_s or never) - left, ready

    def earliest(cell: int, ready: int, left: int) -> tuple[float, ...]:
        return cells[cell].priority, ready, -left

    draw = random.Random(seed)  # noqa: S311 - a schedule is no secret

    def weighted(weights: Sequence[float], *, slack: bool) -> Rule:
        def rule(cell: int, ready: int, left: int) -> tuple[float, ...]:
            base = (cells[cell].deadline_s or never) - campaign.start_s if slack else 0.0
            return cells[cell].priority, base - left * weights[cell], ready

        return rule

    rules: list[Rule] = [longest, by_slack, earliest]
    for at in range(many - len(rules)):
        weights = [1 + _SPREAD * (2 * draw.random() - 1) for _ in cells]
        rules.append(weighted(weights, slack=at % 2 == 1))
    return rules[:many]
