"""All checks of a design for printing, in one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poliqi.base.errors import ConfigError
from poliqi.lab.print.hatch.settings import Mode
from poliqi.lab.print.printability.channels import check_channels
from poliqi.lab.print.printability.islands import check_islands
from poliqi.lab.print.printability.machine import check_machine
from poliqi.lab.print.printability.problem import Problem, Severity
from poliqi.lab.print.printability.walls import check_walls

if TYPE_CHECKING:
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network
    from poliqi.lab.print.profile import Profile

__all__ = ["Settings", "check", "settings_of"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the job uses, where it differs from the profile; lengths in um.

    `tile_um`: the widest tile; None: fits. `voxel_um`: between scan lines that look for islands; None: chosen.
    `mode` is what is lit (None: the lumen of a gel that light degrades, else solid), `wall_um` to
    `lattice_beam_um` as of a hatch.
    """

    pitch_um: float
    layer_um: float
    overlap_um: float
    min_wall_um: float
    tile_um: float | None = None
    voxel_um: float | None = None
    mode: Mode | None = None
    wall_um: float = 5.0
    skin_um: float = 10.0
    lattice_period_um: float = 100.0
    lattice_beam_um: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (("pitch_um", 1e-3), ("layer_um", 1e-3), ("overlap_um", 0.0), ("min_wall_um", 0.0)):
            value: float = getattr(self, name)
            if not least <= value <= 1e4:
                raise ConfigError(f"printability: {name} = {value:g}; from {least:g} to 10000 is possible")
        for name in ("tile_um", "voxel_um"):
            one: float | None = getattr(self, name)
            if one is not None and not 0.0 < one <= 1e6:
                raise ConfigError(f"printability: {name} = {one:g}; above 0 to 1e6 is possible")
        for name in ("wall_um", "skin_um", "lattice_period_um", "lattice_beam_um"):
            size: float = getattr(self, name)
            if not 0.0 < size <= 1e6:
                raise ConfigError(f"printability: {name} = {size:g}; above 0 to 1e6 is possible")


def settings_of(profile: Profile) -> Settings:
    """As the profile says, in one tile."""
    hatch = profile.hatch
    return Settings(hatch.pitch_um, hatch.layer_um, hatch.overlap_um, profile.material.min_wall_um)


def check(
    domain: Domain, network: Network, profile: Profile, settings: Settings | None = None
) -> tuple[Problem, ...]:
    """Every flaw that is found, those that refuse the print first. An empty tuple: none was found.

    About a second for a cubic millimetre with 10,000 vessels. Raises ConfigError for settings that cannot be.
    """
    used = settings_of(profile) if settings is None else settings
    found = (
        *check_machine(domain, network, profile, used),
        *check_channels(domain, network, profile, used),
        *check_walls(domain, network, profile, used),
        *check_islands(domain, network, profile, used),
    )
    return tuple(sorted(found, key=lambda one: one.severity is not Severity.REFUSE))
