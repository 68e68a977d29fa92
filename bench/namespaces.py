"""Two hosts on this machine: network namespaces joined by a pair of virtual Ethernet devices. Needs root."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Host", "missing", "two_hosts"]

_ETHTOOL = 0x8946
_SET = {"checksum": 0x17, "tso": 0x1F, "gso": 0x24, "gro": 0x2C}


def missing(*programs: str) -> str | None:
    """Why two hosts cannot be had here, or None. `programs` are needed beside ip."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no /dev/net/tun"
    gone = [name for name in ("ip", *programs) if shutil.which(name) is None]
    if gone:
        return f"not installed: {', '.join(gone)}"
    name = f"pq{os.getpid()}t"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.decode().strip()[:80]}"
    subprocess.run(["ip", "netns", "del", name], check=False)
    return None


@dataclass(frozen=True)
class Host:
    """One of the two: `address` is that of its end of the cable, `device` the cable's end."""

    name: str
    address: str
    device: str

    def command(self, *arguments: str) -> list[str]:
        """The same command, run on this host."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def run(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """What it prints. Raises CalledProcessError."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=timeout_s, check=True
        )
        return done.stdout

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
        """A process on this host."""
        return subprocess.Popen(self.command(*arguments), **more)

    def set_offloads(self, are_on: bool) -> None:
        """Of its end of the cable: segmentation, receive merging, checksums."""
        self.run(sys.executable, __file__, self.device, str(int(are_on)))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def two_hosts(mtu: int = 1500) -> Iterator[tuple[Host, Host]]:
    """Two hosts, gone at the end with every process on them."""
    mark = f"pq{os.getpid()}"
    hosts = Host(f"{mark}a", "10.77.0.1", "cable"), Host(f"{mark}b", "10.77.0.2", "cable")
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
        _ip(
            "link",
            "add",
            "cable",
            "netns",
            hosts[0].name,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            hosts[1].name,
        )
        for host in hosts:
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "cable")
            _ip("-n", host.name, "link", "set", "lo", "up")
            _ip("-n", host.name, "link", "set", "cable", "mtu", str(mtu), "up")
        yield hosts
    finally:
        for host in hosts:
            found = subprocess.run(["ip", "netns", "pids", host.name], capture_output=True, text=True, check=False)
            for pid in found.stdout.split():
                subprocess.run(["kill", "-9", pid], capture_output=True, check=False)
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)


def set_offloads(device: str, are_on: bool) -> None:
    """In this namespace (ethtool -K, which need not be installed)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for command in _SET.values():
            value = array("I", [command, int(are_on)])
            fcntl.ioctl(handle, _ETHTOOL, struct.pack("16sP16x", device.encode(), value.buffer_info()[0]))


if __name__ == "__main__":
    set_offloads(sys.argv[1], sys.argv[2] == "1")
