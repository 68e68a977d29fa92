"""Trees whose terminals are given: each target is tried in several passes, as new vessels come near it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.growth.growing import Frozen, Growing, begin
from poliqi.lab.print.growth.repair import offenders, relax_all, take_away
from poliqi.lab.print.growth.settings import MOST_TERMINALS, GrowthSettings
from poliqi.lab.print.network import Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network

__all__ = ["reach_targets"]

_STARTS: Final = 6
_PASSES: Final = 6
_ROUNDS: Final = 12
_SLACK: Final = 0.03
"""How much more gap and wall are asked for with each round of mending."""


def reach_targets(
    domain: Domain,
    settings: GrowthSettings,
    targets_um: NDArray[np.float64],
    avoid: Network | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Growing, NDArray[np.bool_]]:
    """The trees, finished, and which targets they reached. Raises ConfigError, DataRefused."""
    targets = np.ascontiguousarray(targets_um, dtype=np.float64)
    trees = len(settings.inlets)
    if targets.ndim != 2 or targets.shape[1] != 3 or not trees <= len(targets) <= MOST_TERMINALS:
        raise ConfigError(f"targets: shape {targets.shape}; give (n, 3) with n from {trees} to {MOST_TERMINALS}")
    if not bool(np.isfinite(targets).all()):
        raise ConfigError("targets: a coordinate is not finite; give um")
    roles = {inlet.role for inlet in settings.inlets}
    if len(roles) > 1:
        raise ConfigError("targets: inlets and outlets together; grow to targets with one role at a time")
    best: tuple[Growing, NDArray[np.bool_]] | None = None
    reason = ""
    for start in range(_STARTS):
        generator = np.random.default_rng([settings.seed, start])
        try:
            found = _attempt(domain, settings, targets, avoid, generator, next(iter(roles)), progress)
        except Frozen as frozen:
            reason = str(frozen)
            continue
        if best is None or found[1].sum() > best[1].sum():
            best = found
        if best[1].mean() > 0.5:
            break
    if best is None:
        raise DataRefused(
            f"targets: {_STARTS} starts failed; the last: {reason}; move the inlet, or lower the flow"
        )
    return best


def _attempt(
    domain: Domain,
    settings: GrowthSettings,
    targets: NDArray[np.float64],
    avoid: Network | None,
    generator: np.random.Generator,
    role: Role,
    progress: Callable[[int, int], None] | None,
) -> tuple[Growing, NDArray[np.bool_]]:
    total = len(targets)
    order = generator.permutation(total)
    growing, trunks = begin(domain, settings, generator, avoid, total, targets[order])
    reached = np.zeros(total, dtype=np.bool_)
    reached[order[trunks]] = True
    _passes(growing, targets, reached, order, role, progress)
    relax_all(growing, {role: growing.joined(role)}, 2)
    for turn in range(_ROUNDS):
        wrong = offenders(growing, avoid)
        if not len(wrong):
            return growing, reached
        take_away(growing, wrong)
        reached = _ends_at(growing, targets)
        growing.slack = _SLACK * (turn + 1)
        if turn < _ROUNDS // 2:
            _passes(growing, targets, reached, order, role, progress)
    raise Frozen(f"after {_ROUNDS} rounds of mending vessels are still in contact")


def _passes(
    growing: Growing, targets: NDArray[np.float64], reached: NDArray[np.bool_], order: NDArray[np.int64], role:
    Role, progress: Callable[[int, int], None] | None,
) -> None:  # fmt: skip
    for _ in range(_PASSES):
        left = order[~reached[order]]
        found = growing.reach(targets, left, role, len(targets), progress)
        reached[found] = True
        if not len(found) or bool(reached.all()):
            break


def _ends_at(growing: Growing, targets: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which targets a leaf ends at, bit for bit."""
    trees = growing.trees
    used = int(trees.used[0])
    leaves = trees.far[:used][(trees.terminals[:used] == 1) & (trees.left[:used] < 0)]
    ends = {tuple(point) for point in leaves.tolist()}
    return np.array([tuple(point) in ends for point in targets.tolist()], dtype=np.bool_)
