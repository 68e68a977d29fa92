"""Driver of the LB-4, a made-up single-photon detector board, and of the source board at Alice's: a worked example.

They speak lines of text over TCP, as many real ones do; for a serial one put pyserial in create_connection's place.

poliqi device check examples/devices/spad_board.py --link LINK.toml --device-options board.toml
"""

import socket
from contextlib import suppress

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import MAX_SLOT, Condition, Detections, check_detections
from poliqi.link.health import Health

LONGEST_LINE = 1 << 26  # what a board says is not taken on trust, its length neither


class Board:
    """A line each way. NOTE lines may come before an answer: they say when light went, and when it is back."""

    def __init__(self, options):
        self.is_closed, self.dark, self.changes = False, "", 0
        if "address" not in options:
            raise ConfigError('write address = "HOST:PORT" of the board')
        host, _, port = options["address"].rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=5.0)
        self.socket.settimeout(None)  # light takes as long as it takes; close() ends the wait
        self.lines = self.socket.makefile("rb")
        self.origin = Origin.SIMULATED if "light=emulated" in self.ask("ID?") else Origin.PHOTONS

    def ask(self, words):
        try:
            self.socket.sendall(words.encode() + b"\n")
            while True:
                line = self.lines.readline(LONGEST_LINE).decode("ascii")
                if not line.endswith("\n"):
                    raise OSError("the board hung up")
                if not line.startswith("NOTE "):
                    break
                self.dark = "" if line[5:].strip() == "light" else line[5:].strip()[:200]
                self.changes += 1
        except (OSError, ValueError) as error:  # ValueError: not ASCII, or closed by another thread
            why = "closed" if self.is_closed else f"{error}; is it switched on?"
            raise DataRefused(f"board: {why}") from None
        if line.startswith("ERR "):
            raise DataRefused(f"board: {line[4:].strip()[:200]}")
        return line.strip()

    @property
    def condition(self):
        return Condition(self.dark, None, self.changes)

    def close(self):
        """From any thread: the read that waits ends at once."""
        self.is_closed = True
        with suppress(OSError):  # it may be gone already
            self.socket.shutdown(socket.SHUT_RDWR)


class SpadBoard(Board):
    """Bob's end: `GATHER first,count` waits for these slots; then come first, counters and slot,channel,slot,...

    The board makes one event of a double click, by a die of its own, and counts it.
    """

    def __init__(self, options, first_slot):
        super().__init__(options)
        self.next_slot = first_slot
        self.gone = np.zeros(6, np.int64)  # slots, clicks of the four channels, double clicks

    def detect(self, pulses):
        if not 1 <= pulses <= MAX_SLOT - self.next_slot:
            raise DataRefused(f"{pulses} slots asked for; slots end at {MAX_SLOT}")
        answer = self.ask(f"GATHER {self.next_slot},{pulses}").removeprefix("DATA ")
        try:
            first_slot, counters, events = answer.split(" ")
            first_slot = int(first_slot)  # a board that was not asked in time begins later: that light is lost
            counted = np.array(counters.split(","), np.int64).reshape(5)
            table = np.array(events.split(",") if events else [], np.int64).reshape(-1, 2)
        except ValueError:
            raise DataRefused("board: an answer that is no DATA of slots and channels") from None
        # channels 0 to 3 are key 0, key 1, test 0, test 1: just what an outcome's two bits say
        seen = Detections(first_slot, pulses, table[:, 0].copy(), table[:, 1].astype(np.uint8))
        check_detections(seen)  # slots increase and lie inside, outcomes are below 4: else DataRefused
        self.gone += (pulses, *counted)
        self.next_slot = first_slot + pulses
        return seen

    def health(self):
        gone, self.gone = self.gone, np.zeros(6, np.int64)
        return Health(int(gone[0]), clicks=tuple(gone[1:5].tolist()), doubles=int(gone[5]))


class SourceBoard(Board):
    """Alice's end: `STATES slot,slot,...` answers with a hexadecimal digit for each."""

    def states(self, slots):
        digits = ""
        for at in range(0, len(slots), 4096):
            asked = ",".join(map(str, slots[at : at + 4096].tolist()))
            digits += self.ask(f"STATES {asked}").removeprefix("STATES ")
        if len(digits) != len(slots) or not set(digits) <= set("0123456789abcdef"):
            raise DataRefused(f"board: its answer is not {len(slots)} states")
        return np.array([int(digit, 16) for digit in digits], np.uint8)


def origin(options):
    """Photons, unless the settings say that an emulator stands for the board."""
    return Origin.SIMULATED if options.get("emulator") else Origin.PHOTONS


def open_receiver(link, options, first_slot):  # noqa: ARG001  # the board has its own settings of the optics
    return SpadBoard(options, first_slot)


def open_transmitter(link, options):  # noqa: ARG001  # as above
    return SourceBoard(options)
