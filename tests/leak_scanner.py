"""Finds key material that lies where it must not: as it is, backwards, and in every spelling that a leak has had.

What counts as found is any 8 bytes in a row of a secret, at any offset, forwards or backwards: raw, as hexadecimal
(either case, with or without separators), as base64 (either alphabet, any alignment), as a list of integers, or
with the escapes of a printed byte string. Random data of 100 MB holds 8 such bytes of a 1 MB secret by chance once
in a hundred thousand times.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Canary", "Leak", "spellings"]

WINDOW = 8
_TABLE_BITS = 24
_APART = bytes(WINDOW)

_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
_HEX_LIST = re.compile(rb"(?:(?:0[xX])?[0-9a-fA-F]{2}[\s,:;-]{1,2}){7,}(?:0[xX])?[0-9a-fA-F]{2}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{11,}")
_INTEGERS = re.compile(rb"(?:\d{1,3}[\s,;]{1,3}){7,}\d{1,3}")
_ESCAPED = re.compile(rb"(?:\\x[0-9a-fA-F]{2}|\\[nrt0'\"\\]|[ -\[\]-~]){8,}")


@dataclass(frozen=True, slots=True)
class Leak:
    """Where key material was found, and how it was spelt."""

    place: str
    kind: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}"


class Canary:
    """Secrets to look for."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        parts = [_windows(way) for secret in secrets for way in (secret, secret[::-1])]
        self._known: NDArray[np.uint64] = np.unique(np.concatenate(parts))
        self._table = np.zeros(1 << _TABLE_BITS, np.bool_)
        self._table[self._known & np.uint64((1 << _TABLE_BITS) - 1)] = True

    def _is_in(self, data: bytes) -> bool:
        found = _windows(data)
        found = found[self._table[found & np.uint64((1 << _TABLE_BITS) - 1)]]
        at = np.minimum(np.searchsorted(self._known, found), self._known.size - 1)
        return bool((self._known[at] == found).any())

    def kinds(self, data: bytes) -> list[str]:
        """The spellings in which a secret, or a part of one, stands in `data`."""
        return [kind for kind, texts in _readings(data) if self._is_in(_APART.join(texts))]

    def look(self, places: Mapping[str, bytes]) -> list[Leak]:
        """Every leak in these places."""
        return [Leak(place, kind) for place, data in places.items() for kind in self.kinds(data)]

    def look_in_folder(self, folder: Path) -> list[Leak]:
        """Every leak in the files below a folder, and in their names."""
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]
        names = "\n".join(map(str, files)).encode()
        return self.look({"names of files": names} | {str(p): p.read_bytes() for p in files})


def _windows(data: bytes) -> NDArray[np.uint64]:
    """Every 8 bytes in a row of `data`, as numbers."""
    views = [
        np.frombuffer(data[shift : shift + (len(data) - shift) // WINDOW * WINDOW], "<u8")
        for shift in range(WINDOW)
    ]
    return np.concatenate(views) if len(data) >= WINDOW else np.empty(0, np.uint64)


def _readings(data: bytes) -> Iterator[tuple[str, Iterable[bytes]]]:
    """`data` read as each spelling in turn."""
    yield "raw", [data]
    yield (
        "hexadecimal",
        (
            bytes.fromhex(run[shift : shift + (len(run) - shift) // 2 * 2].decode())
            for run in _HEX.findall(data)
            for shift in (0, 1)
        ),
    )
    yield (
        "hexadecimal list",
        (
            bytes.fromhex("".join(re.findall(r"(?:0[xX])?([0-9a-fA-F]{2})", run.decode())))
            for run in _HEX_LIST.findall(data)
        ),
    )
    yield (
        "base64",
        (
            base64.b64decode(
                run[shift : shift + (len(run) - shift) // 4 * 4].translate(bytes.maketrans(b"-_", b"+/"))
            )
            for run in (whole + b"AAA" for whole in _BASE64.findall(data))
            for shift in range(4)
        ),
    )
    yield "integers", (bytes(min(int(n), 255) for n in re.findall(rb"\d+", run)) for run in _INTEGERS.findall(data))
    yield (
        "escaped",
        (
            run.decode("ascii").encode().decode("unicode_escape").encode("latin-1", "replace")
            for run in _ESCAPED.findall(data)
            if b"\\" in run
        ),
    )


def spellings(secret: bytes) -> dict[str, bytes]:
    """The ways in which software has been seen to write a secret down."""
    standard = [base64.b64encode(b"x" * shift + secret) for shift in range(3)]
    return {
        "raw": secret,
        "reversed": secret[::-1],
        "half of it": secret[5 : 5 + len(secret) // 2],
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "hex after an odd digit": b"f" + secret.hex().encode(),
        "reversed hex": secret[::-1].hex().encode(),
        "hex with colons": secret.hex(":").encode(),
        "C array": ", ".join(f"0x{byte:02x}" for byte in secret).encode(),
        "base64": standard[0],
        "base64 after one byte": standard[1],
        "base64 after two bytes": standard[2],
        "urlsafe base64": base64.urlsafe_b64encode(secret),
        "base64 without padding": base64.urlsafe_b64encode(secret).rstrip(b"="),
        "integers": ", ".join(map(str, secret)).encode(),
        "integers without blanks": ",".join(map(str, secret)).encode(),
        "integers by lines": "\n".join(map(str, secret)).encode(),
        "printed bytes": repr(secret).encode(),
    }
