"""Secret bytes do not leak by accident."""

from __future__ import annotations

import copy
import pickle

import pytest

from poliqi.base.secret import SecretBytes


def test_nothing_printed_shows_the_bytes() -> None:
    secret = SecretBytes(b"open sesame")
    for text in (repr(secret), str(secret), f"{secret}"):
        assert "sesame" not in text
        assert "6f70656e" not in text


def test_taking_empties_it() -> None:
    secret = SecretBytes(b"abc")
    assert secret.take() == b"abc"
    with pytest.raises(ValueError, match="already taken"):
        secret.view()
    assert len(secret) == 3


def test_closing_wipes_the_buffer_that_views_share() -> None:
    secret = SecretBytes(b"abc")
    view = secret.view()
    secret.close()
    assert bytes(view) == b"\0\0\0"


@pytest.mark.parametrize("spread", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_cannot_be_copied(spread) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        spread(SecretBytes(b"abc"))


def test_equality_compares_contents_and_it_has_no_hash() -> None:
    assert SecretBytes(b"abc") == SecretBytes(b"abc")
    assert SecretBytes(b"abc") != SecretBytes(b"abd")
    assert SecretBytes(b"abc") != b"abc"
    with pytest.raises(TypeError):
        hash(SecretBytes(b"abc"))
