"""A sealed file of any length: the STREAM construction over AES-256-GCM.

Hoang, Reyhanitabar, Rogaway, Vizar, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO
2015, section 7: the nonce of a chunk is its number (11 bytes, big endian) and a byte that is 1 for the last chunk,
so a chunk that was taken out, put in, moved or cut off is noticed. One key seals one file. The file's name for
itself, 16 bytes, is the associated data of each chunk.

```
MAGIC (16)  name (16)  chunk chunk ... last chunk        each 131072 + 16 bytes, the last 0 to 131072 + 16
```
"""

from __future__ import annotations

import io
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poliqi.base.errors import AuthenticationError, DataRefused

__all__ = ["CHUNK_BYTES", "HEADER_BYTES", "SEALED_BYTES", "SealedReader", "SealedWriter"]

MAGIC: Final = b"poliqi dataset 1"
CHUNK_BYTES: Final = 128 << 10
_TAG_BYTES: Final = 16
SEALED_BYTES: Final = CHUNK_BYTES + _TAG_BYTES
"""A full chunk on disk and on the wire."""
_NAME_BYTES: Final = 16
HEADER_BYTES: Final = len(MAGIC) + _NAME_BYTES


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if is_last else b"\x00")


class SealedWriter(io.RawIOBase):
    """Seals what is written to it into `out`. `close` writes the last chunk; `out` stays open."""

    def __init__(self, out: BinaryIO, key: bytes | memoryview, name: bytes) -> None:
        if len(name) != _NAME_BYTES:
            raise ValueError(f"a dataset's name for itself has {_NAME_BYTES} bytes, not {len(name)}")
        super().__init__()
        self._out: Final = out
        self._cipher: Final = AESGCM(bytes(key))
        self._name: Final = name
        self._kept = bytearray()
        self._number = 0
        out.write(MAGIC + name)

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Take any number of bytes."""
        view = memoryview(data).cast("B")
        self._kept += view
        while len(self._kept) > CHUNK_BYTES:
            self._seal(memoryview(self._kept)[:CHUNK_BYTES].tobytes(), is_last=False)
            del self._kept[:CHUNK_BYTES]
        return len(view)

    def close(self) -> None:
        """Write the last chunk, once."""
        if not self.closed:
            self._seal(bytes(self._kept), is_last=True)
            self._kept.clear()
        super().close()

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        self._out.write(self._cipher.encrypt(_nonce(self._number, is_last), chunk, self._name))
        self._number += 1


class SealedReader(io.RawIOBase):
    """Opens a sealed file; every byte that it gives was authentic and in its place.

    `read` raises AuthenticationError where a chunk was changed, moved or cut off; the constructor raises
    DataRefused where `source` is no dataset, or another one than `name`.
    """

    def __init__(self, source: BinaryIO, key: bytes | memoryview, name: bytes) -> None:
        super().__init__()
        header = source.read(HEADER_BYTES)
        if header[: len(MAGIC)] != MAGIC or header[len(MAGIC) :] != name:
            raise DataRefused(f"these {len(header)} bytes do not begin the dataset {name.hex()}: fetch it again")
        self._source: Final = source
        self._cipher: Final = AESGCM(bytes(key))
        self._name: Final = name
        self._number = 0
        self._next = source.read(SEALED_BYTES)
        self._plain = memoryview(b"")
        self._is_over = False

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """As io.RawIOBase."""
        while not self._plain and not self._is_over:
            self._open()
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._plain))
        view[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def _open(self) -> None:
        chunk = self._next
        self._next = self._source.read(SEALED_BYTES) if len(chunk) == SEALED_BYTES else b""
        self._is_over = not self._next
        try:
            plain = self._cipher.decrypt(_nonce(self._number, self._is_over), chunk, self._name)
        except InvalidTag:
            raise AuthenticationError(
                f"chunk {self._number} of dataset {self._name.hex()} was changed, moved or cut off: fetch it again"
            ) from None
        self._number += 1
        self._plain = memoryview(plain)
