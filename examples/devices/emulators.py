"""Emulators of the made-up devices of this folder, SIMULATED light and keys that protect nothing.

python examples/devices/emulators.py board LINK.toml --port 7010
python examples/devices/emulators.py box --port 7020
"""

import argparse
import secrets
import socketserver
import threading
import time
from pathlib import Path

import numpy as np

from poliqi.link.simulated import SimulatedReceiver, SimulatedTransmitter
from poliqi.ops.config import load_link

MOST_CLICKS = 2_000_000  # in one answer: a line of some 40 MB


class Lines(socketserver.StreamRequestHandler):
    """Answers each line with the `answer` of its server, one connection's at a time."""

    def handle(self):
        try:
            while line := self.rfile.readline(1 << 20).decode("ascii").strip():
                word, _, rest = line.partition(" ")
                self.wfile.write(self.server.answer(word, rest).encode() + b"\n")
        except OSError:
            pass  # whoever asked is gone


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, answer, port=0):
        super().__init__(("127.0.0.1", port), Lines)
        self.answer = answer

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"


class BoardEmulator:
    """Both boards of one link. Light goes by in real time; slots that nobody gathered are gone."""

    def __init__(self, link, seed=1):
        self.link, self.seed = link, seed
        self.alice = SimulatedTransmitter(link, seed)
        self.began = time.monotonic()
        self.start = 0

    def now(self):
        """The slot that goes by now."""
        return self.start + int((time.monotonic() - self.began) * self.link.source.clock_hz)

    def answer(self, word, rest):
        if word == "ID?":
            return "ID LB-4 sn=17 light=emulated"
        numbers = [int(each) for each in rest.split(",") if each]
        if word == "GATHER" and len(numbers) == 2:
            return self.gather(*numbers)
        if word == "STATES":
            slots = np.array(numbers, np.int64)
            if len(slots) and not 0 <= slots.min() <= slots.max() < 1 << 62:
                return "ERR nothing was sent in some of these slots"
            return "STATES " + "".join(f"{state:x}" for state in self.alice.states(slots).tolist())
        return "ERR unknown"

    def gather(self, first, count):
        if first > self.now():  # its counter is set: what was before is over
            self.start, self.began = first, time.monotonic()
        light = SimulatedReceiver(self.link, self.seed, first)
        until = self.began + (first + count - self.start) / self.link.source.clock_hz
        time.sleep(max(0.0, until - time.monotonic()))
        if count * light.clicks_per_pulse > MOST_CLICKS:
            return f"ERR more than {MOST_CLICKS} clicks in one answer: ask for fewer slots"
        seen = light.detect(count)
        table = np.column_stack((seen.slots, seen.outcomes)).ravel().tolist()
        reading = light.health()
        counters = [*reading.clicks, reading.doubles]
        return f"DATA {first} {','.join(map(str, counters))} {','.join(map(str, table))}"


class BoxEmulator:
    """Both ends' boxes: what one end was given by NEXT, each end may GET once."""

    def __init__(self, key_bytes=32):
        self.key_bytes, self.made, self.lock = key_bytes, {}, threading.Lock()

    def answer(self, word, rest):
        with self.lock:
            if word == "NEXT":
                name = f"k{secrets.token_hex(8)}"
                self.made[name] = secrets.token_hex(self.key_bytes)
                return f"KEY,{name},{self.made[name]}"
            if word == "GET" and rest in self.made:
                return f"KEY,{rest},{self.made.pop(rest)}"
        return "NONE" if word == "GET" else "ERR"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("device", choices=["board", "box"])
    parser.add_argument("link", nargs="?", help="LINK.toml of a board")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    device = BoxEmulator() if given.device == "box" else BoardEmulator(load_link(Path(given.link)))
    with Server(device.answer, given.port) as server:
        print(f"SIMULATED {given.device} at {server.address}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
