"""Secret sharing against published sharings and a plain definition of the field."""

from __future__ import annotations

import json
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from relay_city import FixedEntropy, stretch

from poliqi.keys.shares import candidates, join_shamir, join_xor, shamir_at, split_shamir, split_xor

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "relay" / "shamir.json").read_text())


def times(a: int, b: int) -> int:
    """Carry-less product, then the remainder by the polynomial of FIPS 197."""
    raw = 0
    for i in range(8):
        raw ^= (a << i) if b >> i & 1 else 0
    for i in range(15, 7, -1):
        raw ^= 0x11B << (i - 8) if raw >> i & 1 else 0
    return raw


def value_at(coefficients: list[int], x: int) -> int:
    total, power = 0, 1
    for coefficient in coefficients:
        total ^= times(coefficient, power)
        power = times(power, x)
    return total


@pytest.mark.parametrize("case", VECTORS["products"], ids=lambda case: case["source"])
def test_the_plain_field_of_these_tests_is_that_of_fips_197(case: dict[str, str]) -> None:
    assert times(int(case["a"], 16), int(case["b"], 16)) == int(case["product"], 16)


@pytest.mark.parametrize("case", VECTORS["sharings"], ids=lambda case: case["source"][:20])
def test_published_shares_give_the_published_secret(case: dict[str, object]) -> None:
    shares = {int(number): bytes.fromhex(value) for number, value in case["shares"].items()}
    for chosen in combinations(shares, case["threshold"]):
        assert join_shamir({n: shares[n] for n in chosen}).hex() == case["secret"]


def test_share_i_is_the_value_at_i_of_the_polynomial_with_the_drawn_coefficients() -> None:
    secret, first, second = (stretch(label, 300) for label in ("secret", "first", "second"))
    shares = split_shamir(secret, 3, 8, FixedEntropy(first, second))
    for place in range(1, 9):
        expected = bytes(value_at(list(c), place) for c in zip(secret, first, second, strict=True))
        assert shares[place - 1] == expected


@pytest.mark.parametrize(("threshold", "count"), [(k, n) for n in range(2, 7) for k in range(2, n + 1)])
def test_every_choice_of_threshold_shares_gives_the_secret(threshold: int, count: int) -> None:
    secret = stretch("secret", 40)
    draws = [stretch(f"draw {i}", 40) for i in range(threshold - 1)]
    shares = dict(enumerate(split_shamir(secret, threshold, count, FixedEntropy(*draws)), 1))
    for chosen in combinations(shares, threshold):
        assert join_shamir({n: shares[n] for n in chosen}) == secret


def test_one_share_of_two_of_three_is_uniform_whatever_the_secret() -> None:
    every_coefficient = bytes(range(256))
    for secret in range(256):
        shares = split_shamir(bytes([secret]) * 256, 2, 3, FixedEntropy(every_coefficient))
        assert all(sorted(share) == list(range(256)) for share in shares)


def test_two_shares_of_three_of_five_are_every_pair_once_whatever_the_secret() -> None:
    pairs = np.arange(1 << 16)
    first, second = (pairs >> 8).astype(np.uint8).tobytes(), (pairs & 255).astype(np.uint8).tobytes()
    for secret in (0, 1, 0x53, 0xFF):
        shares = split_shamir(bytes([secret]) * (1 << 16), 3, 5, FixedEntropy(first, second))
        values = [np.frombuffer(share, np.uint8).astype(np.uint32) for share in shares]
        for a, b in combinations(values, 2):
            assert (np.bincount(a << 8 | b, minlength=1 << 16) == 1).all()


def test_two_shares_of_three_by_exclusive_or_are_every_pair_once_whatever_the_secret() -> None:
    pairs = list(product(range(256), repeat=2))
    first, second = bytes(a for a, _ in pairs), bytes(b for _, b in pairs)
    for secret in (0, 1, 0xA7):
        shares = split_xor(bytes([secret]) * len(pairs), 3, FixedEntropy(first, second))
        for a, b in combinations(shares, 2):
            assert len(set(zip(a, b, strict=True))) == 1 << 16


def test_all_shares_by_exclusive_or_add_up_to_the_secret() -> None:
    secret = stretch("secret", 50)
    shares = split_xor(secret, 3, FixedEntropy(stretch("a", 50), stretch("b", 50)))
    assert bytes(a ^ b ^ c for a, b, c in zip(*shares, strict=True)) == secret == join_xor(shares)


def test_a_changed_share_by_exclusive_or_changes_the_secret_by_the_same_bits() -> None:
    shares = split_xor(b"secret", 2, FixedEntropy(b"drawn!"))
    assert join_xor([bytes([shares[0][0] ^ 4]) + shares[0][1:], shares[1]]) == bytes([b"s"[0] ^ 4]) + b"ecret"


def sharing(threshold: int, count: int) -> tuple[bytes, dict[int, bytes]]:
    secret = stretch("the secret", 200)
    draws = [stretch(f"d{i}", 200) for i in range(threshold - 1)]
    return secret, dict(enumerate(split_shamir(secret, threshold, count, FixedEntropy(*draws)), 1))


@pytest.mark.parametrize("position", [0, 199])
@pytest.mark.parametrize("liar", [1, 2, 3, 4])
def test_two_shares_more_than_needed_name_the_wrong_one(liar: int, position: int) -> None:
    secret, shares = sharing(2, 4)
    wrong = bytearray(shares[liar])
    wrong[position] ^= 1
    shares[liar] = bytes(wrong)
    best = next(candidates(shares, 2))
    assert (best.secret, best.odd) == (secret, (liar,))


def test_one_share_more_than_needed_shows_that_one_is_wrong_but_not_which() -> None:
    secret, shares = sharing(2, 3)
    shares[2] = bytes(200)
    found = list(candidates(shares, 2))
    assert {c.odd for c in found} == {(1,), (2,), (3,)}
    assert [c.odd for c in found if c.secret == secret] == [(2,)]


def test_shares_that_agree_have_one_candidate() -> None:
    secret, shares = sharing(3, 5)
    assert [(c.secret, c.odd) for c in candidates(shares, 3)] == [(secret, ())]
    assert list(candidates({1: shares[1], 2: shares[2]}, 3)) == []


def test_a_candidate_does_not_show_its_secret() -> None:
    _, shares = sharing(2, 3)
    assert repr(next(candidates(shares, 2))) == "<Candidate of shares (1, 2, 3), contradicted by ()>"


@pytest.mark.parametrize(("threshold", "count"), [(1, 3), (4, 3), (2, 9), (0, 0)])
def test_impossible_thresholds_are_refused(threshold: int, count: int) -> None:
    with pytest.raises(ValueError, match="threshold"):
        split_shamir(b"x", threshold, count, FixedEntropy(b"y"))


@pytest.mark.parametrize("count", [0, 9, -1])
def test_impossible_numbers_of_shares_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="shares"):
        split_xor(b"x", count, FixedEntropy())


@pytest.mark.parametrize("shares", [{}, {0: b"a", 1: b"b"}, {256: b"a"}, {1: b"a", 2: b"bb"}])
def test_shares_that_cannot_be_joined_are_refused(shares: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="joined"):
        shamir_at(shares, 0)


@pytest.mark.parametrize("shares", [[], [b"a", b"bb"]])
def test_sums_of_unequal_shares_are_refused(shares: list[bytes]) -> None:
    with pytest.raises(ValueError, match="joined"):
        join_xor(shares)
