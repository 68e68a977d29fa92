"""DEVICE.toml: one end of a key device, for `poliqi device run`; docs/reference/device-toml.md explains each key.

Relative paths are relative to the file.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.base.units import parse_quantity
from poliqi.edge.network import parse_address
from poliqi.edge.sources.catalogue import Opener, opener_of
from poliqi.link.keydevice import KeyDevice
from poliqi.node.devicetalk import MOST_BLOCK_BYTES, Terms
from poliqi.node.keydevice import DeviceSettings

__all__ = ["DeviceTable", "load_device"]

_LARGEST: Final = 1 << 20
_PAGE: Final = "docs/reference/device-toml.md lists every key"
_LEAST_BLOCK_BITS: Final = 64
_LONGEST_S: Final = 86_400.0


class DeviceTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The file. Exactly one of `listen` and `connect`."""

    device: str
    state: str
    site: str
    listen: str | None = None
    connect: str | None = None
    block: str | float = "512 kbit"
    gather: str | float = "60 s"
    wait: str | float = "10 s"
    options: dict[str, Any] = {}


def load_device(path: Path, *, blocks: int | None = None) -> DeviceSettings:
    """Read a DEVICE.toml. Raises ConfigError, with the file and the key in it."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ConfigError(f"larger than {_LARGEST} bytes, so it is no DEVICE.toml")
        table = msgspec.convert(tomllib.loads(data.decode()), DeviceTable)
        settings = _settings(table, path.absolute().parent, blocks)
        return replace(settings, opener=_named(settings.opener, path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a DEVICE.toml") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}; {_PAGE}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _named(opener: Opener, path: Path) -> Opener:
    """The same; what it refuses about the settings names the file that they stand in."""

    def opened() -> KeyDevice:
        try:
            return opener()
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    return opened


def _settings(t: DeviceTable, base: Path, blocks: int | None) -> DeviceSettings:
    if (t.listen is None) == (t.connect is None):
        raise ConfigError("give one of listen and connect: one end listens, the other connects")
    return DeviceSettings(
        opener=opener_of(t.device, t.options, base),
        state=base / t.state,
        site=base / t.site,
        terms=_terms(t),
        listen=None if t.listen is None else parse_address(t.listen, "listen"),
        connect=None if t.connect is None else parse_address(t.connect, "connect"),
        blocks=blocks,
    )


def _terms(t: DeviceTable) -> Terms:
    bits = parse_quantity(t.block, "bit", "block")
    if not _LEAST_BLOCK_BITS <= bits <= 8 * MOST_BLOCK_BYTES:
        raise ConfigError(f"block: {bits:g} bit is outside {_LEAST_BLOCK_BITS} bit to {8 * MOST_BLOCK_BYTES} bit")
    times = {name: parse_quantity(text, "s", name) for name, text in (("gather", t.gather), ("wait", t.wait))}
    for name, seconds in times.items():
        if not 0.0 < seconds <= _LONGEST_S:
            raise ConfigError(f"{name}: {seconds:g} s is outside 0 s to {_LONGEST_S:g} s")
    return Terms(int(bits) // 8, times["gather"], times["wait"])
