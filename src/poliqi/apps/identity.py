"""Who an application is to other applications: an X25519 key for streams, an ML-DSA-65 key for signatures.

```
IDENTITY.key, private                       IDENTITY.pub, public
format = "poliqi identity 1"                format = "poliqi contact 1"
sae = "bank"                                sae = "bank"
x25519 = "<base64, 32 bytes>"               x25519 = "<base64, 32 bytes>"
ml-dsa-65 = "<base64, seed of 32 bytes>"    ml-dsa-65 = "<base64, 1952 bytes>"
```

Two applications exchange their public files by hand, once, as they would exchange a WireGuard key. The fingerprint
is for reading out: SHA-256 over name and both keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from poliqi.base.errors import AuthenticationError, ConfigError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy
from poliqi.edge.privatefile import write_private
from poliqi.keys.combine import lengthed
from poliqi.keys.etsi014 import is_sae_id

__all__ = ["Contact", "Identity", "read_contact", "read_identity"]

_FILE_BYTES: Final = 1 << 16
_PRIVATE: Final = "poliqi identity 1"
_PUBLIC: Final = "poliqi contact 1"
_SEED_BYTES: Final = 32


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"ml_dsa_65": "ml-dsa-65"}):
    format: str
    sae: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    x25519: str
    ml_dsa_65: str


@dataclass(frozen=True, slots=True)
class Contact:
    """Another application's public keys."""

    sae: SaeId
    exchange: X25519PublicKey
    signature: MLDSA65PublicKey

    @property
    def exchange_bytes(self) -> bytes:
        """The X25519 public key, 32 bytes."""
        return self.exchange.public_bytes_raw()

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits over name and keys."""
        parts = [self.sae.encode(), self.exchange_bytes, self.signature.public_bytes_raw()]
        return hashlib.sha256(lengthed([b"poliqi contact 1", *parts])).hexdigest()

    def verify(self, signature: bytes, message: bytes, context: bytes) -> None:
        """Raises AuthenticationError unless it signed `message` in `context` (FIPS 204, ML-DSA-65)."""
        try:
            self.signature.verify(signature, message, context)
        except (InvalidSignature, ValueError):
            raise AuthenticationError(
                f"a signature said to be of {self.sae} is not: drop what it came with"
            ) from None

    def text(self) -> str:
        """The public file."""
        return _text(_PUBLIC, self.sae, self.exchange_bytes, self.signature.public_bytes_raw())


class Identity:
    """An application's own keys."""

    __slots__ = ("_signature", "contact", "exchange")

    def __init__(self, sae: SaeId, exchange: X25519PrivateKey, signature: MLDSA65PrivateKey) -> None:
        self.contact: Final = Contact(sae, exchange.public_key(), signature.public_key())
        self.exchange: Final = exchange
        self._signature: Final = signature

    def __repr__(self) -> str:
        return f"<Identity of {self.contact.sae}>"

    @classmethod
    def make(cls, sae: SaeId, entropy: Entropy) -> Self:
        """A new one. Raises ConfigError on a name that no application can have."""
        _check_name(sae, "identity")
        exchange = X25519PrivateKey.from_private_bytes(entropy.draw(32))
        return cls(sae, exchange, MLDSA65PrivateKey.from_seed_bytes(entropy.draw(_SEED_BYTES)))

    @property
    def sae(self) -> SaeId:
        """Its name."""
        return self.contact.sae

    def sign(self, message: bytes, context: bytes) -> bytes:
        """An ML-DSA-65 signature (FIPS 204), 3309 bytes; `context` keeps one use from another."""
        return self._signature.sign(message, context)

    def write(self, path: Path) -> None:
        """Write the private file, readable by its owner alone; never over another. Raises StoreError."""
        text = _text(_PRIVATE, self.sae, self.exchange.private_bytes_raw(), self._signature.private_bytes_raw())
        write_private(path, text.encode(), "identity")


def read_identity(path: Path) -> Identity:
    """Raises ConfigError, also where others could read the file."""
    data, mode = _read(path, "identity")
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"identity {path}: others can read it (mode {stat.S_IMODE(mode):o}): chmod 600")
    file = _parse(data, path, "identity", _PRIVATE)
    exchange = _made(path, "x25519", X25519PrivateKey.from_private_bytes, file.x25519)
    signature = _made(path, "ml-dsa-65", MLDSA65PrivateKey.from_seed_bytes, file.ml_dsa_65)
    return Identity(SaeId(file.sae), exchange, signature)


def read_contact(path: Path) -> Contact:
    """Raises ConfigError."""
    file = _parse(_read(path, "contact")[0], path, "contact", _PUBLIC)
    exchange = _made(path, "x25519", X25519PublicKey.from_public_bytes, file.x25519)
    signature = _made(path, "ml-dsa-65", MLDSA65PublicKey.from_public_bytes, file.ml_dsa_65)
    return Contact(SaeId(file.sae), exchange, signature)


def _read(path: Path, what: str) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            data, mode = file.read(_FILE_BYTES + 1), os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise ConfigError(f"{what} {path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _FILE_BYTES:
        raise ConfigError(f"{what} {path}: longer than {_FILE_BYTES} bytes")
    return data, mode


def _parse(data: bytes, path: Path, what: str, form: str) -> _File:
    try:
        file = msgspec.convert(tomllib.loads(data.decode()), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, RecursionError):
        # the library's own message could quote a key
        raise ConfigError(f"{what} {path}: is no {what} file; `poliqi sae new` makes one") from None
    if file.format != form:
        raise ConfigError(
            f"{what} {path}: format is {file.format[:40]!r}, not {form!r}; is it the other of the two?"
        )
    _check_name(SaeId(file.sae), f"{what} {path}")
    return file


_K = TypeVar("_K", X25519PrivateKey, X25519PublicKey, MLDSA65PrivateKey, MLDSA65PublicKey)


def _made(path: Path, name: str, make: Callable[[bytes], _K], text: str) -> _K:
    try:
        return make(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise ConfigError(f"{path}: {name} is no key of its kind; copy the whole file again") from None


def _check_name(sae: SaeId, what: str) -> None:
    if not is_sae_id(sae):
        raise ConfigError(f"{what}: {sae[:80]!r} is no application's name: 1 to 64 printable characters")


def _text(form: str, sae: SaeId, exchange: bytes, signature: bytes) -> str:
    name = msgspec.json.encode(sae).decode()
    pair = base64.b64encode(exchange).decode(), base64.b64encode(signature).decode()
    return f'format = "{form}"\nsae = {name}\nx25519 = "{pair[0]}"\nml-dsa-65 = "{pair[1]}"\n'
