"""Recognisable keys go through ingest, relay and delivery: nothing that the sites leave behind contains them."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from leak_scanner import Canary, spellings
from live_sites import LiveCity, LiveSite, live_city

from poliqi.edge.network import Address
from poliqi.edge.stream_client import StreamClient
from poliqi.keys.etsi004_messages import Qos, Status

pytestmark = pytest.mark.slow

BLOCK_BYTES = 60_000
RELAY = """
[[relay]]
link = "a.c"
to = "{to}"
scheme = "single"
paths = [{path}]
low_water = "64 kbit"
"""


class Recorder:
    """A TCP proxy that keeps everything it passes on."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.seen = bytearray()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._carry, args=(one, other)))
                    self._threads[-1].start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.seen += data
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for end in list(self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)
        for end in self._sockets:
            end.close()


WITH_CORES = ["env", "--default-signal=SEGV,ABRT,QUIT", "sh", "-c", 'ulimit -c "$(ulimit -H -c)"; exec "$@"', "sh"]
"""Runs a command that may leave a core, as far as whoever starts it can say. A shell that runs the tests in the
background has them ignore SIGQUIT; the command does not inherit that.
"""


class Dumpable:
    """A site that may leave a core; remembers how it ended."""

    def __init__(self, argv: list[str], log: Path) -> None:
        with log.open("ab") as out:
            command = [*WITH_CORES, sys.executable, "-m", "poliqi", *argv]
            self._process = subprocess.Popen(command, cwd=log.parent, stdout=out, stderr=out)
        self.pid = self._process.pid
        self.status: int | None = None

    def poll(self) -> int | None:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = self._process.returncode = status if pid else None
        return self.status

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (timeout or 30)
        while (status := self.poll()) is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        return status


class Evidence:
    """A city whose keys were used in every way, all that it left behind, and the secrets to look for."""

    def __init__(self, city: LiveCity) -> None:
        self.city = city
        self.folders = {name: site.folder for name, site in city.sites.items()}
        self.secrets: list[bytes] = []
        self.places: dict[str, bytes] = {}
        self.values: list[bytes] = []
        self.cores: list[bool] = []


@pytest.fixture(scope="module")
def evidence() -> Iterator[Evidence]:
    relays = {
        "a": RELAY.format(to="c", path='["a", "b", "c"]'),
        "c": RELAY.format(to="a", path='["c", "b", "a"]'),
    }
    with live_city(["a", "b", "c"], [("a", "b"), ("b", "c")], relays=relays, start=False) as city:
        recorders = {
            f"traffic to {n}'s {door}": Recorder(getattr(s, door))
            for n, s in city.sites.items()
            for door in ("https", "streams", "peers")
        }
        for site in city.sites.values():
            text = site.toml.read_text()
            for other in city.sites.values():
                through = recorders[f"traffic to {other.name}'s peers"].port
                text = text.replace(f'address = "127.0.0.1:{other.peers}"', f'address = "127.0.0.1:{through}"')
            site.toml.write_text(text)
            site.launch = Dumpable
        found = Evidence(city)
        try:
            use_keys(found, recorders)
        finally:
            for recorder in recorders.values():
                recorder.close()
        for place, recorder in recorders.items():
            found.places[place] = bytes(recorder.seen)
        yield found


def use_keys(found: Evidence, recorders: dict[str, Recorder]) -> None:
    city = found.city
    city.start()
    for link in ("a-b", "b-c"):
        found.secrets += [city.block(link, number, BLOCK_BYTES) for number in range(1, 4)]
    for master, slave in (("a", "b"), ("b", "a"), ("c", "b"), ("a", "c"), ("c", "a")):
        found.values += deliver(city, recorders, master, slave)
    found.values += stream(city, recorders)
    found.secrets += found.values
    for name, site in city.sites.items():
        for page in ("/metrics", "/status", "/ready", "/health"):
            found.places[f"{name}{page}"] = site.get(page)[1]
        assert isinstance(site.process, Dumpable)
        for file in ("cmdline", "environ", "status", "limits"):
            with suppress(PermissionError):
                found.places[f"{name}'s /proc {file}"] = Path(f"/proc/{site.process.pid}/{file}").read_bytes()
    ends = dict(zip("abc", (signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT), strict=True))
    for name, site in city.sites.items():
        assert isinstance(site.process, Dumpable)
        found.cores.append(os.WCOREDUMP(end_by(site.process, ends[name])))


def end_by(process: Dumpable, number: signal.Signals) -> int:
    """End a process by a signal, and wait for its end."""
    os.kill(process.pid, number)
    return process.wait(60)


def context_of(site: LiveSite, sae: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(site.ca))
    context.load_cert_chain(*site.credentials(sae))
    return context


def client(city: LiveCity, recorders: dict[str, Recorder], name: str) -> httpx.Client:
    port = recorders[f"traffic to {name}'s https"].port
    return httpx.Client(
        base_url=f"https://127.0.0.1:{port}", verify=context_of(city[name], f"{name}1"), trust_env=False
    )


def deliver(city: LiveCity, recorders: dict[str, Recorder], master: str, slave: str) -> list[bytes]:
    """Order and fetch by ETSI 014, also requests that are refused; the values."""
    with client(city, recorders, master) as one, client(city, recorders, slave) as two:
        end = time.monotonic() + 30
        while (ordered := one.get(f"/api/v1/keys/{slave}1/enc_keys", params={"number": 8})).status_code != 200:
            assert time.monotonic() < end, ordered.text
            time.sleep(0.1)
        keys = ordered.json()["keys"]
        wanted = {"key_IDs": [{"key_ID": k["key_ID"]} for k in keys]}
        fetched = two.post(f"/api/v1/keys/{master}1/dec_keys", json=wanted)
        assert fetched.json()["keys"] == keys
        assert two.post(f"/api/v1/keys/{master}1/dec_keys", json=wanted).status_code == 400
        # an application that puts a key where a name belongs is not quoted either
        wrong = two.get(f"/api/v1/keys/{master}1/dec_keys", params={"key_ID": keys[0]["key"]})
        assert wrong.status_code == 400
        return [b64decode(k["key"]) for k in keys]


def stream(city: LiveCity, recorders: dict[str, Recorder]) -> list[bytes]:
    """A key stream by ETSI 004 between a and b; its chunks."""

    def connect(name: str) -> StreamClient:
        address = Address("127.0.0.1", recorders[f"traffic to {name}'s streams"].port)
        return StreamClient.over_frames(address, context_of(city[name], f"{name}1"))

    with connect("a") as one, connect("b") as two:
        qos = Qos(chunk_bytes=32, timeout_ms=5000)
        opened = one.open("sae://a1", "sae://b1", qos)
        assert isinstance(opened.stream_id, UUID)
        assert two.open("sae://a1", "sae://b1", qos, opened.stream_id).status is Status.OK
        chunks = [_chunk(end, opened.stream_id, index) for index in range(4) for end in (one, two)]
        one.close(opened.stream_id)
    assert len(set(chunks)) == 4
    return chunks


def _chunk(end: StreamClient, stream_id: UUID, index: int) -> bytes:
    limit = time.monotonic() + 10
    while (reply := end.get_key(stream_id, index)).status is not Status.OK:
        assert time.monotonic() < limit, reply.status
        time.sleep(0.05)
    return reply.key


# ---------------------------------------------------------------- what was left behind


def test_no_key_is_left_in_files_logs_pages_or_traffic(evidence: Evidence) -> None:
    canary = Canary(evidence.secrets)
    assert canary.look(evidence.places) == []
    for folder in evidence.folders.values():
        assert {"keys.sqlite", "log.jsonl"} <= {path.name for path in folder.rglob("*")}
        assert canary.look_in_folder(folder) == []


def test_the_keys_went_where_it_was_looked(evidence: Evidence) -> None:
    """Else nothing would be found anywhere."""
    sizes = {place: len(data) for place, data in evidence.places.items()}
    assert min(sizes[f"traffic to {site}'s peers"] for site in "bc") > 10_000  # whoever comes first calls
    assert min(sizes[f"traffic to {site}'s https"] for site in "abc") > 5_000
    assert min(sizes[f"traffic to {site}'s streams"] for site in "ab") > 1_000
    assert b"poliqi_" in evidence.places["a/metrics"]
    assert len({value for value in evidence.values if len(value) == 32}) == 5 * 8 + 4
    for folder in evidence.folders.values():
        assert sum(p.stat().st_size for p in folder.rglob("keys.sqlite*")) > BLOCK_BYTES


def test_the_block_canary_is_what_was_delivered(evidence: Evidence) -> None:
    """Keys between neighbours are pieces of the blocks, so that looking for the blocks looks for the keys."""
    blocks = evidence.secrets[:6]
    direct = evidence.values[: 3 * 8]
    assert all(any(value in block for block in blocks) for value in direct)


def test_no_core_is_left_though_it_was_allowed(evidence: Evidence) -> None:
    assert evidence.cores == [False, False, False]
    for folder in evidence.folders.values():
        assert [path for path in folder.rglob("*core*") if path.is_file()] == []


def test_a_process_that_does_not_forbid_it_would_leave_a_core(tmp_path: Path) -> None:
    """The control of the test above, where the system makes cores at all."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("cores are forbidden by whoever runs the tests")
    process = subprocess.Popen([*WITH_CORES, sys.executable, "-c", "import os; os.abort()"], cwd=tmp_path)
    _, process.returncode = os.waitpid(process.pid, 0)
    assert os.WCOREDUMP(process.returncode)


# ---------------------------------------------------------------- the scanner finds what is planted


def test_planted_leaks_of_every_kind_are_found_in_every_place(evidence: Evidence) -> None:
    dice = random.Random(1)
    canary = Canary(evidence.values)
    missed: list[str] = []
    for place, data in evidence.places.items():
        for kind, text in spellings(dice.choice(evidence.values)).items():
            at = dice.randrange(len(data) + 1)
            if not canary.kinds(data[:at] + b" " + text + b" " + data[at:][:100_000]):
                missed.append(f"{kind} in {place}")
    assert missed == []


def test_planted_leaks_are_found_in_files(evidence: Evidence, tmp_path: Path) -> None:
    value = evidence.values[0]
    canary = Canary([value])
    places = {
        "log": tmp_path / "site" / "log.jsonl",
        "name": tmp_path / "site" / f"key-{value.hex()}",
    }
    places["log"].parent.mkdir()
    places["log"].write_bytes(b'{"event": "x", "text": "' + spellings(value)["base64"] + b'"}\n')
    places["name"].touch()
    database = sqlite3.connect(tmp_path / "keys.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE t (v)")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("INSERT INTO t VALUES (?)", (value,))
    found = {str(leak) for leak in canary.look_in_folder(tmp_path)}
    assert found == {
        f"{places['log']}: base64",
        "names of files: hexadecimal",
        f"{tmp_path / 'keys.sqlite-wal'}: raw",
    }
    database.close()
    assert f"{tmp_path / 'keys.sqlite'}: raw" in {str(leak) for leak in canary.look_in_folder(tmp_path)}


@pytest.mark.parametrize("kind", list(spellings(bytes(range(32)))))
def test_scanner_finds_every_spelling_and_names_no_other_text(kind: str) -> None:
    secret = random.Random(kind).randbytes(32)
    text = b'{"text": "' + spellings(secret)[kind] + b'"}'
    assert Canary([secret]).kinds(text)
    assert Canary([random.Random("another").randbytes(32)]).kinds(text) == []
