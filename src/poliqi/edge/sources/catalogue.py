"""Which key devices there are, and how one is opened: built in, a Python file, or an installed package's.

A built-in source is a module of this package with a struct `Options` and a function `open_device(options)`. A file
of somebody else's has such a function too, and an entry point of the group `poliqi.key_devices` is one: it takes
the settings as the dict that they are in the file, and gives a KeyDevice. Its code is run with this process's
rights.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from poliqi.base.errors import ConfigError, PoliqiError, words_of
from poliqi.edge.pythonfile import load_file
from poliqi.link.keydevice import KeyDevice

__all__ = ["BUILT_IN", "GROUP", "Opener", "device_names", "opener_of", "options_type"]

GROUP: Final = "poliqi.key_devices"
BUILT_IN: Final = ("etsi004", "etsi014", "folder", "qsn")
_FACE: Final = ("description", "fresh", "named", "close")

Opener = Callable[[], KeyDevice]
"""Opens the device; raises LinkDown, ProtocolError or ConfigError."""


def device_names() -> list[str]:
    """What `device` may say besides a file."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def options_type(name: str) -> type[msgspec.Struct]:
    """The settings of a built-in source."""
    return _module(name).Options


def opener_of(device: str, options: Mapping[str, Any], base: Path) -> Opener:
    """How to open `device`; its settings are read now, relative paths under `base`. Raises ConfigError."""
    if device.endswith(".py"):
        return _checked(device, getattr(load_file(base / device, "device"), "open_device", None), options)
    if device in BUILT_IN:
        module = _module(device)
        try:
            read = msgspec.convert(dict(options), module.Options, dec_hook=_paths_under(base))
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"options: {words_of(error)}; docs/reference/device-toml.md lists every key"
            ) from None
        return lambda: module.open_device(read)
    for point in entry_points(group=GROUP):
        if point.name == device:
            try:
                found: object = point.load()
            except Exception as error:  # code of others: whatever it raises is why it cannot be had
                raise ConfigError(f"device {device!r} cannot be loaded: {words_of(error)}") from error
            return _checked(device, found, options)
    known = ", ".join(device_names())
    raise ConfigError(f"device {device[:64]!r} is not known; there are {known}, and any FILE.py")


def _module(name: str) -> Any:
    return importlib.import_module(f"poliqi.edge.sources.{name}")


def _paths_under(base: Path) -> Callable[[type, object], object]:
    def convert(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str):
            return base / value
        raise ValueError("a path is text")

    return convert


def _checked(device: str, found: object, options: Mapping[str, Any]) -> Opener:
    if not callable(found):
        raise ConfigError(f"device {device!r} has no function open_device(options)")
    function = cast("Callable[[dict[str, Any]], object]", found)

    def opened() -> KeyDevice:
        try:
            made = function(dict(options))
        except PoliqiError:
            raise
        except Exception as error:  # as above
            raise ConfigError(f"device {device!r} cannot be opened: {words_of(error)}") from error
        missing = [name for name in _FACE if not hasattr(made, name)]
        if missing:
            raise ConfigError(f"device {device!r} gave a {type(made).__name__}, which has no {', '.join(missing)}")
        return cast("KeyDevice", made)

    return opened
