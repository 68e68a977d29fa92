"""strongSwan: a postquantum preshared key (RFC 8784) in IKEv2, by the vici interface of charon.

The key is mixed in when an IKE SA is made, and so into all that is derived from it; rekeying keeps it. So each
new key gets a new IKE SA, made beside the old one, which goes when both ends have the new one. `ppk_required`
is always set: where the key is missing or another, the other end answers AUTHENTICATION_FAILED, and there is no
SA without it.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

from poliqi.apps.adapters.software import PROOF_S
from poliqi.base.errors import ConfigError, LinkDown
from poliqi.base.secret import SecretBytes

__all__ = ["Ipsec"]

_LOOK_S: Final = 0.05
_TIMEOUT_S: Final = 20.0
_DEEPEST: Final = 4
_FILES: Final = frozenset({"certs", "cacerts"})
_FILE_BYTES: Final = 1 << 16
_OWN: Final = frozenset({"ppk_id", "ppk_required", "version"})


class Ipsec:
    """One connection of one charon (poliqi.apps.adapters.software.Software).

    `connection` is what swanctl.conf has under connections.NAME, with exactly one child; how the ends authenticate
    besides (`local`, `remote`, swanctl.conf's secrets) stays the owner's. Certificates are files beside `folder`.
    """

    def __init__(
        self,
        name: str,
        vici_socket: Path,
        connection: Mapping[str, Any],
        folder: Path,
        proof_s: float = PROOF_S,
    ) -> None:
        self._name: Final = name
        self._socket: Final = vici_socket
        self._connection: Final = _strings(connection, folder)
        self._proof_s: Final = proof_s
        taken = sorted(_OWN & self._connection.keys())
        if taken:
            raise ConfigError(f"connection.{taken[0]}: is set by the adapter; leave it out")
        children: Any = self._connection.get("children")
        names: list[str] = [*children] if isinstance(children, dict) else []  # pyright: ignore[reportUnknownArgumentType]  # TOML
        if len(names) != 1:
            raise ConfigError("connection.children: name exactly one child")
        self._child: Final = names[0]
        self._before: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        return "ipsec"

    def can_start(self) -> bool:
        """True where the other end's address is given."""
        remote = self._connection.get("remote_addrs", [])
        return bool(remote) and not any("%" in address for address in remote)

    def open(self) -> tuple[str, ...]:
        """Take every key of an earlier run away, end its SA, load the connection."""
        self.shut()
        return ()

    def hold(self, key_id: str, secret: SecretBytes) -> None:
        """Load it under its key_ID, and note which SA there are, so that a new one proves that it is used."""
        with self._session() as charon:
            message = {"id": self._handle(key_id), "type": "ppk", "data": bytes(secret.view()), "owners": [key_id]}
            secret.close()
            charon.load_shared(message)
            self._before = frozenset(self._established(charon))

    def use(self, key_id: str, *, is_starter: bool) -> None:
        """Wait for a new SA; the starter makes it."""
        with self._session() as charon:
            if is_starter:
                self._load(charon, key_id)
                self._initiate(charon, key_id)
            end = time.monotonic() + self._proof_s
            while not self._is_new(charon, is_starter=is_starter):
                if time.monotonic() > end:
                    raise LinkDown(f"{self._name}: no IKE SA with key {key_id} within {self._proof_s:g} s")
                time.sleep(_LOOK_S)

    def retire(self, key_id: str) -> None:
        """End the SAs from before, forget their keys."""
        with self._session() as charon:
            for number in self._established(charon):
                if number in self._before:
                    self._end(charon, {"ike-id": number})
            self._forget(charon, self._handle(key_id))

    def shut(self) -> None:
        """Forget every key and end the SA: traffic stops now."""
        with self._session() as charon:
            self._forget(charon, None)
            self._load(charon, None)
            if self._established(charon):
                self._end(charon, {"ike": self._name, "force": "yes"})

    def close(self) -> None:
        """Nothing to let go of."""

    def _handle(self, key_id: str) -> str:
        return f"poliqi/{self._name}/{key_id}"

    def _load(self, charon: Any, key_id: str | None) -> None:
        """The connection: this end begins with key `key_id` only, and answers with any that it holds."""
        named = {} if key_id is None else {"ppk_id": key_id}
        charon.load_conn({self._name: {**self._connection, "version": "2", "ppk_required": "yes", **named}})

    def _initiate(self, charon: Any, key_id: str) -> None:
        from vici.exception import CommandException

        said = ""
        words = {"child": self._child, "ike": self._name, "timeout": str(int(1e3 * self._proof_s)), "loglevel": "1"}
        try:
            for line in charon.initiate(words):
                said = _text(line.get("msg")) or said
        except CommandException as error:
            raise LinkDown(f"{self._name}: no IKE SA with key {key_id}: {error}; {said[:200]}") from None

    def _established(self, charon: Any) -> dict[str, Mapping[str, Any]]:
        """The IKE SAs of the connection that are there, by number."""
        found: dict[str, Mapping[str, Any]] = {}
        for entry in charon.list_sas({"ike": self._name}):
            sa = entry.get(self._name)
            if sa is not None and _text(sa.get("state")) == "ESTABLISHED":
                found[_text(sa.get("uniqueid"))] = sa
        return found

    def _is_new(self, charon: Any, *, is_starter: bool) -> bool:
        """True where an SA began since `hold`, with traffic under it and, as far as charon tells, this key."""
        for number, sa in self._established(charon).items():
            if number in self._before:
                continue
            # strongSwan 5.9 tells `ppk` at the end that began; ppk_required holds at both
            is_keyed = _text(sa.get("ppk")) == "yes" or not is_starter
            children: Mapping[str, Any] = sa.get("child-sas") or {}
            if is_keyed and any(_text(child.get("state")) == "INSTALLED" for child in children.values()):
                return True
        return False

    def _forget(self, charon: Any, kept: str | None) -> None:
        for handle in charon.get_shared().get("keys", []):
            name = _text(handle)
            if name.startswith(self._handle("")) and name != kept:
                charon.unload_shared({"id": name})

    def _end(self, charon: Any, which: dict[str, str]) -> None:
        from vici.exception import CommandException

        # an SA that has gone by itself meanwhile is no fault
        with contextlib.suppress(CommandException):
            for _ in charon.terminate({**which, "timeout": "5000", "loglevel": "-1"}):
                pass

    @contextlib.contextmanager
    def _session(self) -> Generator[Any]:
        """A connection to charon. Raises ConfigError, LinkDown."""
        try:
            from vici.exception import CommandException
            from vici.session import Session
        except ImportError:
            raise ConfigError("IPsec: the package `vici` is missing: pip install poliqi[ipsec]") from None
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            try:
                connection.connect(str(self._socket))
                yield Session(connection)
            except TimeoutError:
                raise LinkDown(f"{self._socket}: charon did not answer within {_TIMEOUT_S:g} s") from None
            except CommandException as error:
                raise ConfigError(f"{self._name}: charon refuses: {error}") from None
            except OSError as error:
                raise ConfigError(
                    f"{self._socket}: {error.strerror or error}; does charon run, with the vici plugin there?"
                ) from None


def _strings(table: Mapping[str, Any], folder: Path, depth: int = _DEEPEST) -> dict[str, Any]:
    """As vici wants it: text, lists and sections; `certs` and `cacerts` are files, whose content goes."""
    made: dict[str, Any] = {}
    for name, value in table.items():
        match value:
            case dict():
                if depth == 0:
                    raise ConfigError(f"connection: {name} lies too deep; nest as swanctl.conf does")
                made[name] = _strings(value, folder, depth - 1)  # pyright: ignore[reportUnknownArgumentType]  # TOML
            case list():
                words = [str(word) for word in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # TOML
                made[name] = [_content(folder / word) for word in words] if name in _FILES else words
            case bool():
                made[name] = "yes" if value else "no"
            case _:
                made[name] = str(value)
    return made


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"connection: certificate {path}: {error.strerror}") from None


def _text(value: object) -> str:
    """What charon told, printable."""
    said = value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
    return "".join(c if c.isprintable() else "?" for c in said)
