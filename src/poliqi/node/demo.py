"""Two real processes on this machine, Alice and Bob, with simulated light between them.

Nothing here is special to the demonstration but the light: pairing, sessions, stores and key files are those
of a real link. The children are always waited for, however this ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import LinkDown, PoliqiError, StoreError
from poliqi.base.ids import LinkId, Role
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.keyfile import read_keys
from poliqi.edge.pairfile import PairFile, write_private
from poliqi.edge.pairing import install_pair_file

__all__ = ["DemoSettings", "DemoSummary", "run_demo"]

Say = Callable[[dict[str, Any]], None]

LINK_ID: Final = LinkId("demo")
_WORDS: Final = 1024
_REAP_S: Final = 5.0
_LINE_LIMIT: Final = 1 << 20
_REFUSED: Final = frozenset(("abort", "quarantine"))


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """`link_toml` is read by both children; `eve` names an attack on the light; `folder` holds all that is made."""

    folder: Path
    link_toml: Path
    blocks: int
    seed: int
    eve: str | None = None
    sifted_key: int | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """How it ended. Digests are of the whole key files, shown only because simulated keys protect nothing."""

    blocks: list[dict[str, Any]] = field(repr=False)
    digests: dict[Role, str]
    first_key_s: float | None
    quarantine: str | None = None
    """Why the monitor gave up on the link before all blocks were made."""

    @property
    def equal(self) -> bool:
        return len(set(self.digests.values())) == 1

    def total(self, what: str) -> int:
        """Sum of one figure over the blocks."""
        return sum(int(block[what]) for block in self.blocks)


async def run_demo(settings: DemoSettings, say: Say) -> DemoSummary:
    """Pair, start both ends, pass on what they say, compare their key files. A block that a monitor refuses counts
    as made, and a link that is put in quarantine ends the demonstration: nobody comes to release it.

    Raises LinkDown where a child fails, StoreError where the two key files differ.
    """
    s = settings
    pair = PairFile.make(LINK_ID, _WORDS, OperatingSystemEntropy())
    path = s.folder / "pair"
    write_private(path, pair.encode(), "pair file")
    for role in Role:
        install_pair_file(path, s.folder / role.value, role, simulated=True, keep=role is Role.ALICE)
    children = _Children(s, say)
    await children.run()
    digests = {role: _digest(_keys(s, role)) for role in Role}
    first = next((b["time_s"] for b in children.blocks if b["gross_bits"]), None)
    summary = DemoSummary(children.blocks, digests, first, children.quarantine)
    if not summary.equal:
        raise StoreError(f"the key files differ: {digests}; this must never happen, keep {s.folder} and report it")
    return summary


def _keys(settings: DemoSettings, role: Role) -> Path:
    return settings.folder / f"{role.value}.keys"


def _digest(path: Path) -> str:
    read_keys(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _reserved_port() -> Generator[int]:
    """A port that nobody else is given meanwhile: bound but not listened on, so that a child may listen on it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class _Children:
    """The two processes."""

    def __init__(self, settings: DemoSettings, say: Say) -> None:
        self._settings: Final = settings
        self._say: Final = say
        self._began: Final = asyncio.get_running_loop().time()
        self._errors: dict[Role, str] = {}
        self._running: list[asyncio.subprocess.Process] = []
        self._stopped = False
        self._refused = False
        self.quarantine: str | None = None
        self.blocks: list[dict[str, Any]] = []

    async def run(self) -> None:
        stop = asyncio.current_task()
        loop = asyncio.get_running_loop()
        if stop is not None:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.cancel)
        try:
            with _reserved_port() as port:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._end(Role.BOB, "--listen", f"127.0.0.1:{port}"))
                    tasks.create_task(self._end(Role.ALICE, "--connect", f"127.0.0.1:{port}"))
        except* (PoliqiError, OSError) as failed:
            raise failed.exceptions[0] from None
        finally:
            await self._reap()

    async def _end(self, role: Role, *meeting: str) -> None:
        s = self._settings
        command = [sys.executable, "-m", "poliqi", "link", "run", str(s.link_toml), "--role", role.value, *meeting]
        command += ["--state", str(s.folder / role.value), "--key", str(_keys(s, role)), "--blocks", str(s.blocks)]
        command += ["--seed", str(s.seed), "--allow-simulated", "--json"]
        if s.eve is not None:
            command += ["--eve", s.eve]
        if s.sifted_key is not None:
            command += ["--sifted-key", str(s.sifted_key)]
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
        )
        self._running.append(child)
        if self._stopped:
            self._stop()
        assert child.stdout is not None
        assert child.stderr is not None
        complaints = asyncio.create_task(child.stderr.read())
        async for line in child.stdout:
            self._take(role, line)
        complaint, code = (await complaints).decode(errors="replace").strip(), await child.wait()
        if code != 0 and not self._stopped:
            raise LinkDown(
                f"{role} ended with exit code {code}: {complaint.splitlines()[-1] if complaint else '-'}"
            )

    def _take(self, role: Role, line: bytes) -> None:
        record = json.loads(line)
        record["time_s"] = round(asyncio.get_running_loop().time() - self._began, 3)
        if record["event"] == "block" and role is Role.BOB:
            self.blocks.append(record)
        self._say(record)
        if record["event"] == "quarantined" and self.quarantine is None:
            self.quarantine = record["text"]
        self._refused = self._refused or (record["event"] == "monitor" and record["action"] in _REFUSED)
        is_over = self.quarantine is not None or (self._refused and len(self.blocks) >= self._settings.blocks)
        if is_over and not self._stopped:  # a second signal would cut a block under way
            self._stop()

    def _stop(self) -> None:
        """Once there is nothing more to show: an end whose session was refused would try for ever."""
        self._stopped = True
        for child in self._running:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.terminate()

    async def _reap(self) -> None:
        """Ask every child that still runs to stop, then insist; none is left behind."""
        alive = [child for child in self._running if child.returncode is None]
        for child in alive:
            with suppress(ProcessLookupError):
                child.terminate()
        for child in alive:
            try:
                await asyncio.wait_for(child.wait(), _REAP_S)
            except TimeoutError:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
