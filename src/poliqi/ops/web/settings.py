"""What a dashboard is opened with, and the file of its tokens."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.ops.web.roles import Role

__all__ = ["DashboardSettings", "TokenEntry", "find_token", "new_token", "read_tokens"]

_FILE_BYTES: Final = 1 << 20
_TOKEN: Final = re.compile(r"poliqi_[A-Za-z0-9_-]{43}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class TokenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's token, as the file holds it: its SHA-256. Tokens are random, so a plain hash tells nothing."""

    name: _Name
    role: Role
    sha256: str


class _TokenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: tuple[TokenEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class DashboardSettings:
    """`open_role`: what everybody is who comes over plain HTTP, hence from this machine; None has them log in too.

    `certificates`: roles by the name in a client certificate (never a site's). `is_demo` puts the buttons that cut
    and tap simulated fibres on the pages. `viewers`: how many pages may be live at a time.
    """

    open_role: Role | None = None
    certificates: Mapping[str, Role] = field(default_factory=dict[str, Role])
    tokens: tuple[TokenEntry, ...] = ()
    is_demo: bool = False
    viewers: int = 256
    session_s: float = 12 * 3600.0
    desks: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where people of a place send files: the address of its application's pages. No file passes the dashboard."""
    laboratories: Mapping[str, str] = field(default_factory=dict[str, str])
    """The same for pages of laboratories: measurements and instruments of a place."""


def read_tokens(path: Path) -> tuple[TokenEntry, ...]:
    """The entries of a token file (docs/reference/dashboard.md). Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"tokens {path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _FILE_BYTES:
        raise ConfigError(f"tokens {path}: longer than {_FILE_BYTES} bytes")
    try:
        entries = msgspec.convert(tomllib.loads(data.decode()), _TokenFile).token
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"tokens {path}: {error}") from error
    names = [entry.name for entry in entries]
    for entry in entries:
        if names.count(entry.name) > 1:
            raise ConfigError(f"tokens {path}: {entry.name!r} stands there twice; give each person one token")
        if not _SHA256.fullmatch(entry.sha256):
            raise ConfigError(f"tokens {path}: sha256 of {entry.name!r} is not 64 hexadecimal digits in lower case")
    return entries


def new_token(name: str, role: Role) -> tuple[str, str]:
    """A new token to be handed to a person once, and the lines for the file."""
    token = f"poliqi_{secrets.token_urlsafe(32)}"
    quoted = msgspec.json.encode(name).decode()
    digest = hashlib.sha256(token.encode()).hexdigest()
    return token, f'[[token]]\nname = {quoted}\nrole = "{role}"\nsha256 = "{digest}"\n'


def find_token(entries: tuple[TokenEntry, ...], token: str) -> TokenEntry | None:
    """Whose token this is. Anything that is not of our making (a password somebody chose) is nobody's.

    All entries are compared, each in constant time.
    """
    if not _TOKEN.fullmatch(token):
        return None
    digest = hashlib.sha256(token.encode()).hexdigest()
    found = None
    for entry in entries:
        if hmac.compare_digest(entry.sha256, digest):
            found = entry
    return found
