"""Trees under way: their state, and the stages in which terminals are added."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.growth.advance import (
    AT_WALL,
    FULL,
    JOINED,
    NO_ROOM,
    OUTSIDE,
    TOO_NEAR,
    Scratch,
    advance,
    scratch,
)
from poliqi.lab.print.growth.cells import Cells, enlist_all, make_cells
from poliqi.lab.print.growth.reduced import Trees, empty_trees, refresh
from poliqi.lab.print.growth.roots import Root, root_of
from poliqi.lab.print.growth.settings import GrowthSettings
from poliqi.lab.print.growth.trunks import clear_of, place_trunk
from poliqi.lab.print.network import Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network

__all__ = ["Frozen", "Growing", "begin", "expected_radius_um"]

CANDIDATES: Final = 20
_STAGE: Final = 1.15
_EDGE: Final = 0.8
_SPACING: Final = 0.4
_LOG_GAIN: Final = 0.8
_CHUNK: Final = 2048
_TRIES: Final = 4000
_EARLY_TRIES: Final = 1000
_EARLY: Final = 32
_TRUNK_DRAWS: Final = 4000


class Frozen(Exception):
    """No terminal found room in a bounded number of tries; the words say why."""


@dataclass(slots=True)
class Growing:
    """Trees while they grow."""

    domain: Domain
    settings: GrowthSettings
    roots: tuple[Root, ...]
    trees: Trees
    first: int
    """First segment that is not a stub or to be avoided."""
    quota: NDArray[np.int64]
    """Terminals that each tree may get in the end."""
    each_um3_s: float
    """Flow of a terminal."""
    generator: np.random.Generator
    work: Scratch
    radius: NDArray[np.float64]
    stack: NDArray[np.int32]
    slack: float = 0.0
    """Part by which more gap and wall are asked for than in the settings."""

    @property
    def wall_um(self) -> float:
        """Wall to be kept while growing."""
        return self.settings.wall_um * (1.0 + self.slack)

    @property
    def gap_um(self) -> float:
        """Gap to be kept while growing."""
        return self.settings.gap_um * (1.0 + self.slack)

    def trees_of(self, role: Role) -> NDArray[np.int64]:
        """Numbers of the trees of a role."""
        return np.array([k for k, inlet in enumerate(self.settings.inlets) if inlet.role is role], dtype=np.int64)

    def joined(self, role: Role) -> int:
        """Terminals of a role so far."""
        return int(self.trees.terminals[self.trees_of(role)].sum())

    def prepare(self, final: dict[Role, int], *, margin: float = 0.0) -> Cells:
        """Radii, how far they will grow, and the grid, all anew for the present state."""
        trees, exponent = self.trees, self.settings.exponent
        used = int(trees.used[0])
        refresh(trees, exponent, self.radius, self.stack)
        for role, wanted in final.items():
            have = self.joined(role)
            if have:
                trees.swell[self.trees_of(role)] = _swell(min(have + 1, wanted), max(wanted, have), exponent) * (
                    1.0 + margin
                )
        count = trees.terminals[:used].astype(np.float64)
        owner = trees.tree[:used]
        reach = trees.unit[:used].copy()
        live = owner >= 0
        reach[live] *= count[live] ** (1.0 / exponent) * trees.swell[owner[live]]
        many = int((trees.terminals[:used] > 0).sum() + (owner == -1).sum())
        edge = _EDGE * (self.box_um3() / max(many, 8)) ** (1.0 / 3.0)
        entries = 12 * many + 2 * 4096
        while True:
            cells = make_cells(self.bounds(), edge, len(trees.length), entries)
            enlist_all(cells, trees, reach)
            if int(cells.used[0]) + entries // 3 < entries:
                break
            entries = 2 * max(entries, int(cells.used[0]))
        return cells

    def bounds(self) -> NDArray[np.float64]:
        """Of the domain, (2, 3)."""
        return self.domain.bounds_um

    def box_um3(self) -> float:
        """Volume of the box around the domain."""
        size: NDArray[np.float64] = self.bounds()[1] - self.bounds()[0]
        return float(size.prod())

    def grow_role(
        self, role: Role, goal: int, final: dict[Role, int], progress: Callable[[int, int], None] | None
    ) -> None:
        """Add drawn terminals to a role's trees until it has `goal`. Raises Frozen."""
        settings = self.settings
        volume = self.domain.volume_um3
        fill = min(1.0, max(volume / self.box_um3(), 1e-4))
        idle: dict[int, int] = {}
        while (have := self.joined(role)) < goal:
            stage = min(goal, max(have + 1, int(have * _STAGE)))
            cells = self.prepare(final)
            spacing = _SPACING * (volume / (have + 1.0)) ** (1.0 / 3.0)
            limit = self._limits(role, stage)
            size = int(min(max(64, 4 * (stage - have)), _CHUNK) / fill)
            low, high = self.bounds()
            points = low + self.generator.random((size, 3)) * (high - low)
            outcome = np.zeros(size, dtype=np.uint8)
            advance(
                cells, self.trees, self.domain.field, self.first, points, 0, outcome, limit, stage - have,
                spacing, self.wall_um, self.gap_um, settings.exponent, self.work,
            )  # fmt: skip
            now = self.joined(role)
            if now > have:
                idle = {}
            else:
                for what, many in zip(*np.unique(outcome[outcome > 0], return_counts=True), strict=True):
                    idle[int(what)] = idle.get(int(what), 0) + int(many)
                tried = sum(many for what, many in idle.items() if what not in (OUTSIDE, FULL))
                early = now < _EARLY
                if tried > (_EARLY_TRIES if early else _TRIES) or idle.get(OUTSIDE, 0) > 200 * _TRIES:
                    raise Frozen(_why(role, now, goal, idle))
            if progress is not None:
                progress(sum(self.joined(one) for one in final), sum(final.values()))

    def reach(
        self, targets: NDArray[np.float64], order: NDArray[np.int64], role: Role, total: int,
        progress: Callable[[int, int], None] | None,
    ) -> NDArray[np.int64]:  # fmt: skip
        """One pass over targets (n, 3) in `order`; returns those that found room."""
        settings = self.settings
        reached: list[NDArray[np.int64]] = []
        at = 0
        limit = np.zeros(len(settings.inlets), dtype=np.int64)
        limit[self.trees_of(role)] = total + 1
        while at < len(order):
            have = self.joined(role)
            cells = self.prepare({role: total})
            many = max(1, int(have * (_STAGE - 1.0)))
            part = order[at : at + min(_CHUNK, 4 * many)]
            outcome = np.zeros(len(part), dtype=np.uint8)
            stop = advance(
                cells, self.trees, self.domain.field, self.first, np.ascontiguousarray(targets[part]), 0, outcome,
                limit, many, 0.0, self.wall_um, self.gap_um, settings.exponent, self.work,
            )  # fmt: skip
            reached.append(part[outcome == JOINED])
            at += stop
            if progress is not None:
                progress(self.joined(role), total)
        return np.concatenate(reached) if reached else np.empty(0, dtype=np.int64)

    def _limits(self, role: Role, stage: int) -> NDArray[np.int64]:
        """Terminals that each tree may have at the end of a stage; none for trees of the other role."""
        limit = np.zeros(len(self.settings.inlets), dtype=np.int64)
        for k, inlet in enumerate(self.settings.inlets):
            if inlet.role is not role:
                continue
            share = inlet.share
            limit[k] = self.quota[k] if share is None else min(self.quota[k], math.ceil(share * stage))
        return limit


def begin(
    domain: Domain,
    settings: GrowthSettings,
    generator: np.random.Generator,
    avoid: Network | None,
    total: int,
    targets: NDArray[np.float64] | None = None,
) -> tuple[Growing, NDArray[np.int64]]:
    """Trees of one terminal each, and the targets that these are. Raises DataRefused, Frozen."""
    trees_count = len(settings.inlets)
    roles = {inlet.role for inlet in settings.inlets}
    avoided = 0 if avoid is None else len(avoid.segments)
    first = trees_count + avoided
    capacity = first + 2 * total * len(roles) + 256
    trees = empty_trees(trees_count, capacity)
    trees.used[0] = first
    flow = settings.flow_um3_s / total
    for k, inlet in enumerate(settings.inlets):
        drop = settings.drop_pa(inlet)
        trees.constant[k] = 8.0 * settings.viscosity_pa_s * flow / (math.pi * drop)
    if avoid is not None:
        trees.near[trees_count:first] = avoid.start_um
        trees.far[trees_count:first] = avoid.end_um
        trees.length[trees_count:first] = avoid.length_um
        trees.unit[trees_count:first] = avoid.radius_um
    roots = tuple(
        root_of(domain, settings, k, expected_radius_um(domain, settings, k, total)) for k in range(trees_count)
    )
    quota = np.array([_quota(settings, k, total) for k in range(trees_count)], dtype=np.int64)
    growing = Growing(
        domain, settings, roots, trees, first, quota, flow, generator, scratch(CANDIDATES, trees_count),
        np.zeros(capacity), np.zeros(capacity, dtype=np.int32),
    )  # fmt: skip
    used = [_trunk(growing, k, total, targets) for k in range(trees_count)]
    return growing, np.array(used, dtype=np.int64)


def _trunk(growing: Growing, k: int, total: int, targets: NDArray[np.float64] | None) -> int:
    """The stub and the first vessel of tree k, to a drawn point or the first target that can be; which target."""
    settings, domain = growing.settings, growing.domain
    root = growing.roots[k]
    radius = expected_radius_um(domain, settings, k, total)
    if clear_of(growing.trees, growing.first, root.start_um, root.end_um, radius, settings.gap_um):
        raise DataRefused(
            f"inlet {k + 1}: where its trunk of about {radius:.4g} um radius enters, another vessel is "
            f"nearer than the "
            f"gap of {settings.gap_um:g} um; move the inlet"
        )
    if targets is None:
        low, high = growing.bounds()
        points = low + growing.generator.random((_TRUNK_DRAWS, 3)) * (high - low)
    else:
        points = targets
    for start, end in ((root.start_um, root.end_um), *root.others_um):
        if clear_of(growing.trees, growing.first, start, end, radius, settings.gap_um):
            continue
        at = place_trunk(growing.trees, growing.first, domain.field, k, start, end, points, radius, settings, total)
        if at >= 0:
            return at
    raise Frozen(f"inlet {k + 1}: no straight trunk from it to any of {len(points)} points has room")


def _quota(settings: GrowthSettings, k: int, total: int) -> int:
    inlet = settings.inlets[k]
    return total if inlet.share is None else max(1, math.ceil(inlet.share * total))


def expected_radius_um(domain: Domain, settings: GrowthSettings, k: int, total: int) -> float:
    """About the radius of the trunk of inlet k in the end: that of a tree as long as the domain is wide."""
    inlet = settings.inlets[k]
    same = sum(one.role is inlet.role for one in settings.inlets)
    part = inlet.share if inlet.share is not None else 1.0 / same
    count = max(part * total, 1.0)
    wide = (domain.volume_um3 * part) ** (1.0 / 3.0)
    resistance = wide * _stretch(count, settings.exponent)
    flow = settings.flow_um3_s * part
    constant = 8.0 * settings.viscosity_pa_s * flow / (math.pi * settings.drop_pa(inlet))
    return (constant * resistance) ** 0.25


def _stretch(count: float, exponent: float) -> float:
    """How R of a root grows with its terminals: by the logarithm for g = 3, by a power else."""
    power = 4.0 / exponent - 4.0 / 3.0
    gain = math.log(count) if abs(power) < 1e-9 else (count**power - 1.0) / power
    return 1.0 + _LOG_GAIN * gain


def _swell(have: int, final: int, exponent: float) -> float:
    """By how much radii grow at most from `have` terminals to `final`."""
    more = final / have
    share = (more * _stretch(final, exponent) / _stretch(have, exponent)) ** 0.25
    return share * (1.0 + 0.15 * (1.0 - have / final)) + 0.01


def _why(role: Role, have: int, goal: int, idle: dict[int, int]) -> str:
    words = {OUTSIDE: "outside", TOO_NEAR: "beside a vessel", AT_WALL: "at the wall", NO_ROOM: "no room"}
    told = ", ".join(f"{many} {words[what]}" for what, many in sorted(idle.items()) if what in words)
    return f"{have} of {goal} terminals of the {role} found room; then none in a row of tries: {told}"
