"""Paths and queries of RESTCONF: what RFC 8040 writes is read, everything else is refused and nothing breaks."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.edge.restconf_request import (
    Content,
    Fields,
    Query,
    Refusal,
    Step,
    parse_fields,
    parse_path,
    parse_query,
)


def test_paths_of_the_rfc() -> None:
    # RFC 8040, section 3.5.3: keys with commas between, a comma inside a key is encoded, an empty key is told
    assert parse_path(b"example-top:top/list1=key1,key2,key3/list2=key4,key5/X") == (
        Step("example-top", "top"),
        Step(None, "list1", ("key1", "key2", "key3")),
        Step(None, "list2", ("key4", "key5")),
        Step(None, "X"),
    )
    assert parse_path(b"example-top:top/list1=%2C%27%22%3A%22%20%2F,,foo") == (
        Step("example-top", "top"),
        Step(None, "list1", (',\'":" /', "", "foo")),
    )
    assert parse_path(b"a:b/Y=x%2Cy") == (Step("a", "b"), Step(None, "Y", ("x,y",)))
    assert parse_path(b"a:b/list=") == (Step("a", "b"), Step(None, "list", ("",)))
    assert parse_path(b"") == ()


@pytest.mark.parametrize(
    "raw",
    [b"/", b"a:b//c", b"a:b:c", b"1a", b"a b", b"%zz", b"a=%f", b"a=%ff", b"=x", b":a", b"a:", b"..", b"a\xff"],
)
def test_what_is_no_path_is_refused(raw: bytes) -> None:
    refused = parse_path(raw)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.tag) == (400, "invalid-value")


def test_a_path_that_is_too_long_or_too_deep_is_refused() -> None:
    assert isinstance(parse_path(b"a" * 8193), Refusal)
    assert isinstance(parse_path(b"/".join([b"a"] * 33)), Refusal)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_path_or_refused(raw: bytes) -> None:
    read = parse_path(raw)
    assert isinstance(read, Refusal) or len(read) == (raw.count(b"/") + 1 if raw else 0)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=4))
def test_any_key_comes_through(keys: list[str]) -> None:
    raw = "m:l=" + ",".join(quote(key, safe="") for key in keys)
    assert parse_path(raw.encode()) == (Step("m", "l", tuple(keys)),)


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        (b"", Query()),
        (b"content=all&depth=unbounded", Query()),
        (b"content=config", Query(Content.CONFIG)),
        (b"content=nonconfig&depth=1", Query(Content.STATE, 1)),
        (b"depth=65535", Query(depth=65535)),
        (b"fields=a%3Bb", Query(fields=Fields({"a": None, "b": None}))),
    ],
)
def test_queries(raw: bytes, query: Query) -> None:
    assert parse_query(raw) == query


@pytest.mark.parametrize(
    "raw",
    [
        b"content=everything",
        b"depth=0",
        b"depth=65536",
        b"depth=-1",
        b"depth=",
        b"depth",
        b"depth=1&depth=2",
        b"with-defaults=report-all",
        b"x=1",
        b"&",
        b"=1",
        b"fields=",
        b"fields=a;",
        b"content=%ff",
        b"x=" + b"1" * 9000,
    ],
)
def test_queries_that_are_refused(raw: bytes) -> None:
    refused = parse_query(raw)
    assert isinstance(refused, Refusal)
    assert refused.status in (400, 414)


def test_a_resource_without_parameters_takes_none() -> None:
    assert isinstance(parse_query(b"depth=1", ()), Refusal)
    assert parse_query(b"", ()) == Query()


@pytest.mark.parametrize(
    ("text", "below"),
    [
        ("a", {"a": None}),
        ("m:a", {"m:a": None}),
        ("a/b/c", {"a": Fields({"b": Fields({"c": None})})}),
        ("a(b;c/d)", {"a": Fields({"b": None, "c": Fields({"d": None})})}),
        ("a(b);c", {"a": Fields({"b": None}), "c": None}),
        ("a/b;a/c", {"a": Fields({"b": None, "c": None})}),
        ("a/b;a", {"a": None}),
        ("a;a/b", {"a": None}),
        ("a(b(c);d)", {"a": Fields({"b": Fields({"c": None}), "d": None})}),
    ],
)
def test_fields(text: str, below: dict[str, Fields | None]) -> None:
    assert parse_fields(text) == Fields(below)


@pytest.mark.parametrize(
    "text", ["", ";", "a;", "a/", "/a", "a(", "a()", "a(b", "a)b", "a(b)c", "a b", "(a)", "a=1"]
)
def test_fields_that_are_refused(text: str) -> None:
    assert isinstance(parse_fields(text), Refusal)


def test_brackets_inside_each_other_have_an_end() -> None:
    assert isinstance(parse_fields("a(" * 32 + "a" + ")" * 32), Fields)
    assert isinstance(parse_fields("a(" * 33 + "a" + ")" * 33), Refusal)
    assert isinstance(parse_fields("a/" * 40 + "a"), Refusal)


@given(st.text("ab;/():= ", max_size=30))
def test_any_text_is_fields_or_refused(text: str) -> None:
    assert isinstance(parse_fields(text), Fields | Refusal)
