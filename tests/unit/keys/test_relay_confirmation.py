"""The argument of docs/explanation/relay.md, on a tag so small that everything can be counted.

The small tag is Poly1305 with blocks of 4 bits, the prime 19 (which leaves 3 when divided by 4, as 2^130 - 5 does)
and a key r whose top bit is cleared: tag = (((m1 + 1) r^2 + (m2 + 1) r) mod 19 + s) mod 16. The secret is r, s and
the message; a relay adds any difference to it that does not depend on it.
"""

from __future__ import annotations

import numpy as np
import pytest

PRIME, WORDS, CLAMP = 19, 16, 7
RESIDUES = 3
"""Values in (-19, 19) that are equal modulo 16: at most 3."""


def tags(r: np.ndarray, s: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    r = r & CLAMP
    return (((first + 1) * r * r + (second + 1) * r) % PRIME + s) % WORDS


EVERY = np.indices((WORDS,) * 4).reshape(4, -1)
TAGS = tags(*EVERY)


def accepted(difference: tuple[int, ...]) -> float:
    """Fraction of all secrets for which the ends see the same tag."""
    changed = [part ^ d for part, d in zip(EVERY, difference, strict=True)]
    return float(np.mean(tags(*changed) == TAGS))


def test_a_tag_tells_nothing_about_what_it_is_made_of_but_its_one_time_mask() -> None:
    counts = np.zeros((WORDS, WORDS**3), int)
    rest = EVERY[0] * WORDS**2 + EVERY[2] * WORDS + EVERY[3]
    np.add.at(counts, (TAGS, rest), 1)
    assert (counts == 1).all()  # r and the message are uniform, whatever the tag


def test_with_r_unchanged_a_changed_message_is_accepted_no_more_often_than_the_bound() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    bound = RESIDUES * 2 / 8  # residues times the degree, over the keys
    worst = 0.0
    for s, first, second in rng.integers(0, WORDS, (300, 3)):
        if (first, second) != (0, 0):
            worst = max(worst, accepted((0, int(s), int(first), int(second))))
    assert 0 < worst <= bound


@pytest.mark.parametrize("s", range(1, WORDS))
def test_with_message_and_r_unchanged_a_changed_mask_is_always_noticed(s: int) -> None:
    assert accepted((0, s, 0, 0)) == 0
    assert accepted((8, s, 0, 0)) == 0  # the cleared bit of r


def test_with_r_changed_any_difference_is_accepted_no_more_often_than_the_bound() -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    bound = RESIDUES * 2.0**-2  # half of a block's bits are free after the other half is fixed
    differences = rng.integers(0, WORDS, (300, 4))
    differences[:, 0] |= 1
    assert max(accepted(tuple(int(d) for d in row)) for row in differences) <= bound


def test_only_the_cleared_bit_goes_unnoticed() -> None:
    assert accepted((8, 0, 0, 0)) == 1
    assert PRIME % 4 == 3 == ((1 << 130) - 5) % 4
