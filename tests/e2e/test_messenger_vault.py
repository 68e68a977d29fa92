"""Messenger and vault by their commands, between applications of five real sites."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from live_saes import LiveSae, live_saes
from live_sites import live_city

from poliqi.ops.cli import cli

SIZE = 1 << 20
SITES = ["aria", "bovisa", "intesa", "leonardo", "santabarbara"]
LINKS = [tuple(sorted((name, "leonardo"))) for name in SITES if name != "leonardo"]
FIVE = "here,bovisa,santabarbara,intesa,aria"


def run(sae: LiveSae, *words: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, words), "--sae", str(sae.toml), "--json"])


def said(sae: LiveSae, *words: object) -> list[dict]:
    done = run(sae, *words)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))]


def converse(sae: LiveSae, site: str, line: str) -> str:
    """Type a line into `poliqi chat`, then Ctrl-D; all that stood on the screen."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "poliqi", "chat", site, "--sae", str(sae.toml)]
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    screen = b""
    typed = False
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the terminal is gone: the process has ended
            break
        screen += piece
        if not typed and b"bene?" in screen:
            os.write(ours, line.encode())
            typed = True
        elif typed and b": S\xc3\xac" in screen and screen.rstrip().endswith(b"end to end"):
            os.write(ours, b"\x04")
    os.close(ours)
    assert process.wait(30) == 0, screen
    return screen.decode(errors="replace")


@pytest.mark.slow
def test_messages_wait_and_secrets_outlive_sites(tmp_path: Path) -> None:
    with live_city(SITES, LINKS, are_all_peers=True) as city:
        for link in LINKS:
            city.block("-".join(link), 1, SIZE)
        with live_saes(city, start=False) as saes:
            leonardo, bovisa = saes["leonardo"], saes["bovisa"]
            leonardo.start()

            # nobody is at Bovisa: the message waits, and the service brings it when somebody comes
            [waits] = said(leonardo, "chat", "bovisa", "--send", "Il documento è pronto")
            assert waits["state"] == "waiting" and "refused" in waits["why"]
            bovisa.start()
            end = time.monotonic() + 20
            while not (came := said(bovisa, "chat", "leonardo", "--list")):
                assert time.monotonic() < end
                time.sleep(0.2)
            assert [m["text"] for m in came] == ["Il documento è pronto"]
            assert came[0]["knowledge"] == "direct fibre" and came[0]["hybrid"] and came[0]["simulated"]
            [back] = said(bovisa, "chat", "leonardo", "--send", "Grazie")
            assert back["state"] == "delivered"

            # a conversation on a terminal, on which the other's words move nothing
            said(leonardo, "chat", "bovisa", "--send", "tutto\x1b[2J bene?")
            shown = converse(bovisa, "leonardo", "Sì, tutto bene\n")
            assert "tutto\ufffd[2J bene?" in shown and "\x1b[2J" not in shown
            assert "SIMULATED, protects nothing: direct fibre + ML-KEM end to end" in shown
            [answer] = [m for m in said(leonardo, "chat", "bovisa", "--list") if m["state"] == "unread"][-1:]
            assert answer["text"] == "Sì, tutto bene"

            # what a constant rate costs is told beforehand: 624 bytes a second, two keys
            [cost] = said(leonardo, "chat", "bovisa", "--constant-rate", "1/s", "512", "--dry-run")
            assert cost["day_bytes"] == 624 * 86400 and cost["available_bytes"] > 0

            # a secret outlives two of five sites, and three are too many
            for name in ("aria", "intesa", "santabarbara"):
                saes[name].start()
            secret = tmp_path / "plan.bin"
            secret.write_bytes(os.urandom(16_000))
            [put] = said(leonardo, "vault", "put", secret, "--sites", FIVE, "--threshold", 3)
            assert [s["knowledge"] for s in put["sites"]] == ["here", *4 * ["direct fibre"]]
            assert said(leonardo, "vault", "renew", "plan.bin")[0]["epoch"] == 2
            for name in ("aria", "santabarbara"):
                city[name].kill()
                saes[name].kill()
            said(leonardo, "vault", "get", "plan.bin", "-o", tmp_path / "back.bin")
            assert (tmp_path / "back.bin").read_bytes() == secret.read_bytes()
            (leonardo.folder / "state" / "vault" / "catalogue" / "catalogue.sqlite").rename(tmp_path / "lost")
            said(leonardo, "vault", "get", put["record"], "--record", "-o", tmp_path / "again.bin")
            assert (tmp_path / "again.bin").read_bytes() == secret.read_bytes()
            (tmp_path / "lost").rename(leonardo.folder / "state" / "vault" / "catalogue" / "catalogue.sqlite")
            city["intesa"].kill()
            saes["intesa"].kill()
            refused = run(leonardo, "vault", "get", "plan.bin", "-o", tmp_path / "none.bin")
            assert refused.exit_code == 1 and "3 true shares are needed and 2 are there" in str(refused.exception)
            assert all(f"{name}: " in str(refused.exception) for name in ("aria", "intesa", "santabarbara"))
            assert not (tmp_path / "none.bin").exists()
