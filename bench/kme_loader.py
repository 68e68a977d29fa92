"""A load generator for key delivery: many TLS connections, each with one request under way, latencies counted.

    python -m bench.kme_loader --address 127.0.0.1:8443 --ca ca.pem --certificate sae.pem --key sae.key \
        --path '/api/v1/keys/sae-b/enc_keys?number=1' --connections 64 --seconds 5

It speaks raw HTTP/1.1 on the event loop's protocols, so that it costs less than what it measures. With
`--dec MASTER` each key that comes is fetched at `--dec-address`, which makes the figures those of pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import ssl
import time
from dataclasses import dataclass, field
from typing import Final, Self, cast

import uvloop

__all__ = ["Load", "Report", "Target", "run_load"]

_READ_BYTES: Final = 32 << 10
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "
_KEY_ID: Final = b'"key_ID":"'
_KEY: Final = b'"key":"'


@dataclass(frozen=True)
class Target:
    """Where requests go, and as whom."""

    host: str
    port: int
    ca: str
    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass
class Report:
    """What was counted. `failures` by status code, 0 for a connection that broke; `cpu_s` is the loader's own."""

    requests: int = 0
    keys: int = 0
    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    failures: dict[int, int] = field(default_factory=dict)

    def quantile_ms(self, share: float) -> float:
        """Latency that `share` of the requests kept, in ms."""
        ordered = sorted(self.latencies_s)
        return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def as_json(self) -> dict[str, float | dict[int, int]]:
        """The figures by name."""
        elapsed_s = self.elapsed_s or 1.0
        return {
            "requests/s": round(self.requests / elapsed_s, 1),
            "keys/s": round(self.keys / elapsed_s, 1),
            "p50 ms": round(self.quantile_ms(0.5), 3),
            "p95 ms": round(self.quantile_ms(0.95), 3),
            "p99 ms": round(self.quantile_ms(0.99), 3),
            "max ms": round(self.quantile_ms(1.0), 3),
            "loader CPU us/request": round(1e6 * self.cpu_s / max(1, self.requests), 1),
            "failures": self.failures,
        }


@dataclass
class Load:
    """What to send. With `dec` (a site and the path up to the key id) every key is fetched there as well."""

    target: Target
    path: str
    connections: int = 32
    seconds: float = 5.0
    dec: tuple[Target, str] | None = None


class _Client(asyncio.BufferedProtocol):
    """One connection that answers to one callback at a time."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._data = b""
        self._wanted = 0
        self._buffer = memoryview(bytearray(_READ_BYTES))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the event loop calls it so
        self._settle(0, b"")

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Status and body; 0 where the connection broke."""
        self._waiting = waiting = asyncio.get_running_loop().create_future()
        self._data, self._wanted = b"", 0
        if self.transport.is_closing():
            self._settle(0, b"")
        else:
            self.transport.write(request)
        return waiting

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # the event loop calls it so
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        self._data = data = self._data + data if self._data else data
        if not self._wanted:
            end = data.find(_HEAD_END)
            if end < 0:
                return
            at = data.find(_LENGTH, 0, end + 2) + len(_LENGTH)
            self._wanted = end + len(_HEAD_END) + int(data[at : data.index(b"\r", at)])
        if len(data) >= self._wanted:
            self._settle(int(data[9:12]), data)

    def _settle(self, status: int, answer: bytes) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result((status, answer))

    @classmethod
    async def connect(cls, target: Target, context: ssl.SSLContext) -> Self:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(cls, target.host, target.port, ssl=context)
        return client


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: kme\r\n\r\n".encode()


async def _worker(load: Load, contexts: list[ssl.SSLContext], end: float, report: Report) -> None:
    client = await _Client.connect(load.target, contexts[0])
    other = None if load.dec is None else await _Client.connect(load.dec[0], contexts[1])
    request = _get(load.path)
    clock = time.perf_counter
    try:
        while (start := clock()) < end:
            status, answer = await client.ask(request)
            if status == 200 and other is not None and load.dec is not None:
                at = answer.index(_KEY_ID) + len(_KEY_ID)
                status, again = await other.ask(_get(load.dec[1] + answer[at : at + 36].decode()))
                if status == 200 and _key_of(answer) != _key_of(again):
                    raise AssertionError("the two sites gave different keys under one name")
            if status != 200:
                report.failures[status] = report.failures.get(status, 0) + 1
                if status == 0:
                    return
                continue
            report.latencies_s.append(clock() - start)
            report.requests += 1
            report.keys += answer.count(_KEY_ID)
    finally:
        for each in (client, other):
            if each is not None:
                each.transport.abort()


def _key_of(answer: bytes) -> bytes:
    at = answer.index(_KEY) + len(_KEY)
    return answer[at : answer.index(b'"', at)]


async def run_load(load: Load) -> Report:
    """Keep every connection busy for so many seconds."""
    report = Report()
    contexts = [load.target.context(), *(() if load.dec is None else (load.dec[0].context(),))]
    start, cpu = time.perf_counter(), _cpu_s()
    end = start + load.seconds
    await asyncio.gather(*(_worker(load, contexts, end, report) for _ in range(load.connections)))
    report.elapsed_s, report.cpu_s = time.perf_counter() - start, _cpu_s() - cpu
    return report


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run a load from the command line and print its figures as JSON."""
    parser = argparse.ArgumentParser(description="load a site's key delivery")
    parser.add_argument("--address", required=True, metavar="HOST:PORT")
    parser.add_argument("--dec-address", metavar="HOST:PORT")
    for name in ("--ca", "--certificate", "--key", "--path"):
        parser.add_argument(name, required=True)
    parser.add_argument("--dec", metavar="MASTER", help="fetch every key at --dec-address as the slave")
    parser.add_argument("--dec-certificate")
    parser.add_argument("--dec-key")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    target = _target(given.address, given.ca, given.certificate, given.key)
    dec = None
    if given.dec is not None:
        slave = _target(given.dec_address, given.ca, given.dec_certificate, given.dec_key)
        dec = (slave, f"/api/v1/keys/{given.dec}/dec_keys?key_ID=")
    report = uvloop.run(run_load(Load(target, given.path, given.connections, given.seconds, dec)))
    print(json.dumps(report.as_json()))


def _target(address: str, ca: str, certificate: str, key: str) -> Target:
    host, _, port = address.rpartition(":")
    return Target(host, int(port), ca, certificate, key)


if __name__ == "__main__":
    main()
