"""stunnel's preshared keys (PSKsecrets): through a FIFO, taken up at SIGHUP; the identity is the key_ID.

The server takes the new key beside the old one, the client goes over to the new one, the server forgets the old
one. Connections that are open go on under the keys that they began with, for as long as they are open.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from poliqi.apps.adapters.fifo import SecretFifo
from poliqi.apps.adapters.software import KEY_BYTES, PROOF_S
from poliqi.base.errors import ConfigError, LinkDown
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.edge.network import Address

__all__ = ["Stunnel"]

_READ_S: Final = 5.0
_LOOK_S: Final = 0.02
_TOKEN_BYTES: Final = 256
_PROGRAM: Final = "stunnel"


class Stunnel:
    """One stunnel process (poliqi.apps.adapters.software.Software).

    `secrets` is the path that its PSKsecrets names, `pid_file` that of its `pid`. `probe`: at the client where a
    stunnel service of its own accepts, at the server where the same service connects to; a connection through both
    proves a key. Without it the proof is that stunnel read the key.
    """

    def __init__(
        self,
        secrets: Path,
        pid_file: Path,
        entropy: Entropy,
        *,
        is_client: bool,
        probe: Address | None = None,
        proof_s: float = PROOF_S,
    ) -> None:
        self._fifo: Final = SecretFifo(secrets)
        self._pid_file: Final = pid_file
        self._entropy: Final = entropy
        self._is_client: Final = is_client
        self._probe: Final = probe
        self._proof_s: Final = proof_s
        self._keys: Final[dict[str, SecretBytes]] = {}
        self._echo: _Echo | None = None

    @property
    def kind(self) -> str:
        return "stunnel"

    def can_start(self) -> bool:
        """The client calls."""
        return self._is_client

    def open(self) -> tuple[str, ...]:
        """Serve secrets that nobody else has; stunnel may be started before or after."""
        self._fifo.open(self._nonsense())
        if self._probe is not None and not self._is_client:
            self._echo = _Echo(self._probe)
        if self._process() is None:
            return (f"{self._pid_file}: stunnel does not run yet; it gets its keys when it starts",)
        self._reload()
        return ()

    def hold(self, key_id: str, secret: SecretBytes) -> None:
        """The server takes both keys from now on; the client keeps the new one for `use`."""
        self._keys[key_id] = SecretBytes(secret.view())
        secret.close()
        if not self._is_client:
            self._serve(key_id)

    def use(self, key_id: str, *, is_starter: bool) -> None:  # noqa: ARG002  # the client always is
        """The client goes over to the new key and, with a probe, calls the server; the server waits for that."""
        if not self._is_client:
            if self._echo is not None:
                self._echo.wait(key_id, self._proof_s)
            return
        self._forget_all_but(key_id)
        self._serve(key_id)
        if self._probe is not None:
            self._call(self._probe, key_id)

    def retire(self, key_id: str) -> None:
        """The server takes the new key only."""
        if not self._is_client:
            self._forget_all_but(key_id)
            self._serve(key_id)

    def shut(self) -> None:
        """Secrets that nobody else has; open connections go on."""
        self._forget_all_but(None)
        self._fifo.put(self._nonsense())
        if self._process() is not None:
            self._reload()

    def close(self) -> None:
        """Take the FIFO away: stunnel does not start without it."""
        self._forget_all_but(None)
        self._fifo.close()
        if self._echo is not None:
            self._echo.close()

    def _serve(self, first: str) -> None:
        """All keys that are held, `first` first; stunnel reads them again."""
        content = bytearray()
        for key_id in sorted(self._keys, key=lambda k: k != first):
            content += _line(key_id, self._keys[key_id])
        self._fifo.put(content)
        self._reload()

    def _nonsense(self) -> bytearray:
        return _line("shut", SecretBytes(self._entropy.draw(KEY_BYTES)))

    def _forget_all_but(self, kept: str | None) -> None:
        for key_id in [k for k in self._keys if k != kept]:
            self._keys.pop(key_id).close()

    def _reload(self) -> None:
        """Have stunnel read its secrets again. Raises LinkDown where it does not."""
        count = self._fifo.count
        handle = self._process()
        if handle is None:
            raise LinkDown(f"{self._pid_file}: stunnel does not run; start it")
        try:
            signal.pidfd_send_signal(handle, signal.SIGHUP)
        except OSError as error:
            raise ConfigError(f"{self._pid_file}: stunnel cannot be told to reload: {error.strerror}") from None
        finally:
            os.close(handle)
        self._fifo.wait(count, _READ_S)

    def _process(self) -> int | None:
        """A handle of the process, or None where none runs; a foreign process is never signalled."""
        try:
            pid = int(self._pid_file.read_text()[:16])
            handle = os.pidfd_open(pid)
        except (OSError, ValueError):
            return None
        # the handle stands for the process whose name is read now, or for one that has ended
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").startswith(_PROGRAM):
                return handle
        os.close(handle)
        return None

    def _call(self, probe: Address, key_id: str) -> None:
        """Say the key_ID through stunnel until it comes back: the only key that the client has is this one."""
        end = time.monotonic() + self._proof_s
        token = f"{key_id}\n".encode()
        while True:
            # stunnel is away from its port for a moment when it reloads
            with suppress(OSError), socket.create_connection((probe.host, probe.port), timeout=1.0) as connection:
                connection.sendall(token)
                if connection.recv(_TOKEN_BYTES, socket.MSG_WAITALL) == token:
                    return
            if time.monotonic() > end:
                raise LinkDown(f"stunnel: no answer through {probe} with key {key_id} within {self._proof_s:g} s")
            time.sleep(_LOOK_S)


class _Echo:
    """Says back what it is told, closes, and knows which key_IDs it was told."""

    def __init__(self, address: Address) -> None:
        try:
            self._listener: Final = socket.create_server((address.host, address.port))
        except OSError as error:
            raise ConfigError(f"probe {address}: cannot be listened on: {error.strerror}") from None
        self._changed: Final = threading.Condition()
        self._last = ""
        threading.Thread(target=self._run, name="probe", daemon=True).start()

    def wait(self, key_id: str, timeout_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._last == key_id, timeout_s):
                raise LinkDown(f"stunnel: nobody called with key {key_id} within {timeout_s:g} s")

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError), connection:
                connection.settimeout(1.0)
                said = connection.recv(_TOKEN_BYTES)
                with self._changed:
                    self._last = said.decode("ascii", "replace").strip()
                    self._changed.notify_all()
                connection.sendall(said)


def _line(key_id: str, secret: SecretBytes) -> bytearray:
    """As PSKsecrets has them: identity, colon, hexadecimal key."""
    if not key_id.isascii() or not key_id.isprintable() or ":" in key_id:
        raise ConfigError(f"key_ID {key_id[:40]!r}: cannot be an identity of stunnel")
    return bytearray(f"{key_id}:".encode()) + bytearray(secret.view().hex().encode()) + b"\n"
