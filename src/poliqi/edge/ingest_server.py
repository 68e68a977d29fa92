"""The Unix socket where link processes hand finished blocks to their site, and tell of their light.

docs/spec/ingest.md. File permissions say who may connect, the kernel says who did (SO_PEERCRED); both must agree.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, PoliqiError, ProtocolError
from poliqi.control.lightframe import LIGHT, decode_light, is_light
from poliqi.control.messages import LightState, LinkReport
from poliqi.edge.complaints import Complaints
from poliqi.edge.desk import KeyDesk
from poliqi.edge.frameserver import FrameService, ServiceLimits
from poliqi.keys.ingest import MOST_BLOCK_BYTES, decode_block, encode_answer, encode_hello
from poliqi.keys.requests import Accepted, Reason, Refused

__all__ = ["IngestServer", "LocalPeers", "peer_credentials"]

_CREDENTIALS: Final = struct.Struct("3i")
_LONGEST_PATH: Final = 107
_GRACE_S: Final = 5.0
_RETRY_S: Final = 5.0
_CONNECTIONS: Final = 64  # two a link, one for blocks and one for news of its light


@dataclass(frozen=True, slots=True)
class LocalPeers:
    """Who may hand over blocks besides this process's own user; groups count only as a process's primary group."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()

    @property
    def own_user_only(self) -> bool:
        return not self.uids and not self.gids

    def refusal(self, uid: int, gid: int) -> str | None:
        """Why this user is turned away, or None."""
        if uid == os.geteuid() or uid in self.uids or gid in self.gids:
            return None
        return f"user {uid} (group {gid}) is not among those that may hand over blocks"


def peer_credentials(connected: Any) -> tuple[int, int]:
    """User and group of the process at the other end of a Unix socket, as the kernel knows them."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, gid = _CREDENTIALS.unpack(raw)
    return uid, gid


class IngestServer:
    """Takes blocks of any number of links on one socket; each is answered once the site holds it durably.

    `on_light` gets what links say of their light, and "silent" in the name of a link whose connection ends.
    """

    def __init__(
        self,
        desk: KeyDesk,
        path: Path,
        *,
        peers: LocalPeers | None = None,
        report: Callable[[str], None] = lambda _: None,
        on_light: Callable[[LinkReport], None] | None = None,
        frame_s: float = 30.0,
    ) -> None:
        self.path: Final = path.absolute()
        self._desk: Final = desk
        self._peers: Final = peers or LocalPeers()
        self._complain: Final = Complaints(report)
        self._on_light: Final = on_light
        self._lights: Final[dict[str, asyncio.Task[Any]]] = {}
        limits = ServiceLimits(MOST_BLOCK_BYTES, _CONNECTIONS, frame_s=frame_s)
        hello = encode_hello(desk.kme_id, () if on_light is None else (LIGHT,))
        self._service: Final = FrameService("ingest", self._admit, self._serve, limits, self._complain, hello)
        self._server: asyncio.Server | None = None
        self._inode: tuple[int, int] | None = None
        self.blocks = 0
        self.bytes = 0

    @property
    def refusals(self) -> int:
        """Blocks and connections that were refused or broke off."""
        return self._complain.total

    async def open(self) -> None:
        """Listen. Raises ConfigError where the folder is open to others or another process serves the socket."""
        listening = self._bind()
        try:
            self._server = await asyncio.start_unix_server(self._service.accept, sock=listening)
        except BaseException:
            listening.close()
            raise

    def _bind(self) -> socket.socket:
        self._check_folder()
        self._clear()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # the mode of the open socket is what bind gives to its name: nobody can come in between
            os.fchmod(listening.fileno(), 0o600 if self._peers.own_user_only else 0o660)
            listening.bind(str(self.path))
            self.path.chmod(0o600 if self._peers.own_user_only else 0o660)
            if not self._peers.own_user_only:
                os.chown(self.path, -1, self.path.parent.stat().st_gid)
            made = self.path.lstat()
            self._inode = made.st_dev, made.st_ino
            listening.setblocking(False)
        except OSError as error:
            listening.close()
            raise ConfigError(f"ingest socket {self.path}: cannot be made: {error.strerror}") from error
        return listening

    def _check_folder(self) -> None:
        folder = self.path.parent
        if len(os.fsencode(self.path)) > _LONGEST_PATH:
            raise ConfigError(f"ingest socket {self.path}: a socket's path has at most {_LONGEST_PATH} bytes")
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            there = folder.stat()
        except OSError as error:
            raise ConfigError(f"ingest socket {self.path}: its folder: {error.strerror}") from error
        open_bits, mode = (0o077, "700") if self._peers.own_user_only else (0o027, "750")
        if there.st_uid != os.geteuid() or there.st_mode & open_bits:
            raise ConfigError(
                f"folder {folder} of the ingest socket is open to others or not yours; run: chmod {mode} {folder}"
            )

    def _clear(self) -> None:
        """Remove the socket that a killed process left; never one that somebody serves, never a file."""
        try:
            there = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(there.st_mode):
            raise ConfigError(f"ingest socket {self.path}: a file stands there; name another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.path))
            except ConnectionRefusedError:
                self.path.unlink()
            except OSError as error:
                raise ConfigError(f"ingest socket {self.path}: {error}; is another process there?") from error
            else:
                raise ConfigError(f"ingest socket {self.path} is served by another process: stop that one first")

    def _admit(self, writer: asyncio.StreamWriter) -> str | None:
        return self._peers.refusal(*peer_credentials(writer.get_extra_info("socket")))

    async def _serve(self, frame: bytes) -> bytes:
        if is_light(frame):
            return self._take_light(frame)
        try:
            block = decode_block(frame)
        except ProtocolError as error:
            self._complain(f"ingest: refused: {error}")
            return encode_answer(Refused(Reason.BAD_REQUEST, str(error)))
        size = len(block.key)
        try:
            outcome = await self._desk.ingest(block)
        except PoliqiError as error:
            self._complain(f"ingest: block {block.name.hex()} of link {block.pool} was not stored: {error}")
            outcome = Refused(Reason.UNAVAILABLE, "the site could not store it", _RETRY_S)
        if isinstance(outcome, Refused):
            self._complain(f"ingest: block {block.name.hex()} of link {block.pool} refused: {outcome.message}")
        else:
            self.blocks += 1
            self.bytes += size
        return encode_answer(outcome)

    def _take_light(self, frame: bytes) -> bytes:
        """Pass a report on, and remember which connection speaks for its link: its end is news too."""
        try:
            if self._on_light is None:
                raise ProtocolError("this site takes no reports of light")
            report = decode_light(frame)
            self._speaks_for(report.link)
        except ProtocolError as error:
            self._complain(f"ingest: refused: {error}")
            return encode_answer(Refused(Reason.BAD_REQUEST, str(error)))
        self._on_light(report)
        return encode_answer(Accepted())

    def _speaks_for(self, link: str) -> None:
        """The newest connection that names a link speaks for it, and for no other link."""
        task = asyncio.current_task()
        assert task is not None
        if self._lights.get(link) is task:
            return
        if task in self._lights.values():
            raise ProtocolError(f"a report of link {link} on the connection of another link")
        self._lights[link] = task
        task.add_done_callback(lambda ended: self._fell_silent(link, ended))

    def _fell_silent(self, link: str, ended: asyncio.Task[Any]) -> None:
        if self._lights.get(link) is ended:
            del self._lights[link]
            if self._on_light is not None:
                reason = "the link's process is away"
                self._on_light(LinkReport(link=link, state=LightState.SILENT, reason=reason))

    async def close(self) -> None:
        """Stop listening, finish what is being stored, drop the rest, and take the socket's name away."""
        with suppress(OSError):
            there = self.path.lstat()
            if (there.st_dev, there.st_ino) == self._inode:
                self.path.unlink()
        if self._server is not None:
            await self._service.close(self._server, _GRACE_S)
