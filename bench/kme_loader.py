"""A load generator for key delivery: TLS connections that each have one request under way, in a process of its own.

    python -m bench.kme_loader < plan.json

It prints `begin` when what it counts begins and its report, as JSON, when that is over. Answers are kept as they
came and looked into afterwards, so that it costs less than what it measures. `Plan` says what the JSON holds.
"""

from __future__ import annotations

import asyncio
import re
import resource
import ssl
import sys
import time
from collections import Counter
from functools import cache
from typing import Final, cast

import msgspec
import uvloop

__all__ = ["Door", "Flow", "Plan", "Report"]

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "
_KEY_ID: Final = b'"key_ID":"'
_KEY: Final = b'"key":"'
_KEYS: Final = re.compile(rb'"key_ID":"([0-9a-f-]{36})","key":"([^"]+)"')
_LATE_S: Final = 10.0


class Door(msgspec.Struct, frozen=True):
    """A site's port for applications, and as whom to knock: PEM files."""

    port: int
    authority: str
    certificate: str
    key: str


class Flow(msgspec.Struct, frozen=True):
    """`connections` that ask `path` of `door` again and again, or every `period_s` where it is not 0.

    With `then`, a door and a path up to the key's id, each key is fetched there too and must be the same one.
    """

    door: Door
    path: str
    connections: int
    then: tuple[Door, str] | None = None
    period_s: float = 0.0


class Plan(msgspec.Struct, frozen=True):
    """What to do: `warm_s` uncounted, then `seconds` counted."""

    flows: list[Flow]
    seconds: float
    warm_s: float = 0.5


class Report(msgspec.Struct):
    """What was counted. Latencies are of first requests: p50, p95, p99 and the longest, in ms.

    `statuses` counts all answers that came by code (0: a connection that broke) as long as the load ran, and
    `names_twice`, `values_twice` keys of all these that were given twice; `differing`, keys that differ between
    two sites.
    """

    requests: int
    keys: int
    seconds: float
    loader_cpu_us: float
    latencies_ms: tuple[float, float, float, float]
    pair_ms: tuple[float, float, float, float]
    statuses: dict[str, int]
    names_twice: int
    values_twice: int
    differing: int


class _Answers:
    """What came, with the time at which it was counted."""

    def __init__(self) -> None:
        self.first: list[bytes] = []
        self.counted = 0
        self.latencies_s: list[float] = []
        self.pairs_s: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.differing = 0
        self.is_counting = self.is_over = False


class _Connection(asyncio.Protocol):
    """One connection; `heard` is called with each whole answer, and with nothing when it breaks."""

    def __init__(self) -> None:
        self._rest = b""
        self._wanted = 0
        self.transport: asyncio.Transport | None = None
        self.user: _Asker | None = None
        self.is_second = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the event loop calls it so
        if self.user is not None:
            self.user.broken()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if not self._wanted:
            end = data.find(_HEAD_END)
            if end < 0:
                self._rest = data
                return
            at = data.find(_LENGTH, 0, end + 2) + 16
            self._wanted = end + 4 + int(data[at : data.find(b"\r", at)])
        if len(data) < self._wanted:
            self._rest = data
            return
        self._rest, self._wanted = b"", 0
        assert self.user is not None
        if self.is_second:
            self.user.heard_again(data)
        else:
            self.user.heard(data)


class _Asker:
    """One connection's questions, and those to the second site that follow from its answers."""

    def __init__(self, flow: Flow, answers: _Answers, first: _Connection, second: _Connection | None) -> None:
        self._request: Final = f"GET {flow.path} HTTP/1.1\r\nhost: kme\r\n\r\n".encode()
        self._then: Final = b"" if flow.then is None else b"GET " + flow.then[1].encode()
        self._period_s: Final = flow.period_s
        self._answers: Final = answers
        assert first.transport is not None
        self._write: Final = first.transport.write
        self._second: Final = None if second is None else second.transport
        self._began = 0.0
        self._answer = b""
        self._is_due = False
        first.user = self
        if second is not None:
            second.user, second.is_second = self, True

    def ask(self) -> None:
        if self._answers.is_over:
            return
        self._began = time.perf_counter()
        self._write(self._request)

    def heard(self, answer: bytes) -> None:
        answers = self._answers
        if answer.startswith(b"HTTP/1.1 200"):
            answers.first.append(answer)
            if answers.is_counting:
                answers.latencies_s.append(time.perf_counter() - self._began)
            if self._second is not None:
                at = answer.find(_KEY_ID) + 10
                self._answer = answer
                self._second.write(self._then + answer[at : at + 36] + b" HTTP/1.1\r\nhost: kme\r\n\r\n")
                return
            if answers.is_counting:
                answers.counted += 1
        else:
            answers.statuses[answer[9:12].decode()] += 1
        self._next()

    def heard_again(self, answer: bytes) -> None:
        answers = self._answers
        if answer.startswith(b"HTTP/1.1 200"):
            if _key_of(answer) != _key_of(self._answer):
                answers.differing += 1
            elif answers.is_counting:
                answers.counted += 1
                answers.pairs_s.append(time.perf_counter() - self._began)
        else:
            answers.statuses[answer[9:12].decode() + " again"] += 1
        self._next()

    def _next(self) -> None:
        if not self._period_s:
            self.ask()
        else:
            asyncio.get_running_loop().call_later(self._began + self._period_s - time.perf_counter(), self.ask)

    def broken(self) -> None:
        if not self._answers.is_over:
            self._answers.statuses["0"] += 1


def _key_of(answer: bytes) -> bytes:
    at = answer.find(_KEY) + len(_KEY)
    return answer[at : answer.find(b'"', at)]


@cache
def _context(door: Door) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=door.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(door.certificate, door.key)
    return context


async def _open(door: Door) -> _Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(_Connection, "127.0.0.1", door.port, ssl=_context(door))
    return connection


async def _load(plan: Plan) -> Report:
    answers = _Answers()
    askers: list[tuple[_Asker, float]] = []
    for flow in plan.flows:
        for place in range(flow.connections):
            first = await _open(flow.door)
            second = None if flow.then is None else await _open(flow.then[0])
            askers.append((_Asker(flow, answers, first, second), flow.period_s * place / flow.connections))
    loop = asyncio.get_running_loop()
    for number, (asker, after_s) in enumerate(askers):
        period_s = plan.flows[0].period_s
        loop.call_later(after_s + period_s * number / len(askers) / 2, asker.ask)
    await asyncio.sleep(plan.warm_s)
    answers.is_counting = True
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    began, cpu = time.perf_counter(), time.process_time()
    before = len(answers.first)
    await asyncio.sleep(plan.seconds)
    answers.is_counting, answers.is_over = False, True
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    sys.stdout.write("end\n")
    sys.stdout.flush()
    counted = answers.first[before : before + len(answers.latencies_s)]
    keys = sum(answer.count(_KEY_ID) for answer in counted)
    await asyncio.sleep(0.2)
    given = [pair for answer in answers.first for pair in _KEYS.findall(answer)]
    answers.statuses["200"] = len(answers.first)
    return Report(
        answers.counted,
        keys,
        took,
        1e6 * spent / max(1, answers.counted),
        _quantiles_ms(answers.latencies_s),
        _quantiles_ms(answers.pairs_s),
        dict(answers.statuses),
        len(given) - len({name for name, _ in given}),
        len(given) - len({value for _, value in given}),
        answers.differing,
    )


def _quantiles_ms(latencies_s: list[float]) -> tuple[float, float, float, float]:
    ordered = sorted(latencies_s) or [0.0]
    last = len(ordered) - 1
    p50, p95, p99, p100 = (1e3 * ordered[int(share * last)] for share in (0.5, 0.95, 0.99, 1.0))
    return p50, p95, p99, p100


def main() -> None:
    """Do as the plan on standard input says."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report = uvloop.run(_load(plan))
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
