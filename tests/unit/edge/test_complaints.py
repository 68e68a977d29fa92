"""Complaints: the first few are heard, the rest are counted, and later ones are heard again."""

from __future__ import annotations

from poliqi.edge.complaints import Complaints


def test_five_lines_in_ten_seconds_then_a_count() -> None:
    said: list[str] = []
    clock = [100.0]
    complain = Complaints(said.append, lambda: clock[0])
    for _ in range(12):
        complain("no")
    assert said == ["no"] * 5
    clock[0] += 10
    complain("still no")
    assert said[5:] == ["still no (7 like it were not shown)"]
    assert complain.total == 13


def test_noise_of_strangers_hides_nothing_about_known_callers() -> None:
    said: list[str] = []
    complain = Complaints(said.append, lambda: 0.0)
    for _ in range(100):
        complain("a stranger")
    for _ in range(100):
        complain("an alarm", known=True)
    assert said.count("a stranger") == said.count("an alarm") == 5
