"""Names and identifiers: of tenants, of records, of files inside a dataset."""

from __future__ import annotations

import base64
import re
from typing import Final

from poliqi.apps.share.names import DEPTH_MOST, PATH_BYTES, name_problem
from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.entropy import OperatingSystemEntropy

__all__ = ["TENANT_NAME", "check_hash", "check_id", "check_path", "check_tenant", "new_id", "tenant_of"]

TENANT_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_ID: Final = re.compile(r"[a-z2-7]{26}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def new_id() -> str:
    """128 random bits as 26 letters and digits: says nothing about what it names."""
    return base64.b32encode(OperatingSystemEntropy().draw(16)).decode().rstrip("=").lower()


def check_id(text: str, what: str) -> str:
    """An identifier as `new_id` makes them. Raises DataRefused."""
    if not _ID.fullmatch(text):
        raise DataRefused(f"{what} {text[:40]!r} is none: an identifier is 26 of the letters a to z, digits 2 to 7")
    return text


def check_hash(text: str) -> str:
    """A BLAKE3 in lower-case hexadecimals; anything else would lead out of the folder. Raises DataRefused."""
    if not _HASH.fullmatch(text):
        raise DataRefused(f"{text[:70]!r} is no BLAKE3: 64 lower-case hexadecimals")
    return text


def check_tenant(name: str) -> str:
    """A tenant's name, which is also its folder's. Raises ConfigError."""
    if not TENANT_NAME.fullmatch(name):
        raise ConfigError(
            f"tenant {name[:60]!r}: a name is 1 to 40 of a to z, 0 to 9 and -, and neither begins nor ends with -"
        )
    return name


def tenant_of(organisation: str) -> str:
    """The organisation's name as a tenant's: politecnico-di-milano. Raises ConfigError."""
    import unicodedata

    plain = unicodedata.normalize("NFKD", organisation).encode("ascii", "ignore").decode().lower()
    name = "-".join(re.findall("[a-z0-9]+", plain))[:40].strip("-")
    if not name:
        raise ConfigError(f"organisation {organisation[:60]!r} has no letter of a to z: name its tenant (--tenant)")
    return name


def check_path(path: str) -> list[str]:
    """The names of a file's path inside a dataset. DataRefused where it could lead out, or cannot be shown."""
    names = path.split("/")
    for name in names:
        problem = name_problem(name)
        if problem is not None:
            raise DataRefused(f"path {path[:200]!r}: {name[:60]!r} {problem}; rename the file")
    if len(names) > DEPTH_MOST or len(path.encode()) > PATH_BYTES:
        raise DataRefused(f"path {path[:200]!r}: deeper than {DEPTH_MOST} names or longer than {PATH_BYTES} bytes")
    return names
