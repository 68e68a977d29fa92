"""The child process in which a candidate runs: `python -m poliqi.apps.testbench.child`.

Requests come on standard input, answers go to standard output; whatever a candidate prints goes to standard error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, assert_never

from poliqi.apps.testbench import loads
from poliqi.apps.testbench.catalogue import candidates_at, described
from poliqi.apps.testbench.checking import run_checks
from poliqi.apps.testbench.dialogue import (
    Answer,
    Conform,
    Describe,
    Draw,
    Keys,
    Listen,
    Ping,
    Records,
    Request,
    Send,
    Serve,
)
from poliqi.apps.testbench.ends import FramedStream
from poliqi.apps.testbench.hosting import serve
from poliqi.apps.testbench.keychecks import KEY_CHECKS
from poliqi.apps.testbench.outcome import Finding
from poliqi.apps.testbench.randomchecks import RANDOM_CHECKS
from poliqi.apps.testbench.recordchecks import RECORD_CHECKS
from poliqi.apps.testbench.seams import Candidate, Kind, Listening, StreamEncryptor, kind_of
from poliqi.apps.testbench.streamchecks import STREAM_CHECKS

__all__ = ["Candidates", "main"]

_CHECKS: Final[dict[Kind, Any]] = {  # each is given candidates of its own kind
    Kind.RECORDS: RECORD_CHECKS,
    Kind.STREAM: STREAM_CHECKS,
    Kind.RANDOM: RANDOM_CHECKS,
    Kind.KEYS: KEY_CHECKS,
}


class Candidates:
    """The candidates of one place, and the stream that is being listened to."""

    def __init__(self) -> None:
        self._found: dict[str, Candidate] = {}
        self._open: Final = ExitStack()
        self._listening: Listening | None = None

    def answer(self, request: Request) -> Answer:
        """Do what is asked; an error of the candidate is an answer."""
        try:
            return self._answer(request)
        except Exception as error:  # code of others: whatever it raises is what was found
            return Answer(error=f"{type(error).__name__}: {error}"[:1000])

    def _answer(self, request: Request) -> Answer:
        match request:
            case Describe():
                self._found = {candidate.name: candidate for candidate in candidates_at(request.origin)}
                return Answer(places=tuple(described(request.origin)))
            case Conform():
                return self._conform(request.name)
            case Records():
                encryptor: Any = self._found[request.name]
                return Answer(records=loads.time_records(encryptor, request.size_bytes, request.seconds))
            case Draw():
                source: Any = self._found[request.name]
                return Answer(rate=loads.draw_gbps(source, request.seconds))
            case Keys():
                source = self._found[request.name]
                return Answer(rate=loads.keys_per_s(source, request.seconds))
            case Listen():
                stream = self._stream(request.name)
                key = bytes.fromhex(request.key_hex)
                self._listening = self._open.enter_context(stream.listen(key, Path(request.folder)))
                return Answer(port=self._listening.port)
            case Serve():
                return self._serve(request)
            case Send() | Ping():
                return self._call(request)
            case _:
                assert_never(request)

    def _stream(self, name: str) -> StreamEncryptor:
        """A record encryptor gets the load of programs over TCP."""
        candidate: Any = self._found[name]
        return FramedStream(candidate) if kind_of(candidate) is Kind.RECORDS else candidate

    def _conform(self, name: str) -> Answer:
        candidate: Any = self._found[name]
        look: Callable[[], str | None] | None = getattr(candidate, "missing", None)
        missing = look() if look is not None else None
        if missing is not None:
            return Answer(missing=missing[:300])
        kind = kind_of(candidate)
        assert kind is not None  # it was checked when it was found
        findings: list[Finding] = run_checks(candidate, _CHECKS[kind])
        return Answer(findings=tuple(findings))

    def _serve(self, request: Serve) -> Answer:
        assert self._listening is not None  # it was asked to listen before
        try:
            end = self._listening.accept(request.timeout_s)
            before = loads.tree_cpu_s(os.getpid())
            if request.is_echo:
                loads.echo(end)
                return Answer()
            total, seconds = loads.sink(end)
            used = loads.tree_cpu_s(os.getpid()) - before
            end.finish()
            return Answer(received_bytes=total, seconds=seconds, cpu_s=used)
        finally:
            self._listening = None
            self._open.close()

    def _call(self, request: Send | Ping) -> Answer:
        begun = time.perf_counter()
        key = bytes.fromhex(request.key_hex)
        with self._stream(request.name).call(key, Path(request.folder), request.port) as end:
            opened_s = time.perf_counter() - begun
            if isinstance(request, Ping):
                times = loads.ping(end, request.seconds)
                return Answer(p50_s=loads.percentile(times, 0.5), p99_s=loads.percentile(times, 0.99))
            before = loads.tree_cpu_s(os.getpid())
            loads.pour(end, request.write_bytes, request.seconds)
            used = loads.tree_cpu_s(os.getpid()) - before
            if self._stream(request.name).is_two_way:
                end.recv_into(bytearray(1 << 20))  # the other side has all of it
            return Answer(seconds=opened_s, cpu_s=used)


def main() -> None:
    """Answer until standard input ends."""
    serve(Request, Candidates().answer)


if __name__ == "__main__":
    main()
