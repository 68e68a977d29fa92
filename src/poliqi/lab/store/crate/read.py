"""What a crate says of itself: title, licence, files with their hashes. Nothing of it is believed, or fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate.graph import Entity, Graph, identifier_of, plain_text, types_of, values_of
from poliqi.lab.store.crate.licences import licence_from
from poliqi.lab.store.crate.paths import METADATA, is_remote, local_path
from poliqi.lab.store.crate.terms import ONWARD, RECEIPT_TYPE, SIMULATED, term

__all__ = ["Declared", "Described", "describe", "tells_simulated"]

_BLAKE3: Final = re.compile("[0-9a-f]{64}")
_KEYWORDS_MOST: Final = 100
_NO: Final = frozenset({"false", "0", "0.0", "no"})
_DESCRIPTION: Final = 20_000


@dataclass(frozen=True, slots=True)
class Declared:
    """A file that the crate names: its path, and what is promised of it where it is."""

    path: str
    size_bytes: int | None
    blake3: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Described:
    """A crate's own words, made fit to be shown. `remote` files are elsewhere and stay there."""

    title: str
    description: str
    licence: str
    creator: str
    keywords: tuple[str, ...]
    made_unix_s: float | None
    is_simulated: bool
    files: tuple[Declared, ...]
    receipts: tuple[Declared, ...]
    remote: tuple[str, ...]
    onward: str


def describe(graph: Graph, licence: str = "") -> Described:
    """Raises DataRefused: a path that escapes, two files of one path, a hash that is none, an unknown licence."""
    root = graph.root
    files: dict[str, Declared] = {}
    receipts, remote = set[str](), list[str]()
    for name, entity in graph.entities.items():
        if "File" not in types_of(entity) or name.startswith("#"):
            continue
        if is_remote(name):
            remote.append(plain_text(name, 500))
            continue
        path = local_path(name)
        if path == METADATA:
            continue
        if path in files:
            raise DataRefused(f"the crate names the file {path[:200]!r} twice; nothing was taken in")
        files[path] = _declared(path, entity)
        if RECEIPT_TYPE in values_of(entity, "encodingFormat"):
            receipts.add(path)
    _check_folders(graph)
    title = graph.text(root, "name", 400)
    return Described(
        title=title or "a crate without a name",
        description=graph.text(root, "description", _DESCRIPTION),
        licence=licence_from(graph, licence),
        creator=graph.text(root, "author", 200) or graph.text(root, "creator", 200),
        keywords=_keywords(graph),
        made_unix_s=_time(root.get("datePublished")),
        is_simulated=_is_simulated(graph),
        files=tuple(files[path] for path in sorted(files) if path not in receipts),
        receipts=tuple(files[path] for path in sorted(receipts)),
        remote=tuple(sorted(remote)),
        onward=_onward(graph),
    )


def _declared(path: str, entity: Entity) -> Declared:
    blake3, sha256 = _hash(path, entity, "blake3"), _hash(path, entity, "sha256")
    size = next(iter(values_of(entity, "contentSize")), None)
    digits = str(size) if isinstance(size, str | int) and not isinstance(size, bool) else ""
    return Declared(path, int(digits) if digits.isdecimal() and len(digits) < 20 else None, blake3, sha256)


def _hash(path: str, entity: Entity, name: str) -> str:
    value = next(iter(values_of(entity, name)), "")
    if value and not (isinstance(value, str) and _BLAKE3.fullmatch(value.lower())):
        raise DataRefused(f"{name} of {path[:200]!r} is {str(value)[:70]!r}: 64 hexadecimals are one")
    return str(value).lower()


def _check_folders(graph: Graph) -> None:
    """A folder that is named leads nowhere else, either."""
    for name, entity in graph.entities.items():
        is_folder = "Dataset" in types_of(entity) and not name.startswith(("#", "_:"))
        if is_folder and entity is not graph.root and not is_remote(name):
            local_path(name)


def _keywords(graph: Graph) -> tuple[str, ...]:
    found: list[str] = []
    for value in values_of(graph.root, "keywords"):
        if isinstance(value, str):
            found += [plain_text(word, 80) for word in value.split(",")[:_KEYWORDS_MOST]]
    return tuple(word for word in dict.fromkeys(found) if word)[:_KEYWORDS_MOST]


def _time(value: Any) -> float | None:
    """Seconds since 1970 of an ISO 8601 date or moment; None where it is none."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_simulated(graph: Graph) -> bool:
    return any(map(tells_simulated, graph.linked(graph.root, "additionalProperty")))


def tells_simulated(property_: Entity) -> bool:
    """Whether a property says `simulated`, in whatever way: only a plain no is one, such as false, 0 or "no"."""
    names = [identifier_of(one) or one for one in values_of(property_, "propertyID")]
    if term(SIMULATED) not in names:
        return False
    values = [_plain(one) for one in values_of(property_, "value")]
    return not values or any(str(one).strip().lower() not in _NO for one in values)


def _plain(value: Any) -> Any:
    """Without the type that may stand beside it."""
    return cast("dict[str, Any]", value).get("@value") if isinstance(value, dict) else value


def _onward(graph: Graph) -> str:
    wish = graph.entities.get(ONWARD)
    if wish is None or "SendAction" not in types_of(wish):
        return ""
    return next((graph.text(target, "name", 100) for target in graph.linked(wish, "recipient")), "")
