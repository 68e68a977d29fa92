"""A Linux TUN device with large segments, and the `ip` calls that give it an address.

Making one needs CAP_NET_ADMIN, unless an administrator made it for this user beforehand (`ip tuntap add ... user`).
Source: Linux Documentation/networking/tuntap.rst; linux/if_tun.h.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import shutil
import socket
import struct
import subprocess  # nosec
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.apps.tunnel.packets import HEADER_BYTES, Network
from poliqi.base.errors import ConfigError
from poliqi.edge.network import Address

__all__ = [
    "Capability",
    "Interface",
    "TunDevice",
    "check",
    "is_device_name",
    "open_tun",
    "read_interface",
    "refuse_loop",
    "set_up",
]

_TUN: Final = "/dev/net/tun"
_SET_INTERFACE: Final = 0x400454CA
_SET_OFFLOAD: Final = 0x400454D0
_SET_HEADER_BYTES: Final = 0x400454D8
_SET_LITTLE_ENDIAN: Final = 0x400454DC
_IS_TUN, _NO_INFORMATION, _HAS_HEADER = 0x0001, 0x1000, 0x4000
_CHECKSUM, _TSO4, _TSO6, _TSO_ECN, _USO4, _USO6 = 0x01, 0x02, 0x04, 0x08, 0x20, 0x40
_TCP_OFFLOADS: Final = _CHECKSUM | _TSO4 | _TSO6 | _TSO_ECN
_OFFLOADS: Final = (_TCP_OFFLOADS | _USO4 | _USO6, _TCP_OFFLOADS)
_NET_ADMIN: Final = 12
_PATHS: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")
_IP_S: Final = 10.0
_NEEDS: Final = (
    "give this command CAP_NET_ADMIN (root, or AmbientCapabilities= in its unit), or have the device made for its "
    "user: ip tuntap add dev NAME mode tun user USER vnet_hdr"
)


@dataclass(frozen=True, slots=True)
class TunDevice:
    """An open device; `descriptor` does not block. `offloads` says what the kernel hands over uncut."""

    name: str
    descriptor: int
    offloads: tuple[str, ...]

    def close(self) -> None:
        """Gone with its address and routes, unless it was made to stay."""
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Interface:
    """What the device is given; without `address`, an administrator has given it one already."""

    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface | None
    routes: tuple[Network, ...]
    mtu: int

    @property
    def networks(self) -> tuple[Network, ...]:
        """Where the peer's packets may come from: the tunnel's own network and what lies behind the peer."""
        return self.routes if self.address is None else (self.address.network, *self.routes)


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that a TUN tunnel needs, whether it is there, and what to do where it is not."""

    name: str
    is_there: bool
    text: str


def is_device_name(name: str) -> bool:
    """True for a letter and up to 14 letters, digits, `_` or `-`."""
    return _NAME.fullmatch(name) is not None


def open_tun(name: str, *, has_offloads: bool = True) -> TunDevice:
    """Open or make the device. Raises ConfigError where it may not or cannot."""
    if not is_device_name(name):
        raise ConfigError(f"--tun {name[:40]!r}: a letter, then letters, digits, _ or -, 15 in all")
    try:
        descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{_TUN}: {error.strerror}; is the kernel's module tun loaded?") from error
    try:
        flags = _IS_TUN | _NO_INFORMATION | _HAS_HEADER
        fcntl.ioctl(descriptor, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(descriptor, _SET_HEADER_BYTES, struct.pack("i", HEADER_BYTES))
        fcntl.ioctl(descriptor, _SET_LITTLE_ENDIAN, struct.pack("i", 1))
        return TunDevice(name, descriptor, _offload(descriptor) if has_offloads else ())
    except PermissionError:
        os.close(descriptor)
        raise ConfigError(f"--tun {name}: not permitted; {_NEEDS}") from None
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(
            f"--tun {name}: {error.strerror}; is it in use, or of another kind (`ip -d link show {name}`)?"
        ) from error


def _offload(descriptor: int) -> tuple[str, ...]:
    """Most that this kernel has: UDP segments came with Linux 6.2."""
    for wanted in _OFFLOADS:
        with suppress(OSError):
            fcntl.ioctl(descriptor, _SET_OFFLOAD, wanted)
            return ("checksum", "tcp", "udp") if wanted & _USO4 else ("checksum", "tcp")
    return ()


def refuse_loop(interface: Interface, called: Address) -> None:
    """Raises ConfigError where the peer's door lies inside the tunnel: its own packets would go round in it."""
    with suppress(OSError, ValueError):
        found = socket.getaddrinfo(called.host, called.port, type=socket.SOCK_STREAM)
        for place in {str(entry[4][0]).partition("%")[0] for entry in found}:
            for network in interface.networks:
                if ipaddress.ip_address(place) in network:
                    raise ConfigError(
                        f"--call {called}: {place} lies in {network}, which is behind the tunnel itself"
                    )


def set_up(device: TunDevice, interface: Interface) -> None:
    """Give the device address, MTU and routes; leave it as it is where no address is given. Raises ConfigError."""
    address = interface.address
    if address is None:
        return
    _ip(f"-{address.version}", "address", "replace", str(address), "dev", device.name)
    _ip("link", "set", "dev", device.name, "mtu", str(interface.mtu), "up")
    for route in interface.routes:
        _ip(f"-{route.version}", "route", "replace", str(route), "dev", device.name)


def _ip(*arguments: str) -> None:
    program = shutil.which("ip", path=_PATHS)
    if program is None:
        raise ConfigError(f"there is no program ip in {_PATHS}; install iproute2")
    try:
        done = subprocess.run(  # noqa: S603  # a list of validated words, no shell
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_IP_S,
            check=False,
            env={"PATH": _PATHS, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"ip {' '.join(arguments)}: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[:200]
        raise ConfigError(f"ip {' '.join(arguments)}: {said}; {_NEEDS}")


def check(status: Path = Path("/proc/self/status"), tun: Path = Path(_TUN)) -> tuple[Capability, ...]:
    """What a TUN tunnel needs on this machine. A proxy (--listen ... --to ...) needs none of it."""
    program = shutil.which("ip", path=_PATHS)
    can_open = tun.is_char_device() and os.access(tun, os.R_OK | os.W_OK)
    return (
        Capability(
            "device", can_open, f"{tun} can be opened" if can_open else f"{tun} is not there or closed to us"
        ),
        Capability("program ip", program is not None, program or "install iproute2"),
        _net_admin(status),
    )


def _net_admin(status: Path) -> Capability:
    held = 0
    with suppress(OSError, ValueError, IndexError):
        lines = status.read_text(encoding="utf-8").splitlines()
        held = int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)
    has = bool(held >> _NET_ADMIN & 1)
    return Capability("CAP_NET_ADMIN", has, "held" if has else f"not held: {_NEEDS}")


def read_interface(address: str | None, routes: Sequence[str], mtu: int) -> Interface:
    """Read "10.9.0.1/24" and networks such as "10.20.0.0/16". Raises ConfigError naming the option."""
    if address is None and not routes:
        raise ConfigError(
            "--tun needs --address IP/BITS; where the device has one already, --route NETWORK at least"
        )
    try:
        own = None if address is None else ipaddress.ip_interface(address)
    except ValueError as error:
        raise ConfigError(f"--address: {error}; write such as 10.9.0.1/24") from None
    if own is not None and own.network.num_addresses == 1 and not routes:
        raise ConfigError(f"--address {own}: a network of one address leaves none for the peer; give its --route")
    found: list[Network] = []
    for text in routes:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigError(f"--route: {error}; write a network such as 10.20.0.0/16") from None
    return Interface(own, tuple(found), mtu)
