"""The whole bench: every candidate is checked in a process of its own, then all that passed are timed in turn."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from poliqi.apps.testbench.catalogue import REFERENCE, Origin, Place, waived
from poliqi.apps.testbench.dialogue import Answer, Conform, Describe, Draw, Keys, Listen, Ping, Records, Send, Serve
from poliqi.apps.testbench.hosting import Child, ChildLost
from poliqi.apps.testbench.outcome import Finding, StreamFigures, Trial, Verdict
from poliqi.apps.testbench.seams import Kind
from poliqi.base.errors import ConfigError

__all__ = ["RECORD_SIZES", "Plan", "look_into", "run_trials"]

RECORD_SIZES: Final = (200, 1400, 16 << 10, 256 << 10, 1 << 20)
"""A FIX message, a datagram, a record of TLS, one of ours, a large one. Bytes."""
_START_S: Final = 20.0
_SLACK_S: Final = 20.0
_CALL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `seconds` for each figure of a round; `limit_s` for all checks of a candidate.

    `write_bytes`: how much a stream is given at once. With `is_timed` False only the checks are run.
    """

    sizes: Sequence[int] = RECORD_SIZES
    seconds: float = 0.5
    rounds: int = 3
    limit_s: float = 90.0
    write_bytes: int = 256 << 10
    is_timed: bool = True


def look_into(origin: Origin) -> list[Place]:
    """What a file or an entry point adds. Its code runs in a process of its own. Raises ConfigError."""
    with _child() as child:
        try:
            answer = child.ask(Describe(origin), _START_S)
        except ChildLost as lost:
            raise ConfigError(f"{origin}: {lost}") from None
    if answer.error is not None:
        raise ConfigError(answer.error.removeprefix("ConfigError: "))
    return list(answer.places)


def run_trials(places: Iterable[Place], plan: Plan, say: Callable[[str], None]) -> list[Trial]:
    """One Trial for each place, in their order; `say` is told what is going on."""
    with ExitStack() as stack:
        desks = [_Desk(place, plan, stack) for place in places]
        for desk in desks:
            say(f"checking {desk.trial.name}")
            desk.check()
        timed = [desk for desk in desks if plan.is_timed and desk.trial.may_be_timed]
        for number in range(plan.rounds):
            for desk in timed:
                say(f"round {number + 1} of {plan.rounds}: {desk.trial.name}")
                desk.time(number)
        return [desk.trial for desk in desks]


class _Desk:
    """One candidate on trial, with the processes in which it runs."""

    def __init__(self, place: Place, plan: Plan, stack: ExitStack) -> None:
        self.trial: Final = Trial(place.name, place.kind, place.description, str(place.origin))
        self._place: Final = place
        self._plan: Final = plan
        self._stack: Final = stack
        self._children: Final[list[Child[Answer]]] = []

    def check(self) -> None:
        """Conformance. A candidate that is lost on the way has failed."""
        if self._place.origin.built_in == REFERENCE:
            self._found("reference", Verdict.NOT_SEEN, "nothing is encrypted: it is what the machine could do")
            return
        try:
            answer = self._child(0).ask(Conform(self.trial.name), self._plan.limit_s)
        except ChildLost as lost:
            self._found("survives", Verdict.FAILED, str(lost))
            return
        self.trial.skipped = answer.missing
        if answer.error is not None:
            self._found("survives", Verdict.FAILED, answer.error)
        for finding in answer.findings:
            reason = waived(self._place).get(finding.check)
            if finding.verdict is Verdict.FAILED and reason is not None:
                self._found(finding.check, Verdict.NOT_PROMISED, f"{reason} ({finding.text})")
            else:
                self.trial.findings.append(finding)

    def time(self, number: int) -> None:
        """One round. Where it fails, it is no longer timed and that is a finding."""
        if not self.trial.may_be_timed:
            return
        try:
            match self.trial.kind:
                case Kind.RECORDS:
                    self._time_records(number)
                    self._time_stream()
                case Kind.STREAM:
                    self._time_stream()
                case Kind.RANDOM:
                    self.trial.draw_gbps.append(self._ask(Draw(self.trial.name, self._plan.seconds)).rate)
                case Kind.KEYS:
                    self.trial.keys_per_s.append(self._ask(Keys(self.trial.name, self._plan.seconds)).rate)
        except ChildLost as lost:
            self._found("load", Verdict.FAILED, str(lost))
            for figures in (self.trial.records, self.trial.streams, self.trial.draw_gbps, self.trial.keys_per_s):
                figures.clear()  # what broke off is not compared

    def _time_records(self, number: int) -> None:
        sizes = list(self._plan.sizes)
        for size in sizes if number % 2 == 0 else reversed(sizes):
            records = self._ask(Records(self.trial.name, size, self._plan.seconds)).records
            if records is not None:
                self.trial.records.append(records)

    def _time_stream(self) -> None:
        name, seconds, write = self.trial.name, self._plan.seconds, self._plan.write_bytes
        sent, got = self._session(
            lambda port, key, folder: Send(name, key, folder, port, write, seconds), is_echo=False
        )
        if got.seconds <= 0.0:
            raise ChildLost(f"{got.received_bytes} bytes came through: too few to time")
        pinged: Answer | None = None
        if self._place.is_two_way:
            pinged, _ = self._session(
                lambda port, key, folder: Ping(name, key, folder, port, seconds), is_echo=True
            )
        self.trial.streams.append(
            StreamFigures(
                write_bytes=write,
                gbps=8e-9 * got.received_bytes / got.seconds,
                cpu_ns_per_byte=1e9 * (sent.cpu_s + got.cpu_s) / got.received_bytes,
                opened_s=sent.seconds,
                p50_s=None if pinged is None else pinged.p50_s,
                p99_s=None if pinged is None else pinged.p99_s,
            )
        )

    def _session(self, call: Callable[[int, str, str], Send | Ping], *, is_echo: bool) -> tuple[Answer, Answer]:
        """What the caller and what the answerer measured, each in a process of its own."""
        caller, answerer = self._child(0), self._child(1)
        limit_s = self._plan.seconds + _SLACK_S
        with tempfile.TemporaryDirectory(prefix="poliqi-") as folder:
            key = os.urandom(32).hex()
            listening = _good(answerer.ask(Listen(self.trial.name, key, folder), _START_S))
            answerer.say(Serve(is_echo, _CALL_S))
            called = caller.ask(call(listening.port, key, folder), limit_s)
            served = answerer.hear(limit_s)
        return _good(called), _good(served)

    def _ask(self, request: Records | Draw | Keys) -> Answer:
        return _good(self._child(0).ask(request, 3.0 * self._plan.seconds + _SLACK_S))

    def _child(self, number: int) -> Child[Answer]:
        while len(self._children) <= number:
            child = self._stack.enter_context(_child())
            self._children.append(child)
            _good(child.ask(Describe(self._place.origin), _START_S))
        return self._children[number]

    def _found(self, check: str, verdict: Verdict, text: str) -> None:
        self.trial.findings.append(Finding(check, verdict, text))


def _child() -> Child[Answer]:
    return Child("poliqi.apps.testbench.child", Answer)


def _good(answer: Answer) -> Answer:
    if answer.error is not None:
        raise ChildLost(answer.error)
    return answer
