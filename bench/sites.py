"""Real sites on this machine: authorities, certificates, configuration, processes; ports chosen by the kernel."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from click.testing import CliRunner

from bench.feeder import Feeder, block_key
from poliqi.ops.cli import cli

POLIQI = [sys.executable, "-m", "poliqi"]
START_S = 60.0
_NUMBERS = itertools.count(os.getpid())


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, and that the kernel gives to no connection: below its own range.

    Each worker of a test run has its own thousand, so that none takes another's before it is used.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")
    first = 20_000 + 1000 * (int(worker) % 10)
    ports: list[int] = []
    while len(ports) < count:
        port = first + next(_NUMBERS) % 1000
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
    return ports


def poliqi(*words: str | Path) -> str:
    """Run a command of the program, in this process; its output."""
    done = CliRunner().invoke(cli, [*map(str, words)])
    assert done.exit_code == 0, f"{words}: {done.output} {done.exception!r}"
    return done.output


class Process(Protocol):
    """What is needed of a site's process."""

    pid: int

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def terminate(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


@dataclass
class LiveSite:
    """One site: its files, ports and process."""

    name: str
    folder: Path
    https: int
    streams: int
    peers: int
    status: int
    process: Process | None = None
    launch: Callable[[list[str], Path], Process] | None = None
    """Starts `poliqi ARGV` with its words in a file, where that is not to be a fresh interpreter."""
    core: int | None = None
    """The one core that the process may use; None for all."""
    feeder: Feeder | None = None
    saes: tuple[str, ...] = ()

    @property
    def toml(self) -> Path:
        return self.folder / "site.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.https}"

    @property
    def ca(self) -> Path:
        return self.folder / "pki" / "ca.pem"

    def credentials(self, sae: str) -> tuple[Path, Path]:
        """Certificate chain and key of an application."""
        issued = self.folder / "pki" / "issued"
        return issued / f"sae-{sae}-01-chain.pem", issued / f"sae-{sae}-01.key"

    def start(self, *, wait: bool = True) -> None:
        """Start the process, and wait until it is ready."""
        argv = ["site", "run", str(self.toml), "--json"]
        if self.launch is not None:
            self.process = self.launch(argv, self.log)
        else:
            pinned = [] if self.core is None else ["taskset", "-c", str(self.core)]
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [*pinned, *POLIQI, *argv], stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            try:
                if self.get("/ready")[0] == 200:
                    return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError(self.log.read_text()[-4000:])

    def get(self, path: str) -> tuple[int, bytes]:
        """A page of the status door."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.status}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def wait_stocked(self, pools: int) -> None:
        """Wait until this site has a share in each of so many pools."""
        end = time.monotonic() + START_S
        while True:
            lines = self.get("/metrics")[1].decode().splitlines()
            free = [float(line.split()[-1]) for line in lines if line.startswith("poliqi_pool_free_bytes{")]
            if sum(size > 0.0 for size in free) >= pools:
                return
            assert time.monotonic() < end, f"{self.name} has {free} bytes free"
            time.sleep(0.05)

    def figures(self) -> dict[str, object]:
        return json.loads(self.get("/status")[1])

    def is_joined(self, peer: str) -> bool:
        peers = self.figures()["peers"]
        assert isinstance(peers, list)
        return any(p["site"] == peer and p["connected"] for p in peers)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self.feeder is not None:
            self.feeder.close()
            self.feeder = None

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(30)
        if self.feeder is not None:
            self.feeder.close()
            self.feeder = None
        return code

    def feed(self, link: str, number: int, size: int) -> None:
        if self.feeder is None:
            self.feeder = Feeder(self.state / "ingest.sock")
        self.feeder.push(link, number, block_key(link, number, size))

    def lines(self) -> list[dict[str, object]]:
        """What the site has said."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@dataclass
class LiveCity:
    """Sites that run in processes of their own. Each has applications NAME1, NAME2, ...; all may talk to all."""

    folder: Path
    sites: dict[str, LiveSite] = field(default_factory=dict)

    def __getitem__(self, name: str) -> LiveSite:
        return self.sites[name]

    def join(self, timeout_s: float = START_S) -> None:
        """Wait until all neighbours are connected."""
        end = time.monotonic() + timeout_s
        for site in self.sites.values():
            while not all(p["connected"] for p in site.figures()["peers"]):  # type: ignore[index, union-attr]
                assert time.monotonic() < end, site.log.read_text()[-3000:]
                time.sleep(0.02)

    def block(self, link: str, number: int, size: int) -> bytes:
        """The same block at both ends of a link, and wait until both can use it."""
        ends = [s for s in self.sites.values() if s.name in link.split("-")]
        for site in ends:
            site.feed(link, number, size)
        self.wait_confirmed(link, ends)
        return block_key(link, number, size)

    def start(self) -> None:
        """Start all sites, and wait until they are ready and connected."""
        for site in self.sites.values():
            site.start(wait=False)
        for site in self.sites.values():
            site.wait_ready()
        self.join()

    @classmethod
    def wait_confirmed(cls, link: str, ends: Iterable[LiveSite]) -> None:
        """Wait until both ends can use all that came."""
        end = time.monotonic() + START_S
        while any(cls._unconfirmed(s, link) for s in ends):
            assert time.monotonic() < end
            time.sleep(0.01)

    @staticmethod
    def _unconfirmed(site: LiveSite, link: str) -> int:
        wanted = f'poliqi_pool_unconfirmed_segments{{link="{link}"}} '
        text = site.get("/metrics")[1].decode()
        return next(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith(wanted))


@contextmanager
def live_city(
    names: Sequence[str],
    links: Sequence[tuple[str, str]],
    *,
    applications: int = 1,
    extra: str = "",
    relays: dict[str, str] | None = None,
    start: bool = True,
    folder: Path | None = None,
    are_all_peers: bool = False,
) -> Iterator[LiveCity]:
    """Sites named `names` with a link "x-y" between each pair of `links`; `extra` goes into every site.toml.

    With `are_all_peers` each site has a stream to each other one, link or not.
    """
    base = Path(tempfile.mkdtemp(prefix="pq", dir=folder))
    city = LiveCity(base)
    for name in names:
        folder_of = base / name
        folder_of.mkdir(mode=0o700)
        ports = free_ports(4)
        saes = tuple(f"{name}{i + 1}" for i in range(applications))
        city.sites[name] = LiveSite(name, folder_of, *ports, saes=saes)
    for site in city.sites.values():
        poliqi("pki", "init", site.folder / "pki", "--site", site.name)
        poliqi(
            "pki", "issue", site.folder / "pki", "--kme", site.name, "--host", "127.0.0.1", "--host", "localhost"
        )
        for sae in site.saes:
            poliqi("pki", "issue", site.folder / "pki", "--sae", sae)
    for site in city.sites.values():
        for other in city.sites.values():
            if other is not site:
                poliqi("pki", "trust", site.folder / "pki", other.ca, "--site", other.name)
        site.toml.write_text(
            _toml(city, site, links, extra, (relays or {}).get(site.name, ""), are_all_peers=are_all_peers)
        )
    try:
        if start:
            city.start()
        yield city
    finally:
        for site in city.sites.values():
            if site.process is not None and site.process.poll() is None:
                site.process.kill()
                site.process.wait()
            if site.feeder is not None:
                site.feeder.close()
        if not os.environ.get("POLIQI_KEEP"):
            shutil.rmtree(base, ignore_errors=True)


def _toml(
    city: LiveCity,
    site: LiveSite,
    links: Sequence[tuple[str, str]],
    extra: str,
    relays: str,
    *,
    are_all_peers: bool,
) -> str:
    everyone = json.dumps([sae for s in city.sites.values() for sae in s.saes])
    text = f"""
site = "{site.name}"
state = "state"
[kek]
folder = "kek"
[tls]
certificate = "pki/issued/kme-{site.name}-01-chain.pem"
key = "pki/issued/kme-{site.name}-01.key"
authority = "pki/ca.pem"
revoked = "pki/crl.pem"
trust = "pki/trust"
[listen]
https = "127.0.0.1:{site.https}"
streams = "127.0.0.1:{site.streams}"
peers = "127.0.0.1:{site.peers}"
ingest = "state/ingest.sock"
status = "127.0.0.1:{site.status}"
[policy]
origins = ["photons", "simulated"]
[[allow]]
between = {everyone}
origins = ["photons", "simulated"]
"""
    for other in city.sites.values():
        if other is site:
            text += "".join(f'[[sae]]\nid = "{sae}"\n' for sae in site.saes)
            continue
        text += "".join(f'[[sae]]\nid = "{sae}"\nsite = "{other.name}"\n' for sae in other.saes)
        shared = ["-".join(pair) for pair in links if set(pair) == {site.name, other.name}]
        if shared or relays or are_all_peers:
            text += f'[[peer]]\nsite = "{other.name}"\naddress = "127.0.0.1:{other.peers}"\n'
        for link in shared:
            text += f'[[peer.pool]]\nlink = "{link}"\nlow_water = "64 kbit"\ncapacity = "100 Gbit"\n'
    return text + relays + extra
