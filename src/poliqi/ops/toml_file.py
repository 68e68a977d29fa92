"""A TOML file that somebody wrote, as plain values: limited in size, UTF-8 with or without a byte order mark."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.regularfile import open_regular

__all__ = ["check_keys", "file_bytes", "toml_from", "toml_of"]

_MOST_TOLD = 200
_MOST_PARTS: Final = 32
_PART: Final = r"""(?:[\w-]++|"(?:[^"\\\n]|\\[^\n])*+"?|'[^'\n]*+'?)"""
_DOT: Final = r"[ \t]*+\.[ \t]*+"
_TOKEN: Final = re.compile(
    "|".join(
        (
            r"#[^\n]*+",
            r'"""(?:[^"\\]++|\\[\s\S]|"(?!""))*+(?:"{3,5}|\\?\Z)',
            r"'{3}(?:[^']++|'(?!''))*+(?:'{3,5}|\Z)",
            rf"{_PART}(?:{_DOT}{_PART}){{0,{_MOST_PARTS - 1}}}+(?P<more>{_DOT}{_PART})?",
        )
    ),
    re.ASCII,
)
"""Comment, text over several lines, text or key with its dots; each is read once, whatever stands there."""


def toml_of(path: Path, most_bytes: int, what: str) -> dict[str, Any]:
    """The values of a file; `what` it is to be stands in errors. Raises ConfigError, naming the file."""
    return toml_from(file_bytes(path, most_bytes, what), str(path))


def file_bytes(path: Path, most_bytes: int, what: str) -> bytes:
    """Its content, at most `most_bytes`. Raises ConfigError."""
    try:
        with open_regular(path) as file:
            data = file.read(most_bytes + 1)
    except DataRefused as refused:
        raise ConfigError(str(refused)) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); give {what}") from None
    if len(data) > most_bytes:
        raise ConfigError(f"{path}: more than {most_bytes} bytes; give {what}, in parts if need be")
    return data


def toml_from(data: bytes, where: str) -> dict[str, Any]:
    """The values of a file's content, which `where` names in errors. Raises ConfigError."""
    try:
        text = data.decode("utf-8-sig")
        check_keys(text, where)
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not TOML: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # tables too deep; numbers of more digits than Python reads
        raise ConfigError(f"{where}: not TOML: {str(error)[:_MOST_TOLD]}") from None


def check_keys(text: str, where: str) -> None:
    """Raises ConfigError for a key of more than 32 parts: tomllib's time goes with the square of them."""
    if any(token["more"] for token in _TOKEN.finditer(text)):
        raise ConfigError(f"{where}: a key of more than {_MOST_PARTS} parts (a.b.c has 3); no table here has one")
