"""The link's side of the ingest socket: hands blocks to a site, one at a time, and waits for its word.

Blocking, for a thread of its own; `abort` from another thread ends whatever it waits for.
"""

from __future__ import annotations

import select
import socket
from pathlib import Path
from typing import Final

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import LinkId
from poliqi.base.secret import SecretBytes
from poliqi.edge.framing import HEADER_BYTES
from poliqi.edge.ingest_server import peer_credentials
from poliqi.edge.keysink import ConfirmedBlock, Postponed
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.ingest import MOST_ANSWER_BYTES, MOST_BLOCK_BYTES, decode_answer, decode_hello, encode_block
from poliqi.keys.requests import Accepted, Block, Reason
from poliqi.keys.segment import block_of_number

__all__ = ["SITE_PREFIX", "SiteSink"]

SITE_PREFIX: Final = "site:"
_LASTING: Final = (Reason.BAD_REQUEST, Reason.NOT_PERMITTED, Reason.NOT_FOUND, Reason.NO_ROUTE)


class SiteSink:
    """A site as a place for blocks of one pairing. `timeout_s` is how long it may take over one answer."""

    def __init__(self, path: Path, link_id: LinkId, pair_id: str, *, timeout_s: float = 30.0) -> None:
        self.path: Final = path.absolute()
        self._link_id: Final = link_id
        self._pair_id: Final = pair_id
        self._timeout_s: Final = timeout_s
        self._socket: socket.socket | None = None
        self._site = ""
        self._aborted = False

    def reach(self) -> str | Postponed:
        """Name of the site, connected to where it was not. The name is the site's own, not the socket's path."""
        if self._socket is not None and self._is_open(self._socket):
            return self._site
        self._drop()
        try:
            self._connect()
        except ProtocolError as error:
            self._drop()
            return Postponed(str(error), lasting=True)
        except OSError as error:
            self._drop()
            return Postponed(f"site at {self.path} cannot be reached: {_words(error)}")
        return self._site

    def _connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket = made
        if self._aborted:
            raise OSError("this end is stopping")
        made.settimeout(self._timeout_s)
        made.connect(str(self.path))
        self._check_host(made)
        self._site = SITE_PREFIX + decode_hello(self._read(made))

    @staticmethod
    def _is_open(connected: socket.socket) -> bool:
        """Whether the site is still there: between two answers it says nothing, unless it goes."""
        poll = select.poll()
        poll.register(connected, select.POLLIN)
        return not poll.poll(0)

    def _check_host(self, made: socket.socket) -> None:
        """Hand keys only to the owner of the socket's folder, into which nobody else can put a socket."""
        there, (uid, _) = self.path.parent.stat(), peer_credentials(made)
        if there.st_mode & 0o022 or there.st_uid not in (uid, 0):
            raise ProtocolError(
                f"socket {self.path} is served by user {uid}, but others can write into its folder: "
                "no key is sent there"
            )

    def append(self, block: ConfirmedBlock) -> Postponed | None:
        """Hand over one block of a distilling link; None once the site says that it holds it durably."""
        grade = Grade(KeyOrigin(block.origin.value), block.proof, block.epsilon, paths=())
        return self.hand(block_of_number(block.number, self._pair_id), block.key, grade, f"block {block.number}")

    def hand(self, name: bytes, key: SecretBytes, grade: Grade, called: str) -> Postponed | None:
        """Hand over one block by its 16 bytes of name; as `append`. `called` stands in what is said of it."""
        if self._socket is None:
            return Postponed(f"site at {self.path} is not connected")
        frame = encode_block(Block(self._link_id, name, key, grade))
        if len(frame) > MOST_BLOCK_BYTES:
            return Postponed(f"{called} has more bytes than a site takes at once", lasting=True)
        try:
            self._socket.sendall(len(frame).to_bytes(HEADER_BYTES, "big") + frame)
            answer = decode_answer(self._read(self._socket))
        except ProtocolError as error:
            self._drop()
            return Postponed(str(error), lasting=True)
        except OSError as error:
            self._drop()
            return Postponed(f"site at {self.path} did not answer: {_words(error)}")
        if isinstance(answer, Accepted):
            return None
        why = answer.message or answer.reason.value
        text = f"site {self._site.removeprefix(SITE_PREFIX)} refuses {called}: {why}"
        return Postponed(text, answer.retry_s or 0.0, lasting=answer.reason in _LASTING)

    def _read(self, connected: socket.socket) -> bytes:
        length = int.from_bytes(_exactly(connected, HEADER_BYTES), "big")
        if length > MOST_ANSWER_BYTES:
            raise ProtocolError(
                f"socket {self.path} announced {length} bytes: it is not the ingest socket of a site"
            )
        return _exactly(connected, length)

    def _drop(self) -> None:
        dropped, self._socket = self._socket, None
        if dropped is not None:
            dropped.close()

    def abort(self) -> None:
        """End what another thread waits for here, for good."""
        self._aborted = True
        waiting = self._socket
        if waiting is not None:
            try:
                waiting.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()


def _exactly(connected: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connected.recv(count - len(data))
        if not part:
            raise ConnectionError("the connection ended")
        data += part
    return bytes(data)


def _words(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error))
