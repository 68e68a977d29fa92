"""Every route, role and setting of the dashboard stands in its reference page, as it is."""

from __future__ import annotations

from pathlib import Path

from poliqi.ops.web.roles import MAY, Permission, Role
from poliqi.ops.web.routes import routes

PAGE = (Path(__file__).resolve().parents[4] / "docs/reference/dashboard.md").read_text()


def test_every_route_is_documented() -> None:
    rows = [f"| `{r.method} {r.path}` | {r.permission or '-'} | {r.meaning} |" for r in routes(is_demo=True)]
    assert not [row for row in rows if row not in PAGE]


def test_every_role_is_documented() -> None:
    head = f"| | {' | '.join(str(role) for role in Role)} |"
    rows = [
        f"| {p} | {' | '.join('yes' if p in MAY[role] else '' for role in Role)} |".replace("|  |", "| |").replace(
            "|  |", "| |"
        )
        for p in Permission
    ]
    assert not [row for row in (head, *rows) if row not in PAGE]
