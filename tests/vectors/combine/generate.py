"""Writes combine.json with the HKDF of the `cryptography` package; the code under test has none of it.

Run from the root of the repository: python tests/vectors/combine/generate.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand


def stretch(label: str, size: int) -> bytes:
    return hashlib.shake_128(label.encode()).digest(size)


def lengthed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def main() -> None:
    cases = []
    for size in (1, 8, 32, 48, 49, 64, 96, 512, 4096):
        qkd, kem, context = stretch(f"qkd {size}", size), stretch(f"kem {size}", 32), stretch(f"context {size}", 64)
        salt = b"poliqi hybrid 1"
        hkdf = HKDF(SHA384(), size, salt, b"hkdf\x00" + context).derive(lengthed(qkd, kem))
        mask = HKDFExpand(SHA384(), size, b"xor\x00" + context).derive(kem)
        summed = bytes(a ^ b for a, b in zip(qkd, mask, strict=True))
        words = {"qkd_key": qkd, "kem_secret": kem, "context": context, "hkdf": hkdf, "xor": summed}
        cases.append({name: value.hex() for name, value in words.items()})
    facts = [b"poliqi combine 1", b"ML-KEM-1024", b"leonardo-bovisa", (7).to_bytes(8, "big"), b"t" * 48, b"a", b"b"]
    context = hashlib.sha384(lengthed(*facts)).hexdigest()
    text = json.dumps({"keys": cases, "context": context}, indent=1) + "\n"
    (Path(__file__).parent / "combine.json").write_text(text)


if __name__ == "__main__":
    main()
