"""Applications of real sites on this machine: identities, sae.toml, processes of `poliqi sae run`."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.sites import POLIQI, START_S, LiveCity, LiveSite, free_ports
from poliqi.apps.identity import Identity
from poliqi.apps.keysource import KeySource, keys_of
from poliqi.apps.settings import SaeSettings
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.ops.sae_toml import load_sae

__all__ = ["LiveSae", "live_saes"]


@dataclass
class LiveSae:
    """One application: its files and its process. The application of site "leonardo" is called "leonardo1"."""

    name: str
    site: LiveSite
    folder: Path
    port: int
    web: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def toml(self) -> Path:
        return self.folder / "sae.toml"

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def url(self) -> str:
        """Of its pages."""
        return f"http://127.0.0.1:{self.web}"

    def settings(self) -> SaeSettings:
        """As a command of the same machine reads them."""
        return load_sae(self.toml)

    def keys(self) -> KeySource:
        """Its own line to its site."""
        return keys_of(self.settings())

    def start(self) -> None:
        """Start the service, and wait until it is ready."""
        seen = len(self.lines())
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*POLIQI, "sae", "run", str(self.toml), "--json"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        end = time.monotonic() + START_S
        while not any(line["event"] == "ready" for line in self.lines()[seen:]):
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < end, self.log.read_text()[-4000:]
            time.sleep(0.02)

    def lines(self) -> list[dict[str, object]]:
        """What the service has said."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def live_saes(
    city: LiveCity, *, policy: str = "strict", extra: str = "", start: bool = True, names: Sequence[str] = ()
) -> Iterator[dict[str, LiveSae]]:
    """The first application of each site of a live city (or of `names`), each knowing all others; by site.

    `extra` goes into every sae.toml: tables of further applications.
    """
    saes: dict[str, LiveSae] = {}
    for name in names or list(city.sites):
        site = city[name]
        folder = site.folder / "sae"
        folder.mkdir(mode=0o700)
        saes[name] = LiveSae(site.saes[0], site, folder, *free_ports(2))
    contacts: dict[str, str] = {}
    for sae in saes.values():
        identity = Identity.make(SaeId(sae.name), OperatingSystemEntropy())
        identity.write(sae.folder / "identity.key")
        contacts[sae.name] = identity.contact.text()
    for sae in saes.values():
        for name, text in contacts.items():
            (sae.folder / f"{name}.pub").write_text(text)
        sae.toml.write_text(_toml(sae, saes, policy) + extra)
    try:
        if start:
            for sae in saes.values():
                sae.start()
        yield saes
    finally:
        for sae in saes.values():
            if sae.process is not None and sae.process.poll() is None:
                sae.process.kill()
                sae.process.wait()


def _toml(sae: LiveSae, saes: dict[str, LiveSae], policy: str) -> str:
    certificate, key = sae.site.credentials(sae.name)
    text = f"""
identity = "identity.key"
policy = "{policy}"
allow_simulated = true
[site]
url = "{sae.site.url}"
certificate = "{certificate}"
key = "{key}"
authority = "{sae.site.ca}"
[listen]
streams = "127.0.0.1:{sae.port}"
web = "127.0.0.1:{sae.web}"
"""
    for place, other in saes.items():
        if other is not sae:
            text += (
                f'[[peer]]\ncontact = "{other.name}.pub"\nplace = "{place}"\naddress = "127.0.0.1:{other.port}"\n'
            )
    return text
