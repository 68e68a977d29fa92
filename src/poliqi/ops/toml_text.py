"""Plain values written as TOML: what `tomllib` reads gives the same values again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

__all__ = ["toml_text"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(table: Mapping[str, Any]) -> str:
    """The text of a table of strings, numbers, booleans, lists, tables and lists of tables; None is left out."""
    return "\n".join(_lines(table, "")) + "\n"


def _lines(table: Mapping[str, Any], name: str) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if _is_table(value) or _is_rows(value)}
    for key, value in table.items():
        if value is not None and key not in inner:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        path = f"{name}.{_key(key)}" if name else _key(key)
        if _is_table(value):
            yield f"\n[{path}]"
            yield from _lines(cast("Mapping[str, Any]", value), path)
        else:
            for row in cast("Sequence[Mapping[str, Any]]", value):
                yield f"\n[[{path}]]"
                yield from _lines(row, path)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_rows(value: object) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    rows = cast("Sequence[object]", value)
    return bool(rows) and all(_is_table(row) for row in rows)


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    # JSON's escapes are TOML's too, but for DEL, which JSON leaves as it is
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case str():
            return _string(str(value))
        case list() | tuple():
            return "[" + ", ".join(_value(one) for one in cast("Sequence[object]", value)) + "]"
        case _:
            raise ValueError(f"{type(value).__name__} has no place in TOML here")
