"""What an application keeps on its own disk, sealed: AES-256-GCM under a key that lies beside it.

Every value is sealed under a key of its own, HKDF-SHA256 (RFC 5869) of the local key with 32 fresh bytes as salt:
no nonce can meet another. The local key is a file that its owner alone can read. This is computational. It protects
a copied file or a backup without the key, not a machine that was taken over.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.edge.folder import sync_folder
from poliqi.edge.privatefile import read_private, write_private

__all__ = ["OVERHEAD_BYTES", "LocalSeal"]

_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 32
_TAG_BYTES: Final = 16
_LABEL: Final = b"poliqi at rest 1"
OVERHEAD_BYTES: Final = _SALT_BYTES + _TAG_BYTES
"""By so much a sealed value is longer."""


class LocalSeal:
    """Seals and opens small values. Any thread may call."""

    __slots__ = ("_entropy", "_key")

    def __init__(self, key: SecretBytes, entropy: Entropy) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError(f"a local key has {_KEY_BYTES} bytes, not {len(key)}")
        self._key: Final = key
        self._entropy: Final = entropy

    @classmethod
    def of_folder(cls, folder: Path, entropy: Entropy) -> Self:
        """That of `folder`, made at the first use. Raises ConfigError, StoreError."""
        path = folder / "local.key"
        if not path.exists():
            draft = folder / f".local.key.{os.getpid()}.{os.urandom(4).hex()}"
            write_private(draft, entropy.draw(_KEY_BYTES), "local key")
            try:
                # the first of two at once wins, and both use its key
                os.link(draft, path)
                sync_folder(folder)
            except FileExistsError:
                pass
            except OSError as error:
                raise StoreError(f"local key {path}: cannot be made: {error.strerror}") from error
            finally:
                draft.unlink(missing_ok=True)
        key, is_open_to_others = read_private(path, "local key")
        if is_open_to_others:
            raise ConfigError(f"local key {path}: others can read it: chmod 600")
        if len(key) != _KEY_BYTES:
            raise StoreError(f"local key {path}: has {len(key)} bytes, not {_KEY_BYTES}: restore it")
        return cls(SecretBytes(key), entropy)

    def seal(self, value: bytes | bytearray | memoryview, bound_to: bytes) -> bytes:
        """`value`, sealed so that it opens only in the place that `bound_to` names."""
        salt = self._entropy.draw(_SALT_BYTES)
        return salt + self._cipher(salt).encrypt(bytes(12), value, _LABEL + bound_to)

    def open(self, sealed: bytes | memoryview, bound_to: bytes) -> SecretBytes:
        """The value. Raises DataRefused where a bit of it or of its place was changed."""
        view = memoryview(sealed)
        if len(view) < OVERHEAD_BYTES:
            raise DataRefused(f"a sealed value of {len(view)} bytes is too short: it was cut off")
        try:
            cipher = self._cipher(bytes(view[:_SALT_BYTES]))
            return SecretBytes(cipher.decrypt(bytes(12), view[_SALT_BYTES:], _LABEL + bound_to))
        except InvalidTag:
            raise DataRefused("a sealed value does not open: it was changed, or is of another key") from None

    def _cipher(self, salt: bytes) -> AESGCM:
        key = HKDF(hashes.SHA256(), _KEY_BYTES, salt, _LABEL).derive(self._key.view())
        return AESGCM(key)
