"""Finds a resource in a data tree and cuts out what is wanted of it (RFC 8040, sections 3.5 and 4.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from poliqi.edge.restconf_request import Content, Fields, Query, Refusal, Step
from poliqi.edge.restconf_schema import Json, Kind, SchemaNode

__all__ = ["Root", "find", "read_all", "read_resource"]

_NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class Root:
    """A top-level container of a module."""

    module: str
    name: str
    schema: SchemaNode
    value: Json

    @property
    def member(self) -> str:
        """The name it has in JSON."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True, slots=True)
class _Found:
    module: str
    name: str
    schema: SchemaNode
    value: Json
    keys: tuple[str, ...] | None
    """Of the last step: they name one entry, which is told as a list of one."""


def _missing(what: str) -> Refusal:
    return Refusal(404, "invalid-value", f"there is no {what}")


def find(roots: Sequence[Root], steps: Sequence[Step]) -> _Found | Refusal:
    """The resource that a path names; `steps` are not empty."""
    first, *others = steps
    if first.module is None:
        return Refusal(400, "invalid-value", "the first name of a path has its module before it: MODULE:NAME")
    root = next((r for r in roots if (r.module, r.name) == (first.module, first.name)), None)
    if root is None:
        return _missing(f"{first.module}:{first.name}")
    if first.keys is not None:
        return Refusal(400, "invalid-value", f"{first.name} is no list, so it takes no key")
    found = _Found(root.module, root.name, root.schema, root.value, None)
    for step in others:
        below = _below(found, step)
        if isinstance(below, Refusal):
            return below
        found = below
    return found


def _below(at: _Found, step: Step) -> _Found | Refusal:
    """One step down."""
    if at.schema.kind is Kind.LIST and at.keys is None:
        return Refusal(400, "missing-attribute", f"{at.name} is a list: name the entry, {at.name}=KEY")
    schema = at.schema.children.get(step.name)
    if schema is None or step.module not in (None, at.module):
        return _missing(f"{step.name} in {at.name}")
    value = cast("dict[str, Json]", at.value).get(step.name, _NOTHING)
    if step.keys is None:
        if value is _NOTHING:
            return _missing(f"{step.name} in this {at.name}")
        return _Found(at.module, step.name, schema, value, None)
    wanted = len(schema.keys) if schema.kind is Kind.LIST else 1
    if schema.kind not in (Kind.LIST, Kind.LEAF_LIST) or len(step.keys) != wanted:
        takes = f"{wanted} keys" if schema.kind is Kind.LIST else "no key"
        return Refusal(400, "invalid-value", f"{step.name} takes {takes}, and the path has {len(step.keys)}")
    entries = () if value is _NOTHING else cast("Sequence[Json]", value)
    entry = next((e for e in entries if _key_of(schema, e) == step.keys), _NOTHING)
    if entry is _NOTHING:
        return _missing(f"{step.name} with this key")
    return _Found(at.module, step.name, schema, entry, step.keys)


def _key_of(schema: SchemaNode, entry: Json) -> tuple[str, ...]:
    if schema.kind is Kind.LEAF_LIST:
        return (str(entry),)
    return tuple(str(entry[key]) for key in schema.keys)


def read_resource(
    roots: Sequence[Root], steps: Sequence[Step], query: Query, *, is_plain: bool = False
) -> Json | Refusal:
    """A resource as the answer to a GET: one member, with its module's name before it unless `is_plain`."""
    found = find(roots, steps)
    if isinstance(found, Refusal):
        return found
    value = _wanted(found, query)
    if isinstance(value, Refusal):
        return value
    return {found.name if is_plain else f"{found.module}:{found.name}": value}


def _wanted(found: _Found, query: Query) -> Json | Refusal:
    schema, value = found.schema, found.value
    unknown = None if query.fields is None else _unknown(found.module, schema, query.fields)
    if unknown is not None:
        return Refusal(400, "invalid-value", f"fields: there is no {unknown[:80]} in {found.name}")
    if schema.kind in (Kind.LIST, Kind.LEAF_LIST):
        entries = cast("Sequence[Json]", value) if found.keys is None else [value]
        if schema.kind is Kind.LEAF_LIST:
            return list(entries) if _is_wanted(schema, query.content) else _not_such(found)
        return [_entry(schema, each, query, query.depth) for each in entries]
    if schema.kind is Kind.LEAF:
        return value if _is_wanted(schema, query.content) else _not_such(found)
    return _entry(schema, value, query, query.depth)


def _not_such(found: _Found) -> Refusal:
    return _missing(f"{found.name} among what `content` asks for")


def read_all(roots: Sequence[Root], query: Query) -> Json | Refusal:
    """The datastore: every root. Its own level is the first of `depth`."""
    if query.fields is not None:
        known = {root.member: root.schema for root in roots}
        top = SchemaNode(Kind.CONTAINER, is_config=True, children=known)
        unknown = _unknown("", top, query.fields)
        if unknown is not None:
            return Refusal(400, "invalid-value", f"fields: there is no {unknown[:80]}")
    told: dict[str, Json] = {}
    for root in roots if query.depth != 1 else ():
        wanted = None if query.fields is None else query.fields.below.get(root.member, _NOTHING)
        if wanted is not _NOTHING:
            fields = cast("Fields | None", wanted)
            value = _entry(
                root.schema,
                root.value,
                Query(query.content, None, fields),
                None if query.depth is None else query.depth - 1,
            )
            if value or query.content is Content.ALL:
                told[root.member] = value
    return {"ietf-restconf:data": told}


def _unknown(module: str, schema: SchemaNode, fields: Fields) -> str | None:
    """A name that is wanted and that the schema does not have."""
    for name, below in fields.below.items():
        child = schema.children.get(_bare(module, name))
        if child is None:
            return name
        if below is not None:
            inner = _unknown(module or name.partition(":")[0], child, below)
            if inner is not None:
                return inner
    return None


def _bare(module: str, name: str) -> str:
    return name.removeprefix(f"{module}:") if module else name


def _is_wanted(schema: SchemaNode, content: Content) -> bool:
    return content is Content.ALL or (content is Content.CONFIG) == schema.is_config


def _entry(schema: SchemaNode, value: Json, query: Query, depth: int | None) -> dict[str, Json]:
    """A container or an entry of a list, cut to what is wanted. Keys of entries always stay."""
    told: dict[str, Json] = {}
    fields = None if query.fields is None else {_last(name): below for name, below in query.fields.below.items()}
    for name, each in cast("Mapping[str, Json]", value).items():
        if name in schema.keys:
            told[name] = each
        elif (depth is None or depth > 1) and (fields is None or name in fields):
            inner = Query(query.content, None, None if fields is None else fields[name])
            part = _part(schema.children[name], each, inner, None if depth is None else depth - 1)
            if part is not _NOTHING:
                told[name] = part
    return told


def _part(schema: SchemaNode, value: Json, query: Query, depth: int | None) -> Json:
    """A child, cut to what is wanted; `_NOTHING` where that is nothing."""
    content = query.content
    match schema.kind:
        case Kind.LEAF | Kind.LEAF_LIST:
            return value if _is_wanted(schema, content) else _NOTHING
        case _ if content is Content.CONFIG and not schema.is_config:
            return _NOTHING
        case Kind.LIST:
            entries = [_entry(schema, each, query, depth) for each in value]
            if content is Content.STATE and schema.is_config:
                entries = [entry for entry in entries if len(entry) > len(schema.keys)]
            return entries if entries or content is Content.ALL else _NOTHING
        case Kind.CONTAINER:
            inside = _entry(schema, value, query, depth)
            return inside if inside or content is Content.ALL else _NOTHING


def _last(name: str) -> str:
    return name.rpartition(":")[2]
