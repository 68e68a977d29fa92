"""Reading a site's answers: the standard's shapes are taken, anything else is refused in words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused, LinkDown, PoliqiError, ProtocolError
from poliqi.edge.keyanswers import KeysNotReady, ask_keys, ask_named, ask_status, read_keys, read_status

# ETSI GS QKD 014 v1.1.1, clause 6: the containers' members and an example's values
KEYS = {
    "keys": [
        {"key_ID": "bc490419-7d60-487f-adc1-4ddcc177c139", "key": "wHHVxRwDJs3/bXd38GHP3oe4svTuRpZS0yCC7x4Ly+s="},
        {"key_ID": "0a782fb5-3434-48fe-aa4d-14f41d46cf92", "key": "OeGMPxh1+2RpJpNCYixWHFLYRubpOKCw94FcCI7VdJA="},
    ]
}
STATUS = {
    "source_KME_ID": "AAAABBBBCCCCDDDD",
    "target_KME_ID": "EEEEFFFFGGGGHHHH",
    "master_SAE_ID": "IIIIJJJJKKKKLLLL",
    "slave_SAE_ID": "MMMMNNNNOOOOPPPP",
    "key_size": 352,
    "stored_key_count": 25000,
    "max_key_count": 100000,
    "max_key_per_request": 128,
    "max_key_size": 1024,
    "min_key_size": 64,
    "max_SAE_ID_count": 0,
}
TWO = ask_keys("b", 2, 256, (), (), ())


def answer(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_the_standards_example_of_a_key_container() -> None:
    keys = read_keys(TWO, 200, {}, answer(KEYS))
    assert [k.key_id for k in keys] == [k["key_ID"] for k in KEYS["keys"]]
    assert keys[0].value.take().hex() == "c071d5c51c0326cdff6d7777f061cfde87b8b2f4ee469652d32082ef1e0bcbeb"


def test_the_standards_example_of_a_status() -> None:
    s = read_status(200, {}, answer(STATUS))
    assert (s.source_kme, s.slave, s.stored_keys, s.key_size_bits) == (
        "AAAABBBBCCCCDDDD",
        "MMMMNNNNOOOOPPPP",
        25000,
        352,
    )
    assert s.extension == {}


def test_members_that_nobody_knows_are_ignored() -> None:
    more = {**KEYS, "key_container_extension": {"x": 1}, "keys": [{**k, "vendor": 1} for k in KEYS["keys"]]}
    assert len(read_keys(TWO, 200, {}, answer(more))) == 2


def test_the_grade_comes_with_the_key() -> None:
    grade = {"grade": "its", "epsilon": 1e-10}
    one = {"keys": [{**KEYS["keys"][0], "key_extension": grade}]}
    assert read_keys(ask_keys("b", 1, None, (), (), ()), 200, {}, answer(one))[0].grade == grade


def test_named_keys_come_in_the_order_asked_for() -> None:
    names = [k["key_ID"] for k in reversed(KEYS["keys"])]
    keys = read_keys(ask_named("a", [names[0].upper(), names[1]]), 200, {}, answer(KEYS))
    assert [k.key_id for k in keys] == names


def test_ids_are_percent_encoded_in_the_path() -> None:
    assert ask_status("a/b c?").path == "/api/v1/keys/a%2Fb%20c%3F/status"


def test_what_is_asked() -> None:
    question = ask_keys("b", 3, 128, ("c",), ({"link_id": "x"},), ({"y": None},))
    assert (question.method, question.path) == ("POST", "/api/v1/keys/b/enc_keys")
    assert json.loads(question.body or b"") == {
        "number": 3,
        "size": 128,
        "additional_slave_SAE_IDs": ["c"],
        "extension_mandatory": [{"link_id": "x"}],
        "extension_optional": [{"y": None}],
    }
    assert json.loads(ask_named("a", ["i", "j"]).body or b"") == {"key_IDs": [{"key_ID": "i"}, {"key_ID": "j"}]}


@pytest.mark.parametrize(("number", "size_bits"), [(0, None), (-1, 256), (1, 0), (1, 12), (1, -8)])
def test_asking_for_nothing_is_a_mistake(number: int, size_bits: int | None) -> None:
    with pytest.raises(ValueError, match="ask for one or more"):
        ask_keys("b", number, size_bits, (), (), ())


@pytest.mark.parametrize("names", [[], "one"])
def test_naming_nothing_is_a_mistake(names: Any) -> None:
    with pytest.raises(ValueError, match="in a list"):
        ask_named("a", names)


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "says"),
    [
        (503, {"retry-after": "7"}, {"message": "too few"}, KeysNotReady, "too few"),
        (400, {}, {"message": "size 257 is no multiple of 8"}, ConfigError, "size 257"),
        (401, {}, {"message": "who?"}, ConfigError, "does not permit"),
        (403, {}, {"message": "who?"}, ConfigError, "does not permit"),
        (413, {}, {}, ConfigError, "HTTP 413"),
        (500, {}, {"message": "x"}, LinkDown, "HTTP 500"),
        (302, {}, {}, ProtocolError, "HTTP 302"),
        (204, {}, {}, ProtocolError, "HTTP 204"),
    ],
)
def test_each_code_is_an_error_of_its_kind(
    status: int, headers: dict[str, str], body: Any, kind: type[PoliqiError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        read_keys(TWO, status, headers, answer(body))


def test_a_key_that_is_gone_is_no_mistake_of_settings() -> None:
    with pytest.raises(DataRefused, match="not found on KME"):
        read_keys(ask_named("a", ["i"]), 400, {}, answer({"message": "One or more keys ... not found on KME"}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (None, None), ("-1", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("9" * 9, None)],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    with pytest.raises(KeysNotReady) as caught:
        read_keys(TWO, 503, {} if text is None else {"retry-after": text}, b"")
    assert caught.value.retry_s == seconds


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (KEYS["keys"][:1], "gave 1 keys"),
        ([KEYS["keys"][0]] * 2, "one name"),
        ([KEYS["keys"][0], {"key_ID": "x", "key": "AAAA"}], "other sizes"),
        ([KEYS["keys"][0], {"key_ID": "x", "key": "****"}], "not base64"),
        ([KEYS["keys"][0], {"key_ID": "x", "key": ""}], "without bits"),
        ([KEYS["keys"][0], {"key_ID": "", "key": "AAAA"}], "without bits or name"),
        ([KEYS["keys"][0], {"key_ID": 5, "key": "AAAA"}], "not what ETSI"),
    ],
)
def test_a_container_that_is_not_what_was_asked_for_is_refused_as_a_whole(keys: Any, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        read_keys(TWO, 200, {}, answer({"keys": keys}))


def test_other_keys_than_those_named_are_refused() -> None:
    with pytest.raises(ProtocolError, match="other keys"):
        read_keys(ask_named("a", ["x", "y"]), 200, {}, answer(KEYS))


def test_an_error_never_shows_what_the_site_wrote_raw() -> None:
    with pytest.raises(ConfigError) as caught:
        read_keys(TWO, 400, {}, answer({"message": "a\x1b[31m\n" + "b" * 1000}))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.integers(100, 599), st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["keys", "key", "key_ID", "message", "key_size"]), inner, max_size=3),
).map(answer))  # fmt: skip
def test_any_answer_is_read_or_refused(status: int, body: bytes) -> None:
    for read in (lambda: read_keys(TWO, status, {}, body), lambda: read_status(status, {}, body)):
        with pytest.raises(PoliqiError):
            read()
