"""Data trees as RESTCONF reads them: which members are containers, lists and leaves, taken from msgspec structs.

A member whose `Meta(extra=...)` says `config: False` is state, with all below it; `key: True` marks a list's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, cast

import msgspec
from msgspec import inspect

__all__ = ["Json", "Kind", "SchemaNode", "schema_of"]

Json = Any
"""A value as `msgspec.to_builtins` gives it."""


class Kind(StrEnum):
    """Kinds of data nodes (RFC 7950)."""

    CONTAINER = "container"
    LIST = "list"
    LEAF = "leaf"
    LEAF_LIST = "leaf-list"


@dataclass(frozen=True, slots=True)
class SchemaNode:
    """A data node. `keys` are those of a list, in order; `children` of a list are those of its entries."""

    kind: Kind
    is_config: bool
    keys: tuple[str, ...] = ()
    children: Mapping[str, SchemaNode] = field(default_factory=dict[str, "SchemaNode"])


_MARKS: Final = ("config", "key")


def schema_of(struct: type[msgspec.Struct], *, is_config: bool = True) -> SchemaNode:
    """The schema of a container that is such a struct."""
    return _node(inspect.type_info(struct), is_config)


def _node(kind: inspect.Type, is_config: bool) -> SchemaNode:
    marks, kind = _unwrapped(kind)
    is_config = is_config and bool(marks.get("config", True))
    if isinstance(kind, inspect.StructType):
        return SchemaNode(Kind.CONTAINER, is_config, (), _children(kind, is_config))
    if isinstance(kind, inspect.VarTupleType):
        _, item = _unwrapped(kind.item_type)
        if isinstance(item, inspect.StructType):
            keys = tuple(f.encode_name for f in item.fields if _unwrapped(f.type)[0].get("key"))
            return SchemaNode(Kind.LIST, is_config, keys, _children(item, is_config))
        return SchemaNode(Kind.LEAF_LIST, is_config)
    return SchemaNode(Kind.LEAF, is_config)


def _children(struct: inspect.StructType, is_config: bool) -> dict[str, SchemaNode]:
    return {f.encode_name: _node(f.type, is_config) for f in struct.fields}


def _unwrapped(kind: inspect.Type) -> tuple[dict[str, Any], inspect.Type]:
    """The marks of an annotated type, and the type."""
    if isinstance(kind, inspect.Metadata):
        extra = cast("dict[str, Any]", kind.extra or {})
        return {name: extra[name] for name in _MARKS if name in extra}, kind.type
    return {}, kind
