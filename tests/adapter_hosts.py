"""Two hosts in network namespaces, with real WireGuard, strongSwan or stunnel; nothing of it stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

__all__ = ["Host", "Hosts", "missing", "two_hosts", "wait_until"]


def missing(*programs: str) -> pytest.MarkDecorator:
    """Skips where a program, a file or a right is not there, and says what."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    lacks = [name for name in programs if not (Path(name).exists() or shutil.which(name, path=path))]
    lacks += [] if os.geteuid() == 0 else ["root"]
    lacks += [] if Path("/dev/net/tun").exists() else ["/dev/net/tun"]
    return pytest.mark.skipif(bool(lacks), reason=f"needs {', '.join(lacks)}")


def wait_until(is_there: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < end, "did not come"
        time.sleep(0.02)


@dataclass
class Host:
    """One network namespace; `outside` is its address on the wire between the two."""

    name: str
    outside: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, *words: str, given: str | None = None) -> str:
        done = subprocess.run(
            self.command(*words), input=given, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{self.name}-{Path(words[0]).name}.log").open("ab")
        with log:
            process = subprocess.Popen(
                self.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@dataclass
class Hosts:
    left: Host
    right: Host

    def ping(self, address: str, count: int, every_s: float = 0.05, *more: str) -> tuple[int, int]:
        """Echo requests sent from the left, and answered."""
        return read_ping(self.start_ping(address, count, every_s, *more))

    def start_ping(self, address: str, count: int, every_s: float, *more: str) -> subprocess.Popen[str]:
        words = ["ping", "-n", "-q", "-c", str(count), "-i", str(every_s), "-W", "2", *more, address]
        return subprocess.Popen(
            self.left.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


def read_ping(ping: subprocess.Popen[str]) -> tuple[int, int]:
    try:
        out, err = ping.communicate(timeout=4000)
    finally:
        ping.kill()
    words = out.split()
    assert "transmitted," in words, out + err
    return int(words[words.index("transmitted,") - 2]), int(words[words.index("received,") - 1])


@contextmanager
def two_hosts(folder: Path) -> Iterator[Hosts]:
    """Namespaces joined by a wire, 10.9.0.1 and 10.9.0.2."""
    number = f"{os.getpid()}x{threading.get_ident() % 997}"
    left = Host(f"pql{number}", "10.9.0.1", folder)
    right = Host(f"pqr{number}", "10.9.0.2", folder)
    try:
        for host in (left, right):
            _ip("netns", "add", host.name)
        _ip("link", "add", "wire", "netns", left.name, "type", "veth", "peer", "name", "wire", "netns", right.name)
        for host in (left, right):
            _ip("-n", host.name, "addr", "add", f"{host.outside}/24", "dev", "wire")
            for link in ("wire", "lo"):
                _ip("-n", host.name, "link", "set", link, "up")
        yield Hosts(left, right)
    finally:
        for host in (left, right):
            host.stop()
        for host in (left, right):
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {words}: {done.stderr}"


def free_name(prefix: str) -> str:
    """An interface's name that nobody else uses: wireguard-go's sockets are one folder for all namespaces."""
    return f"{prefix}{os.urandom(4).hex()}"


def wireguard(hosts: Hosts, keepalive: Sequence[str] = ()) -> tuple[tuple[str, str], tuple[str, str]]:
    """wireguard-go on both, 10.8.0.1 and 10.8.0.2, without preshared keys; each one's interface and peer."""
    names = free_name("pqa"), free_name("pqb")
    keys = [hosts.left.run("wg", "genkey") for _ in names]
    public = [hosts.left.run("wg", "pubkey", given=key).strip() for key in keys]
    ends = (hosts.left, hosts.right)
    for host, name in zip(ends, names, strict=True):
        host.start("wireguard-go", "-f", name, WG_PROCESS_FOREGROUND="1", LOG_LEVEL="error")
    for host, name, key, other, peer in zip(ends, names, keys, reversed(ends), reversed(public), strict=True):
        wait_until(lambda name=name: Path(f"/var/run/wireguard/{name}.sock").exists())
        inside = "10.8.0." + host.outside[-1]
        host.run("wg", "set", name, "private-key", "/dev/stdin", "listen-port", "51820", given=key)
        host.run(
            "wg", "set", name, "peer", peer, "endpoint", f"{other.outside}:51820",
            "allowed-ips", f"10.8.0.{other.outside[-1]}/32", *keepalive,
        )  # fmt: skip
        host.run("ip", "addr", "add", f"{inside}/24", "dev", name)
        host.run("ip", "link", "set", name, "up")
    return (names[0], public[1]), (names[1], public[0])


def vici_socket(host: Host) -> Path:
    """charon in the namespace with a /run of its own; its vici socket."""
    folder = host.folder / host.name
    folder.mkdir(exist_ok=True)
    path = folder / "vici"
    (folder / "strongswan.conf").write_text(
        f"""charon {{
  load = random nonce aes sha1 sha2 hmac kdf curve25519 chapoly kernel-libipsec kernel-netlink socket-default vici
  piddir = {folder}
  plugins {{
    vici {{
      socket = unix://{path}
    }}
  }}
  filelog {{
    x {{
      path = {folder}/log
      default = 1
    }}
  }}
}}
"""
    )
    shell = "mount -t tmpfs none /run && exec /usr/lib/ipsec/charon"
    host.start("unshare", "-m", "sh", "-c", shell, STRONGSWAN_CONF=str(folder / "strongswan.conf"))
    wait_until(path.exists)
    return path


def can_connect(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0
