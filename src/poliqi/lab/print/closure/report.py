"""What a closed network guarantees, measured on the network that came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.flow.kirchhoff import pieces
from poliqi.lab.print.flow.solve import solve_flow
from poliqi.lab.print.growth.contacts import contacts
from poliqi.lab.print.network import Kind, Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ClosureReport", "closure_report", "dead_ends"]

_STILL: Final = 1e-6


@dataclass(frozen=True, slots=True)
class ClosureReport:
    """`components`: connected pieces; `dead_ends_um` (k, 3): tips that lead nowhere; `still`: segments that carry
    less than a millionth of the mean capillary's flow; `capillary_cv`: spread of the capillaries' flows;
    `gap_um`: the least distance between lumens that do not meet, at most what was searched (`searched_um`).
    """

    components: int
    dead_ends_um: NDArray[np.float64]
    still: int
    capillaries: int
    capillary_cv: float
    gap_um: float
    searched_um: float

    @property
    def is_whole(self) -> bool:
        """One piece, no dead end, nothing still, no lumens that touch."""
        return self.components == 1 and not len(self.dead_ends_um) and not self.still and self.gap_um > 0.0


def dead_ends(network: Network) -> NDArray[np.int64]:
    """Points at which a vessel ends without a port, (k,)."""
    is_end = network.degrees() == 1
    is_end[[port.node for port in network.ports]] = False
    return np.flatnonzero(is_end)


def closure_report(network: Network, fluid: Fluid | None = None, *, gap_um: float = 10.0) -> ClosureReport:
    """The report; gaps are looked for up to `gap_um`. Raises what `solve_flow` raises for pieces without ports."""
    components, _ = pieces(network.segments, len(network.points_um))
    flow = np.abs(solve_flow(network, fluid or Fluid()).flow_um3_s)
    capillaries = flow[network.kind == Kind.CAPILLARY]
    many, cv = len(capillaries), np.nan
    if many:
        cv = float(capillaries.std() / capillaries.mean())
    typical = float(capillaries.mean()) if many else float(np.median(flow))
    near = contacts(network, gap_um)
    return ClosureReport(
        components,
        network.points_um[dead_ends(network)],
        int((flow < _STILL * typical).sum()),
        many,
        cv,
        float(near.distance_um.min(initial=gap_um)),
        gap_um,
    )
