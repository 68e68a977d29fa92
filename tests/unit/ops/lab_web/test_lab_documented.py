"""Every route and setting of a laboratory's pages stands in their reference page, as it is."""

from __future__ import annotations

from pathlib import Path

import msgspec

from poliqi.ops.lab_toml import LabTable
from poliqi.ops.lab_web import ROWS

DOCS = Path(__file__).resolve().parents[4] / "docs/reference"


def test_every_route_is_documented() -> None:
    page = (DOCS / "lab-pages.md").read_text()
    rows = [f"| `{method} {path}` | {needed} | {meaning} |" for method, path, _, needed, _, meaning in ROWS]
    assert not [row for row in rows if row not in page]


def test_every_setting_is_documented() -> None:
    page = (DOCS / "lab-pages.md").read_text()
    assert not [f.name for f in msgspec.structs.fields(LabTable) if f"| `{f.name}` |" not in page]
    assert "lab-pages" in (DOCS / "sae-toml.md").read_text()
