"""Every test that the threat model names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"


def test_every_claim_s_test_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    defined = {
        name for text in sources for name in re.findall(r"^\s*(?:async )?def (test_\w+)\(", text, re.MULTILINE)
    }
    assert len(named) > 30
    assert not named - defined
