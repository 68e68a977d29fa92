"""What the machine reaches and resolves: height, field, lumens against the lines of the laser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from poliqi.lab.print.printability.problem import Flaw, Problem, Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.printability.check import Settings
    from poliqi.lab.print.profile import Profile

__all__ = ["check_machine", "place_of"]


def place_of(point: NDArray[np.float64]) -> tuple[float, float, float]:
    """A point as numbers of Python."""
    return float(point[0]), float(point[1]), float(point[2])


def check_machine(domain: Domain, network: Network, profile: Profile, settings: Settings) -> list[Problem]:
    """Of the whole design and of each vessel alone."""
    return [
        *_reach(domain, profile, settings),
        *_lumens(network, profile, settings),
        *_stubby(network),
    ]


def _reach(domain: Domain, profile: Profile, settings: Settings) -> list[Problem]:
    """Height against the working distance, tile against the field."""
    found: list[Problem] = []
    low, high = domain.bounds_um
    middle = 0.5 * (low + high)
    lens = profile.objective
    height = float(high[2] - low[2])
    if height > lens.working_distance_um:
        top = (float(middle[0]), float(middle[1]), float(high[2]))
        remedy = "lay the tissue flat, or use an objective with a longer working distance"
        found.append(Problem(Severity.REFUSE, Flaw.TOO_HIGH, height, lens.working_distance_um, top, remedy))
    if settings.tile_um is not None and settings.tile_um > lens.side_um:
        remedy = "make tiles smaller, or use an objective with a wider field"
        detail = "side of the square in a round field" if lens.is_round else ""
        found.append(
            Problem(
                Severity.REFUSE,
                Flaw.TOO_WIDE,
                settings.tile_um,
                lens.side_um,
                place_of(middle),
                remedy,
                1,
                "um",
                detail,
            )
        )
    return found


def _lumens(network: Network, profile: Profile, settings: Settings) -> list[Problem]:
    """Diameters against lines and layers (nothing of the vessel is left), and against the length of the focus."""
    found: list[Problem] = []
    diameter = 2.0 * network.radius_um
    thinnest = int(diameter.argmin())
    place = place_of(0.5 * (network.start_um[thinnest] + network.end_um[thinnest]))
    value = float(diameter[thinnest])
    least = max(settings.pitch_um, settings.layer_um)
    focus = 2.0 * profile.w_z_um
    if value < least:
        remedy = "widen the vessel, or bring lines and layers closer together"
        count = int((diameter < least).sum())
        detail = "diameter against the larger of pitch and layer"
        found.append(Problem(Severity.REFUSE, Flaw.NARROW_LUMEN, value, least, place, remedy, count, "um", detail))
    elif value < focus:
        remedy = "widen the vessel, or look at it with `poliqi lab print dose`"
        count = int((diameter < focus).sum())
        detail = "diameter against the length of the focus along z"
        found.append(Problem(Severity.CAUTION, Flaw.NARROW_LUMEN, value, focus, place, remedy, count, "um", detail))
    return found


def _stubby(network: Network) -> list[Problem]:
    """Vessels that the spheres at their ends hide: their flow and shear mean little."""
    ratio = network.length_um / network.radius_um
    short = ratio < 1.0
    if not short.any():
        return []
    worst = int(ratio.argmin())
    place = place_of(0.5 * (network.start_um[worst] + network.end_um[worst]))
    remedy = "flow and shear mean little in it; grow with longer vessels, or fewer terminals"
    return [
        Problem(
            Severity.CAUTION,
            Flaw.STUBBY,
            float(network.length_um[worst]),
            float(network.radius_um[worst]),
            place,
            remedy,
            int(short.sum()),
        )
    ]
