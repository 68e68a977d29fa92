"""The past of a dataset as the crate that it came in tells it: what its author claims, held against nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from poliqi.lab.store.crate.graph import Entity, Graph, identifier_of, plain_text, types_of, values_of
from poliqi.lab.store.crate.read import tells_simulated
from poliqi.lab.store.crate.terms import ONWARD, SIMULATED, term
from poliqi.lab.store.records import Kind

__all__ = ["Claim", "ClaimKind", "claims_of"]

_LINE: Final = 200
_LINKS_MOST: Final = 50
_OF_RECEIPTS: Final = ("mode", "epsilon", "keys", SIMULATED)
_ACTIONS: Final = frozenset({"CreateAction", "SendAction", "ReceiveAction"})
_MOVES: Final = frozenset({"SendAction", "ReceiveAction"})
_DATA: Final = frozenset({"CreativeWork", "Dataset", "File"})
_PROGRAMS: Final = frozenset({"SoftwareApplication", "SoftwareSourceCode", "ComputationalWorkflow"})


class ClaimKind(StrEnum):
    """What a claim speaks of."""

    DATASET = "dataset"
    JOB = "job"
    SAMPLE = "sample"
    INSTRUMENT = "instrument"
    DEED = "deed"
    """It was sent, received, brought in."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A thing that the crate tells of. `above` are the numbers of the claims that it is said to come from.

    Texts are on one line, shortened, without control characters. `at` is the time as the crate has it.
    """

    kind: ClaimKind
    title: str
    above: tuple[int, ...] = ()
    detail: str = ""
    at: str = ""
    is_simulated: bool = False


def claims_of(graph: Graph, most: int) -> tuple[tuple[Claim, ...], bool]:
    """The crate's own dataset first, then what it is said to come from, nearest first; and whether that is all.

    At most `most` claims, and of each thing the first 50 that it refers to.
    """
    walk = _Walk(graph, most)
    return walk.go(), not walk.is_cut


class _Walk:
    """From the root back along what actions have made; each thing once, wherever the graph leads."""

    def __init__(self, graph: Graph, most: int) -> None:
        self._graph: Final = graph
        self._most: Final = most
        self._numbers: Final[dict[str, int]] = {}
        self._waiting: Final[deque[Entity]] = deque()
        self._types: Final[dict[str, frozenset[str]]] = {}
        self._makers: Final[dict[str, dict[str, Entity]]] = {}
        self._deeds: Final[set[str]] = set()
        self._instruments: Final[set[str]] = set()
        self.is_cut = False
        for name, entity in graph.entities.items():
            if name != ONWARD and _ACTIONS & self._types_of(entity):
                self._note(name, entity)

    def _note(self, name: str, action: Entity) -> None:
        made = [str(one["@id"]) for one in self._graph.linked(action, "result")]
        for one in made:
            self._makers.setdefault(one, {})[name] = action
            if self._is_file(self._graph.entities[one]):  # what made a file of the crate made the crate's dataset
                self._makers.setdefault(str(self._graph.root["@id"]), {})[name] = action
        # what gives back what it was given brought it from one place to another
        given = {str(one["@id"]) for one in self._graph.linked(action, "object")}
        if not given.isdisjoint(made) or _MOVES & self._types_of(action):
            self._deeds.add(name)
        self._instruments.update(
            str(one["@id"])
            for one in self._graph.linked(action, "instrument")
            if not _PROGRAMS & self._types_of(one)
        )

    def _types_of(self, entity: Entity) -> frozenset[str]:
        name = str(entity["@id"])
        if name not in self._types:
            self._types[name] = frozenset(types_of(entity))
        return self._types[name]

    def _is_file(self, entity: Entity) -> bool:
        return "File" in self._types_of(entity) and not str(entity["@id"]).startswith("#")

    def go(self) -> tuple[Claim, ...]:
        found: list[Claim] = []
        self._number(self._graph.root)
        while self._waiting:
            found.append(self._claim(self._waiting.popleft()))
        return tuple(found)

    def _number(self, entity: Entity) -> int | None:
        """Its place among the claims; None where there is no more room."""
        name = str(entity["@id"])
        if name not in self._numbers:
            if len(self._numbers) >= self._most:
                self.is_cut = True
                return None
            self._numbers[name] = len(self._numbers)
            self._waiting.append(entity)
        return self._numbers[name]

    def _claim(self, entity: Entity) -> Claim:
        graph, kind = self._graph, self._kind(entity)
        title = graph.text(entity, "name", _LINE) or plain_text(str(entity["@id"]), _LINE)
        match kind:
            case ClaimKind.JOB:
                at, detail = graph.text(entity, "endTime", 40), self._values(entity, "object")
                title = self._program(entity) or title
            case ClaimKind.DEED:
                at = graph.text(entity, "endTime", 40)
                detail = self._values(entity, "additionalProperty", _OF_RECEIPTS)
            case ClaimKind.DATASET:
                at = graph.text(entity, "datePublished" if entity is graph.root else "dateCreated", 40)
                detail = graph.text(entity, "creativeWorkStatus", 40)
            case ClaimKind.SAMPLE | ClaimKind.INSTRUMENT:
                at, detail = "", graph.text(entity, "location", 100)
        above = [number for one in self._sources(entity, kind) if (number := self._number(one)) is not None]
        numbers = tuple(dict.fromkeys(above))
        return Claim(kind, title, numbers, detail, at, kind is ClaimKind.DATASET and self._is_simulated(entity))

    def _kind(self, entity: Entity) -> ClaimKind:
        types, name = self._types_of(entity), str(entity["@id"])
        if types & _ACTIONS:
            return ClaimKind.DEED if name in self._deeds else ClaimKind.JOB
        if types & _DATA:
            return ClaimKind.DATASET
        return ClaimKind.INSTRUMENT if name in self._instruments else ClaimKind.SAMPLE

    def _sources(self, entity: Entity, kind: ClaimKind) -> Iterator[Entity]:
        """What stands right above it."""
        if kind is ClaimKind.JOB:
            yield from self._inputs(entity)
        elif kind is ClaimKind.DATASET:
            makers = self._makers.get(str(entity["@id"]), {})
            if makers.keys() <= self._deeds:
                yield from self._linked(entity, "about")
            self.is_cut |= len(makers) > _LINKS_MOST
            for name, action in islice(makers.items(), _LINKS_MOST):
                if name in self._deeds or self._program(action) or self._has_data(action):
                    yield action
                else:  # a measurement: the sample and the instrument themselves
                    yield from self._inputs(action)
                    yield from self._linked(action, "instrument")

    def _linked(self, entity: Entity, name: str) -> Iterator[Entity]:
        values = values_of(entity, name)
        self.is_cut |= len(values) > _LINKS_MOST
        for value in values[:_LINKS_MOST]:
            target = self._graph.entities.get(identifier_of(value))
            if target is not None:
                yield target

    def _inputs(self, action: Entity) -> Iterator[Entity]:
        return (one for one in self._linked(action, "object") if "PropertyValue" not in self._types_of(one))

    def _has_data(self, action: Entity) -> bool:
        return any(_DATA & self._types_of(one) for one in self._inputs(action))

    def _program(self, action: Entity) -> str:
        for one in self._linked(action, "instrument"):
            if _PROGRAMS & self._types_of(one):
                name = self._graph.text(one, "name", _LINE)
                return f"{name} {self._graph.text(one, 'softwareVersion', 60)}".strip()
        return ""

    def _values(self, entity: Entity, name: str, words: tuple[str, ...] = ()) -> str:
        """Named values in a line; of those with a word of ours, `words` alone."""
        told: list[str] = []
        for one in self._linked(entity, name):
            if "PropertyValue" in self._types_of(one):
                about = self._graph.text(one, "name", 60)
                if words:
                    about = next((word for word in words if one.get("propertyID") == term(word)), "")
                if about:
                    told.append(f"{about}={self._graph.text(one, 'value', 60)}")
        return plain_text(", ".join(told), _LINE)

    def _is_simulated(self, entity: Entity) -> bool:
        if entity.get("creativeWorkStatus") == Kind.SIMULATED.value:
            return True
        return any(map(tells_simulated, self._linked(entity, "additionalProperty")))
