"""A demonstration ends, whatever a monitor says of its link: nobody would come to release it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from poliqi.base.ids import Role
from poliqi.node.demo import DemoSettings, _Children

BLOCK: dict[str, Any] = {"event": "block", "gross_bits": 0}


def refused(action: str) -> dict[str, Any]:
    return {"event": "monitor", "action": action}


@pytest.mark.parametrize(
    ("said", "ends", "reason"),
    [
        ([(Role.BOB, refused("abort")), (Role.BOB, BLOCK)], False, None),
        ([(Role.BOB, refused("abort")), (Role.BOB, BLOCK), (Role.BOB, BLOCK)], True, None),
        ([(Role.BOB, BLOCK), (Role.BOB, BLOCK), (Role.ALICE, refused("quarantine"))], True, None),
        ([(Role.BOB, BLOCK), (Role.BOB, BLOCK), (Role.BOB, refused("alarm"))], False, None),
        ([(Role.ALICE, {"event": "quarantined", "text": "quarantined: blinding"})], True, "quarantined: blinding"),
    ],
    ids=["one of two", "refused by Bob", "refused by Alice", "ends by itself", "quarantined"],
)
def test_refused_blocks_count_and_a_quarantine_is_the_end(
    tmp_path: Path, said: list[tuple[Role, dict[str, Any]]], ends: bool, reason: str | None
) -> None:
    async def play() -> _Children:
        children = _Children(DemoSettings(tmp_path, tmp_path / "link.toml", 2, 1), lambda _: None)
        for role, record in said:
            children._take(role, json.dumps({"role": role, **record}).encode())
        return children

    children = asyncio.run(play())
    assert (children._stopped, children.quarantine) == (ends, reason)
