"""Every route and setting of an application's pages stands in their reference page, as it is."""

from __future__ import annotations

from pathlib import Path

import msgspec

from poliqi.ops.sae_web.routes import ROUTES
from poliqi.ops.sae_web.rules import WebTable
from poliqi.ops.sae_web.trouble import Trouble

PAGE = (Path(__file__).resolve().parents[4] / "docs/reference/application-pages.md").read_text()


def test_every_route_is_documented() -> None:
    rows = [f"| `{r.method} {r.path}` | {r.permission or '-'} | {r.meaning} |" for r in ROUTES]
    assert not [row for row in rows if row not in PAGE]


def test_every_setting_is_documented() -> None:
    names = [field.name for field in msgspec.structs.fields(WebTable)]
    assert not [name for name in names if f"| `{name}` |" not in PAGE]
    numbers = [field.default for field in msgspec.structs.fields(WebTable) if isinstance(field.default, int)]
    assert not [number for number in numbers if f"| {number} |" not in PAGE]


def test_every_kind_of_trouble_is_documented() -> None:
    assert not [trouble for trouble in Trouble if f"`{trouble}`" not in PAGE]
