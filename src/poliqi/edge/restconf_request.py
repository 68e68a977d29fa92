"""What a RESTCONF request asks for (RFC 8040, sections 3.5.3 and 4.8): paths, queries, fields. Pure functions.

Whatever cannot be read comes back as a `Refusal`, in the words of section 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["Content", "Fields", "Query", "Refusal", "Step", "parse_fields", "parse_path", "parse_query"]

_DEEPEST: Final = 32
_LONGEST: Final = 8192
_NAME: Final = re.compile(r"(?:([A-Za-z_][A-Za-z0-9_.-]{0,127}):)?([A-Za-z_][A-Za-z0-9_.-]{0,127})")
_TOKEN: Final = re.compile(r"[();/]|[^();/]+")
_BAD_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_KNOWN: Final = ("content", "depth", "fields")
_DEPTH: Final = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered: HTTP's status, RESTCONF's error-tag, and a line for people."""

    status: int
    tag: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """One segment of a path; `keys` is None where there is no `=`."""

    module: str | None
    name: str
    keys: tuple[str, ...] | None = None


class Content(StrEnum):
    """Which nodes are wanted."""

    ALL = "all"
    CONFIG = "config"
    STATE = "nonconfig"


@dataclass(slots=True)
class Fields:
    """Nodes that are wanted: each with those below it, None for all of them."""

    below: dict[str, Fields | None] = field(default_factory=dict[str, "Fields | None"])

    def add(self, names: tuple[str, ...], last: Fields | None) -> None:
        """Want the node at `names`, and below it `last`; what was wanted before stays so."""
        first, rest = names[0], names[1:]
        if rest:
            inner = self.below.setdefault(first, Fields())
            if inner is not None:
                inner.add(rest, last)
        elif last is None or self.below.get(first, last) is None:
            self.below[first] = None
        else:
            known = self.below.setdefault(first, Fields())
            assert known is not None
            for name, wanted in last.below.items():
                known.add((name,), wanted)


@dataclass(frozen=True, slots=True)
class Query:
    """How a resource is wanted. `depth` None: all of it."""

    content: Content = Content.ALL
    depth: int | None = None
    fields: Fields | None = None


def _invalid(message: str) -> Refusal:
    return Refusal(400, "invalid-value", message)


def parse_path(raw: bytes) -> tuple[Step, ...] | Refusal:
    """The steps of a path below /restconf/data, without the slash before it."""
    if len(raw) > _LONGEST:
        return Refusal(414, "too-big", f"the path is longer than {_LONGEST} bytes")
    segments = raw.split(b"/") if raw else []
    if len(segments) > _DEEPEST:
        return _invalid(f"the path has more than {_DEEPEST} segments")
    steps: list[Step] = []
    for segment in segments:
        name, equals, keys = segment.partition(b"=")
        texts = [_text(part) for part in (name, *keys.split(b","))]
        if any(text is None for text in texts):
            return _invalid("a segment of the path is not percent-encoded UTF-8")
        found = _NAME.fullmatch(texts[0] or "")
        if found is None:
            return _invalid("a segment of the path is no name; write MODULE:NAME, NAME or NAME=KEY")
        values = tuple(text or "" for text in texts[1:])
        steps.append(Step(found[1], found[2], values if equals else None))
    return tuple(steps)


def _text(raw: bytes) -> str | None:
    if _BAD_PERCENT.search(raw):
        return None
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return None


def parse_query(raw: bytes, known: tuple[str, ...] = _KNOWN) -> Query | Refusal:
    """The query of a GET; `known` are the parameters that the resource takes."""
    told = _parameters(raw, known)
    if isinstance(told, Refusal):
        return told
    content, depth, fields = (told.get(name) for name in _KNOWN)
    if content is not None and content not in tuple(Content):
        return _invalid("content is all, config or nonconfig")
    if depth is not None and depth != "unbounded" and not (_DEPTH.fullmatch(depth) and int(depth) <= 65535):
        return _invalid("depth is 1 to 65535, or unbounded")
    wanted = None if fields is None else parse_fields(fields)
    if isinstance(wanted, Refusal):
        return wanted
    return Query(
        Content.ALL if content is None else Content(content),
        None if depth in (None, "unbounded") else int(depth),
        wanted,
    )


def _parameters(raw: bytes, known: tuple[str, ...]) -> Mapping[str, str] | Refusal:
    if len(raw) > _LONGEST:
        return Refusal(414, "too-big", f"the query is longer than {_LONGEST} bytes")
    told: dict[str, str] = {}
    for part in raw.split(b"&") if raw else ():
        name, equals, value = (_text(each) for each in part.partition(b"="))
        if not name or not equals or value is None:
            return _invalid("the query is not NAME=VALUE, with & between")
        if name not in known:
            takes = ", ".join(known) or "none"
            return _invalid(f"query parameter {name[:40]!r} is not known here; those that are: {takes}")
        if name in told:
            return _invalid(f"query parameter {name!r} is there twice")
        told[name] = value
    return told


def parse_fields(text: str) -> Fields | Refusal:
    """A fields expression (RFC 8040, section 4.8.3): `a;b/c;d(e;f/g)`."""
    tokens: list[str] = _TOKEN.findall(text)
    if sum(len(token) for token in tokens) != len(text) or len(text) > _LONGEST:
        return _invalid("fields cannot be read")
    try:
        wanted, at = _expression(tokens, 0, 0)
    except _BadFieldsError as error:
        return _invalid(f"fields: {error}")
    return wanted if at == len(tokens) else _invalid("fields: a bracket too many")


class _BadFieldsError(Exception):
    """Said by the parser to itself."""


def _expression(tokens: list[str], at: int, depth: int) -> tuple[Fields, int]:
    """Paths with semicolons between, up to the end or to a closing bracket."""
    if depth > _DEEPEST:
        raise _BadFieldsError(f"more than {_DEEPEST} brackets inside each other")
    wanted = Fields()
    while True:
        names, at = _field_path(tokens, at)
        below: Fields | None = None
        if at < len(tokens) and tokens[at] == "(":
            below, at = _expression(tokens, at + 1, depth + 1)
            if at >= len(tokens):
                raise _BadFieldsError("a bracket is not closed")
            at += 1
        wanted.add(names, below)
        if at >= len(tokens) or tokens[at] == ")":
            return wanted, at
        if tokens[at] != ";":
            raise _BadFieldsError("a semicolon is missing")
        at += 1


def _field_path(tokens: list[str], at: int) -> tuple[tuple[str, ...], int]:
    names: list[str] = []
    while True:
        found = _NAME.fullmatch(tokens[at]) if at < len(tokens) else None
        if found is None or len(names) >= _DEEPEST:
            raise _BadFieldsError("a name is missing, or is none")
        names.append(found[0] if found[1] else found[2])
        at += 1
        if at >= len(tokens) or tokens[at] != "/":
            return tuple(names), at
        at += 1
