"""Files to another application, from memory to memory: against scp with AES-128-GCM over the same loopback.

The full path: walk, handshake with a quantum key, list, files, BLAKE3 at both ends, move to the inbox, signed
receipt. The receiver is a process of its own; keys are played. Goals: 1 GiB at 8 Gbit/s and 3 times scp; 10,000
files at 5 times `scp -r`. CPU time of both ends counts on a busy machine, too: 2.15 s for 1 GiB are 8 Gbit/s on
two cores.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.played_keys import PHOTONS, PlayedSite
from bench.report import Metric
from poliqi.apps.identity import Identity
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.keysource import Key
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share.client import send
from poliqi.apps.share.progress import Progress
from poliqi.apps.share.service import InboxService
from poliqi.apps.stream.channel import accept
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address

OFFICE, ARCHIVE = SaeId("office"), SaeId("archive")
GOAL_GBPS = 8.0
GOAL_SCP = 3.0
GOAL_TREE = 5.0
GOAL_CPU_S = 2.15


class ForkedSite(PlayedSite):
    """Keys that are drawn before the receiver becomes a process of its own, so that both ends have them."""

    def __init__(self, number: int, size_bytes: int = 32) -> None:
        super().__init__()
        self.waiting = [
            (f"{n:08x}-0000-4000-8000-{os.urandom(6).hex()}", os.urandom(size_bytes)) for n in range(number)
        ]
        self.promised = {(OFFICE, ARCHIVE): dict(self.waiting)}

    def keys(self, sae: str) -> Any:
        keys = super().keys(sae)
        if sae == OFFICE:
            keys.fresh = self.fresh  # type: ignore[method-assign]
        return keys

    def fresh(self, _peer: SaeId, number: int, _size_bytes: int) -> list[Key]:
        found, self.waiting = self.waiting[:number], self.waiting[number:]
        self.delivered += [key_id for key_id, _ in found]
        return [Key(key_id, SecretBytes(value), PHOTONS) for key_id, value in found]


def settings_of(folder: Path, mine: Identity, other: Identity, port: int) -> SaeSettings:
    """An application below `folder` whose peer listens at `port`."""
    rule = StreamRule(Policy.STRICT)
    one_time = StreamRule(Policy.ITS, GradeDemand(information_theoretic=True))
    peer = Peer(other.contact, other.sae, Address("127.0.0.1", port), rule, one_time)
    own = folder / mine.sae
    return SaeSettings(folder / "sae.toml", mine, own / "state", own / "inbox", {other.sae: peer})


class Ends:
    """A sender here and a receiver in a process of its own, below one folder in memory."""

    def __init__(self, folder: Path, streams: int = 200) -> None:
        entropy = OperatingSystemEntropy()
        mine, other = Identity.make(OFFICE, entropy), Identity.make(ARCHIVE, entropy)
        self.site = ForkedSite(4 * streams)
        listener = socket.create_server(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
        self.sender, receiver = settings_of(folder, mine, other, port), settings_of(folder, other, mine, port)
        self.inbox = receiver.inbox / OFFICE
        self.process = os.fork()
        if not self.process:
            try:
                serve(listener, receiver, self.site)
            finally:
                os._exit(1)
        listener.close()

    def send(self, *paths: Path, progress: Progress | None = None, one_time: bool = False) -> float:
        """Seconds until the receipt is there and verified."""
        start = time.perf_counter()
        peer = self.sender.peers[ARCHIVE]
        send(self.sender, self.site.keys(OFFICE), peer, paths, progress, one_time=one_time)
        return time.perf_counter() - start

    def clear(self) -> None:
        """Empty the inbox."""
        shutil.rmtree(self.inbox, ignore_errors=True)

    def cpu_s(self) -> float:
        """Processor time that both ends have used."""
        mine = resource.getrusage(resource.RUSAGE_SELF)
        fields = Path(f"/proc/{self.process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return mine.ru_utime + mine.ru_stime + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """The most memory that the receiver has had."""
        lines = Path(f"/proc/{self.process}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    def close(self) -> None:
        """End the receiver."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


def serve(listener: socket.socket, settings: SaeSettings, site: PlayedSite) -> None:
    """One stream after the other."""
    service, keys = InboxService(settings), site.keys(settings.sae)
    contacts = {peer.sae: (peer.contact, peer.rule) for peer in settings.peers.values()}
    while True:
        connection, _ = listener.accept()
        try:
            channel = accept(connection, settings.identity, contacts, keys)
            service.serve(channel)
            channel.close()
        except Exception as error:  # a benchmark that fails says so, and goes on
            print(f"receiver: {error!r}", flush=True)


class Ssh:
    """An sshd of the benchmark's own, on loopback, for this user alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        (folder / "authorized").chmod(0o600)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nCiphers aes128-gcm@openssh.com\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
        )
        os.makedirs("/run/sshd", exist_ok=True)  # noqa: PTH103  # sshd insists on it
        self.process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL
        )
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("sshd does not answer")

    def send(self, path: Path, target: Path) -> float:
        """Seconds that scp takes."""
        more = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        command = [
            "scp",
            "-q",
            "-r",
            "-F",
            "/dev/null",
            "-P",
            str(self.port),
            "-i",
            str(self.folder / "user"),
            *more,
        ]
        command += ["-c", "aes128-gcm@openssh.com", str(path), f"127.0.0.1:{target}"]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        return time.perf_counter() - start

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one."""
    shm = Path("/dev/shm")  # noqa: S108  # for its speed; the folder in it is private
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        yield Path(folder)


def make_file(path: Path, size_bytes: int) -> Path:
    """A file of random bytes."""
    with path.open("wb") as file:
        for start in range(0, size_bytes, 1 << 24):
            file.write(os.urandom(min(1 << 24, size_bytes - start)))
    return path


def make_tree(root: Path, files: int) -> Path:
    """`files` files of 0 to 8 KiB, a hundred to a folder."""
    block = os.urandom(1 << 16)
    for number in range(files):
        folder = root / f"{number // 100:04}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        size = number * 7919 % 8192
        (folder / f"{number:06}.bin").write_bytes(block[number % 4096 :][:size])
    return root


def resume_s(ends: Ends, path: Path) -> float:
    """Seconds from the call to the receipt, where nine tenths are there already and a cut came then."""
    total = path.stat().st_size

    class Stops(Progress):
        def add(self, count_bytes: int, files: int = 0) -> None:
            super().add(count_bytes, files)
            if self.done_bytes >= 0.9 * total:
                self.stop()

    try:
        ends.send(path, progress=Stops())
    except Exception as error:
        if type(error).__name__ != "Stopped":
            raise
    return ends.send(path)


def run(*, quick: bool = False) -> tuple[list[Metric], dict[str, Any]]:
    """1 GiB and 10,000 files, each in turn with scp; with `quick` 256 MiB and 2,000 files."""
    size, files, rounds = (1 << 28, 2_000, 3) if quick else (1 << 30, 10_000, 5)
    has_scp = shutil.which("scp") is not None and Path("/usr/sbin/sshd").exists()
    ours: list[float] = []
    theirs: list[float] = []
    tree: list[float] = []
    tree_scp: list[float] = []
    cpu: list[float] = []
    with memory() as folder:
        big, small = make_file(folder / "big", size), make_tree(folder / "small", files)
        (folder / "ssh").mkdir()
        (folder / "target").mkdir()
        ends, ssh = Ends(folder), Ssh(folder / "ssh") if has_scp else None
        try:
            ends.send(small / "0000")  # the first stream of a process pays for its imports
            for _ in range(rounds):
                for path, mine, yours in ((big, ours, theirs), (small, tree, tree_scp)):
                    ends.clear()
                    used_s = ends.cpu_s()
                    mine.append(ends.send(path))
                    if path is big:
                        cpu.append((ends.cpu_s() - used_s) * (1 << 30) / size)
                    if ssh is not None:
                        shutil.rmtree(folder / "target")
                        (folder / "target").mkdir()
                        yours.append(ssh.send(path, folder / "target"))
            ends.clear()
            again = resume_s(ends, big)
            peak_mib = max(ends.peak_mib(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        finally:
            ends.close()
            if ssh is not None:
                ssh.close()
    used = Metric("CPU of both ends, for 1 GiB", min(cpu), "s", GOAL_CPU_S, "max")
    return [*_metrics(size, ours, theirs, tree, tree_scp, again, peak_mib), used], {
        "bytes": size,
        "files": files,
        "seconds": ours,
        "cpu_seconds_per_gib": cpu,
        "scp_seconds": theirs,
        "tree_seconds": tree,
        "tree_scp_seconds": tree_scp,
        "keys": "played",
    }


def _metrics(
    size: int,
    ours: list[float],
    theirs: list[float],
    tree: list[float],
    tree_scp: list[float],
    again: float,
    peak_mib: float,
) -> list[Metric]:
    rate = 8e-9 * size / min(ours)
    metrics = [Metric("send", rate, "Gbit/s", GOAL_GBPS, "min")]
    if theirs:
        scp = 8e-9 * size / min(theirs)
        metrics.append(Metric("send / scp", rate / scp, "x", GOAL_SCP, "min", "scp aes128-gcm, Gbit/s", scp))
        ratio = min(tree_scp) / min(tree)
        metrics.append(Metric("small files / scp -r", ratio, "x", GOAL_TREE, "min", "scp -r, s", min(tree_scp)))
    metrics.append(Metric("small files", min(tree), "s", None, "max"))
    metrics.append(Metric("resume at 90 %", again, "s", None, "max"))
    metrics.append(Metric("peak memory of an end", peak_mib, "MiB", None, "max"))
    return metrics
