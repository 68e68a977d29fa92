"""OpenSSH: a forwarded port through an own sshd, with its own configuration and keys of the trial."""

from __future__ import annotations

import getpass
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from poliqi.apps.testbench.ends import HOST, SocketEnd, TcpListening, dial
from poliqi.apps.testbench.programs.running import found, free_port, is_listening, lacks, running, wait_until
from poliqi.apps.testbench.seams import StreamEnd

__all__ = ["SecureShell"]

_SERVER: Final = """\
ListenAddress {host}:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding local
Ciphers aes256-gcm@openssh.com,aes128-gcm@openssh.com
"""
_SEPARATION: Final = Path("/run/sshd")


class _Listening:
    """sshd, and the socket that it forwards to."""

    def __init__(self, port: int, inner: TcpListening) -> None:
        self.port: Final = port
        self._inner: Final = inner

    def accept(self, timeout_s: float) -> StreamEnd:
        """As Listening."""
        return self._inner.accept(timeout_s)


class SecureShell:
    """The key of the trial is the private key of the user who is let in."""

    name = "ssh"
    description = "OpenSSH port forwarding, AES-256-GCM"
    is_two_way = True
    does_not_promise: Final[Mapping[str, str]] = {
        "flip": "it hangs up, and a forwarded port hands that on as an end",
        "truncation": "a forwarded port hands a lost connection on as an end; scp and rsync compare sizes above it",
    }

    def missing(self) -> str | None:
        """As StreamEncryptor."""
        if not _SEPARATION.is_dir() and os.geteuid() != 0:
            return f"sshd wants the empty folder {_SEPARATION}: start its service once, or be root"
        return lacks("ssh", "sshd")

    @contextmanager
    def listen(self, key: bytes, folder: Path) -> Generator[_Listening]:
        """As StreamEncryptor."""
        if os.geteuid() == 0:
            _SEPARATION.mkdir(0o755, exist_ok=True)  # empty, as its service makes it
        inner, port = TcpListening(SocketEnd), free_port()
        host = Ed25519PrivateKey.generate()
        _write_private(folder / "host", host)
        (folder / "known").write_text(f"[{HOST}]:{port} {_public(host)}\nanyone {_public(host)}\n")
        (folder / "authorized").write_text(_public(Ed25519PrivateKey.from_private_bytes(key)) + "\n")
        (folder / "inner").write_text(str(inner.port))
        (folder / "sshd.conf").write_text(_SERVER.format(host=HOST, port=port, folder=folder))
        try:
            sshd = found("sshd") or "sshd"  # it starts itself again and wants its full name
            with running((sshd, "-D", "-e", "-f", folder / "sshd.conf"), folder) as process:
                wait_until(lambda: is_listening(port), "sshd listens", process)
                yield _Listening(port, inner)
        finally:
            inner.close()

    @contextmanager
    def call(self, key: bytes, folder: Path, port: int) -> Generator[StreamEnd]:
        """As StreamEncryptor."""
        _write_private(folder / "user", Ed25519PrivateKey.from_private_bytes(key))
        entrance, inner = free_port(), (folder / "inner").read_text()
        options = {
            "IdentityFile": folder / "user",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": folder / "known",
            "HostKeyAlias": "anyone",
            "BatchMode": "yes",
            "ExitOnForwardFailure": "yes",
            "Compression": "no",
            "Ciphers": "aes256-gcm@openssh.com",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        target = ("-p", str(port), "-N", "-L", f"{HOST}:{entrance}:{HOST}:{inner}", f"{getpass.getuser()}@{HOST}")
        with running(("ssh", "-F", "none", *words, *target), folder) as process:
            wait_until(lambda: is_listening(entrance), "ssh forwards", process)
            end = SocketEnd(dial(entrance))
            try:
                yield end
            finally:
                end.close()


def _write_private(path: Path, key: Ed25519PrivateKey) -> None:
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
