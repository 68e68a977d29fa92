"""Programs that encrypt from standard input to standard output, one way: age, openssl enc."""

from __future__ import annotations

import base64
import socket
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

from poliqi.apps.testbench.ends import TcpListening, dial
from poliqi.apps.testbench.programs.running import lacks, running
from poliqi.apps.testbench.seams import Buffer, Octets, StreamEnd
from poliqi.base.errors import ProtocolError

__all__ = ["AGE", "OPENSSL_ENC", "Filter", "bech32"]

_WAIT_S: Final = 5.0


class _PipeEnd:
    """A StreamEnd of a running filter: its standard input or its standard output."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self._process: Final = process
        self._pipe: Final = pipe

    def sendall(self, data: Octets, /) -> None:
        """As StreamEnd."""
        view = memoryview(data)
        while view:
            view = view[self._pipe.write(view) :]

    def finish(self) -> None:
        """As StreamEnd. Raises ProtocolError where the program does not end well."""
        self._pipe.close()
        self._check()

    def recv_into(self, buffer: Buffer, /) -> int:
        """As StreamEnd."""
        count = self._pipe.readinto(buffer)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]  # an unbuffered pipe has it
        if not count:
            self._check()
        return int(count)  # pyright: ignore[reportUnknownArgumentType]  # as above

    def _check(self) -> None:
        if self._process.wait(_WAIT_S):
            raise ProtocolError(
                f"the program ended with exit code {self._process.returncode}: what came is no good"
            )

    def close(self) -> None:
        """As StreamEnd."""
        try:
            self._pipe.close()
        except BrokenPipeError:
            return  # the program has ended before


class Filter:
    """A program that is given the key in a file and the data on a pipe; a TCP connection is its other side.

    `encrypt` and `decrypt` name it with its arguments, the key's file in place of "KEY". `write_key` puts the key
    into the form that it reads.
    """

    is_two_way = False

    def __init__(
        self,
        name: str,
        description: str,
        encrypt: Sequence[str],
        decrypt: Sequence[str],
        write_key: Callable[[bytes], str],
        does_not_promise: Mapping[str, str],
    ) -> None:
        self.name: Final = name
        self.description: Final = description
        self.does_not_promise: Final = does_not_promise
        self._encrypt: Final = encrypt
        self._decrypt: Final = decrypt
        self._write_key: Final = write_key

    def missing(self) -> str | None:
        """As StreamEncryptor."""
        return lacks(self._encrypt[0])

    @contextmanager
    def listen(self, key: bytes, folder: Path) -> Generator[TcpListening]:
        """As StreamEncryptor."""
        with ExitStack() as stack:
            command = self._command(self._decrypt, key, folder, "answerer")

            def wrap(connection: socket.socket) -> StreamEnd:
                # the program has its own handle of the connection; this process keeps none
                with connection:
                    connection.settimeout(None)
                    process = stack.enter_context(
                        running(command, folder, stdin=connection.fileno(), stdout=subprocess.PIPE)
                    )
                assert process.stdout is not None  # a pipe was asked for
                stack.callback(process.stdout.close)
                return _PipeEnd(process, process.stdout)

            listening = TcpListening(wrap)
            stack.callback(listening.close)
            yield listening

    @contextmanager
    def call(self, key: bytes, folder: Path, port: int) -> Generator[StreamEnd]:
        """As StreamEncryptor."""
        command = self._command(self._encrypt, key, folder, "caller")
        with ExitStack() as stack:
            with dial(port) as connection:
                connection.settimeout(None)
                process = stack.enter_context(
                    running(command, folder, stdin=subprocess.PIPE, stdout=connection.fileno())
                )
            assert process.stdin is not None  # a pipe was asked for
            end = _PipeEnd(process, process.stdin)
            stack.callback(end.close)
            yield end

    def _command(self, words: Sequence[str], key: bytes, folder: Path, side: str) -> list[str]:
        file = folder / f"{side}.key"
        file.touch(0o600)
        file.write_text(self._write_key(key))
        return [word.replace("KEY", str(file)) for word in words]


_LETTERS: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def bech32(prefix: str, data: bytes) -> str:
    """Bech32 (BIP 173), the form of age's keys."""
    bits = "".join(f"{octet:08b}" for octet in data)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    head = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    check = _polymod([*head, *values, 0, 0, 0, 0, 0, 0]) ^ 1
    values += [check >> 5 * (5 - place) & 31 for place in range(6)]
    return prefix + "1" + "".join(_LETTERS[value] for value in values)


def _polymod(values: Sequence[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate(_GENERATOR):
            check ^= term if top >> place & 1 else 0
    return check


AGE: Final = Filter(
    "age",
    "age to an X25519 recipient (one way, no handshake): ChaCha20-Poly1305",
    ("age", "--encrypt", "--identity", "KEY"),
    ("age", "--decrypt", "--identity", "KEY"),
    lambda key: bech32("age-secret-key-", key).upper() + "\n",
    {"replay": "a file can be copied"},
)
OPENSSL_ENC: Final = Filter(
    "openssl enc",
    "openssl enc -aes-256-ctr (one way): encrypts only; nothing is authenticated",
    ("openssl", "enc", "-aes-256-ctr", "-pbkdf2", "-iter", "1", "-bufsize", "262144", "-pass", "file:KEY"),
    ("openssl", "enc", "-d", "-aes-256-ctr", "-pbkdf2", "-iter", "1", "-bufsize", "262144", "-pass", "file:KEY"),
    lambda key: base64.b64encode(key).decode() + "\n",
    dict.fromkeys(("flip", "truncation", "wrong key", "replay"), "it only encrypts"),
)
