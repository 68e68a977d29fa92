"""Profiles of printing machines as TOML: read, found by name among the examples, and written."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from poliqi.base.errors import ConfigError
from poliqi.ops.toml_file import file_bytes, toml_from
from poliqi.ops.toml_text import toml_text

if TYPE_CHECKING:
    from poliqi.lab.print.profile import Profile

__all__ = ["example_names", "profile_digest", "profile_toml", "read_profile"]

_MOST_BYTES: Final = 2 << 20
_WHAT: Final = "a machine's profile (poliqi lab print --help)"


def example_names() -> tuple[str, ...]:
    """Names of the profiles that come with POLIQI."""
    entries = files("poliqi.lab.print.profiles").iterdir()
    return tuple(sorted(one.name.removesuffix(".toml") for one in entries if one.name.endswith(".toml")))


def read_profile(named: Path | str) -> Profile:
    """A profile from a file, or the example of that name. Raises ConfigError."""
    from poliqi.lab.print.profile import profile_from

    return profile_from(toml_from(_bytes(named), str(named)), str(named))


def profile_digest(named: Path | str) -> str:
    """BLAKE3 of the file that `read_profile` would read, in hexadecimal digits."""
    from blake3 import blake3

    return blake3(_bytes(named)).hexdigest()


def _bytes(named: Path | str) -> bytes:
    """A file before an example of the same name; the examples' names are told where neither is there."""
    path, known = Path(named), example_names()
    if str(named) in known and not path.is_file():
        return files("poliqi.lab.print.profiles").joinpath(f"{named}.toml").read_bytes()
    if not path.exists():
        raise ConfigError(f"profile {str(named)!a:.120}: no such file, nor an example; they are {', '.join(known)}")
    return file_bytes(path, _MOST_BYTES, _WHAT)


def profile_toml(profile: Profile) -> bytes:
    """The profile as a TOML file that `read_profile` takes back to the same."""
    return toml_text(profile.record).encode()
