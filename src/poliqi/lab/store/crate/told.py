"""What the crate that a dataset came in told of its past, carried on under names of its own: claims, not knowledge.

No identifier of another's crate is ever taken for one of this store, and none of its files is referred to.
"""

from __future__ import annotations

from typing import Any, Final, cast

from poliqi.lab.store.crate.graph import Entity, Graph, identifier_of, types_of
from poliqi.lab.store.crate.paths import is_remote

__all__ = ["TOLD", "told_entities"]

TOLD: Final = "#told-"
"""How names begin that another's crate gave."""
_ENTITIES_MOST: Final = 5000
_ID_MOST: Final = 1024
_ACTIONS: Final = frozenset(
    {"CreateAction", "UpdateAction", "ActivateAction", "SendAction", "ReceiveAction", "MoveAction"}
)


def told_entities(graph: Graph, number: int, place: str, onward: str) -> list[dict[str, Any]]:
    """Its actions and what they refer to, at most 5,000 entities. `place` is what its root is called here."""
    wanted = [
        name
        for name, entity in graph.entities.items()
        if _ACTIONS.intersection(types_of(entity)) and _is_contextual(graph, entity) and name != onward
    ]
    names: dict[str, str] = {}
    for name in wanted:  # grows meanwhile
        if name in names or len(names) >= _ENTITIES_MOST:
            continue
        own = f"{TOLD}{number}-{name.lstrip('#_:').replace('#', '%23')}"
        renamed = name if _is_global(graph.entities[name]) else own
        if len(renamed) > _ID_MOST:
            continue
        names[name] = renamed
        for key, value in graph.entities[name].items():
            if key.startswith("@"):
                continue
            for one in cast("list[Any]", value) if isinstance(value, list) else [value]:
                target = graph.entities.get(identifier_of(one))
                if target is not None and _is_contextual(graph, target):
                    wanted.append(str(target["@id"]))
    return [_renamed(graph, graph.entities[name], names, place) for name in names]


def _is_global(entity: Entity) -> bool:
    """True for a thing that everybody calls by its URI. What was done is no such thing: who tells it claims it."""
    return is_remote(entity["@id"]) and not any(kind.endswith("Action") for kind in types_of(entity))


def _is_contextual(graph: Graph, entity: Entity) -> bool:
    if entity is graph.root or entity is graph.descriptor:
        return False
    is_data = bool({"File", "Dataset"}.intersection(types_of(entity)))
    return not is_data and (is_remote(entity["@id"]) or str(entity["@id"]).startswith(("#", "_:")))


def _renamed(graph: Graph, entity: Entity, names: dict[str, str], place: str) -> dict[str, Any]:
    def one(value: Any) -> Any:
        target = identifier_of(value)
        if not target:
            return value
        if graph.entities.get(target) is graph.root:
            return {"@id": place}
        if target in names:
            return {"@id": names[target]}
        return {"@id": target} if is_remote(target) else target  # a name without a thing stays a word

    found: dict[str, Any] = {"@id": names[entity["@id"]], "@type": entity["@type"]}
    for key, value in entity.items():
        if not key.startswith("@"):
            found[key] = [one(part) for part in cast("list[Any]", value)] if isinstance(value, list) else one(value)
    return found
