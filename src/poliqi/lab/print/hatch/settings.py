"""What is hatched and how: mode, distances, tiles, order; numbers that cannot be are refused at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from poliqi.base.errors import ConfigError
from poliqi.lab.print.focus import MOST_RIPPLE, WHOLE_RIPPLE
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from poliqi.lab.print.profile import Profile

__all__ = ["Direction", "HatchSettings", "LightFrom", "Mode", "Order", "TileOrder", "settings_for"]

_LEAST_UM: Final = 0.01
_MOST_UM: Final = 1e6


class Mode(StrEnum):
    """What is lit."""

    SOLID = "solid"
    """The domain but for the lumen."""
    WALL = "wall"
    """A shell of `wall_um` round each lumen, within the domain."""
    LUMEN = "lumen"
    """The lumen within the domain: gels that light degrades."""
    SHELL = "shell"
    """The domain's skin, vessel walls and a lattice between them, but for the lumen."""


class Order(StrEnum):
    """What is finished first within a block."""

    TILE = "tile"
    """All layers of a tile: the stage moves seldom."""
    LAYER = "layer"
    """All tiles of a layer: no light goes through a neighbour that is done."""


class TileOrder(StrEnum):
    """The way of the stage over the tiles."""

    SERPENTINE = "serpentine"
    """Row by row, there and back."""
    NEAREST = "nearest"
    """From each tile to the nearest one left."""


class Direction(StrEnum):
    """Which layers come first."""

    AUTO = "auto"
    """Solidified from the substrate up; degraded from the side that is farthest from the objective."""
    UP = "up"
    DOWN = "down"


class LightFrom(StrEnum):
    """Where the objective stands."""

    ABOVE = "above"
    BELOW = "below"
    """Beneath the substrate, looking through it."""


@dataclass(frozen=True, slots=True)
class HatchSettings:
    """How a domain is hatched. Lengths in um; raises ConfigError for what cannot be.

    Line i of a layer lies (i + 1/2) `hatch_um` from the domain's least coordinate, layer k (k + 1/2) `layer_um`
    above its lowest: length x hatch x layer is the midpoint rule of the volume. Even layers run along x, odd ones
    along y. `tile_um` None: as large as the profile's field allows, with overlap and stagger. `stagger_um`: seams
    move by so much from layer to layer, there and back. `block_um` None: one block. `merge_gap_um`: shorter gaps
    are lit too; `min_length_um`: shorter vectors are left out. `least_lumen_pitches`: a lumen's diameter has so
    many pitches at least, across and along the light. `cut_vessels`: seams may cut vessels narrower than the
    overlap. `most_ripple`: of the dose between lines and layers, as a part of its mean.
    """

    mode: Mode
    hatch_um: float
    layer_um: float
    wall_um: float = 5.0
    skin_um: float = 10.0
    lattice_period_um: float = 100.0
    lattice_beam_um: float = 10.0
    merge_gap_um: float = 0.0
    min_length_um: float = 0.0
    tile_um: float | None = None
    overlap_um: float = 0.0
    stagger_um: float = 0.0
    block_um: float | None = None
    order: Order = Order.TILE
    tile_order: TileOrder = TileOrder.SERPENTINE
    direction: Direction = Direction.AUTO
    light_from: LightFrom = LightFrom.ABOVE
    power_mw: float | None = None
    speed_mm_s: float | None = None
    least_lumen_pitches: float = 2.0
    cut_vessels: bool = False
    most_ripple: float = MOST_RIPPLE

    def __post_init__(self) -> None:
        for name in ("hatch_um", "layer_um", "wall_um", "skin_um", "lattice_period_um", "lattice_beam_um"):
            _check(name, getattr(self, name), _LEAST_UM)
        for name in ("merge_gap_um", "min_length_um", "overlap_um", "stagger_um", "least_lumen_pitches"):
            _check(name, getattr(self, name), 0.0)
        for name in ("tile_um", "block_um", "power_mw", "speed_mm_s"):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), 1e-6)
        if not 0 < self.most_ripple <= WHOLE_RIPPLE:
            raise ConfigError(
                f"hatch: most_ripple = {self.most_ripple:g} (--allow-ripple {100 * self.most_ripple:g}); above 0 "
                f"and up to {WHOLE_RIPPLE:g} is possible"
            )
        if self.lattice_beam_um >= self.lattice_period_um:
            raise ConfigError(
                f"hatch: lattice_beam_um {self.lattice_beam_um:g} is not below lattice_period_um "
                f"{self.lattice_period_um:g}; the lattice would be solid"
            )
        if self.block_um is not None and self.block_um < self.layer_um:
            raise ConfigError(f"hatch: block_um {self.block_um:g} is below layer_um {self.layer_um:g}; raise it")

    @property
    def wall_of_mode_um(self) -> float:
        """Thickness of walls round the lumen in this mode; 0 where it has none."""
        return self.wall_um if self.mode in (Mode.WALL, Mode.SHELL) else 0.0

    @property
    def is_up(self) -> bool:
        """Whether the layer with the least z is the first."""
        if self.direction is Direction.AUTO:
            return self.mode is not Mode.LUMEN or self.light_from is LightFrom.ABOVE
        return self.direction is Direction.UP

    @property
    def record(self) -> dict[str, Any]:
        """All settings as JSON's values."""
        pairs = ((one.name, getattr(self, one.name)) for one in fields(self))
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in pairs}


def settings_for(profile: Profile, mode: Mode | None = None, **changed: Any) -> HatchSettings:
    """The profile's pitch, layer and overlap but for what is `changed`; what is None there is left as it is.

    Without a mode, a material that light degrades has its lumen lit, any other is solid.
    """
    if mode is None:
        mode = Mode.LUMEN if profile.material.action is Action.DEGRADE else Mode.SOLID
    hatch = profile.hatch
    values: dict[str, Any] = {
        "hatch_um": hatch.pitch_um,
        "layer_um": hatch.layer_um,
        "overlap_um": hatch.overlap_um,
    }
    return HatchSettings(mode, **(values | {name: value for name, value in changed.items() if value is not None}))


def _check(name: str, value: float, least: float) -> None:
    if not least <= value <= _MOST_UM:  # what is not a number is refused too
        raise ConfigError(f"hatch: {name} = {value:g}; from {least:g} to {_MOST_UM:g} is possible")
