"""Forms with files in them, against the encoder of an independent library (httpx)."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.ops.sae_web.form import read_form

NAME = st.text("abcé .-_", min_size=1, max_size=12)
HEAD = 'multipart/form-data; boundary="xx"'


def encoded(files: list[tuple[str, bytes]], fields: dict[str, str]) -> tuple[str, bytes]:
    request = httpx.Request(
        "POST", "http://x/", data=fields, files=[("files", (name, data)) for name, data in files]
    )
    return request.headers["content-type"], request.read()


@given(
    st.lists(st.tuples(NAME, st.binary(max_size=300)), max_size=4, min_size=1),
    st.dictionaries(st.text("abc", min_size=1), st.text(max_size=50), max_size=4),
)
def test_what_a_browser_sends_is_read(files: list[tuple[str, bytes]], fields: dict[str, str]) -> None:
    form = read_form(*encoded(files, fields))
    assert list(form.files) == files
    assert dict(form.fields) == fields


@given(st.binary(max_size=400))
def test_any_bytes_are_a_form_or_are_refused(body: bytes) -> None:
    for data in (body, b"--xx\r\n" + body + b"\r\n--xx--\r\n"):
        try:
            read_form(HEAD, data)
        except DataRefused:
            continue


def test_a_form_that_was_cut_is_refused() -> None:
    kind, body = encoded([("a.txt", b"hello" * 50)], {"token": "t"})
    for size in range(len(body) - 4):
        with pytest.raises(DataRefused):
            read_form(kind, body[:size])


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary="])
def test_what_is_no_form_is_refused(kind: str) -> None:
    with pytest.raises(DataRefused, match="no form with files"):
        read_form(kind, b"--x--")


def test_a_form_has_bounds() -> None:
    kind, body = encoded([("f", b"")] * 65, {})
    with pytest.raises(DataRefused):
        read_form(kind, body)
    kind, body = encoded([("f", b"x")], {"token": "x" * 5000})
    with pytest.raises(DataRefused):
        read_form(kind, body)
