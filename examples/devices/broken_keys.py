"""Key devices that are broken on purpose, each in one way: what `poliqi device check` says of them.

poliqi device check examples/devices/broken_keys.py --device-options fault.toml --peer-options fault.toml
"""

import hashlib
import threading
import time

from poliqi.base.errors import LinkDown
from poliqi.base.secret import SecretBytes
from poliqi.link.keydevice import DeviceKey

FAULTS = {
    "a secret in its description": "description",
    "names with blanks": "fresh",
    "bits as bytes": "fresh",
    "one name for all": "fresh",
    "the same keys after a restart": "fresh",
    "zeros": "fresh",
    "raises for unknown names": "unknown name",
    "waits for ever": "unknown name",
    "no timeouts": "timeouts",
    "close does nothing": "close",
    "keys after close": "close",
    "other bits at the other end": "both ends",
    "another order": "both ends",
}
"""A fault, and the check that finds it."""

STARTED = []


class Box:
    """Right but for its fault. Both ends derive a key from its name: a device for tests, and for nothing else."""

    def __init__(self, fault, place):
        self.fault, self.place, self.closed, self.count = fault, place, threading.Event(), 0
        STARTED.append(fault)
        self.run = 0 if fault == "the same keys after a restart" else time.monotonic_ns()
        self.description = "line\nline" if fault == "a secret in its description" else "a box for tests"

    def key(self, name):
        bits = hashlib.sha256(f"box {name}".encode()).digest()
        if self.fault == "zeros":
            bits = bytes(32)
        if self.fault == "other bits at the other end" and self.place == "there":
            bits = bits[::-1]
        if self.fault == "bits as bytes":
            return DeviceKey(name, bits)
        return DeviceKey(name, SecretBytes(bits))

    def fresh(self, most, timeout_s):
        self.check()
        keys = []
        for _ in range(min(most, 256)):
            self.count += 1
            name = "same" if self.fault == "one name for all" else f"{self.run}-{self.count}"
            keys.append(self.key(name.replace("-", " ") if self.fault == "names with blanks" else name))
        if self.fault == "no timeouts" and most > 256:
            time.sleep(timeout_s + 5.0)
        return keys

    def named(self, names, timeout_s):
        self.check()
        unknown = [name for name in names if name.startswith("poliqi")]
        if unknown and self.fault == "raises for unknown names":
            raise KeyError(unknown[0])
        if unknown and self.fault == "waits for ever":
            time.sleep(1000.0)
        if unknown:
            wait = time.sleep if self.fault == "close does nothing" else self.closed.wait
            wait(timeout_s)
            if self.fault != "close does nothing":
                self.check()
        found = [None if name in unknown else self.key(name) for name in names]
        return found[::-1] if self.fault == "another order" else found

    def check(self):
        if self.closed.is_set() and self.fault not in ("keys after close", "close does nothing"):
            raise LinkDown("closed")

    def close(self):
        self.closed.set()


def open_device(options):
    return Box(options.get("fault", "zeros"), options.get("place", "here"))
