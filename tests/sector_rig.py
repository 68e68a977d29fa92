"""Two applications of two real sites with a recording line between them, for the scenarios of the sectors."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from live_saes import LiveSae, live_saes
from live_sites import START_S, LiveCity, live_city
from recording_relay import Relay, recording_relay

from bench.sites import POLIQI

__all__ = ["Sector", "extend", "sector", "tunnel"]


@dataclass
class Sector:
    """Leonardo calls Bovisa over `line`; neither runs yet."""

    city: LiveCity
    leonardo: LiveSae
    bovisa: LiveSae
    line: Relay

    def start(self) -> None:
        for sae in (self.bovisa, self.leonardo):
            sae.start()


def extend(sae: LiveSae, tables: str) -> None:
    """Add tables to a sae.toml."""
    sae.toml.write_text(sae.toml.read_text() + tables)


@contextmanager
def sector(policy: str, stock_bytes: int = 1 << 20, blocks: int = 1) -> Iterator[Sector]:
    """Two sites with so many blocks of key each, their applications set up under `policy`."""
    with ExitStack() as stack:
        city = stack.enter_context(live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]))
        for number in range(1, blocks + 1):
            city.block("bovisa-leonardo", number, stock_bytes)
        saes = stack.enter_context(live_saes(city, policy=policy, start=False))
        bovisa, leonardo = saes["bovisa"], saes["leonardo"]
        line = stack.enter_context(recording_relay(bovisa.port))
        text = leonardo.toml.read_text()
        direct, relayed = f'"127.0.0.1:{bovisa.port}"', f'"127.0.0.1:{line.port}"'
        assert direct in text
        leonardo.toml.write_text(text.replace(direct, relayed))
        yield Sector(city, leonardo, bovisa, line)


@contextmanager
def tunnel(sae: LiveSae, destination: str) -> Iterator[int]:
    """`poliqi tunnel` as a process beside an application; its port."""
    log = sae.folder / "tunnel.jsonl"
    words = ["tunnel", "--sae", str(sae.toml), "--listen", "127.0.0.1:0", "--to", destination, "--json"]
    with log.open("wb") as out:
        process = subprocess.Popen([*POLIQI, *words], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_S
        while not (found := re.search(r'"address": "127\.0\.0\.1:(\d+)"', log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        yield int(found[1])
        process.terminate()
        assert process.wait(20) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
