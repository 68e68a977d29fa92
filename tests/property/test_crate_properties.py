"""Any bytes as a crate's metadata, any name as a path: refused or read, and nothing leads out of the folder."""

from __future__ import annotations

import contextlib
import json
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate.claims import claims_of
from poliqi.lab.store.crate.graph import read_graph
from poliqi.lab.store.crate.paths import id_of, local_path
from poliqi.lab.store.crate.read import describe
from poliqi.lab.store.crate.terms import SIMULATED, term
from poliqi.lab.store.crate.told import told_entities
from poliqi.lab.store.naming import check_path

NASTY = st.sampled_from(
    ["..", ".", "%2e", "%2F", "/", "\\", "C:", "a", " ", "%", "#", "é", "\x00", "%00", "file:", "%25"]
)
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
REFERENCE = st.fixed_dictionaries(
    {"@id": st.sampled_from(["./", "#a", "#b", "a.txt", "http://x/y", "ro-crate-metadata.json"])}
)
VALUE = st.recursive(
    LEAF | REFERENCE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["@id", "@value", "@type", "@list"]) | st.text(max_size=5), inner, max_size=3
        )
    ),
    max_leaves=6,
)
ODD: list[Any] = [None, [], {}, {"@id": None}, {"@value": None}, {"@id": "#a", "@value": None}, True, 1e300, "#a"]
ODD += [{"@id": "#a"}, {"@value": [None]}, {"@id": ["#a"]}, {"@list": [None]}]
ODD += [[one] for one in ODD] + [[[one]] for one in ODD] + [[one, "x"] for one in ODD]
"""Nothing, truth, numbers and what only looks like a reference, alone and in lists."""
OF_FILES = ["contentSize", "blake3", "sha256", "encodingFormat", "@reverse"]
OF_THINGS = ["name", "author", "result", "object", "instrument", "recipient", "additionalProperty", "value"]
OF_ROOTS = ["hasPart", "about", "license", "keywords", "datePublished", "creator", "description", "conformsTo"]
OF_ACTIONS = [
    "agent",
    "endTime",
    "startTime",
    "propertyID",
    "softwareVersion",
    "creativeWorkStatus",
    "location",
    "@type",
]
PROPERTIES = [*OF_FILES, *OF_THINGS, *OF_ROOTS, *OF_ACTIONS]
NAMES = st.sampled_from([name for name in PROPERTIES if name != "@type"])
ENTITY = st.builds(
    lambda name, kind, more: {**more, "@id": name, "@type": kind},
    st.sampled_from(["#a", "#b", "#onward", "a.txt", "b/", "http://x/y", "_:c"]),
    st.sampled_from(["File", "Dataset", "CreateAction", "SendAction", "PropertyValue", ["File", "X"]]),
    st.dictionaries(NAMES, VALUE, max_size=6),
)
HEAD = {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}}
ORDERLY: list[dict[str, Any]] = [
    HEAD,
    {"@id": "./", "@type": "Dataset", "name": "x", "author": {"@id": "#a"}, "additionalProperty": {"@id": "#p"}},
    {"@id": "a.txt", "@type": "File", "contentSize": 1},
    {"@id": "#a", "@type": "Person", "name": "Alice"},
    {"@id": "#p", "@type": "PropertyValue", "name": "simulated", "propertyID": term(SIMULATED), "value": False},
    {"@id": "#s", "@type": "SoftwareApplication", "name": "saxs", "softwareVersion": "1"},
    {
        "@id": "#job",
        "@type": "CreateAction",
        "instrument": {"@id": "#s"},
        "object": [{"@id": "#d"}, {"@id": "#p"}],
        "result": {"@id": "./"},
    },
    {"@id": "#d", "@type": "CreativeWork", "name": "frames"},
    {"@id": "#onward", "@type": "SendAction", "recipient": {"@id": "#to"}},
    {"@id": "#to", "@type": "Organization", "name": "acme"},
]


@given(st.lists(NASTY | st.text(max_size=6), max_size=8).map("".join))
def test_no_identifier_leads_out_of_the_crate(name: str) -> None:
    with contextlib.suppress(DataRefused):
        path = local_path(name)
        assert path == "" or check_path(path) == path.split("/")
        assert not PurePosixPath(path).is_absolute()
        assert ".." not in path.split("/")
        assert "\\" not in path


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8), min_size=1, max_size=4
    )
)
def test_what_a_path_is_called_means_that_path(names: list[str]) -> None:
    path = "/".join(names)
    try:
        check_path(path)
    except DataRefused:
        return
    with contextlib.suppress(DataRefused):  # a backslash, and names that Windows keeps for its devices
        assert local_path(id_of(path)) == path


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with contextlib.suppress(DataRefused):
        read_graph(data)
        raise AssertionError("random bytes are a crate")


@pytest.mark.parametrize("name", PROPERTIES)
def test_any_property_of_anything_may_hold_what_it_never_holds(name: str) -> None:
    """One thing after the other of a crate that is in order otherwise, each time one property is odd."""
    read = 0
    for number in range(len(ORDERLY)):
        for value in ODD:
            odd = [{**one, name: value} if n == number else one for n, one in enumerate(ORDERLY)]
            with contextlib.suppress(DataRefused):
                graph = read_graph(json.dumps({"@context": "x", "@graph": odd}).encode())
                assert describe(graph).title.isprintable()
                claims_of(graph, 20)
                told_entities(graph, 7, "#dataset-x", "#onward")
                read += 1
    assert read


@given(st.lists(ENTITY, max_size=6), st.dictionaries(NAMES, VALUE, max_size=6))
def test_any_graph_is_read_or_refused_and_told_on_within_itself(entities: list[Any], root: dict[str, Any]) -> None:
    document = {"@context": "x", "@graph": [HEAD, {**root, "@id": "./", "@type": "Dataset"}, *entities]}
    try:
        graph = read_graph(json.dumps(document).encode())
        described = describe(graph)
    except DataRefused:
        return
    assert described.title.isprintable()
    assert all(word.isprintable() for word in described.keywords)
    claims, _ = claims_of(graph, 5)
    assert 1 <= len(claims) <= 5
    for claim in claims:
        assert claim.title.isprintable()
        assert claim.detail.isprintable()
        assert all(0 <= number < len(claims) for number in claim.above)
    told = told_entities(graph, 7, "#dataset-x", "#onward")
    names = {one["@id"] for one in told}
    for one in told:
        assert one["@id"].startswith(("#told-7-", "http"))
        for value in one.values():
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict) and "@id" in part:
                    assert part["@id"] in names | {"#dataset-x"} or part["@id"].startswith("http")
