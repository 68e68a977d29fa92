"""The operating system's generator: fresh, and called what it is."""

from __future__ import annotations

from poliqi.edge.entropy import OperatingSystemEntropy


def test_draws_are_as_long_as_asked_and_never_the_same() -> None:
    entropy = OperatingSystemEntropy()
    first, second = entropy.draw(32), entropy.draw(32)
    assert len(first) == len(second) == 32
    assert first != second


def test_ledger_will_call_it_computational() -> None:
    assert "computational" in OperatingSystemEntropy().source
