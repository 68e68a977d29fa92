"""The answer of a bench: medians and spread of its rounds, as JSON and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from poliqi.apps.testbench.outcome import Trial, Verdict

__all__ = ["Middle", "Row", "answer", "rows", "size_text", "table"]

_NAME: Final = 26


class Middle(msgspec.Struct, frozen=True):
    """The median over the rounds, and the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Middle | None:
        """None where nothing was measured."""
        found = [value for value in values if value is not None]
        return cls(statistics.median(found), min(found), max(found)) if found else None


class Row(msgspec.Struct, frozen=True):
    """One candidate's figures. Rates in Gbit/s of plaintext, times in seconds, processor time in ns a byte."""

    name: str
    kind: str
    origin: str
    verdict: str
    """"passed", "failed", "skipped" or "reference"."""
    stream_gbps: Middle | None
    stream_cpu_ns_per_byte: Middle | None
    opened_s: Middle | None
    there_and_back_p50_s: Middle | None
    there_and_back_p99_s: Middle | None
    seal_gbps: dict[int, Middle]
    """By the size of the records in bytes, as the following."""
    open_gbps: dict[int, Middle]
    record_p50_s: dict[int, Middle]
    record_p99_s: dict[int, Middle]
    record_cpu_ns_per_byte: dict[int, Middle]
    draw_gbps: Middle | None
    keys_per_s: Middle | None


def rows(trials: Iterable[Trial]) -> list[Row]:
    """One for each trial."""
    return [_row(trial) for trial in trials]


def _row(trial: Trial) -> Row:
    return Row(
        name=trial.name,
        kind=trial.kind,
        origin=trial.origin,
        verdict=_verdict(trial),
        stream_gbps=Middle.of(s.gbps for s in trial.streams),
        stream_cpu_ns_per_byte=Middle.of(s.cpu_ns_per_byte for s in trial.streams),
        opened_s=Middle.of(s.opened_s for s in trial.streams),
        there_and_back_p50_s=Middle.of(s.p50_s for s in trial.streams),
        there_and_back_p99_s=Middle.of(s.p99_s for s in trial.streams),
        seal_gbps=_by_size(trial, "seal_gbps"),
        open_gbps=_by_size(trial, "open_gbps"),
        record_p50_s=_by_size(trial, "p50_s"),
        record_p99_s=_by_size(trial, "p99_s"),
        record_cpu_ns_per_byte=_by_size(trial, "cpu_ns_per_byte"),
        draw_gbps=Middle.of(trial.draw_gbps),
        keys_per_s=Middle.of(trial.keys_per_s),
    )


def _by_size(trial: Trial, figure: str) -> dict[int, Middle]:
    sizes = sorted({record.size_bytes for record in trial.records})
    found = {size: Middle.of(getattr(r, figure) for r in trial.records if r.size_bytes == size) for size in sizes}
    return {size: middle for size, middle in found.items() if middle is not None}


def _verdict(trial: Trial) -> str:
    if trial.skipped is not None:
        return "skipped"
    if trial.failed:
        return "failed"
    return "reference" if [finding.check for finding in trial.findings] == ["reference"] else "passed"


def answer(trials: Sequence[Trial], about: dict[str, Any]) -> dict[str, Any]:
    """The whole as plain data; `about` says on what machine and how it was measured."""
    return {
        "about": about,
        "candidates": [
            msgspec.to_builtins(row)
            | {
                "description": trial.description,
                "skipped": trial.skipped,
                "failed": trial.failed,
                "not_promised": trial.not_promised,
                "findings": msgspec.to_builtins(trial.findings),
                "rounds": msgspec.to_builtins({"records": trial.records, "streams": trial.streams}),
            }
            for trial, row in zip(trials, rows(trials), strict=True)
        ],
    }


def table(trials: Sequence[Trial]) -> str:
    """The answer for people."""
    found = rows(trials)
    parts = [_conformance(trials)]
    if any(row.stream_gbps for row in found):
        parts.append(_streams(found))
    if any(row.seal_gbps for row in found):
        parts.append(_records(found))
    parts += [
        f"{row.name}: {row.draw_gbps.median:.3g} Gbit/s of random bits"
        for row in found
        if row.draw_gbps is not None
    ]
    parts += [f"{row.name}: {row.keys_per_s.median:,.0f} keys/s" for row in found if row.keys_per_s is not None]
    return "\n\n".join(parts)


def _conformance(trials: Sequence[Trial]) -> str:
    lines = ["CONFORMANCE"]
    for trial in trials:
        passed = sum(finding.verdict is Verdict.PASSED for finding in trial.findings)
        words = {"passed": f"passed {passed} checks", "reference": "reference", "failed": "FAILED, not timed"}
        said = words.get(_verdict(trial), f"skipped: {trial.skipped}")
        lines.append(f"{trial.name:{_NAME}} {trial.origin:16} {said}")
        lines += [
            f"    {finding.verdict.value.upper()} {finding.check}: {finding.text}"
            for finding in trial.findings
            if finding.verdict is not Verdict.PASSED
        ]
    return "\n".join(lines)


def _streams(found: Sequence[Row]) -> str:
    lines = [
        "STREAM over TCP on this machine, two processes; medians, (least to most)",
        f"{'':{_NAME}} {'Gbit/s':>8} {'':14} {'CPU ns/B':>8} {'open ms':>8} {'p50 us':>8} {'p99 us':>8}",
    ]
    for row in sorted(found, key=lambda row: -row.stream_gbps.median if row.stream_gbps else 0.0):
        rate = row.stream_gbps
        if rate is None:
            continue
        spread = f"({rate.least:.2f} to {rate.most:.2f})"
        times = [
            _cell(row.stream_cpu_ns_per_byte, 1.0),
            _cell(row.opened_s, 1e3),
            _cell(row.there_and_back_p50_s, 1e6),
            _cell(row.there_and_back_p99_s, 1e6),
        ]
        lines.append(f"{row.name:{_NAME}} {rate.median:8.2f} {spread:14} {' '.join(times)}")
    lines.append("p50, p99: a message of 200 bytes there and back")
    return "\n".join(lines)


def _cell(value: Middle | None, scale: float) -> str:
    return f"{'-':>8}" if value is None else f"{scale * value.median:8.3g}"


def _records(found: Sequence[Row]) -> str:
    measured = [row for row in found if row.seal_gbps]
    sizes = sorted({size for row in measured for size in row.seal_gbps})
    head = " ".join(f"{size_text(size):>16}" for size in sizes)
    lines = [
        "RECORDS in memory, one thread; Gbit/s sealed / opened, p99 of one sealed and opened",
        f"{'':{_NAME}} {head}",
    ]
    for row in measured:
        rates = [f"{row.seal_gbps[n].median:.3g} / {row.open_gbps[n].median:.3g}" for n in sizes]
        lines.append(f"{row.name:{_NAME}} " + " ".join(f"{text:>16}" for text in rates))
        times = [f"{1e6 * row.record_p99_s[n].median:.3g} us" for n in sizes]
        lines.append(f"{'':{_NAME}} " + " ".join(f"{text:>16}" for text in times))
    return "\n".join(lines)


def size_text(size_bytes: int) -> str:
    """A size as people say it."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= factor and size_bytes % factor == 0:
            return f"{size_bytes // factor} {unit}"
    return f"{size_bytes / 1000:g} kB" if size_bytes >= 1000 else f"{size_bytes} B"
