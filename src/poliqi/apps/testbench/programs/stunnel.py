"""stunnel with a pre-shared key: TLS 1.3 between two processes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from poliqi.apps.testbench.ends import HOST, SocketEnd, TcpListening, dial
from poliqi.apps.testbench.programs.running import free_port, is_listening, lacks, running, wait_until
from poliqi.apps.testbench.seams import StreamEnd

__all__ = ["Stunnel"]

_SETTINGS: Final = """\
foreground = yes
pid =
debug = 3
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[trial]
client = {client}
accept = {host}:{accept}
connect = {host}:{connect}
sslVersion = TLSv1.3
ciphersuites = TLS_AES_128_GCM_SHA256
PSKsecrets = {folder}/{side}.psk
"""
# a pre-shared key of TLS 1.3 goes with the hash of the suite, and stunnel's is SHA-256


class _Listening:
    """stunnel in front of a socket."""

    def __init__(self, port: int, inner: TcpListening) -> None:
        self.port: Final = port
        self._inner: Final = inner

    def accept(self, timeout_s: float) -> StreamEnd:
        """As Listening."""
        return self._inner.accept(timeout_s)


class Stunnel:
    """Two stunnel processes; plaintext goes in and out by TCP."""

    name = "stunnel"
    description = "stunnel, TLS 1.3 with a pre-shared key, AES-128-GCM"
    is_two_way = True
    does_not_promise: Final[Mapping[str, str]] = {"truncation": "it hands a lost connection on as an end"}

    def missing(self) -> str | None:
        """As StreamEncryptor."""
        return lacks("stunnel")

    @contextmanager
    def listen(self, key: bytes, folder: Path) -> Generator[_Listening]:
        """As StreamEncryptor."""
        inner, port = TcpListening(SocketEnd), free_port()
        try:
            file = _settings(folder, "answerer", key, port, inner.port)
            with running(("stunnel", file), folder) as process:
                wait_until(lambda: is_listening(port), "stunnel listens", process)
                yield _Listening(port, inner)
        finally:
            inner.close()

    @contextmanager
    def call(self, key: bytes, folder: Path, port: int) -> Generator[StreamEnd]:
        """As StreamEncryptor."""
        entrance = free_port()
        file = _settings(folder, "caller", key, entrance, port)
        with running(("stunnel", file), folder) as process:
            wait_until(lambda: is_listening(entrance), "stunnel listens", process)
            end = SocketEnd(dial(entrance))
            try:
                yield end
            finally:
                end.close()


def _settings(folder: Path, side: str, key: bytes, accept: int, connect: int) -> Path:
    """A settings file, and the key in another that nobody else can read."""
    secret = folder / f"{side}.psk"
    secret.touch(0o600)
    secret.write_text(f"trial:{key.hex()}\n")
    file = folder / f"{side}.conf"
    client = "yes" if side == "caller" else "no"
    file.write_text(
        _SETTINGS.format(client=client, host=HOST, accept=accept, connect=connect, folder=folder, side=side)
    )
    return file
