"""Packets of a TUN device in messages of a stream of purpose "packets 1" (docs/spec/tunnel.md).

```
message = packet*                                  at most RECORD_BYTES
packet  = length: u32 big-endian | header: 10 bytes | IP packet of `length` - 10 bytes
header  = flags u8 | gso_type u8 | hdr_len u16 | gso_size u16 | csum_start u16 | csum_offset u16, little-endian
```

The header is Linux's virtio_net_hdr: with it the kernel hands over up to 64 KiB of a TCP flow as one packet and
cuts it at the far side. The peer is authentic, but not for that trusted with this machine's kernel: every header is
checked, and a packet has to come from one of the peer's own networks.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from poliqi.base.errors import ProtocolError

__all__ = ["HEADER_BYTES", "LENGTH", "PACKET_BYTES", "PURPOSE", "Network", "Sources", "is_sound", "split"]

PURPOSE: Final = "packets 1"
HEADER_BYTES: Final = 10
PACKET_BYTES: Final = HEADER_BYTES + 65535
"""The longest packet with its header."""
LENGTH: Final = struct.Struct(">I")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HEADER: Final = struct.Struct("<BBHHHH")
_NEEDS_CHECKSUM, _IS_CHECKED = 1, 2
_TCP4, _TCP6, _UDP = 1, 4, 5
_CONGESTED: Final = 0x80
_KNOWN: Final = 4096
_START: Final = struct.Struct(">I11s11x4s")
"""Length, header with the packet's first byte, and source of an IPv4 packet."""
_NEVER: Final = PACKET_BYTES + 1


def split(message: memoryview) -> Iterator[memoryview]:
    """The packets in a message, each with its header. Raises ProtocolError."""
    place = 0
    while place < len(message):
        packet = _first(message, place)
        place += LENGTH.size + len(packet)
        yield packet


def _first(message: memoryview, place: int) -> memoryview:
    left = len(message) - place - LENGTH.size
    if left < 0:
        raise ProtocolError(f"tunnel: {left + LENGTH.size} bytes after the last packet")
    (length,) = LENGTH.unpack_from(message, place)
    if not HEADER_BYTES < length <= min(PACKET_BYTES, left):
        raise ProtocolError(f"tunnel: a packet of {length} bytes where {left} are left")
    return message[place + LENGTH.size :][:length]


def is_sound(packet: memoryview) -> bool:
    """True where the header fits the IP packet behind it, so that the kernel can be handed both."""
    size = len(packet) - HEADER_BYTES
    if size < 20:
        return False
    flags, kind, head_bytes, segment_bytes, checked_from, checksum_at = _HEADER.unpack_from(packet)
    version = packet[HEADER_BYTES] >> 4
    if version not in (4, 6) or (version == 6 and size < 40) or flags & ~(_NEEDS_CHECKSUM | _IS_CHECKED):
        return False
    if flags & _NEEDS_CHECKSUM and checked_from + checksum_at + 2 > size:
        return False
    if not kind:
        return True
    fits = {_TCP4: version == 4, _TCP6: version == 6, _UDP: not kind & _CONGESTED}.get(kind & ~_CONGESTED, False)
    return fits and segment_bytes > 0 and 20 <= head_bytes <= size and bool(flags & _NEEDS_CHECKSUM)


class Sources:
    """The networks that a peer's packets may come from."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks: Final = tuple(networks)
        self._known: Final[dict[bytes, bool]] = {}
        self._sound: Final[dict[bytes, int]] = {}
        """Length from which an IPv4 packet with this header and first byte is sound."""

    def allow(self, packet: memoryview) -> bool:
        """True where the source address of a sound packet is in one of them."""
        first = HEADER_BYTES + 12 if packet[HEADER_BYTES] >> 4 == 4 else HEADER_BYTES + 8
        address = bytes(packet[first : first + (4 if first == HEADER_BYTES + 12 else 16)])
        found = self._known.get(address)
        if found is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            source = ipaddress.ip_address(address)
            found = self._known[address] = any(source in network for network in self._networks)
        return found

    def admit(self, message: memoryview) -> Iterator[memoryview | None]:
        """`split`, with None for each packet that is not sound or not allowed. Raises ProtocolError.

        An IPv4 packet like one before costs one look: of two with the same header, the longer is sound where the
        shorter is.
        """
        place, size, head, look = 0, len(message), LENGTH.size, _START.unpack_from
        known, sound = self._known, self._sound
        while place < size:
            if size - place >= _START.size:
                length, header, source = look(message, place)
                end = place + head + length
                if end <= size and sound.get(header, _NEVER) <= length <= PACKET_BYTES and known.get(source):
                    yield message[place + head : end]
                    place = end
                    continue
            packet = _first(message, place)
            place += head + len(packet)
            yield packet if self._look(packet) else None

    def _look(self, packet: memoryview) -> bool:
        if not (is_sound(packet) and self.allow(packet)):
            return False
        if packet[HEADER_BYTES] >> 4 == 4:
            if len(self._sound) >= _KNOWN:
                self._sound.clear()
            self._sound[bytes(packet[: HEADER_BYTES + 1])] = len(packet)
        return True
