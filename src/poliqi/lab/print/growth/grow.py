"""`grow` and `grow_to`: trees of vessels in a domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.base.jit import load_compiler
from poliqi.lab.print.growth.settings import GrowthSettings
from poliqi.lab.print.network import Kind, Network, Port, Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.growth.growing import Growing

__all__ = ["grow", "grow_to"]

_STARTS: Final = 12
_REMEDY: Final = "ask for fewer terminals or less flow, a smaller gap or wall, or move the inlet"


def grow(
    domain: Domain,
    settings: GrowthSettings,
    *,
    avoid: Network | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Network:
    """Trees with `settings.terminals` terminals of each role, drawn by `settings.seed`.

    `avoid`: vessels that are there already. `progress` is told terminals done and wanted. Raises DataRefused where
    no tree without contacts was found, saying what was in the way.
    """
    load_compiler()
    from poliqi.lab.print.growth.growing import Frozen, begin
    from poliqi.lab.print.growth.repair import finish

    roles = [role for role in Role if any(inlet.role is role for inlet in settings.inlets)]
    final = dict.fromkeys(roles, settings.terminals)
    reasons: list[str] = []
    for start in range(_STARTS):
        generator = np.random.default_rng([settings.seed, start])
        try:
            growing, _ = begin(domain, settings, generator, avoid, settings.terminals)
            goal = 0
            while goal < settings.terminals:
                goal = min(settings.terminals, max(len(settings.inlets), int(1.5 * goal) + 1))
                for role in roles:
                    growing.grow_role(role, goal, final, progress)
            finish(growing, final, avoid, progress)
            return _in_bounds(network_of(growing), settings)
        except Frozen as frozen:
            reasons.append(str(frozen))
    raise DataRefused(f"growth: {_STARTS} starts failed; the last: {reasons[-1]}; {_REMEDY}")


def grow_to(
    domain: Domain,
    settings: GrowthSettings,
    targets_um: NDArray[np.float64],
    *,
    avoid: Network | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Network, NDArray[np.bool_]]:
    """One tree (or several of one role) whose terminals end exactly at targets (n, 3), and which were reached (n,).

    `settings.terminals` is not used; each terminal gets the flow over n, whether or not all targets were reached.
    Raises DataRefused where not even a trunk has room.
    """
    load_compiler()
    from poliqi.lab.print.growth.targets import reach_targets

    growing, reached = reach_targets(domain, settings, targets_um, avoid, progress)
    return network_of(growing), reached


def _in_bounds(network: Network, settings: GrowthSettings) -> Network:
    """The network; refused where its radii are beyond the settings' bounds."""
    least, largest = float(network.radius_um.min()), float(network.radius_um.max())
    if settings.least_radius_um is not None and least < settings.least_radius_um:
        raise DataRefused(
            f"growth: the narrowest lumen has a radius of {least:.4g} um, least_radius_um is "
            f"{settings.least_radius_um:g}: radii go with (flow / pressure drop)^(1/4) and fall with the number of "
            "terminals; raise the flow, lower the pressure drop, or grow fewer terminals"
        )
    if settings.largest_radius_um is not None and largest > settings.largest_radius_um:
        raise DataRefused(
            f"growth: the trunk has a radius of {largest:.4g} um, largest_radius_um is "
            f"{settings.largest_radius_um:g}; "
            "lower the flow, raise the pressure drop, or give more inlets"
        )
    return network


def network_of(growing: Growing) -> Network:
    """The trees as they stand."""
    from poliqi.lab.print.growth.reduced import rebuild, refresh

    trees, settings = growing.trees, growing.settings
    exponent = settings.exponent
    rebuild(trees, exponent, growing.stack)
    refresh(trees, exponent, growing.radius, growing.stack)
    live = live_segments(growing)
    number = np.full(len(trees.parent), -1, dtype=np.int64)
    stubs = len(settings.inlets)
    number[live] = np.arange(len(live)) + stubs
    points = np.concatenate((trees.near[:stubs], trees.far[live]))
    parent = trees.parent[live]
    begin = np.where(parent >= 0, number[parent], live)
    segments = np.stack((begin, number[live]), axis=1).astype(np.int32)
    owner = trees.tree[live]
    outlet = np.array([inlet.role is Role.OUTLET for inlet in settings.inlets])[owner]
    segments[outlet] = segments[outlet][:, ::-1]
    ports = tuple(
        Port(
            k, inlet.role, settings.port_pressure_pa(inlet),
            growing.each_um3_s * float(trees.terminals[k]),
        )
        for k, inlet in enumerate(settings.inlets)
    )  # fmt: skip
    kind = np.where(outlet, Kind.VEIN, Kind.ARTERY).astype(np.uint8)
    return Network(points, segments, growing.radius[live].copy(), kind, owner.astype(np.int32), ports)


def live_segments(growing: Growing) -> NDArray[np.int64]:
    """Stubs and growing segments in use, in the order of the network."""
    used = int(growing.trees.used[0])
    live = np.nonzero(growing.trees.terminals[:used] > 0)[0]
    return live.astype(np.int64)
