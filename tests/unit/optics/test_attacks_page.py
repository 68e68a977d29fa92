"""The table of docs/explanation/attacks.md holds what the model says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poliqi.ops.config import load_link
from poliqi.optics.attack import parse_attack
from poliqi.optics.channel import expectation
from poliqi.optics.parameters import Attack
from poliqi.optics.prediction import predict
from poliqi.optics.signature import signature
from poliqi.optics.truth import truth

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "explanation" / "attacks.md"
HEAD = "| `--eve` | gain, signal |"


def rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(HEAD)) + 2
    found = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        found.append([cell.strip().strip("*` ") for cell in line.strip("|").split("|")])
    return found


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_of_the_page_is_what_the_model_says(row: list[str]) -> None:
    attack = Attack() if row[0] == "(honest)" else parse_attack(row[0])
    link = replace(load_link(ROOT / "examples" / "reference" / "snspd-10km.toml"), attack=attack)
    mean, means, true, found = expectation(link), signature(link), truth(link), predict(link)
    assert [float(cell) for cell in row[1:3]] == pytest.approx(mean.gains, rel=0.05)
    percents = [float(cell.rstrip(" %")) for cell in row[3:5]]
    assert percents == pytest.approx([100 * mean.qber_key, 100 * mean.qber_test], abs=0.0051)
    assert float(row[5]) == pytest.approx(mean.doubles / mean.clicks, rel=0.05)
    current = means.current_a + link.instruments.click_charge_c * mean.clicks * link.source.clock_hz
    assert float(row[6].removesuffix(" uA")) == pytest.approx(current * 1e6, abs=0.051)
    arrival, spread = (float(part) for part in row[7].removesuffix(" ps").split("±"))
    assert (arrival, spread) == pytest.approx((means.arrival_s * 1e12, means.spread_s * 1e12), abs=0.51)
    assert float(row[8].removesuffix(" dB")) == pytest.approx(means.pilot_loss_db, abs=0.051)
    power = float(row[9].removesuffix("mW").removesuffix("W")) * (1e-3 if row[9].endswith("mW") else 1.0)
    assert power == pytest.approx(means.back_light_w, rel=0.05)
    assert float(row[10]) == pytest.approx(true.unknown, abs=0.00051)
    sifted, key = found.counts.key.total_detections, found.key
    if row[11] == "no key":
        assert key.length == 0
    else:
        assert float(row[11]) == pytest.approx((key.length + key.leak_bits) / sifted, abs=0.00051)
        assert true.is_unsafe(key.length, sifted, key.leak_bits) == (float(row[11]) > float(row[10]))
