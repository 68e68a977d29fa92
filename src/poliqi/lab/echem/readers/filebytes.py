"""The bytes of a file, up to a limit; of a gzip one, what it unpacks to, up to the same limit."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError, DataRefused

__all__ = ["MOST_BYTES", "file_bytes", "text_bytes"]

MOST_BYTES: Final = 1 << 30
_GZIP: Final = b"\x1f\x8b"
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
_CHUNK: Final = 1 << 20


def file_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Raises ConfigError (cannot be read), DataRefused (empty, or above `most` bytes)."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}; name a file of a cycler or potentiostat"
        ) from error
    if len(data) > most:
        raise DataRefused(f"{path} has more than {most >> 20} MiB, which are not read at once; split it")
    if not data:
        raise DataRefused(f"{path} is empty; copy it again")
    return data


def text_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Of a text, in UTF-8 or an older 8-bit encoding; a gzip one is unpacked. Raises as `file_bytes`."""
    data = file_bytes(path, most)
    if data.startswith(_GZIP):
        data = _unpacked(path, data, most)
    if data.startswith(_ZSTANDARD):
        raise DataRefused(f"{path} is packed by Zstandard; unpack it first (zstd -d), or pack it by gzip")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise DataRefused(f"{path} says UTF-16 and is not; save it as UTF-8") from error
    if b"\0" in data[:_CHUNK]:
        raise DataRefused(f"{path} is no text, and none of the binary formats that are read; see --help for those")
    return data.removeprefix(b"\xef\xbb\xbf")


def _unpacked(path: Path, data: bytes, most: int) -> bytes:
    """All that gzip members hold, never more than `most` bytes."""
    parts: list[bytes] = []
    size = 0
    try:
        while data:
            unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
            while not unpack.eof:
                part = unpack.decompress(data, _CHUNK)
                data = unpack.unconsumed_tail
                size += len(part)
                parts.append(part)
                if size > most:
                    raise DataRefused(f"{path} unpacks to more than {most >> 20} MiB; unpack it and split it")
                if not part and not data and not unpack.eof:
                    raise DataRefused(f"{path} ends in the middle of its packed part; copy it again")
            data = unpack.unused_data
            if not data.startswith(_GZIP):
                break
    except zlib.error as error:
        raise DataRefused(f"{path} cannot be unpacked ({error}); copy it again") from error
    return b"".join(parts)
