"""Keys that wait in a PKCS#11 token (a smart card, an HSM, SoftHSM2) until an application uses them, each once.

`TokenKeys` is a KeySource. Keys get into the token in two ways: `park` puts keys there that were had elsewhere,
such as into two tokens that are loaded side by side and carried to their places; `stock_up` and `fetch` draw them
from another source, such as a site. They survive a restart of the application, and its disk never sees them.

What the token does and does not do. An object can be read only after log-in with the PIN (CKA_PRIVATE), and it is
destroyed in the token before its bits are handed out: a crash between the two loses the key and never gives it
twice. But whoever may log in can read it: the cipher runs in software (a token's own AES is thousands of times too
slow for a stream), so the objects are extractable and not sensitive. A token guards keys that wait, not keys that
are in use.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import Key, KeySource, Supply
from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["TokenKeys", "Use"]

_LEAST_BYTES: Final = 8
_MOST_BYTES: Final = 512
_MOST_NUMBER: Final = 128
_LABEL_MOST: Final = 128
_NOTE_BYTES: Final = 4096


class Use(StrEnum):
    """Who began with a key: `fresh` gives the one sort, `named` the other."""

    FRESH = "fresh"
    NAMED = "named"


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands beside a key (CKA_ID, JSON): with whom it is shared, its size and its grade. No secret."""

    peer: str
    use: Use
    size: int
    grade: dict[str, Any] = {}


class TokenKeys:
    """One application's keys in the token called `token`, through the library `module`. Implements KeySource.

    `pin` is called when the session opens (poliqi.edge.kektoken.read_pin reads it from a private file). An object's
    label is the key_ID; those of other programs are left alone. `behind` is asked for what is not in the token.
    """

    def __init__(self, module: Path, token: str, pin: Callable[[], str], behind: KeySource | None = None) -> None:
        self._module: Final = module
        self._token: Final = token
        self._pin: Final = pin
        self._behind: Final = behind
        self._lock: Final = threading.Lock()
        self._session: Any = None  # python-pkcs11 has no types

    def __repr__(self) -> str:
        return f"<TokenKeys in {self._token}>"

    def park(self, peer: SaeId, keys: Sequence[Key], use: Use) -> None:
        """Put keys into the token and wipe them here. Raises DataRefused (of any: none is put), StoreError.

        `use`: FRESH at the end that will begin with them, NAMED at the other.
        """
        for key in keys:
            if not 0 < len(key.key_id) <= _LABEL_MOST or not _LEAST_BYTES <= len(key.value) <= _MOST_BYTES:
                raise DataRefused(
                    f"key {key.key_id[:40]!r} of {len(key.value)} bytes: a token here takes {_LEAST_BYTES} to"
                    f" {_MOST_BYTES} bytes under a name of 1 to {_LABEL_MOST} characters"
                )
        with self._calling("take a key in") as (p, session):
            there = {str(found.label) for found in session.get_objects(_secret(p))}
            for key in keys:
                if key.key_id in there:
                    raise DataRefused(f"key {key.key_id} is in {self._token} already: it is not put there twice")
                there.add(key.key_id)
            for key in keys:
                note = _Note(peer, use, len(key.value), dict(key.grade))
                session.create_object(_template(p, key.key_id, msgspec.json.encode(note), bytes(key.value.view())))
                key.value.close()

    def stock_up(self, peer: SaeId, number: int, size_bytes: int) -> None:
        """Draw keys from the source behind into the token, for `fresh` later. Raises as KeySource.fresh."""
        self.park(peer, self._source("stock up").fresh(peer, number, size_bytes), Use.FRESH)

    def fetch(self, peer: SaeId, key_ids: Sequence[str]) -> None:
        """Get keys that `peer` named into the token, for `named` later. Raises as KeySource.named."""
        self.park(peer, self._source("fetch").named(peer, key_ids), Use.NAMED)

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        """As KeySource: out of the token, and what is missing from the source behind."""
        self._check_limits(peer, number, size_bytes)
        with self._calling("give keys out") as (p, session):
            waiting = list(islice(self._waiting(p, session, peer, size_bytes), number))
            missing = number - len(waiting)
            if missing and self._behind is None:
                raise KeysNotReady(
                    f"{len(waiting)} keys of {size_bytes} bytes to share with {peer} wait in {self._token}, and"
                    f" {number} are asked for; load more",
                    None,
                )
            # the source behind first: where it has none, nothing is taken out
            others = self._behind.fresh(peer, missing, size_bytes) if missing and self._behind is not None else []
            return [self._taken(p, found, note) for found, note in waiting] + others

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        """As KeySource: out of the token, and what is not there from the source behind."""
        if len(set(key_ids)) < len(key_ids):
            raise DataRefused("a key is named twice in one question; each is given once")
        with self._calling("give a key out") as (p, session):
            here: dict[str, tuple[Any, _Note]] = {}
            for key_id in key_ids:
                for found in self._found(p, session, key_id):
                    note = _note_of(p, found)
                    if note is not None and note.use is Use.NAMED and note.peer == peer:
                        here[key_id] = (found, note)
            others = [key_id for key_id in key_ids if key_id not in here]
            if others and self._behind is None:
                raise DataRefused(f"no key of {peer} is called {others[0][:40]!r} in {self._token} (any more)")
            elsewhere = self._behind.named(peer, others) if others and self._behind is not None else []
            keys = {key.key_id: key for key in elsewhere}
            keys |= {key_id: self._taken(p, *one) for key_id, one in here.items()}
            return [keys[key_id] for key_id in key_ids]

    def supply(self, peer: SaeId) -> Supply:
        """As KeySource: what waits in the token, and what the source behind has."""
        with self._calling("list its keys") as (p, session):
            notes = [note for _, note in self._waiting(p, session, peer)]
        here = sum(note.size for note in notes)
        grades = [KeyGrade.read(note.grade) for note in notes]
        if self._behind is None:
            return Supply(here, None, _LEAST_BYTES, _MOST_BYTES, _MOST_NUMBER, True, tuple(dict.fromkeys(grades)))
        behind = self._behind.supply(peer)
        return Supply(
            here + behind.available_bytes,
            behind.rate_bps,
            behind.least_bytes,
            behind.most_bytes,
            behind.most_number,
            behind.is_connected,
            tuple(dict.fromkeys((*grades, *behind.grades))),
        )

    def close(self) -> None:
        """Log out, and close the source behind."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None
        if self._behind is not None:
            self._behind.close()

    def _check_limits(self, peer: SaeId, number: int, size_bytes: int) -> None:
        least, most, most_number = _LEAST_BYTES, _MOST_BYTES, _MOST_NUMBER
        if self._behind is not None:
            supply = self._behind.supply(peer)
            least, most, most_number = supply.least_bytes, supply.most_bytes, supply.most_number
        if not least <= size_bytes <= most or not 1 <= number <= most_number:
            raise ConfigError(
                f"{number} keys of {size_bytes} bytes: {self._token} gives 1 to {most_number} keys of {least} to"
                f" {most} bytes"
            )

    def _source(self, what: str) -> KeySource:
        if self._behind is None:
            raise ConfigError(f"{self._token} cannot {what}: no source stands behind it; park keys in it")
        return self._behind

    def _taken(self, p: Any, found: Any, note: _Note) -> Key:
        """Read, destroy, hand out. Where it cannot be destroyed it is not handed out."""
        key_id, value = str(found.label), SecretBytes(found[p.Attribute.VALUE])
        found.destroy()
        return Key(key_id, value, note.grade)

    def _waiting(
        self, p: Any, session: Any, peer: SaeId, size_bytes: int | None = None
    ) -> Iterator[tuple[Any, _Note]]:
        """What `fresh` may give to `peer`; its notes are read one by one."""
        for found in list(session.get_objects(_secret(p))):
            note = _note_of(p, found)
            if note is not None and note.use is Use.FRESH and note.peer == peer and size_bytes in (None, note.size):
                yield found, note

    def _found(self, p: Any, session: Any, key_id: str) -> list[Any]:
        return list(session.get_objects(_secret(p) | {p.Attribute.LABEL: key_id}))

    @contextmanager
    def _calling(self, what: str) -> Generator[tuple[Any, Any]]:
        try:
            import pkcs11
            import pkcs11.exceptions
        except ImportError as error:
            raise ConfigError("keys in a token need python-pkcs11: pip install 'poliqi[hsm]'") from error
        with self._lock:
            try:
                if self._session is None:
                    token = pkcs11.lib(str(self._module)).get_token(token_label=self._token)
                    self._session = token.open(rw=True, user_pin=self._pin())
                yield pkcs11, self._session
            except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
                reason = str(error) or type(error).__name__
                raise StoreError(
                    f"token {self._token} could not {what}: {reason}; check the token, its PIN and library"
                    f" {self._module}"
                ) from error


def _secret(p: Any) -> dict[Any, Any]:
    return {p.Attribute.CLASS: p.ObjectClass.SECRET_KEY, p.Attribute.KEY_TYPE: p.KeyType.GENERIC_SECRET}


def _template(p: Any, label: str, note: bytes, value: bytes) -> Mapping[Any, Any]:
    """An object that stays in the token and is there only for who has logged in."""
    return _secret(p) | {
        p.Attribute.LABEL: label,
        p.Attribute.ID: note,
        p.Attribute.VALUE: value,
        p.Attribute.TOKEN: True,
        p.Attribute.PRIVATE: True,
        p.Attribute.SENSITIVE: False,
        p.Attribute.EXTRACTABLE: True,
        p.Attribute.MODIFIABLE: False,
        p.Attribute.DESTROYABLE: True,
    }


def _note_of(p: Any, found: Any) -> _Note | None:
    """None for an object of another program."""
    try:
        text = bytes(found[p.Attribute.ID])
        return msgspec.json.decode(text, type=_Note) if len(text) <= _NOTE_BYTES else None
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
