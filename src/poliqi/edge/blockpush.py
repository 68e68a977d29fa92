"""Takes the blocks that the PoliQI prototype's quantum channel pushes over TCP (docs/spec/ingest.md).

Its protocol authenticates nobody and answers nothing. So the server listens on loopback, or on an interface that
was declared isolated; takes blocks for the links it was given only; and grades what it takes as `unproven`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import RFC_4122, UUID

import msgspec
from msgspec import Meta

from poliqi.base.errors import ConfigError, PoliqiError, ProtocolError
from poliqi.base.ids import LinkId
from poliqi.base.secret import SecretBytes
from poliqi.edge.complaints import Complaints
from poliqi.edge.desk import KeyDesk
from poliqi.edge.frameserver import FrameService, ServiceLimits
from poliqi.edge.isolated import check_isolated
from poliqi.edge.network import Address
from poliqi.keys.grade import Authenticity, Grade, KeyOrigin
from poliqi.keys.requests import Block, Refused

__all__ = ["MOST_PUSH_BYTES", "BlockPushServer", "PushedBlock", "check_push_address", "name_of_push", "read_push"]

MOST_PUSH_BYTES: Final = 1 << 20
_IDLE_S: Final = 300.0
_FRAME_S: Final = 10.0
_GRACE_S: Final = 5.0
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_NAMED: Final = b"poliqi prototype block"

_Id = Annotated[str, Meta(min_length=1, max_length=128)]
_Byte = Annotated[int, Meta(ge=0, le=255)]


class _Push(msgspec.Struct, frozen=True):
    """The prototype's message. `timestamp` and members that are not named here are passed over."""

    block_id: _Id
    material: Annotated[list[_Byte], Meta(min_length=1)] | Annotated[str, Meta(min_length=1)]
    link_id: _Id


_DECODER: Final = msgspec.json.Decoder(_Push)


@dataclass(frozen=True, slots=True)
class PushedBlock:
    """What came, and for which link of the prototype's."""

    link_id: str
    block_id: str
    key: SecretBytes


def read_push(frame: bytes) -> PushedBlock:
    """Read one message: a list is bytes as numbers, a string is padded base64. Raises ProtocolError."""
    try:
        told = _DECODER.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a pushed block: {type(error).__name__} in {len(frame)} bytes") from None
    if not (told.link_id.isprintable() and told.block_id.isprintable()):
        raise ProtocolError("a pushed block whose link_id or block_id cannot be printed")
    if isinstance(told.material, str):
        try:
            key = base64.b64decode(told.material, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ProtocolError("a pushed block whose material is a string but no padded base64") from error
    else:
        key = bytes(told.material)
    return PushedBlock(told.link_id, told.block_id, SecretBytes(key))


def name_of_push(link_id: str, block_id: str) -> bytes:
    """The 16 bytes that name a pushed block, the same at both ends.

    A UUID of RFC 9562's variant names itself; its variant bits keep it apart from the numbers that name distilled
    blocks. Any other id is hashed together with the link's.
    """
    if _UUID.fullmatch(block_id) and UUID(block_id).variant == RFC_4122:
        return UUID(block_id).bytes
    link = link_id.encode()
    digest = bytearray(
        hashlib.sha256(_NAMED + len(link).to_bytes(2, "big") + link + block_id.encode()).digest()[:16]
    )
    digest[6] = digest[6] & 0x0F | 0x80  # a UUID of version 8
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def check_push_address(address: Address, *, isolated: bool) -> None:
    """Refuse an address that strangers can reach (ConfigError); `isolated` vouches for one that is not loopback."""
    check_isolated("block push", address, isolated=isolated)


class BlockPushServer:
    """Listens for pushed blocks. `pools` maps the prototype's link ids to links; no other is taken.

    `report` gets a line for what was refused: the protocol has no way to tell the sender.
    """

    def __init__(
        self,
        desk: KeyDesk,
        address: Address,
        pools: Mapping[str, LinkId],
        *,
        isolated: bool = False,
        report: Callable[[str], None] = lambda _: None,
        frame_s: float = _FRAME_S,
    ) -> None:
        check_push_address(address, isolated=isolated)
        self._desk: Final = desk
        self._address: Final = address
        self._pools: Final = dict(pools)
        self._report: Final = report
        self._complain: Final = Complaints(report)
        limits = ServiceLimits(MOST_PUSH_BYTES, frame_s=frame_s, idle_s=_IDLE_S)
        self._service: Final = FrameService("block push", _anybody, self._serve, limits, self._complain, None)
        self._server: asyncio.Server | None = None
        self.blocks = 0
        self.bytes = 0

    @property
    def refusals(self) -> int:
        """Blocks and connections that were refused or broke off."""
        return self._complain.total

    async def open(self) -> Address:
        """Listen; the address with the port that was bound. Raises ConfigError."""
        a = self._address
        try:
            self._server = await asyncio.start_server(self._service.accept, a.host, a.port)
        except OSError as error:
            raise ConfigError(f"block push: cannot listen on {a}: {error.strerror or error}") from error
        bound = Address(a.host, self._server.sockets[0].getsockname()[1])
        self._report(f"block push: listening on {bound}; senders are NOT authenticated, their keys are unproven")
        return bound

    async def _serve(self, frame: bytes) -> None:
        try:
            pushed = read_push(frame)
        except ProtocolError as error:
            self._complain(f"block push: refused: {error}")
            return
        pool = self._pools.get(pushed.link_id)
        if pool is None:
            self._complain(f"block push: refused: link_id {pushed.link_id} is not configured for block push")
            return
        grade = Grade(KeyOrigin.UNPROVEN, "", None, paths=(), authenticity=Authenticity.COMPUTATIONAL)
        name, size = name_of_push(pushed.link_id, pushed.block_id), len(pushed.key)
        try:
            outcome = await self._desk.ingest(Block(pool, name, pushed.key, grade))
        except PoliqiError as error:
            self._complain(f"block push: block {pushed.block_id} of link {pool} was lost: {error}")
            return
        if isinstance(outcome, Refused):
            self._complain(f"block push: block {pushed.block_id} of link {pool} refused: {outcome.message}")
            return
        self.blocks += 1
        self.bytes += size

    async def close(self) -> None:
        """Stop listening, finish what is being stored, drop the rest."""
        if self._server is not None:
            await self._service.close(self._server, _GRACE_S)


def _anybody(_: asyncio.StreamWriter) -> None:
    """The protocol says nothing of who sends."""
