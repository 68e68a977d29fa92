"""Findings: numbers that tools of a laboratory hand to each other."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from poliqi.base.errors import DataRefused
from poliqi.lab.store.findings import FORMAT, Finding, Findings, findings_bytes, findings_from, read_findings

SOME = Findings(
    (
        Finding("lattice_a@LaB6", 4.156826, "A", 8e-6, "Rietveld", "counting statistics"),
        Finding("radius_mean", 4.9995, "nm"),
    ),
    "test",
    "powder 7",
    simulated=True,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "findings.json"
    path.write_bytes(findings_bytes(SOME))
    assert read_findings(path) == SOME


def test_the_file_is_json_that_anybody_reads() -> None:
    told = json.loads(findings_bytes(SOME))
    assert told["findings"][0]["value"] == 4.156826
    assert told["findings"][0]["sigma"] == 8e-6
    assert told["simulated"] is True


def test_a_quantity_is_found_by_its_name() -> None:
    assert SOME.named("radius_mean").sigma is None
    with pytest.raises(DataRefused, match="lattice_a@LaB6"):
        SOME.named("lattice_c@LaB6")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "poliqi-findings-9"}, "format"),
        ({"findings": [{"name": "a b", "value": 1, "unit": "nm"}]}, "names no quantity"),
        ({"findings": [{"name": "a", "value": 1, "unit": "nm"}] * 2}, "twice"),
        ({"findings": [{"name": "a@\x1b[2J", "value": 1, "unit": "nm"}]}, "names no quantity"),
        ({"findings": [{"name": "a", "value": 1, "unit": "\x1b[2J"}]}, "with a unit"),
        ({"findings": [{"name": "a", "value": 1, "unit": ""}]}, "with a unit"),
        ({"findings": [{"name": "a", "value": 1, "unit": "nm", "sigma": -1}]}, "sigma"),
        ({"findings": [{"name": "a", "value": "1", "unit": "nm"}]}, "not a file of findings"),
        ({"colour": "blue"}, "not a file of findings"),
    ],
)
def test_what_means_nothing_is_refused(change: dict[str, object], words: str) -> None:
    whole = {"format": FORMAT, "program": "test", "findings": []}
    with pytest.raises(DataRefused, match=words):
        findings_from(json.dumps(whole | change).encode())


def test_no_number_cannot_be_written() -> None:
    with pytest.raises(DataRefused, match="must be a number"):
        findings_bytes(Findings((Finding("a", math.nan, "nm"),), "test"))
