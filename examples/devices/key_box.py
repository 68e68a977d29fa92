"""Driver of the K-Box, a device that hands out finished keys over TCP: a worked example. The box is made up.

poliqi device check examples/devices/key_box.py --device-options here.toml --peer-options there.toml
"""

import socket
import time
from contextlib import suppress

from poliqi.base.errors import ConfigError, LinkDown, ProtocolError
from poliqi.base.secret import SecretBytes
from poliqi.link.keydevice import LONGEST_NAME, MOST_KEY_BYTES, DeviceKey

LONGEST_LINE = 2 * MOST_KEY_BYTES + LONGEST_NAME + 16
POLL_S = 0.05


class KeyBox:
    """`NEXT` and `GET name` answer with `KEY,name,hexadecimal`, or with `NONE` where there is none yet."""

    def __init__(self, options):
        self.address, self.is_closed = options["address"], False
        host, _, port = self.address.rpartition(":")
        try:
            self.socket = socket.create_connection((host, int(port)), timeout=5.0)
        except OSError as error:
            raise LinkDown(f"box {self.address}: {error}") from None
        self.lines = self.socket.makefile("rb")
        self.description = f"K-Box at {self.address}"

    def ask(self, words, until):
        """The answer to a question, asked again while there is none; None at `until`."""
        while True:
            try:
                self.socket.sendall(words.encode() + b"\n")
                line = self.lines.readline(LONGEST_LINE)
            except OSError as error:
                raise LinkDown(f"box {self.address}: {error}") from None
            if self.is_closed or not line:
                raise LinkDown(f"box {self.address}: {'closed' if self.is_closed else 'it hung up'}")
            if line != b"NONE\n":
                return read(line)
            if time.monotonic() >= until:
                return None
            time.sleep(POLL_S)

    def fresh(self, most, timeout_s):
        until, keys = time.monotonic() + timeout_s, []
        while len(keys) < most and time.monotonic() < until:
            key = self.ask("NEXT", 0.0 if keys else until)  # wait for the first one only
            if key is None:
                break
            keys.append(key)
        return keys

    def named(self, names, timeout_s):
        until = time.monotonic() + timeout_s
        return [self.ask(f"GET {name}", until) for name in names]

    def close(self):
        self.is_closed = True
        with suppress(OSError):  # it may be gone already
            self.socket.shutdown(socket.SHUT_RDWR)


def read(line):
    """One key. What is no key is named without showing a byte of it: it may be one all the same."""
    try:
        kind, name, digits = line.decode("ascii").rstrip("\n").split(",")
        if kind == "KEY" and 1 <= len(name) <= LONGEST_NAME:
            return DeviceKey(name, SecretBytes(bytes.fromhex(digits)))
    except ValueError:
        pass
    raise ProtocolError(f"box: a line of {len(line)} bytes is no KEY,name,hexadecimal")


def open_device(options):
    if "address" not in options:
        raise ConfigError('write address = "HOST:PORT" of the box under [options]')
    return KeyBox(options)
