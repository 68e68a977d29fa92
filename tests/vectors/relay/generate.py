"""Writes messages.json and sealed.json from docs/spec/relay.md, with its own MessagePack writer and Poly1305.

Run from the root of the repository: python tests/vectors/relay/generate.py
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

BLOCK = bytes(range(16))
SEGMENT = bytes(range(16, 32))


def pack(value: Any) -> bytes:
    """MessagePack, shortest form, of what these messages have in them."""
    match value:
        case None:
            return b"\xc0"
        case int() if value < 128:
            return bytes([value])
        case int() if value < 1 << 8:
            return b"\xcc" + bytes([value])
        case int() if value < 1 << 16:
            return b"\xcd" + value.to_bytes(2, "big")
        case int():
            return b"\xce" + value.to_bytes(4, "big")
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            data = value.encode()
            return (bytes([0xA0 | len(data)]) if len(data) < 32 else b"\xd9" + bytes([len(data)])) + data
        case bytes():
            wide = len(value) > 255
            return (b"\xc5" + len(value).to_bytes(2, "big") if wide else b"\xc4" + bytes([len(value)])) + value
        case list() if len(value) < 16:
            return bytes([0x90 | len(value)]) + b"".join(pack(item) for item in value)
    raise ValueError(f"no way to write {value!r}")


def order(**changes: Any) -> list[Any]:
    fields = {
        "type": 0,
        "version": 1,
        "block": BLOCK,
        "pool": "leonardo~bovisa",
        "origin": "leonardo",
        "destination": "bovisa",
        "scheme": "xor",
        "threshold": 2,
        "paths": [["leonardo", "centro", "bovisa"], ["leonardo", "lambrate", "bovisa"]],
        "size": 1024,
    }
    return list({**fields, **changes}.values())


PADS = [[SEGMENT, 3, 32, 1000], [SEGMENT, 4, 32, 56]]
HOP = ["photons", "one-decoy", 1e-10, "information-theoretic"]
PARCEL = [1, order(), 2, 2, PADS, HOP, bytes(1024), bytes(16)]
FIRST = [1, order(), 1, 1, PADS, None, bytes(1024), bytes(16)]
WHOLE = [[SEGMENT, 3, 32, 1024]]
PARITY = [2, order(), 1, 1, WHOLE, WHOLE, HOP, bytes(1024), [[SEGMENT, 0, 32, 32]], bytes(16)]
REFUSAL = [3, BLOCK, 1, "centro", "pads are low"]

READY = [4, BLOCK]
STORED = [5, BLOCK, HOP]
TYPES = ["RelayOrder", "RelayParcel", "Parity", "RelayRefusal", "RelayReady", "RelayStored"]


def changed(message: list[Any], place: int, value: Any) -> list[Any]:
    other = copy.deepcopy(message)
    other[place] = value
    return other


def long_path(sites: int) -> list[list[str]]:
    return [[f"site {i}" for i in range(sites)]]


REFUSED = {
    "empty": b"",
    "not an array": b"\xc0",
    "unknown type": pack([6, BLOCK]),
    "a field too many": pack([*REFUSAL, 0]),
    "a field too few": pack(REFUSAL[:-1]),
    "bytes behind the end": pack(REFUSAL) + b"\x00",
    "cut short": pack(REFUSAL)[:-1],
    "version 2": pack(order(version=2)),
    "version 0": pack(order(version=0)),
    "block of 15 bytes": pack(order(block=BLOCK[:15])),
    "empty pool": pack(order(pool="")),
    "unknown scheme": pack(order(scheme="sum")),
    "threshold 0": pack(order(threshold=0)),
    "threshold 9": pack(order(threshold=9)),
    "no path": pack(order(paths=[])),
    "nine paths": pack(order(paths=[["leonardo", "bovisa"]] * 9)),
    "path of one site": pack(order(paths=long_path(1))),
    "path of nine hops": pack(order(paths=long_path(10))),
    "1023 bytes": pack(order(size=1023)),
    "65537 bytes": pack(order(size=65537)),
    "share 0": pack(changed(PARCEL, 2, 0)),
    "share 9": pack(changed(PARCEL, 2, 9)),
    "hop 0": pack(changed(PARCEL, 3, 0)),
    "hop 9": pack(changed(PARCEL, 3, 9)),
    "no pads": pack(changed(PARCEL, 4, [])),
    "empty pad": pack(changed(PARCEL, 4, [[SEGMENT, 0, 0, 0]])),
    "unknown kind of light": pack(changed(PARCEL, 5, ["sun", *HOP[1:]])),
    "negative epsilon": pack(changed(PARCEL, 5, [*HOP[:2], -1e-10, HOP[3]])),
    "epsilon above 1": pack(changed(PARCEL, 5, [*HOP[:2], 1.5, HOP[3]])),
    "epsilon not a number": pack(changed(PARCEL, 5, [*HOP[:2], float("nan"), HOP[3]])),
    "tag of 17 bytes": pack(changed(PARCEL, 7, bytes(17))),
    "ready without a block": pack([4, b""]),
    "stored without words": pack([5, BLOCK, None]),
    "place 8": pack(changed(PARITY, 3, 8)),
}


def plain(value: Any) -> Any:
    """As JSON can hold it: bytes in base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [plain(v) for v in value] if isinstance(value, list) else value


def poly1305(key: bytes, message: bytes) -> bytes:
    """RFC 8439, section 2.5.1, in whole numbers."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i : i + 16] + b"\x01", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


def stretch(label: str, size: int) -> bytes:
    return hashlib.shake_128(label.encode()).digest(size)


def sealed(name: str, blank: list[Any]) -> dict[str, str]:
    """A parcel, its key, and the share in it."""
    key, share = stretch(f"key of {name}", 32 + 1024), stretch(f"share of {name}", 1024)
    cipher = bytes(a ^ b for a, b in zip(share, key[32:], strict=True))
    context = pack([*blank[:-2], b"", b""])
    tag = poly1305(key[:32], b"poliqi sealed\x00" + len(context).to_bytes(4, "big") + context + cipher)
    body = pack([*blank[:-2], cipher, tag])
    return {"name": name, "key": key.hex(), "share": share.hex(), "body": body.hex()}


def main() -> None:
    accepted = []
    for name, message in (
        ("order", order()),
        ("parcel at its second hop", PARCEL),
        ("parcel at its first hop", FIRST),
        ("parity with a tag", PARITY),
        ("refusal", REFUSAL),
        ("ready", READY),
        ("stored", STORED),
    ):
        accepted.append(
            {"name": name, "type": TYPES[message[0]], "body": pack(message).hex(), "fields": plain(message)}
        )
    refused = [{"name": name, "body": body.hex()} for name, body in REFUSED.items()]
    text = json.dumps({"accepted": accepted, "refused": refused}, indent=1) + "\n"
    (Path(__file__).parent / "messages.json").write_text(text)
    cases = [sealed("first hop", FIRST), sealed("second hop", PARCEL)]
    (Path(__file__).parent / "sealed.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
