"""The month report in words: tables for a page or a terminal, in English and in Italian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poliqi.control.lines import Language, bits_text, rate_text, time_text
from poliqi.control.servicelevel import MonthReport, Outage

__all__ = ["WORDS", "ReportTable", "report_lines", "report_tables", "utc_text"]

_SHOWN: Final = 20

WORDS: Final[dict[str, tuple[str, str]]] = {
    "report": ("Service report of {city}", "Rapporto di servizio di {city}"),
    "simulated": ("The light of this city is SIMULATED.", "La luce di questa città è SIMULATA."),
    "period": ("from {start} to {end} (UTC)", "dal {start} al {end} (UTC)"),
    "target": (
        "Service level: available {target} of the time.",
        "Livello di servizio: disponibile {target} del tempo.",
    ),
    "unknown": (
        "Not seen by any controller: {time}. It counts neither as good nor as bad.",
        "Non osservato da alcun controllore: {time}. Non conta né a favore né contro.",
    ),
    "requests": (
        "Keys handed out: {keys}; requests {requests}, of which refused {refused}.",
        "Chiavi consegnate: {keys}; richieste {requests}, di cui rifiutate {refused}.",
    ),
    "demands": ("Demands", "Richieste di chiave"),
    "demand": ("demand", "richiesta"),
    "available": ("available", "disponibile"),
    "bounds": ("at least / at most", "almeno / al più"),
    "planned": ("planned work", "lavori pianificati"),
    "wanted": ("wanted", "richiesto"),
    "granted": ("granted", "concesso"),
    "delivered": ("taken", "prelevato"),
    "level": ("service level", "livello di servizio"),
    "met": ("kept", "rispettato"),
    "missed": ("missed", "non rispettato"),
    "open": ("cannot be said", "non determinabile"),
    "links": ("Links", "Collegamenti"),
    "link": ("link", "collegamento"),
    "rate": ("mean key rate", "chiave media"),
    "key": ("key made", "chiave prodotta"),
    "outages": ("Outages", "Interruzioni"),
    "what": ("what", "che cosa"),
    "start": ("from (UTC)", "dalle (UTC)"),
    "length": ("length", "durata"),
    "meanwhile": ("meanwhile", "nel frattempo"),
    "gaps": ("Not seen", "Non osservato"),
    "more": ("and {count} more", "e altre {count}"),
    "link-dark": ("{name}: no light", "{name}: nessuna luce"),
    "link-silent": ("{name}: device silent", "{name}: dispositivo muto"),
    "link-keyless": ("{name}: light without key", "{name}: luce senza chiave"),
    "link-unlit": ("{name}: no key", "{name}: nessuna chiave"),
    "site-away": ("{name}: away", "{name}: assente"),
    "short": ("too little key", "chiave insufficiente"),
    "nothing": ("nothing was seen", "nulla osservato"),
}
"""Every word of the report: English, Italian."""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table for a page or a terminal: plain text in every cell."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def _word(key: str, language: Language, **values: str | int) -> str:
    return WORDS[key][language is Language.ITALIAN].format(**values)


def utc_text(ns: int) -> str:
    """A moment of Unix time as "2026-11-23 04:05", UTC (Gregorian calendar, days counted from 0000-03-01)."""
    days, seconds = divmod(ns // 1_000_000_000, 86_400)
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day_of_month = day - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += 400 * era + (month <= 2)
    return f"{year:04}-{month:02}-{day_of_month:02} {seconds // 3600:02}:{seconds // 60 % 60:02}"


def _share(value: float | None) -> str:
    """A share that is not whole never reads 100 %."""
    if value is None:
        return "-"
    return f"{value:.3%}" if value == 1.0 or value < 0.99999 else "< 100%"


def report_tables(report: MonthReport, language: Language) -> tuple[ReportTable, ...]:
    """Demands, links, outages and gaps."""
    w = language
    marks = {True: _word("met", w), False: _word("missed", w), None: _word("open", w)}
    demands = tuple(
        (
            line.name,
            _share(line.availability),
            " / ".join(_share(bound) for bound in report.bounds(line)),
            marks[report.is_met(line)],
            time_text(line.planned_s),
            *(
                rate_text(bits / line.seen_s) if line.seen_s else "-"
                for bits in (line.wanted_bits, line.granted_bits, line.delivered_bits)
            ),
        )
        for line in report.demands
    )
    links = tuple(
        (
            link.name,
            _share(link.availability),
            "-" if link.key_rate_bps is None else rate_text(link.key_rate_bps),
            bits_text(link.key_bits),
        )
        for link in report.links
    )
    columns = ("demand", "available", "bounds", "level", "planned", "wanted", "granted", "delivered")
    tables = [
        _table("demands", columns, demands, w),
        _table("links", ("link", "available", "rate", "key"), links, w),
        _table("outages", ("what", "start", "length", "meanwhile"), _outages(report, w), w),
        _table("gaps", ("start", "length"), _gaps(report, w), w),
    ]
    return tuple(table for table in tables if table.rows)


def _table(title: str, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], w: Language) -> ReportTable:
    return ReportTable(_word(title, w), tuple(_word(column, w) for column in columns), rows)


def _outages(report: MonthReport, w: Language) -> tuple[tuple[str, ...], ...]:
    every: list[tuple[str, Outage]] = [(line.name, outage) for line in report.demands for outage in line.outages]
    every += [(link.name, outage) for link in report.links for outage in link.outages]
    longest = sorted(every, key=lambda named: (-named[1].seconds, named[1].start_ns, named[0]))
    rows = [
        (
            name,
            utc_text(outage.start_ns),
            time_text(outage.seconds),
            ", ".join(_word(kind, w, name=subject) for kind, subject in outage.causes[:5]),
        )
        for name, outage in longest[:_SHOWN]
    ]
    if len(longest) > _SHOWN:
        rows.append((_word("more", w, count=len(longest) - _SHOWN), "", "", ""))
    return tuple(rows)


def _gaps(report: MonthReport, w: Language) -> tuple[tuple[str, ...], ...]:
    longest = sorted(report.gaps, key=lambda gap: (-gap.seconds, gap.start_ns))
    rows = [(utc_text(gap.start_ns), time_text(gap.seconds)) for gap in longest[:_SHOWN]]
    if len(longest) > _SHOWN:
        rows.append((_word("more", w, count=len(longest) - _SHOWN), ""))
    return tuple(rows)


def report_lines(report: MonthReport, language: Language = Language.ENGLISH) -> list[str]:
    """The report for a terminal or a mail."""
    w = language
    lines = [
        _word("report", w, city=report.city)
        + ", "
        + _word("period", w, start=utc_text(report.start_ns), end=utc_text(report.end_ns)),
        *([_word("simulated", w)] if report.is_simulated else []),
        _word("target", w, target=f"{report.target:.3%}"),
        _word("unknown", w, time=time_text(report.unknown_s)),
        _word("requests", w, keys=report.keys_delivered, requests=report.requests, refused=report.requests_refused),
    ]
    if not report.seen_s:
        lines.append(_word("nothing", w))
    for table in report_tables(report, w):
        lines += ["", table.title]
        grid = [table.header, *table.rows]
        widths = [max(len(row[i]) for row in grid) for i in range(len(table.header))]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid
        ]
    return lines
