"""JSON from outside, read without charity: no name twice, no NaN, no huge number, no deep nesting."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

__all__ = ["BadJson", "read_json"]

_DEEPEST: Final = 64
_LONGEST_NUMBER: Final = 32


class BadJson(ValueError):
    """Not the JSON that we take; the message may be shown to whoever sent it."""


def read_json(body: bytes) -> Any:
    """Decode one UTF-8 JSON document. Raises BadJson."""
    if body.count(b"[") + body.count(b"{") > _DEEPEST and _depth(body) > _DEEPEST:
        raise BadJson(f"the body nests deeper than {_DEEPEST} levels")
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_members,
            parse_constant=_refuse_constant,
            parse_int=_integer,
        )
    except BadJson:
        raise
    except (ValueError, RecursionError):
        raise BadJson("the body is no JSON document in UTF-8") from None


def _depth(body: bytes) -> int:
    """The most brackets open at once, those within strings counted too: an upper bound."""
    depth = deepest = 0
    for byte in body:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadJson("the body names a member twice")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise BadJson("NaN and Infinity are no JSON")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise BadJson(f"the body has a number of more than {_LONGEST_NUMBER} digits")
    return int(digits)
