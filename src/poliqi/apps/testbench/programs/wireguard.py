"""wireguard-go with a pre-shared key, between two network namespaces of this machine. Needs root.

Each process keeps its UDP socket outside, and its TUN device goes into a namespace of its own, which lives as long
as a sleeping process: nothing is left behind where a trial is killed.
"""

from __future__ import annotations

import base64
import ctypes
import os
import socket
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from poliqi.apps.testbench.ends import HOST, SocketEnd
from poliqi.apps.testbench.programs.running import found, lacks, running, wait_until
from poliqi.apps.testbench.seams import Side, StreamEnd
from poliqi.base.errors import LinkDown

__all__ = ["WireGuard"]

_INNER_PORT: Final = 5201
_ADDRESSES: Final = {Side.ANSWERER: "10.91.7.1", Side.CALLER: "10.91.7.2"}
_UAPI: Final = Path("/var/run/wireguard")
_NEW_NETWORK: Final = 0x40000000
T = TypeVar("T")


class _Listening:
    """The socket inside; `port` is that of the UDP socket outside."""

    def __init__(self, port: int, inner: socket.socket) -> None:
        self.port: Final = port
        self._inner: Final = inner

    def accept(self, timeout_s: float) -> StreamEnd:
        """As Listening."""
        self._inner.settimeout(timeout_s)
        return SocketEnd(self._inner.accept()[0])


class WireGuard:
    """Two wireguard-go processes, plaintext by TCP through the tunnel."""

    name = "wireguard-go"
    description = (
        "WireGuard in user space with a pre-shared key, through TUN devices (the kernel's is another matter)"
    )
    is_two_way = True
    is_datagram = True

    def missing(self) -> str | None:
        """As StreamEncryptor."""
        if os.geteuid() != 0:
            return "needs root: it makes TUN devices and network namespaces"
        if not Path("/dev/net/tun").exists():
            return "there is no /dev/net/tun"
        return lacks("wireguard-go", "wg", "ip", "unshare", "nsenter")

    @contextmanager
    def listen(self, key: bytes, folder: Path) -> Generator[_Listening]:
        """As StreamEncryptor."""
        for side in Side:
            _write(folder / side, os.urandom(32))
        port = _free_udp_port()
        with _device(Side.ANSWERER, key, folder, ["listen-port", str(port)]) as inside:
            address = (_ADDRESSES[Side.ANSWERER], _INNER_PORT)
            with _within(inside, lambda: socket.create_server(address)) as inner:
                yield _Listening(port, inner)

    @contextmanager
    def call(self, key: bytes, folder: Path, port: int) -> Generator[StreamEnd]:
        """As StreamEncryptor."""
        with _device(Side.CALLER, key, folder, [], ["endpoint", f"{HOST}:{port}"]) as inside:
            address = (_ADDRESSES[Side.ANSWERER], _INNER_PORT)
            end = SocketEnd(_within(inside, lambda: socket.create_connection(address, 5.0)))
            try:
                yield end
            finally:
                end.close()


@contextmanager
def _device(
    side: Side, key: bytes, folder: Path, own: list[str], theirs: list[str] | None = None
) -> Generator[int]:
    """A process whose network namespace holds one end of the tunnel."""
    other = Side.CALLER if side is Side.ANSWERER else Side.ANSWERER
    name = f"pq{side[0]}{os.getpid()}"
    _write(folder / f"{side}.psk", key)
    peer = base64.b64encode(
        X25519PrivateKey.from_private_bytes(_read(folder / other)).public_key().public_bytes_raw()
    )
    with (
        running(("unshare", "--net", "sleep", "3600"), folder) as inside,
        running(("wireguard-go", "--foreground", name), folder) as process,
    ):
        wait_until((_UAPI / f"{name}.sock").exists, "wireguard-go is there", process)
        wait_until(lambda: _is_apart(inside.pid), "the namespace is there", inside)
        _do(
            "wg",
            "set",
            name,
            "private-key",
            str(folder / side),
            *own,
            "peer",
            peer.decode(),
            "preshared-key",
            str(folder / f"{side}.psk"),
            "allowed-ips",
            f"{_ADDRESSES[other]}/32",
            *(theirs or []),
        )
        _do("ip", "link", "set", name, "netns", str(inside.pid))
        enter = ("nsenter", "--net", "--target", str(inside.pid), "ip")
        _do(*enter, "address", "add", f"{_ADDRESSES[side]}/24", "dev", name)
        _do(*enter, "link", "set", name, "up")
        yield inside.pid


def _is_apart(pid: int) -> bool:
    return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


def _do(program: str, *words: str) -> None:
    done = subprocess.run(  # noqa: S603  # programs and arguments of this module
        [found(program) or program, *words], capture_output=True, text=True, timeout=10.0, check=False
    )
    if done.returncode:
        raise LinkDown(f"{program} {words[0]}: {done.stderr.strip()[:200]}")


def _within(pid: int, make: Callable[[], T]) -> T:
    """What `make` gives, made by this thread while it stands in the namespace of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as home, Path(f"/proc/{pid}/ns/net").open("rb") as there:
        if libc.setns(there.fileno(), _NEW_NETWORK):
            raise LinkDown(f"the network namespace cannot be entered: {os.strerror(ctypes.get_errno())}")
        try:
            return make()
        finally:
            if libc.setns(home.fileno(), _NEW_NETWORK):
                os.abort()  # this thread would go on in the wrong network


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _write(path: Path, key: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(base64.b64encode(key) + b"\n")


def _read(path: Path) -> bytes:
    return base64.b64decode(path.read_bytes())
