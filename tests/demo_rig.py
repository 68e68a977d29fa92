"""`poliqi demo` as a process of its own, its records read as they come."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poliqi.edge.keyclient import KeyClient

HOMES = {
    "lab": "leonardo",
    "hospital": "bovisa",
    "defence": "santa-barbara",
    "bank": "intesa",
    "region": "aria",
}


class LiveDemo:
    """A demonstration that runs; `python` and `environment` as of an installation of its own."""

    def __init__(
        self, *words: str, python: str = sys.executable, environment: dict[str, str] | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pq")) / "d"
        self.records: list[dict[str, Any]] = []
        self.began = time.monotonic()
        leash = [python, "-m", "poliqi.node.leash", str(os.getpid())]  # it ends with a test that is killed
        command = [*leash, "demo", "--json", "--keep", str(self.folder), *words]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment or dict(os.environ),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                self.records.append(json.loads(line))
            except ValueError:
                self.records.append({"event": "noise", "text": line})

    def of(self, event: str, **more: Any) -> list[dict[str, Any]]:
        return [r for r in list(self.records) if r["event"] == event and more.items() <= r.items()]

    def wait(self, what: Callable[[], Any], why: str, seconds: float = 120.0) -> Any:
        end = time.monotonic() + seconds
        while not (found := what()):
            alive = self.process.poll() is None
            assert alive and time.monotonic() < end, f"{why} did not happen: {self.records[-25:]}"
            time.sleep(0.05)
        return found

    def ready(self, seconds: float = 280.0) -> dict[str, Any]:
        return self.wait(lambda: self.of("ready"), "ready", seconds)[0]

    def pid(self, name: str) -> int:
        return self.of("process", process=name)[-1]["pid"]

    def kill(self, name: str) -> int:
        """kill -9; the process number that is no more."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_again(self, name: str, kind: str, before: int) -> None:
        """Wait until a process said once more that it is ready."""
        self.wait(lambda: len(self.of(kind, process=name)) > before, f"{name} is back")

    def client(self, application: str) -> KeyClient:
        home = self.folder / HOMES[application]
        issued = home / "pki" / "issued" / f"sae-{application}-01"
        url = next(line for line in (home / "site.toml").read_text().splitlines() if line.startswith("https"))
        return KeyClient(
            f"https://{json.loads(url.partition('=')[2])}",
            cert=f"{issued}-chain.pem",
            key=f"{issued}.key",
            ca=home / "pki" / "ca.pem",
        )

    def command(self, *words: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "poliqi", "demo", *words, "--folder", str(self.folder)],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._reader.join(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def remove(self) -> None:
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    def pids(self) -> set[int]:
        return {r["pid"] for r in self.of("process")}


class Requests:
    """A pair of applications that ask for keys all the time: each key at the master, then the same at the slave."""

    def __init__(self, demo: LiveDemo, master: str, slave: str, pause_s: float = 0.1) -> None:
        self._demo, self._master, self._slave, self._pause_s = demo, master, slave, pause_s
        self._over = threading.Event()
        self.keys: list[bytes] = []
        self.paths: list[list[list[str]]] = []
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Requests:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _ask(self) -> None:
        with self._demo.client(self._master) as one, self._demo.client(self._slave) as two:
            while not self._over.wait(self._pause_s):
                try:
                    given = one.get_key(self._slave)
                    taken = two.get_named_key(self._master, given.key_id)
                except Exception as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    continue
                if given.value != taken.value:
                    self.failures.append(f"{given.key_id}: the ends differ")
                self.keys.append(bytes(given.value.view()))
                self.paths.append(given.grade["paths"])
