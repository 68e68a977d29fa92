"""What every reconciler promises, the one of the how-to included: the same errors, every bit counted, refusals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from poliqi.base.bits import BitString
from poliqi.base.errors import PoliqiError
from poliqi.base.ids import Role
from poliqi.distill.reconcile import RECONCILERS, ReconcilerMaker, ReconcilerTerms

HOW_TO = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "add-a-reconciler.md"


def from_the_how_to() -> ReconcilerMaker:
    found = re.search(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert found is not None
    names: dict[str, ReconcilerMaker] = {}
    exec(found[1], names)  # the page's own text
    return names["Plain"]


MAKERS: dict[str, ReconcilerMaker] = dict(RECONCILERS) | {"how-to": from_the_how_to()}


def strings(n: int, qber: float, seed: int) -> tuple[BitString, BitString]:
    random = np.random.default_rng(seed)
    key = BitString.from_bits(random.integers(0, 2, n, np.uint8))
    return key, BitString.from_bits((random.random(n) < qber).astype(np.uint8))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("n", [0, 1, 64, 65, 70_000])
def test_bob_ends_with_the_errors_and_both_count_alike(name: str, n: int) -> None:
    key, errors = strings(n, 0.02, n)
    terms = ReconcilerTerms(qber=0.02, seed=n, frame_bits=65536)
    alice, bob = (MAKERS[name](role, bits, terms) for role, bits in ((Role.ALICE, key), (Role.BOB, key ^ errors)))
    said = {Role.ALICE: 0, Role.BOB: 0}
    while not alice.done:
        from_alice, from_bob = alice.message(), bob.message()
        assert from_alice is not None
        assert from_bob is not None
        said[Role.ALICE] += 8 * len(from_alice)
        said[Role.BOB] += 8 * len(from_bob)
        alice.receive(from_bob)
        bob.receive(memoryview(from_alice))
    assert bob.done
    assert bob.errors is not None
    assert bob.errors.words.tolist() == errors.words.tolist()
    assert (alice.errors is not None) == alice.both_learn == bob.both_learn
    assert (alice.sent_bits, alice.received_bits) == (bob.received_bits, bob.sent_bits)
    assert said[Role.ALICE] - 8 * alice.rounds < alice.sent_bits <= said[Role.ALICE] or n == 0
    assert said[Role.BOB] - 8 * bob.rounds < bob.sent_bits <= said[Role.BOB] or said[Role.BOB] == 0
    bounds = bob.frame_bounds()
    assert [stop for _, stop in bounds[:-1]] == [start for start, _ in bounds[1:]]
    assert all(start % 64 == 0 for start, _ in bounds)
    assert (bounds[0][0], bounds[-1][1]) == (0, n) if n else not bounds


@pytest.mark.parametrize("name", MAKERS)
def test_a_message_of_a_wrong_size_is_refused_and_changes_nothing(name: str) -> None:
    key, errors = strings(9000, 0.02, 5)
    terms = ReconcilerTerms(qber=0.02, seed=5, frame_bits=65536)
    bob = MAKERS[name](Role.BOB, key ^ errors, terms)
    before = bob.message()
    with pytest.raises(PoliqiError):
        bob.receive(b"\0" * 5)
    assert (bob.message(), bob.rounds, bob.received_bits, bob.done) == (before, 0, 0, False)
