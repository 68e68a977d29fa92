"""`poliqi lab access invoice`: pro forma invoices and credit notes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poliqi.ops.commands.lab_access_open import PATH, access_options, open_facility, say

if TYPE_CHECKING:
    from poliqi.lab.facility.invoice import Invoice

__all__ = ["command"]

_FORCE: Final = click.option("--force", is_flag=True, help="replace the file where it stands")


@click.group()
def command() -> None:
    """Pro forma: what is due, to the cent, for the administration that makes the invoice of tax law.

    \b
      poliqi lab access settings --vat company=22
      poliqi lab access invoice draft acme 2026-12
      poliqi lab access invoice issue acme 2026-12
      poliqi lab access invoice show PF-acme-2027-0001 --html acme.html
      poliqi lab access invoice credit PF-acme-2027-0001 --reason "the lamp failed" --net 40.00
    """


@command.command()
@click.argument("tenant")
@click.argument("month", metavar="YYYY-MM")
@access_options
def draft(tenant: str, month: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """What an invoice to TENANT for a month would hold now. Nothing is kept."""
    import msgspec

    from poliqi.lab.facility.charging import total
    from poliqi.lab.facility.localtime import Month
    from poliqi.lab.facility.money import money

    facility, by = open_facility(store, login)
    with facility:
        found = facility.invoicing.draft(tenant, Month.parse(month), by=by)
    lines = [f"{money(item.line.cents):>16}  {item.text}" for item in found]
    lines.append(f"{money(total(item.line for item in found)):>16}  without VAT, PRO FORMA, a draft")
    say({"label": "PRO FORMA", "lines": msgspec.to_builtins(found)}, lines, as_json=as_json)


@command.command()
@click.argument("tenant")
@click.argument("month", metavar="YYYY-MM")
@access_options
def issue(tenant: str, month: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """Invoice to TENANT all of a month that is over and not invoiced yet.

    Look at `draft` first: what was never metered is charged as a no-show.
    """
    from poliqi.lab.facility.localtime import Month

    facility, by = open_facility(store, login)
    with facility:
        made = facility.invoicing.issue(tenant, Month.parse(month), by=by)
    say(_record(made), _lines(made), as_json=as_json)


@command.command()
@click.argument("number")
@click.option("--reason", required=True, help="why; stands on the credit note")
@click.option("--net", metavar="EUR", help="so much, without VAT (all that is left)")
@click.option("--write-off", is_flag=True, help="never charge its bookings again, though all of it is credited")
@access_options
def credit(
    number: str,
    reason: str,
    net: str | None,
    write_off: bool,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    """Credit the invoice NUMBER.

    Where all of it is credited, its bookings can be metered and are invoiced again by the next `issue`, unless
    --write-off says that nothing is due for them.

    \b
      poliqi lab access invoice credit PF-acme-2027-0001 --reason "the tube failed" --write-off
    """
    from poliqi.lab.facility.money import cents_of

    facility, by = open_facility(store, login)
    with facility:
        cents = None if net is None else cents_of(net, "--net")
        made = facility.invoicing.credit(number, reason, by=by, net_cents=cents, is_written_off=write_off)
    say(_record(made), _lines(made), as_json=as_json)


@command.command(name="list")
@click.option("--month", metavar="YYYY-MM", help="for work of this month only")
@click.option("--csv", "csv_file", type=PATH, metavar="FILE", help="every line into this file")
@_FORCE
@access_options
def list_(
    month: str | None, csv_file: Path | None, force: bool, store: Path | None, login: str | None, as_json: bool
) -> None:
    """Invoices and credit notes of your tenant, for an operator all; the newest first."""
    from poliqi.lab.facility.localtime import Month

    facility, by = open_facility(store, login)
    with facility:
        found = facility.invoicing.all(by, None if month is None else Month.parse(month))
    if csv_file is not None:
        from poliqi.edge.wholefile import whole_file
        from poliqi.lab.facility.tables import invoice_table

        with whole_file(csv_file, overwrite=force) as out:
            out.write(invoice_table(found).encode())
    lines = [_lines(one)[0] for one in found]
    say([_record(one) for one in found], lines or ["none yet"], as_json=as_json)


@command.command()
@click.argument("number")
@click.option("--html", "html_file", type=PATH, metavar="FILE", help="as a page that prints")
@_FORCE
@access_options
def show(
    number: str, html_file: Path | None, force: bool, store: Path | None, login: str | None, as_json: bool
) -> None:
    """All lines of the invoice or credit note NUMBER."""
    facility, by = open_facility(store, login)
    with facility:
        found = facility.invoicing.get(number, by)
    if html_file is not None:
        from poliqi.edge.wholefile import whole_file
        from poliqi.lab.facility.pages import invoice_page

        with whole_file(html_file, overwrite=force) as out:
            out.write(invoice_page(found).encode())
    say(_record(found), _lines(found), as_json=as_json)


def _record(one: Invoice) -> dict[str, Any]:
    import msgspec

    more = {"number": one.number, "month": str(one.month), "gross_cents": one.gross_cents}
    return msgspec.to_builtins(one) | more


def _lines(one: Invoice) -> list[str]:
    from poliqi.lab.facility.money import money, percent_text

    head = f"{one.label} {one.number}  {one.kind.value}  {one.month}  {one.tenant}  {money(one.gross_cents)}"
    lines = [f"{money(item.line.cents):>16}  {item.text}" for item in one.lines]
    vat = f"{money(one.vat_cents):>16}  VAT {percent_text(one.vat_hundredths)}"
    return [head, *lines, f"{money(one.net_cents):>16}  net", vat, f"{money(one.gross_cents):>16}  {one.label}"]
