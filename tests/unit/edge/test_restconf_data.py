"""Resources of a data tree: found by path and key, cut by content, depth and fields as RFC 8040 says."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.edge.restconf_data import Root, read_all, read_resource
from poliqi.edge.restconf_request import Content, Query, Refusal, parse_path, parse_query
from poliqi.edge.restconf_schema import Kind, schema_of

KEY = msgspec.Meta(extra={"key": True})
STATE = msgspec.Meta(extra={"config": False})


class Album(msgspec.Struct, frozen=True):
    """As in RFC 8040's example-jukebox, as far as it shows every kind of node."""

    name: Annotated[str, KEY]
    year: Annotated[int, KEY]
    genre: tuple[str, ...] = ()
    plays: Annotated[int, STATE] = 0


class Library(msgspec.Struct, frozen=True):
    album: tuple[Album, ...] = ()
    count: Annotated[int, STATE] = 2


class Counters(msgspec.Struct, frozen=True):
    errors: int = 0


class Jukebox(msgspec.Struct, frozen=True):
    library: Library
    counters: Annotated[Counters, STATE] = Counters()
    title: str = "hall"


ALBUMS = (Album("Wasting Light", 2011, ("rock", "alt,rock")), Album("Sonic", 1988, plays=3))
TREE: dict[str, Any] = msgspec.to_builtins(Jukebox(Library(ALBUMS)))
ROOT = Root("ex", "jukebox", schema_of(Jukebox), TREE)
LIGHT = {"name": "Wasting Light", "year": 2011, "genre": ["rock", "alt,rock"], "plays": 0}
SONIC = {"name": "Sonic", "year": 1988, "genre": [], "plays": 3}


def read(path: str, query: str = "", **more: Any) -> Any:
    steps, wanted = parse_path(path.encode()), parse_query(query.encode())
    assert not isinstance(steps, Refusal)
    assert not isinstance(wanted, Refusal)
    told = read_resource([ROOT], steps, wanted, **more)
    return told if isinstance(told, Refusal) else json.loads(msgspec.json.encode(told))


def test_a_schema_says_kinds_keys_and_what_is_state() -> None:
    schema = schema_of(Jukebox)
    album = schema.children["library"].children["album"]
    assert (album.kind, album.keys, album.is_config) == (Kind.LIST, ("name", "year"), True)
    assert album.children["genre"].kind is Kind.LEAF_LIST
    assert not album.children["plays"].is_config
    assert not schema.children["counters"].children["errors"].is_config


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("ex:jukebox/title", {"ex:title": "hall"}),
        ("ex:jukebox/ex:title", {"ex:title": "hall"}),
        ("ex:jukebox/counters", {"ex:counters": {"errors": 0}}),
        ("ex:jukebox/library/album=Sonic,1988", {"ex:album": [SONIC]}),
        ("ex:jukebox/library/album=Wasting%20Light,2011/genre", {"ex:genre": ["rock", "alt,rock"]}),
        ("ex:jukebox/library/album=Wasting%20Light,2011/genre=alt%2Crock", {"ex:genre": ["alt,rock"]}),
        ("ex:jukebox/library/album", {"ex:album": [LIGHT, SONIC]}),
        ("ex:jukebox/library/album=Sonic,1988/plays", {"ex:plays": 3}),
    ],
)
def test_a_resource_stands_under_its_modules_name(path: str, told: Any) -> None:
    assert read(path) == told


def test_plain_names_have_no_module() -> None:
    assert read("ex:jukebox/title", is_plain=True) == {"title": "hall"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("jukebox", 400),
        ("ex:jukebox=1", 400),
        ("ex:radio", 404),
        ("other:jukebox", 404),
        ("ex:jukebox/volume", 404),
        ("ex:jukebox/other:title", 404),
        ("ex:jukebox/title/more", 404),
        ("ex:jukebox/title=hall", 400),
        ("ex:jukebox/library/album=Sonic", 400),
        ("ex:jukebox/library/album=Sonic,1988,x", 400),
        ("ex:jukebox/library/album=Sonic,1989", 404),
        ("ex:jukebox/library/album/plays", 400),
        ("ex:jukebox/library/album=Sonic,1988/genre=rock", 404),
    ],
)
def test_what_is_not_there(path: str, status: int) -> None:
    refused = read(path)
    assert isinstance(refused, Refusal)
    assert refused.status == status


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("depth=1", {}),
        ("depth=2", {"library": {}, "counters": {}, "title": "hall"}),
        (
            "depth=3",
            {
                "library": {"album": [{"name": a.name, "year": a.year} for a in ALBUMS], "count": 2},
                "counters": {"errors": 0},
                "title": "hall",
            },
        ),
        ("depth=4", TREE),
        ("depth=unbounded", TREE),
    ],
)
def test_depth(query: str, told: Any) -> None:
    assert read("ex:jukebox", query) == {"ex:jukebox": json.loads(json.dumps(told))}


def test_content_tells_configuration_from_state() -> None:
    assert read("ex:jukebox", "content=config")["ex:jukebox"] == {
        "library": {
            "album": [
                {"name": "Wasting Light", "year": 2011, "genre": ["rock", "alt,rock"]},
                {"name": "Sonic", "year": 1988, "genre": []},
            ]
        },
        "title": "hall",
    }
    assert read("ex:jukebox", "content=nonconfig")["ex:jukebox"] == {
        "library": {
            "album": [
                {"name": "Wasting Light", "year": 2011, "plays": 0},
                {"name": "Sonic", "year": 1988, "plays": 3},
            ],
            "count": 2,
        },
        "counters": {"errors": 0},
    }
    refused = read("ex:jukebox/title", "content=nonconfig")
    assert isinstance(refused, Refusal)
    assert refused.status == 404


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        ("ex:jukebox", "title", {"title": "hall"}),
        ("ex:jukebox", "ex:title;library/count", {"library": {"count": 2}, "title": "hall"}),
        (
            "ex:jukebox",
            "library(album(plays))",
            {"library": {"album": [{"name": a.name, "year": a.year, "plays": a.plays} for a in ALBUMS]}},
        ),
        ("ex:jukebox/library", "count", {"count": 2}),
    ],
)
def test_fields_choose(path: str, fields: str, told: Any) -> None:
    [value] = read(path, f"fields={fields}").values()
    assert value == told


@pytest.mark.parametrize("fields", ["volume", "title/more", "library/album/x", "other:title"])
def test_fields_that_are_not_there_are_refused(fields: str) -> None:
    refused = read("ex:jukebox", f"fields={fields}")
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.tag) == (400, "invalid-value")


def test_the_datastore_holds_every_root() -> None:
    other = Root("ot", "counters", schema_of(Counters, is_config=False), {"errors": 7})
    both = read_all([ROOT, other], Query())
    assert list(both["ietf-restconf:data"]) == ["ex:jukebox", "ot:counters"]
    assert read_all([ROOT, other], Query(depth=1)) == {"ietf-restconf:data": {}}
    assert read_all([ROOT, other], Query(depth=2)) == {"ietf-restconf:data": {"ex:jukebox": {}, "ot:counters": {}}}
    config = read_all([ROOT, other], Query(Content.CONFIG))
    assert list(config["ietf-restconf:data"]) == ["ex:jukebox"]
    wanted = parse_query(b"fields=ot:counters/errors")
    assert isinstance(wanted, Query)
    assert read_all([ROOT, other], wanted) == {"ietf-restconf:data": {"ot:counters": {"errors": 7}}}
    unknown = parse_query(b"fields=ot:counters/warnings")
    assert isinstance(unknown, Query)
    assert isinstance(read_all([ROOT, other], unknown), Refusal)


SEGMENTS = st.sampled_from(
    ["ex:jukebox", "library", "album", "album=Sonic,1988", "genre", "genre=rock", "title", "plays", "x", "album=,"]
)
QUERIES = st.sampled_from(
    ["", "depth=2", "content=config", "content=nonconfig", "fields=name", "fields=album/plays"]
)


@given(st.lists(SEGMENTS, max_size=5), QUERIES)
def test_any_path_is_answered_or_refused(segments: list[str], query: str) -> None:
    told = read("/".join(["ex:jukebox", *segments]), query)
    assert isinstance(told, Refusal) or len(told) == 1
