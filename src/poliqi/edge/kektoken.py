"""Key-encryption keys in a PKCS#11 token: AES-256 keys that are made there and never leave it.

One session, opened at the first use; a lock makes its calls follow one another.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge.folder import check_private
from poliqi.edge.kek import kek_name, parse_kek_name
from poliqi.edge.sealing import KEY_BYTES, NONCE_BYTES

__all__ = ["TokenKek", "read_pin"]

_PREFIX: Final = "poliqi-"
_GCM: Final = b"G"
_KEY_WRAP: Final = b"W"


def read_pin(path: Path) -> str:
    """The PIN in the first line of a private file. Raises ConfigError."""
    try:
        check_private(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, StoreError) as error:
        message = f"PIN file {path}: {error}; make one with mode 600 and the PIN in its first line"
        raise ConfigError(message) from error
    if not lines or not lines[0]:
        raise ConfigError(f"PIN file {path} is empty; write the PIN into its first line")
    return lines[0]


class TokenKek:
    """KEKs in the token called `token`, through the PKCS#11 library `module`.

    `pin` is called when the session opens. The token seals an epoch key by AES-GCM, or by AES key wrap (RFC 3394)
    where it has no GCM. The token belongs to one site: zeroising destroys every KEK of POLIQI in it.
    """

    def __init__(self, module: Path, token: str, pin: Callable[[], str]) -> None:
        self._module: Final = module
        self._token: Final = token
        self._pin: Final = pin
        self._lock: Final = threading.Lock()
        self._session: Any = None  # python-pkcs11 has no types
        self._mechanisms: set[Any] = set()

    @property
    def place(self) -> str:
        return f"token {self._token}"

    def epochs(self, instance: bytes) -> set[int]:
        """Epochs of this store whose KEK stands in the token."""
        with self._calling("list its keys") as (p, session):
            names = [_name_of(p, found) for found in session.get_objects(_template(p))]
        return {name[1] for name in names if name is not None and name[0] == instance}

    def count(self) -> int:
        """How many KEKs stand in the token, of any store."""
        with self._calling("list its keys") as (p, session):
            return sum(_name_of(p, found) is not None for found in session.get_objects(_template(p)))

    def create(self, instance: bytes, epoch: int) -> None:
        """Have the token make a new key that cannot be taken out."""
        label = _PREFIX + kek_name(instance, epoch)
        with self._calling("make a key") as (p, session):
            if list(session.get_objects(_template(p, label))):
                raise StoreError(f"{self.place} already has a key called {label}: destroy it with the token's tool")
            session.generate_key(
                p.KeyType.AES,
                8 * KEY_BYTES,
                label=label,
                store=True,
                template={
                    p.Attribute.SENSITIVE: True,
                    p.Attribute.EXTRACTABLE: False,
                    p.Attribute.PRIVATE: True,
                    p.Attribute.WRAP: True,
                    p.Attribute.UNWRAP: True,
                    p.Attribute.ENCRYPT: True,
                    p.Attribute.DECRYPT: True,
                },
            )

    def wrap(self, instance: bytes, epoch: int, key: SecretBytes, bound_to: bytes) -> bytes:
        """The epoch key, sealed in the token: a letter for the mechanism, then what it gives."""
        with self._calling("wrap a key") as (p, session):
            kek = self._find(p, session, instance, epoch)
            if p.Mechanism.AES_GCM in self._mechanisms:
                nonce = os.urandom(NONCE_BYTES)
                how = {"mechanism": p.Mechanism.AES_GCM, "mechanism_param": p.GCMParams(nonce, bound_to, 128)}
                return _GCM + nonce + bytes(kek.encrypt(bytes(key.view()), **how))
            guest = session.create_object(_guest(p) | {p.Attribute.VALUE: bytes(key.view())})
            try:
                return _KEY_WRAP + bytes(kek.wrap_key(guest, mechanism=p.Mechanism.AES_KEY_WRAP))
            finally:
                guest.destroy()

    def unwrap(self, instance: bytes, epoch: int, wrapped: bytes, bound_to: bytes) -> SecretBytes:
        """The epoch key."""
        how, body = wrapped[:1], wrapped[1:]
        with self._calling(f"unwrap the key of epoch {epoch}") as (p, session):
            kek = self._find(p, session, instance, epoch)
            if how == _GCM:
                param = p.GCMParams(body[:NONCE_BYTES], bound_to, 128)
                opened = kek.decrypt(body[NONCE_BYTES:], mechanism=p.Mechanism.AES_GCM, mechanism_param=param)
                return SecretBytes(opened)
            if how != _KEY_WRAP:
                raise StoreError(f"the key of epoch {epoch} was not wrapped by a token: name the KEK folder")
            guest = kek.unwrap_key(
                p.ObjectClass.SECRET_KEY,
                p.KeyType.AES,
                body,
                mechanism=p.Mechanism.AES_KEY_WRAP,
                template=_guest(p),
            )
            try:
                return SecretBytes(guest[p.Attribute.VALUE])
            finally:
                guest.destroy()

    def destroy(self, instance: bytes, epoch: int) -> None:
        """Destroy one KEK; nothing happens where there is none."""
        with self._calling("destroy a key") as (p, session):
            for found in list(session.get_objects(_template(p, _PREFIX + kek_name(instance, epoch)))):
                found.destroy()

    def destroy_all(self) -> list[str]:
        """Destroy every KEK of POLIQI in the token; their names."""
        destroyed: list[str] = []
        with self._calling("destroy its keys") as (p, session):
            for found in list(session.get_objects(_template(p))):
                if _name_of(p, found) is not None:
                    destroyed.append(found.label)
                    found.destroy()
        return destroyed

    def close(self) -> None:
        """Log out."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    @contextmanager
    def _calling(self, what: str) -> Generator[tuple[Any, Any]]:
        try:
            import pkcs11
            import pkcs11.exceptions
        except ImportError as error:
            raise ConfigError("KEKs in a token need python-pkcs11: pip install 'poliqi[hsm]'") from error
        with self._lock:
            try:
                if self._session is None:
                    self._open(pkcs11)
                yield pkcs11, self._session
            except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
                reason = str(error) or type(error).__name__
                raise StoreError(
                    f"{self.place} could not {what}: {reason}; check the token, its PIN and library {self._module}"
                ) from error

    def _open(self, p: Any) -> None:
        token = p.lib(str(self._module)).get_token(token_label=self._token)
        self._mechanisms = set(token.slot.get_mechanisms())
        self._session = token.open(rw=True, user_pin=self._pin())

    def _find(self, p: Any, session: Any, instance: bytes, epoch: int) -> Any:
        label = _PREFIX + kek_name(instance, epoch)
        found = list(session.get_objects(_template(p, label)))
        if len(found) != 1:
            raise StoreError(f"{self.place} has {len(found)} keys called {label}, needed is one")
        return found[0]


def _template(p: Any, label: str | None = None) -> dict[Any, Any]:
    wanted = {p.Attribute.CLASS: p.ObjectClass.SECRET_KEY, p.Attribute.KEY_TYPE: p.KeyType.AES}
    return wanted if label is None else wanted | {p.Attribute.LABEL: label}


def _guest(p: Any) -> dict[Any, Any]:
    """An epoch key as an object of the session, so that the token can wrap it; it is never stored there."""
    return {
        p.Attribute.CLASS: p.ObjectClass.SECRET_KEY,
        p.Attribute.KEY_TYPE: p.KeyType.AES,
        p.Attribute.TOKEN: False,
        p.Attribute.SENSITIVE: False,
        p.Attribute.EXTRACTABLE: True,
    }


def _name_of(p: Any, found: Any) -> tuple[bytes, int] | None:
    label = str(found[p.Attribute.LABEL])
    return parse_kek_name(label.removeprefix(_PREFIX)) if label.startswith(_PREFIX) else None
