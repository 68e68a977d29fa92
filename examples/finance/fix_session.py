"""A FIX 4.4 session, small and whole, over any TCP connection: logon, heartbeats, test requests, sequence numbers,
resend requests, gap fill, logout. Messages are written and read with simplefix.

    python fix_session.py accept 9880                       a venue that fills every order
    python fix_session.py initiate 127.0.0.1 9870 --orders 200      a trader; prints what an order takes

Needs: pip install simplefix. It shows the protocol over a tunnel and is no engine to trade with: nothing is kept
on disk, and sequence numbers begin at 1 with each session (141=Y).
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable

import simplefix

__all__ = ["FixSession", "Venue", "trade"]

_ADMIN = (b"0", b"1", b"2", b"4", b"5", b"A")
_LOGON_S = 10.0


class FixError(Exception):
    """The other side broke the session's rules."""


class FixSession:
    """One side of a session. Threads: one that reads, one that keeps the heart beating."""

    def __init__(
        self,
        connection: socket.socket,
        own: str,
        other: str,
        deliver: Callable[[FixSession, simplefix.FixMessage], None],
        heartbeat_s: float = 30.0,
    ) -> None:
        """`deliver` gets each application message, in order and once, from the reading thread."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._own, self._other = own, other
        self._deliver = deliver
        self._heartbeat_s = heartbeat_s
        self._parser = simplefix.FixParser()
        self._lock = threading.RLock()
        self._sent: dict[int, tuple[bytes, list[tuple[int, str]], str]] = {}
        self._next_out = self._next_in = 1
        self._heard_s = self._said_s = time.monotonic()
        self._tested = False
        self._gap_until = 0
        self.is_up = threading.Event()
        self.has_ended = threading.Event()
        self.resends_asked = self.resends_done = self.tests_answered = 0
        self.lose_next = False
        """The next application message gets its number and is not sent: a gap, for tests."""

    def start(self, *, is_initiator: bool) -> None:
        """Begin; an initiator logs on at once. Returns when the session is up."""
        threading.Thread(target=self._read, name=f"fix-{self._own}", daemon=True).start()
        if is_initiator:
            self._logon()
        if not self.is_up.wait(_LOGON_S):
            raise FixError("no logon from the other side")
        threading.Thread(target=self._beat, name=f"beat-{self._own}", daemon=True).start()

    def send(self, kind: str, fields: list[tuple[int, str]]) -> None:
        """Send an application message; it can be asked for again."""
        with self._lock:
            if self.lose_next:
                self.lose_next = False
                self._sent[self._next_out] = (kind.encode(), fields, _now())
                self._next_out += 1
            else:
                self._write(kind, fields)

    def test(self) -> None:
        """Ask the other side for a heartbeat."""
        self._write("1", [(112, f"T{time.monotonic_ns()}")])

    def logout(self) -> None:
        """End the session, and wait until the other side has agreed."""
        self._write("5", [])
        self.has_ended.wait(_LOGON_S)
        self._connection.close()

    def _logon(self) -> None:
        self._write("A", [(98, "0"), (108, f"{self._heartbeat_s:.0f}"), (141, "Y")])

    def _write(self, kind: str, fields: list[tuple[int, str]], again: tuple[int, str] | None = None) -> None:
        """One message; `again`: the number and time of one that is sent a second time."""
        with self._lock:
            number = self._next_out if again is None else again[0]
            sending = _now()
            message = simplefix.FixMessage()
            message.append_pair(8, "FIX.4.4")
            message.append_pair(35, kind)
            message.append_pair(49, self._own)
            message.append_pair(56, self._other)
            message.append_pair(34, number)
            message.append_pair(52, sending)
            if again is not None:
                message.append_pair(43, "Y")
                message.append_pair(122, again[1])
            for tag, value in fields:
                message.append_pair(tag, value)
            if again is None:
                if kind.encode() not in _ADMIN:
                    self._sent[number] = (kind.encode(), fields, sending)
                self._next_out += 1
            with contextlib.suppress(OSError):
                self._connection.sendall(message.encode())
            self._said_s = time.monotonic()

    def _read(self) -> None:
        try:
            while data := self._connection.recv(65536):
                self._heard_s, self._tested = time.monotonic(), False
                self._parser.append_buffer(data)
                while (message := self._parser.get_message()) is not None:
                    self._take(message)
        except OSError:
            pass
        finally:
            self.has_ended.set()

    def _take(self, message: simplefix.FixMessage) -> None:
        """Judge one message by its number, then by its kind."""
        kind, number = message.get(35), int(message.get(34))
        if message.get(49) != self._other.encode() or message.get(56) != self._own.encode():
            raise OSError("a message for somebody else")
        if kind == b"4":
            self._next_in = max(self._next_in, int(message.get(36)))
            return
        if number < self._next_in:
            if message.get(43) != b"Y":
                raise OSError("a number came twice")
            return
        if number > self._next_in:
            self._missing(number)
            if kind not in (b"A", b"2", b"5"):
                return
        else:
            self._next_in += 1
        self._act(kind, message)

    def _missing(self, number: int) -> None:
        """Ask once for everything from the first message that is missing; what came early comes again."""
        if number > self._gap_until:
            self._gap_until = number
            self.resends_asked += 1
            self._write("2", [(7, str(self._next_in)), (16, "0")])

    def _act(self, kind: bytes, message: simplefix.FixMessage) -> None:
        match kind:
            case b"A":
                if not self.is_up.is_set() and self._next_out == 1:
                    self._logon()
                self.is_up.set()
            case b"1":
                self._write("0", [(112, message.get(112).decode())])
            case b"0":
                self.tests_answered += message.get(112) is not None
            case b"2":
                self._resend(int(message.get(7)))
            case b"5":
                if not self.has_ended.is_set():
                    self._write("5", [])
                    self.has_ended.set()
            case _:
                self._deliver(self, message)

    def _resend(self, begin: int) -> None:
        """Application messages again, marked as such; a gap fill in place of everything else."""
        with self._lock:
            number = begin
            while number < self._next_out:
                if number in self._sent:
                    kind, fields, sent = self._sent[number]
                    self._write(kind.decode(), fields, (number, sent))
                    self.resends_done += 1
                    number += 1
                    continue
                end = number
                while end < self._next_out and end not in self._sent:
                    end += 1
                self._write("4", [(123, "Y"), (36, str(end))], (number, _now()))
                number = end

    def _beat(self) -> None:
        """A heartbeat where nothing was said for a while; a test, and then the end, where nothing was heard."""
        while not self.has_ended.wait(self._heartbeat_s / 4):
            now = time.monotonic()
            if now - self._heard_s > 2.2 * self._heartbeat_s:
                self._connection.close()
                return
            if now - self._heard_s > 1.2 * self._heartbeat_s and not self._tested:
                self._tested = True
                self.test()
            if now - self._said_s > self._heartbeat_s:
                self._write("0", [])


def _now() -> str:
    moment = time.time()
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}"


class Venue:
    """Takes sessions and fills every order (35=D) with a report (35=8)."""

    def __init__(self, port: int = 0, own: str = "VENUE", heartbeat_s: float = 30.0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._own, self._heartbeat_s = own, heartbeat_s
        self.orders: list[bytes] = []
        self.sessions: list[FixSession] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            session = FixSession(connection, self._own, "TRADER", self._fill, self._heartbeat_s)
            self.sessions.append(session)
            threading.Thread(target=session.start, kwargs={"is_initiator": False}, daemon=True).start()

    def _fill(self, session: FixSession, order: simplefix.FixMessage) -> None:
        self.orders.append(order.encode())
        name = order.get(11).decode()
        fields = [(37, f"X{name}"), (11, name), (17, f"E{name}"), (150, "F"), (39, "2"), (55, "POLI"), (54, "1")]
        session.send("8", [*fields, (151, "0"), (14, "100"), (6, "10.50"), (58, order.get(58).decode())])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Trader:
    """Sends orders one after the other, each once the last was reported on."""

    def __init__(self, host: str, port: int, heartbeat_s: float = 30.0) -> None:
        connection = socket.create_connection((host, port), timeout=10.0)
        connection.settimeout(None)
        self.reports: list[str] = []
        self._news = threading.Condition()
        self.session = FixSession(connection, "TRADER", "VENUE", self._reported, heartbeat_s)
        self.session.start(is_initiator=True)

    def _reported(self, session: FixSession, report: simplefix.FixMessage) -> None:  # noqa: ARG002
        with self._news:
            self.reports.append(report.get(11).decode())
            self._news.notify_all()

    def order(self, name: str, text: str, within_s: float = 10.0) -> float:
        """Send an order of about 200 bytes; seconds until its report was there. Raises FixError."""
        start = time.perf_counter()
        fields = [(11, name), (1, "IT60X0542811101000000123456"), (21, "1"), (55, "POLI"), (54, "1"), (38, "100")]
        self.session.send("D", [*fields, (40, "2"), (44, "10.50"), (59, "0"), (60, _now()), (58, text)])
        with self._news:
            if not self._news.wait_for(lambda: name in self.reports, within_s):
                raise FixError(f"no report on order {name}")
        return time.perf_counter() - start


def trade(host: str, port: int, orders: int, text: str = "reserved order") -> list[float]:
    """A session with so many orders; seconds that each took."""
    trader = Trader(host, port)
    took = [trader.order(f"O{i}", text) for i in range(orders)]
    trader.session.logout()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description="A FIX 4.4 session over any TCP connection.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    accept = kinds.add_parser("accept", help="a venue that fills every order")
    accept.add_argument("port", type=int)
    initiate = kinds.add_parser("initiate", help="a trader that sends orders")
    initiate.add_argument("host")
    initiate.add_argument("port", type=int)
    initiate.add_argument("--orders", type=int, default=200)
    chosen = parser.parse_args()
    if chosen.kind == "accept":
        venue = Venue(chosen.port)
        print(f"venue at 127.0.0.1:{venue.port}; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        return
    took = sorted(trade(chosen.host, chosen.port, chosen.orders))
    p99 = took[min(len(took) - 1, int(0.99 * len(took)))]
    median_ms, p99_ms = 1e3 * statistics.median(took), 1e3 * p99
    print(f"{len(took)} orders filled; round trip: median {median_ms:.2f} ms, p99 {p99_ms:.2f} ms")


if __name__ == "__main__":
    main()
