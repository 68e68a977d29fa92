"""The metadata of a crate as a graph: read within limits, refused where it is not flat, never followed anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate.paths import METADATA

__all__ = [
    "METADATA_BYTES",
    "Entity",
    "Graph",
    "identifier_of",
    "plain_text",
    "read_graph",
    "types_of",
    "values_of",
]

METADATA_BYTES: Final = 64 << 20
"""The longest metadata that is read: some hundred thousand files."""
_ENTITIES_MOST: Final = 400_000
_ID_MOST: Final = 4096
_VALUES_MOST: Final = 400_000

Entity = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """Entities by identifier, as their author wrote them; `root` is the crate's own."""

    entities: Mapping[str, Entity]
    root: Entity
    descriptor: Entity

    def text(self, entity: Entity, name: str, longest: int = 500) -> str:
        """A property for people, on one line, without what would take over a terminal; "" where there is none.

        A reference is read as the name of what it refers to, else as its identifier.
        """
        for value in values_of(entity, name):
            told = value
            if isinstance(value, dict):
                named = self.entities.get(identifier_of(value), {}).get("name")
                literal = cast("dict[str, Any]", value).get("@value")
                told = named if isinstance(named, str) else identifier_of(value) or literal
            if isinstance(told, str | int | float):  # anything else, such as null, says nothing
                return plain_text(str(told), longest)
        return ""

    def linked(self, entity: Entity, name: str) -> Iterator[Entity]:
        """Entities that a property refers to, as far as the crate describes them."""
        for value in values_of(entity, name):
            target = self.entities.get(identifier_of(value))
            if target is not None:
                yield target


def values_of(entity: Entity, name: str) -> list[Any]:
    """The values of a property: strings, numbers, references."""
    value = entity.get(name)
    if value is None:
        return []
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def identifier_of(value: Any) -> str:
    """What a reference refers to; "" for a value that is none."""
    if not isinstance(value, dict):
        return ""
    name = cast("dict[str, Any]", value).get("@id")
    return name if isinstance(name, str) else ""


def types_of(entity: Entity) -> list[str]:
    """Its types."""
    return [value for value in values_of(entity, "@type") if isinstance(value, str)]


def plain_text(text: str, longest: int) -> str:
    """Outside text on one line, shortened, without what is not printable or turns writing around."""
    start = text[: 4 * longest]  # of a text without end the rest is not looked at
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in start).split())
    is_whole = len(line) <= longest and len(start) == len(text)
    return line if is_whole else line[: longest - 1] + "…"


def read_graph(data: bytes) -> Graph:
    """The graph of a metadata file. Raises DataRefused: too large, no JSON, not flat, an identifier twice."""
    if len(data) > METADATA_BYTES:
        raise _refused(f"{len(data):,} bytes of metadata, at most {METADATA_BYTES:,} are read")
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _refused(f"{METADATA} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise _refused(f"{METADATA} is no JSON object")
    listed = cast("dict[str, Any]", document).get("@graph")
    if not isinstance(listed, list) or "@context" not in document:
        raise _refused("it needs @context and a list @graph")
    graph = cast("list[Any]", listed)
    if len(graph) > _ENTITIES_MOST:
        raise _refused(f"{len(graph):,} entities, at most {_ENTITIES_MOST:,} are read")
    entities: dict[str, Entity] = {}
    count = 0
    for entity in graph:
        name = _checked(entity)
        if name in entities:
            raise _refused(f"the identifier {name[:200]!r} stands twice")
        entities[name] = entity
        for value in entity.values():
            count += len(cast("list[Any]", value)) if isinstance(value, list) else 1
    if count > 8 * _VALUES_MOST:
        raise _refused(f"{count:,} values, at most {8 * _VALUES_MOST:,} are read")
    return _rooted(entities)


def _rooted(entities: dict[str, Entity]) -> Graph:
    from rocrate.metadata import find_root_entity_id  # pyright: ignore[reportUnknownVariableType]  # untyped

    try:
        descriptor, root = cast("tuple[str, str]", find_root_entity_id(entities))
    except (KeyError, ValueError, TypeError) as error:
        raise _refused(f"it does not say what its root is: {error}") from None
    if root not in ("./", ".", ""):
        raise _refused(f"its root is {root[:200]!r}, and only crates whose root is './' are taken in")
    return Graph(entities, entities[root], entities[descriptor])


def _checked(entity: object) -> str:
    """The identifier of an entity that is as flat as RO-Crate asks. Raises DataRefused."""
    if not isinstance(entity, dict):
        raise _refused("something in @graph is no object")
    fields = cast("dict[str, Any]", entity)
    name = fields.get("@id")
    if not isinstance(name, str) or not 0 < len(name) <= _ID_MOST:
        raise _refused(f"an identifier is {str(name)[:60]!r}: a text of 1 to {_ID_MOST} characters is one")
    if not types_of(fields) or not all(isinstance(one, str) for one in values_of(fields, "@type")):
        raise _refused(f"{name[:200]!r} has no @type")
    for key, value in fields.items():
        if key == "@reverse":  # says once more what stands elsewhere, and is never read
            continue
        for one in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(one, list) or (isinstance(one, dict) and not _is_leaf(cast("dict[str, Any]", one))):
                raise _refused(f"{key[:60]!r} of {name[:200]!r} holds another entity: @graph is a flat list")
    return name


def _is_leaf(value: dict[str, Any]) -> bool:
    """True for a reference, and for a value with its type or language."""
    return (
        len(value) <= 3
        and ("@id" in value or "@value" in value)
        and all(isinstance(part, str | int | float | bool | None) for part in value.values())
    )


def _refused(why: str) -> DataRefused:
    return DataRefused(f"this is no RO-Crate that can be taken in: {why}")
