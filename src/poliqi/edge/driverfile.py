"""Drivers of light that stand in a file of their own, or in an installed package: how they are found and opened.

A driver has `open_transmitter(link, options)` and `open_receiver(link, options, first_slot)`, or one of them, and
may have `origin(options)`. `link` is the LinkParameters of LINK.toml, `options` the settings as a dict. Its code is
run with this process's rights.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, cast

from poliqi.base.errors import ConfigError, PoliqiError, words_of
from poliqi.base.ids import Origin
from poliqi.edge.pythonfile import load_file
from poliqi.link.device import Receiver, Transmitter
from poliqi.optics.parameters import LinkParameters

__all__ = ["GROUP", "LightDriver", "light_driver", "read_options"]

GROUP: Final = "poliqi.devices"
"""Entry points of installed drivers of light: a module, or an object with the same functions."""

_FILE_BYTES: Final = 1 << 20

Opened = Callable[..., object]


@dataclass(frozen=True, slots=True)
class LightDriver:
    """A driver with its settings; nothing is opened yet."""

    device: str
    origin: Origin
    options: Mapping[str, Any]
    alice: Opened | None
    bob: Opened | None

    def transmitter(self, link: LinkParameters) -> Transmitter:
        """Alice's device. Raises ConfigError, and what the driver raises."""
        made = self._opened("open_transmitter", self.alice, ("origin", "states"), link, dict(self.options))
        return cast("Transmitter", made)

    def receiver(self, link: LinkParameters, first_slot: int) -> Receiver:
        """Bob's device; slots below `first_slot` were used by earlier runs. Raises as `transmitter`."""
        face = ("origin", "detect")
        return cast("Receiver", self._opened("open_receiver", self.bob, face, link, dict(self.options), first_slot))

    def _opened(self, name: str, function: Opened | None, face: tuple[str, ...], *given: object) -> object:
        if function is None:
            raise ConfigError(f"device {self.device} has no function {name}: it is a driver of the other end")
        try:
            made = function(*given)
        except PoliqiError:
            raise
        except Exception as error:  # code of others: whatever it raises is why it cannot be had
            raise ConfigError(f"device {self.device} cannot be opened: {words_of(error)}") from error
        missing = [member for member in face if not hasattr(made, member)]
        if missing:
            raise ConfigError(f"device {self.device}: {name} gave a {type(made).__name__} without {missing[0]}")
        found = str(getattr(made, "origin", None))
        if found != self.origin:
            raise ConfigError(
                f"device {self.device}: its light is {found[:40]!r}, and its file says {self.origin.value!r}: "
                "keys carry that word for ever, so both must say the same"
            )
        return made


def light_driver(device: str, options: Mapping[str, Any], base: Path) -> LightDriver:
    """The driver of a FILE.py (under `base`) or of an entry point. Runs its code. Raises ConfigError."""
    found = load_file(base / device, "device") if device.endswith(".py") else _entry(device)
    ends: list[object] = [getattr(found, name, None) for name in ("open_transmitter", "open_receiver")]
    if not any(callable(end) for end in ends):
        raise ConfigError(f"device {device} has neither open_transmitter(link, options) nor open_receiver(...)")
    alice, bob = (end if callable(end) else None for end in ends)
    return LightDriver(device, _origin(device, found, options), dict(options), alice, bob)


def _origin(device: str, found: object, options: Mapping[str, Any]) -> Origin:
    """What the driver says of its light; photons where it says nothing."""
    function: object = getattr(found, "origin", None)
    if not callable(function):
        return Origin.PHOTONS
    try:
        return Origin(str(function(dict(options))))
    except PoliqiError:
        raise
    except Exception as error:  # as above
        raise ConfigError(f"device {device}: origin(options) gives no origin: {words_of(error)}") from error


def _entry(device: str) -> object:
    points = {point.name: point for point in entry_points(group=GROUP)}
    if device not in points:
        known = ", ".join([*sorted(points), "any FILE.py"])
        raise ConfigError(f"device {device[:64]!r} is no driver of light; there is {known}")
    try:
        return points[device].load()
    except Exception as error:  # as above
        raise ConfigError(f"device {device} cannot be loaded: {words_of(error)}") from error


def read_options(path: Path | None) -> dict[str, Any]:
    """A driver's settings from a TOML file; none for None. Raises ConfigError."""
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise ConfigError(f"{path}: larger than {_FILE_BYTES} bytes, so these are no settings of a device")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a TOML file") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {words_of(error)}") from None
