"""Every vector of tests/vectors/keylength, through the command's reader and through the Python face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poliqi.base.errors import PoliqiError
from poliqi.ops.commands.keylength import answer, read_counts
from poliqi.proof import ProofName, bbm92_length

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "keylength"


def load(name: str) -> list[Any]:
    rows = json.loads((VECTORS / name).read_text())
    return [pytest.param(row, id=row.get("name", f"{name}-{i}")) for i, row in enumerate(rows)]


def ask(row: dict[str, Any]) -> dict[str, Any]:
    text = row["text"] if "text" in row else json.dumps(row["counts"])
    return answer(read_counts(text.encode()), ProofName(row["proof"]), clamp=row.get("clamp", True))


@pytest.mark.parametrize("row", load("lengths.json"))
def test_length(row: dict[str, Any]) -> None:
    got, expect = ask(row), row["expect"]
    assert abs(got["length"] - expect["length"]) <= 1
    assert got["reason"] is None
    if "phase_error" in expect:
        assert got["phase_error"] == pytest.approx(expect["phase_error"], abs=1e-8)
    for name in ("exact_length", "single_photon_key", "single_photon_test", "single_photon_test_errors", "vacuum"):
        if expect.get(name) is not None:
            assert got[name] == pytest.approx(expect[name], abs=6e-3)
        elif name in expect:
            assert got[name] is None


@pytest.mark.parametrize("row", load("no-key.json"))
def test_no_key_is_an_answer_with_a_reason(row: dict[str, Any]) -> None:
    got = ask(row)
    assert got["length"] == 0
    assert got["reason"].startswith(row["expect"]["reason"])
    assert got["exact_length"] < 1


@pytest.mark.parametrize("row", load("refusals.json"))
def test_refusal_is_one_line_that_names_the_thing(row: dict[str, Any]) -> None:
    with pytest.raises(PoliqiError) as caught:
        ask(row)
    assert row["expect"]["refused"] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("row", load("bbm92.json"))
def test_bbm92_against_decimals(row: dict[str, Any]) -> None:
    got = bbm92_length(**row["question"])
    assert got.length == row["expect"]["length"]
    assert got.exact_length == pytest.approx(row["expect"]["exact_length"], abs=1e-3)
    assert got.phase_error == pytest.approx(row["expect"]["phase_error"], abs=1e-12)


def test_failures_outnumber_successes() -> None:
    sizes = {
        name: len(json.loads((VECTORS / f"{name}.json").read_text())) for name in ("lengths", "no-key", "refusals")
    }
    assert sizes["no-key"] + sizes["refusals"] > sizes["lengths"]
