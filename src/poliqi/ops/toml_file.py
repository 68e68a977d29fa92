"""A TOML file that somebody wrote, as plain values: limited in size, UTF-8 with or without a byte order mark."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from poliqi.base.errors import ConfigError

__all__ = ["file_bytes", "toml_from", "toml_of"]

_MOST_TOLD = 200


def toml_of(path: Path, most_bytes: int, what: str) -> dict[str, Any]:
    """The values of a file; `what` it is to be stands in errors. Raises ConfigError, naming the file."""
    return toml_from(file_bytes(path, most_bytes, what), str(path))


def file_bytes(path: Path, most_bytes: int, what: str) -> bytes:
    """Its content, at most `most_bytes`. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); give {what}") from None
    if len(data) > most_bytes:
        raise ConfigError(f"{path}: more than {most_bytes} bytes; give {what}, in parts if need be")
    return data


def toml_from(data: bytes, where: str) -> dict[str, Any]:
    """The values of a file's content, which `where` names in errors. Raises ConfigError."""
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not TOML: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # tables too deep; numbers of more digits than Python reads
        raise ConfigError(f"{where}: not TOML: {str(error)[:_MOST_TOLD]}") from None
