"""Hands equal blocks of simulated key to the ingest sockets of sites, as the two ends of a link would."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path

from poliqi.base.ids import LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.ingest import decode_answer, decode_hello, encode_block
from poliqi.keys.requests import Accepted, Block
from poliqi.keys.segment import block_of_number

__all__ = ["Feeder", "block_key"]

SIMULATED = Grade(KeyOrigin.SIMULATED, "", None, ())


def block_key(link: str, number: int, size: int) -> bytes:
    """The same bits at both ends."""
    return hashlib.shake_256(f"{link} {number}".encode()).digest(size)


class Feeder:
    """A connection to the ingest socket of one site."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30.0)
        try:
            self._connect(path)
            self.site = decode_hello(self._frame())
        except BaseException:
            self._socket.close()
            raise

    def _connect(self, path: Path) -> None:
        """The site may be about to open its socket."""
        until = time.monotonic() + 30.0
        while True:
            try:
                self._socket.connect(str(path))
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def _frame(self) -> bytes:
        size = int.from_bytes(self._exactly(4), "big")
        return self._exactly(size)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the site closed its ingest socket")
            data += more
        return data

    def push(self, link: str, number: int, key: bytes, grade: Grade = SIMULATED) -> None:
        """Hand a block over and wait until it is durable."""
        frame = encode_block(Block(LinkId(link), block_of_number(number), SecretBytes(key), grade))
        self._socket.sendall(len(frame).to_bytes(4, "big") + frame)
        answer = decode_answer(self._frame())
        if not isinstance(answer, Accepted):
            raise ConnectionError(f"{self.site} refuses block {number}: {answer.message}")

    def close(self) -> None:
        self._socket.close()
