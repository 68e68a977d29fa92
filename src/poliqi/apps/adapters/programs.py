"""Other programs, told what they need by words, and secrets by pipes only."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from poliqi.base.errors import ConfigError, LinkDown

__all__ = ["ask_program", "tell_program", "tell_twice"]


def ask_program(words: Sequence[str], timeout_s: float = 10.0) -> str:
    """What a program prints. Raises ConfigError where it is not there or fails, LinkDown where it hangs."""
    try:
        done = subprocess.run(  # noqa: S603  # words of the owner's own settings, no shell
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except OSError as error:
        raise ConfigError(f"{words[0]}: cannot be started ({error.strerror}); is it installed?") from None
    except subprocess.TimeoutExpired:
        raise LinkDown(f"{shlex.join(words)}: no answer within {timeout_s:g} s") from None
    if done.returncode != 0:
        raise ConfigError(f"{shlex.join(words)}: {done.stderr.strip()[:200] or f'exit code {done.returncode}'}")
    return done.stdout


def tell_program(words: Sequence[str], secret: bytearray, timeout_s: float = 10.0) -> None:
    """Run a program with `secret` on its standard input, which is wiped. Raises as `ask_program`.

    What the program says of it is not repeated: it could quote the secret.
    """
    _run(words, [secret], timeout_s)


def tell_twice(script: str, first: bytearray, second: bytearray, timeout_s: float = 10.0) -> None:
    """Run a shell script that finds two secrets in the files $1 and $2; they are wiped. Raises as `ask_program`.

    The script runs in a session of its own and has all it needs from the start: when this process is killed, it
    still comes to its end.
    """
    _run(["sh", "-c", script, "sh"], [first, second], timeout_s, are_words=True)


def _run(words: Sequence[str], secrets: list[bytearray], timeout_s: float, *, are_words: bool = False) -> None:
    """With `are_words` the pipes are further words, such as /dev/fd/9; else the one pipe is the standard input."""
    readers: list[int] = []
    try:
        for secret in secrets:
            reader, writer = os.pipe()
            readers.append(reader)
            try:
                # a pipe holds far more than a key, so that this cannot block
                os.write(writer, secret)
            finally:
                os.close(writer)
        argv = [*words, *(f"/dev/fd/{reader}" for reader in readers if are_words)]
        try:
            process = subprocess.Popen(  # noqa: S603  # words of the owner's own settings
                argv,
                stdin=subprocess.DEVNULL if are_words else readers[0],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=readers if are_words else (),
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(f"{words[0]}: cannot be started ({error.strerror}); is it installed?") from None
    finally:
        for reader in readers:
            os.close(reader)
        for secret in secrets:
            secret[:] = bytes(len(secret))
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        raise LinkDown(f"{words[0]}: not ready within {timeout_s:g} s") from None
    if code != 0:
        raise ConfigError(f"{shlex.join(words)[:400]}: exit code {code}; try it by hand to see why")
