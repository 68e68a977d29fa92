"""`poliqi lab access report`, `settings`, `audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.ops.commands.lab_access_open import PATH, access_options, open_facility, say

if TYPE_CHECKING:
    from poliqi.lab.facility.report import MonthReport

__all__ = ["audit", "report", "settings"]


@click.command()
@click.argument("month", metavar="YYYY-MM")
@click.option("--html", "html_file", type=PATH, metavar="FILE", help="as a page that prints")
@click.option("--csv", "csv_file", type=PATH, metavar="FILE", help="as a table, a figure a row")
@click.option("--force", is_flag=True, help="replace files that stand")
@access_options
def report(
    month: str,
    html_file: Path | None,
    csv_file: Path | None,
    force: bool,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    """A month: hours by who used them, commercial share of what is co-funded, invoices, co-funding.

    \b
      poliqi lab access report 2026-12 --html december.html --csv december.csv
    """
    from poliqi.edge.wholefile import whole_file
    from poliqi.lab.facility.localtime import Month
    from poliqi.lab.facility.pages import month_page
    from poliqi.lab.facility.tables import month_table

    facility, by = open_facility(store, login)
    with facility:
        found = facility.report(Month.parse(month), by)
    for path, made in ((html_file, month_page), (csv_file, month_table)):
        if path is not None:
            with whole_file(path, overwrite=force) as out:
                out.write(made(found).encode())
    say(_record(found), _lines(found), as_json=as_json)


def _record(found: MonthReport) -> dict[str, Any]:
    import msgspec

    fields = {
        name: getattr(found, name) for name in ("issuer", "made_s", "is_over", "usages", "threshold_hundredths")
    }
    ancillary = [msgspec.to_builtins(one) | {"is_over": one.is_over} for one in found.ancillary]
    invoices = [
        {"label": one.label, "number": one.number, "net_cents": one.net_cents, "vat_cents": one.vat_cents}
        for one in found.invoices
    ]
    audit_head = None if found.audit is None else {"seq": found.audit.seq, "hash": found.audit.hash.hex()}
    more = {"month": str(found.month), "ancillary": ancillary, "invoices": invoices, "audit": audit_head}
    return msgspec.to_builtins(fields) | more | {"accounts": msgspec.to_builtins(found.accounts)}


def _lines(found: MonthReport) -> list[str]:
    from poliqi.lab.facility.money import money, percent_text, share_text
    from poliqi.lab.facility.pages import hours_text

    lines = [f"{found.month}  {found.issuer}{'' if found.is_over else '  (not over yet)'}"]
    for use in found.usages:
        by_whom = ", ".join(f"{category.value} {hours_text(s)}" for category, s in use.metered_s.items())
        lines.append(
            f"{use.instrument:<20} {hours_text(use.used_s):>9} h used ({by_whom}), {use.no_shows} no-shows"
        )
    for share in found.ancillary:
        part = share_text(share.commercial_s, share.commercial_s + share.research_s)
        verdict = f"ABOVE {percent_text(share.threshold_hundredths)}" if share.is_over else "ancillary"
        lines.append(f"{share.instrument:<20} {part:>11} commercial since January: {verdict}")
    net = sum(invoice.net_cents for invoice in found.invoices)
    lines.append(f"{len(found.invoices)} invoices and credit notes, PRO FORMA: {money(net)} without VAT")
    if found.audit is not None:
        lines.append(f"audit trail up to {found.audit.text}: keep this elsewhere, for `audit --noted`")
    return lines


@click.command()
@click.option(
    "--vat", "vats", multiple=True, metavar="CATEGORY=PERCENT", help="own, academic or company; repeatable"
)
@click.option("--ancillary", metavar="PERCENT", help="warn above this commercial share (20)")
@click.option("--issuer", help="name and address on invoices")
@access_options
def settings(
    vats: tuple[str, ...],
    ancillary: str | None,
    issuer: str | None,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    """Show the settings, after changing those that are given. Without a rate of VAT nothing is invoiced.

    \b
      poliqi lab access settings --vat company=22 --vat academic=22 --vat own=0
    """
    from poliqi.base.errors import ConfigError
    from poliqi.lab.facility.money import percent_of, percent_text
    from poliqi.lab.facility.records import Category

    facility, by = open_facility(store, login)
    with facility:
        facility.people.operator(by)
        wanted = list[tuple[Category, int]]()
        for text in vats:
            name, _, percent = text.partition("=")
            if name not in {category.value for category in Category}:
                raise ConfigError(f"--vat {text[:40]!a}: write own=, academic= or company= and a percentage")
            wanted.append((Category(name), percent_of(percent, f"--vat {name}")))
        share = None if ancillary is None else percent_of(ancillary, "--ancillary")
        for category, hundredths in wanted:
            facility.settings.set_vat(category, hundredths, by=by)
        if share is not None:
            facility.settings.set_ancillary(share, by=by)
        if issuer is not None:
            facility.settings.set_issuer(issuer, by=by)
        now = facility.settings.get()
    record = {
        "issuer": now.issuer,
        "vat_hundredths": {category.value: rate for category, rate in now.vat_hundredths.items()},
        "ancillary_hundredths": now.ancillary_hundredths,
    }
    rates = [
        f"VAT {category.value:<9} {percent_text(now.vat_hundredths[category])}"
        if category in now.vat_hundredths
        else f"VAT {category.value:<9} not set: nothing can be invoiced"
        for category in Category
    ]
    threshold = f"commercial share that warns: above {percent_text(now.ancillary_hundredths)}"
    say(record, [f"issuer: {now.issuer}", *rates, threshold], as_json=as_json)


@click.command()
@click.option("--since", type=click.IntRange(0), default=0, help="lines after this number (0)")
@click.option("--noted", metavar="NUMBER:HASH", help="a head that you kept: the trail must still contain it")
@access_options
def audit(since: int, noted: str | None, store: Path | None, login: str | None, as_json: bool) -> None:
    """Who did what and when; the whole trail is verified first, and every record against it.

    \b
      poliqi lab access audit --noted 812:5f0c...
    """
    from poliqi.base.errors import ConfigError
    from poliqi.lab.facility.audit import AuditHead
    from poliqi.lab.facility.localtime import local_text

    kept = None
    if noted is not None:
        number, _, digest = noted.partition(":")
        if not (number.isascii() and number.isdigit() and len(digest) == 64):
            raise ConfigError("--noted: write NUMBER:HASH, as the month report shows them")
        try:
            kept = AuditHead(int(number), bytes.fromhex(digest))
        except ValueError as error:
            raise ConfigError("--noted: the hash has 64 hexadecimals") from error
    facility, by = open_facility(store, login)
    with facility:
        found = facility.audit(by, since)
        head = facility.verify_audit(kept)
    records = [
        {"seq": one.seq, "at_s": one.at_s, "who": one.who, "what": one.what, "detail": json.loads(one.detail)}
        for one in found
    ]
    lines = [
        f"{one.seq:>6}  {local_text(one.at_s)}  {one.who:<12} {one.what:<16} {_words(one.detail)}" for one in found
    ]
    whole = f"verified: {head.seq} lines and the records they tell of, head {head.text}"
    say({"head": {"seq": head.seq, "hash": head.hash.hex()}, "lines": records}, [*lines, whole], as_json=as_json)


def _words(detail: str) -> str:
    """Without the whole rows, which JSON has."""
    kept = {name: value for name, value in json.loads(detail).items() if name not in ("rows", "gone")}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)
