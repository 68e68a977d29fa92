"""Shamir's sharing of blocks: published values, any k of n, nothing from fewer."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from poliqi.apps.vault.sharing import join, split, split_zero
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.keys.onetime import xor_bytes
from poliqi.keys.shares import split_shamir

VECTORS = Path(__file__).parents[3] / "vectors"
FILES = ("relay/shamir.json", "vault/sharing.json")
SYSTEM = OperatingSystemEntropy()


class Told:
    """Randomness that is told beforehand, for comparison with other implementations."""

    source = "test"

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def draw(self, count: int) -> bytes:
        piece = self._pieces.pop(0)
        assert len(piece) == count
        return piece


def _sharings() -> list[dict]:
    return [s for name in FILES for s in json.loads((VECTORS / name).read_text())["sharings"]]


@pytest.mark.parametrize("sharing", _sharings(), ids=lambda s: s["source"][:40])
def test_published_shares_give_the_published_secret(sharing: dict):
    shares = {int(place): bytes.fromhex(value) for place, value in sharing["shares"].items()}
    for chosen in itertools.combinations(shares, sharing["threshold"]):
        assert join({place: shares[place] for place in chosen}).hex() == sharing["secret"]


@pytest.mark.parametrize("sharing", [s for s in _sharings() if "coefficients" in s], ids=lambda s: s["source"][:40])
def test_known_coefficients_give_the_known_shares(sharing: dict):
    told = Told(*(bytes.fromhex(c) for c in sharing["coefficients"]))
    made = split(bytes.fromhex(sharing["secret"]), sharing["threshold"], len(sharing["shares"]), told)
    assert {str(place): share.hex() for place, share in enumerate(made, start=1)} == sharing["shares"]


@pytest.mark.parametrize("refusal", json.loads((VECTORS / "vault/sharing.json").read_text())["refusals"])
def test_what_cannot_be_joined_is_refused(refusal: dict):
    with pytest.raises(ValueError, match="cannot be joined"):
        join({int(place): bytes.fromhex(value) for place, value in refusal["shares"].items()})


@pytest.mark.parametrize("wrong", json.loads((VECTORS / "vault/sharing.json").read_text())["wrong"])
def test_wrong_shares_give_something_else(wrong: dict):
    shares = {int(place): bytes.fromhex(value) for place, value in wrong["shares"].items()}
    assert join(shares).hex() != wrong["secret"]


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 3), (3, 5), (5, 8)])
@pytest.mark.parametrize("size", [1, 7, 8, 1000])
def test_the_other_implementation_here_agrees(threshold: int, count: int, size: int):
    drawn = [os.urandom(size) for _ in range(threshold - 1)]
    secret = os.urandom(size)
    assert split(secret, threshold, count, Told(*drawn)) == split_shamir(secret, threshold, count, Told(*drawn))


def test_any_three_of_five_give_it_back():
    secret = os.urandom(777)
    shares = dict(enumerate(split(secret, 3, 5, SYSTEM), start=1))
    for chosen in itertools.combinations(shares, 3):
        assert join({place: shares[place] for place in chosen}) == secret


@pytest.mark.parametrize("chosen", list(itertools.combinations(range(5), 2)))
def test_two_shares_of_the_same_secret_are_uniform_and_independent(chosen: tuple[int, int]):
    """Chi square of the 16 x 16 upper halves of 2 of 5 shares of one constant: 255 degrees of freedom.

    The limit is the quantile 1 - 1e-9 (Wilson and Hilferty 1931): 402.
    """
    shares = split(b"A" * (1 << 17), 3, 5, SYSTEM)
    first, second = (np.frombuffer(shares[i], np.uint8) >> 4 for i in chosen)
    counts = np.bincount(16 * first.astype(int) + second, minlength=256)
    expected = (1 << 17) / 256
    assert ((counts - expected) ** 2 / expected).sum() < 402


def test_three_shares_of_the_same_secret_are_not_independent():
    """The statistical test above sees what it should: together with the secret, three shares are bound."""
    shares = split(b"A" * (1 << 12), 3, 5, SYSTEM)
    assert join({1: shares[0], 2: shares[1], 3: shares[2]}) == b"A" * (1 << 12)


def test_every_value_of_a_secret_fits_two_shares():
    """Shannon: given any k - 1 shares, each secret has exactly one third share that makes it."""
    shares = split(b"\x2a", 3, 5, SYSTEM)
    fits = {join({1: shares[0], 2: shares[1], 3: bytes([guess])}) for guess in range(256)}
    assert len(fits) == 256


def test_renewed_shares_give_the_same_secret_and_do_not_mix_with_the_old():
    secret = os.urandom(64)
    old = split(secret, 3, 5, SYSTEM)
    new = [xor_bytes(a, b) for a, b in zip(old, split_zero(64, 3, 5, SYSTEM), strict=True)]
    for chosen in itertools.combinations(range(5), 3):
        assert join({i + 1: new[i] for i in chosen}) == secret
        for renewed in range(1, 3):
            mixed = {i + 1: (new if n < renewed else old)[i] for n, i in enumerate(chosen)}
            assert join(mixed) != secret


@pytest.mark.parametrize(("threshold", "count"), [(1, 5), (6, 5), (0, 0), (2, 17)])
def test_impossible_numbers_are_refused(threshold: int, count: int):
    with pytest.raises(ValueError, match="at most 16"):
        split(b"x", threshold, count, SYSTEM)
