"""ENDS.toml: all link ends of one site, for `poliqi link serve`; docs/reference/ends-toml.md explains each key.

Relative paths are relative to the file.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from poliqi.base.errors import ConfigError
from poliqi.base.ids import Origin, Role
from poliqi.edge.driverfile import light_driver
from poliqi.edge.network import parse_address
from poliqi.node.ends import EndSettings
from poliqi.node.light import DeviceLight, LightChoice, ReplayedLight, SimulatedLight
from poliqi.node.party import PartySettings
from poliqi.node.plantlight import PlantLight
from poliqi.ops.config import load_link
from poliqi.ops.monitor_toml import MonitorTable, watch_settings

__all__ = ["TABLES", "load_ends"]

_LARGEST: Final = 1 << 20
_PAGE: Final = "docs/reference/ends-toml.md lists every key"


class EndTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One end. Exactly one of `listen` and `connect`, and one of `seed`, `replay` and `device`."""

    link: str
    role: Role
    state: str
    listen: str | None = None
    connect: str | None = None
    seed: Annotated[int, Meta(ge=0)] | None = None
    replay: str | None = None
    device: str | None = None
    options: dict[str, Any] = {}
    spans: tuple[str, ...] = ()


class EndsTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The file."""

    site: str
    end: Annotated[tuple[EndTable, ...], Meta(min_length=1, max_length=64)]
    plant: str | None = None
    monitor: MonitorTable = MonitorTable()
    allow_simulated: bool = False


TABLES: Final = {"": EndsTable, "monitor": MonitorTable, "end": EndTable}


def load_ends(path: Path) -> tuple[EndSettings, ...]:
    """Read an ENDS.toml. Raises ConfigError, with the file and the key in it."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ConfigError(f"larger than {_LARGEST} bytes, so it is no ENDS.toml")
        table = msgspec.convert(tomllib.loads(data.decode()), EndsTable)
        return _ends(table, path.absolute().parent)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give an ENDS.toml") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}; {_PAGE}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _ends(t: EndsTable, base: Path) -> tuple[EndSettings, ...]:
    states = [end.state for end in t.end]
    if len(set(states)) != len(states):
        raise ConfigError("end.state: two ends name the same folder; each needs a state of its own")
    made = tuple(_end(end, t, base) for end in t.end)
    if not t.allow_simulated and any(end.party.light.origin is not Origin.PHOTONS for end in made):
        raise ConfigError(
            "simulated and replayed light gives keys that protect nothing: write allow_simulated = true if that is "
            "meant"
        )
    return made


def _end(t: EndTable, ends: EndsTable, base: Path) -> EndSettings:
    if (t.listen is None) == (t.connect is None):
        raise ConfigError(f"end {t.state}: give one of listen and connect: one end listens, the other connects")
    party = PartySettings(
        role=t.role,
        link=load_link(base / t.link),
        light=_light(t, ends.plant, base),
        state=base / t.state,
        site=base / ends.site,
        listen=None if t.listen is None else parse_address(t.listen, "end.listen"),
        connect=None if t.connect is None else parse_address(t.connect, "end.connect"),
        monitor=watch_settings(ends.monitor),
    )
    return EndSettings(Path(t.state).name, party)


def _light(t: EndTable, plant: str | None, base: Path) -> LightChoice:
    if sum(given is not None for given in (t.seed, t.replay, t.device)) != 1:
        raise ConfigError(f"end {t.state}: give one of seed, replay and device: both ends the same seed or replay")
    if t.device is not None:
        return DeviceLight(light_driver(t.device, t.options, base))
    if t.options:
        raise ConfigError(f"end {t.state}: options are settings of a driver: name it with `device`")
    if t.replay is not None:
        return ReplayedLight(base / t.replay)
    assert t.seed is not None
    if not t.spans:
        return SimulatedLight(t.seed)
    if plant is None:
        raise ConfigError(f"end {t.state}: spans are named, but no `plant` that says what happens to them")
    return PlantLight(t.seed, base / plant, t.spans)
