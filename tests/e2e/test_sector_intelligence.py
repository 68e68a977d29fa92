"""Intelligence: messages and a vault under one-time pad over direct fibre; a site lost, the line recorded."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from live_saes import LiveSae, live_saes
from live_sites import live_city, poliqi
from recording_relay import Relay, recording_relay

from poliqi.ops.cli import cli

pytestmark = pytest.mark.slow

SITES = ("bovisa", "leonardo", "santabarbara")
WORDS = "Appuntamento alle nove al deposito"
TABLES = """
[messenger]
knowledge = "direct"
hybrid = false
[vault]
knowledge = "direct"
hybrid = false
sites = ["here", "leonardo", "bovisa"]
threshold = 2
"""


@contextmanager
def service() -> Iterator[tuple[dict[str, LiveSae], dict[str, Relay]]]:
    """Three sites, a fibre between each two; every application is reached over a recorded line."""
    links = list(combinations(SITES, 2))
    with ExitStack() as stack:
        city = stack.enter_context(live_city(SITES, links))
        for a, b in links:
            city.block(f"{a}-{b}", 1, 1 << 20)
        saes = stack.enter_context(live_saes(city, policy="information-theoretic", start=False))
        lines = {name: stack.enter_context(recording_relay(sae.port)) for name, sae in saes.items()}
        for name, sae in saes.items():
            text = sae.toml.read_text()
            for other, line in lines.items():
                if other != name:
                    text = text.replace(
                        f'address = "127.0.0.1:{saes[other].port}"', f'address = "127.0.0.1:{line.port}"'
                    )
            assert len(re.findall(r"address = ", text)) == 2
            sae.toml.write_text(text + TABLES)
        for sae in saes.values():
            sae.start()
        yield saes, lines


def said(sae: LiveSae, *words: str | Path) -> list[dict[str, Any]]:
    lines = poliqi(*words, "--sae", sae.toml, "--json").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_messages_and_a_vault_without_assumptions(tmp_path: Path) -> None:
    plan = tmp_path / "plan.pdf"
    plan.write_bytes(b"%PDF-1.7 riservatissimo " + os.urandom(20_000))
    with service() as (saes, lines):
        writer, reader = saes["santabarbara"], saes["bovisa"]
        poliqi("chat", "bovisa", "--send", WORDS, "--sae", writer.toml)
        (message,) = said(reader, "chat", "santabarbara", "--list")

        poliqi("vault", "put", plan, "--name", "plan", "--sae", writer.toml)
        saes["bovisa"].kill()
        poliqi("vault", "get", "plan", "-o", tmp_path / "two-left.pdf", "--sae", writer.toml)
        saes["leonardo"].kill()
        refused = CliRunner().invoke(
            cli, ["vault", "get", "plan", "-o", str(tmp_path / "one-left.pdf"), "--sae", str(writer.toml)]
        )
    assert message["text"] == WORDS
    assert (tmp_path / "two-left.pdf").read_bytes() == plan.read_bytes()
    assert refused.exit_code != 0
    assert not (tmp_path / "one-left.pdf").exists()
    assert lines["bovisa"].seen_bytes > plan.stat().st_size
    for line in lines.values():
        for marker in (
            WORDS.encode(),
            WORDS[:12].encode(),
            b"%PDF-",
            b"riservatissimo",
            plan.read_bytes()[100:116],
        ):
            assert not line.holds(marker)
