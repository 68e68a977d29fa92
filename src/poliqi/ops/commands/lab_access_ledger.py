"""`poliqi lab access ledger`: what the region contributes, by an agreement of co-funding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poliqi.ops.commands.lab_access_open import access_options, open_facility, say

if TYPE_CHECKING:
    from poliqi.lab.facility.cofunding import Account, Cost

__all__ = ["command"]


@click.group()
def command() -> None:
    """Interventions with their eligible cost. The contribution is the agreed sum, at most 50 % of that cost.

    \b
      poliqi lab access ledger add quantum --title "Quantum network" --agreed 1687500
      poliqi lab access ledger cost quantum 4163400 --text "equipment and work" --day 2024-12-31
      poliqi lab access ledger show
    """


@command.command()
@click.argument("name")
@click.option("--title", required=True, help="in words")
@click.option("--agreed", required=True, metavar="EUR", help="the sum that was agreed")
@click.option("--cap", default="50", metavar="PERCENT", show_default=True, help="of the eligible cost at most")
@access_options
def add(name: str, title: str, agreed: str, cap: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """Enter the intervention NAME."""
    from poliqi.lab.facility.money import cents_of, percent_of

    facility, by = open_facility(store, login)
    with facility:
        cents, hundredths = cents_of(agreed, "--agreed"), percent_of(cap, "--cap")
        made = facility.ledger.add_intervention(name, title, cents, cap_hundredths=hundredths, by=by)
    say(_record(made), _lines(made), as_json=as_json)


@command.command()
@click.argument("intervention")
@click.argument("amount", metavar="EUR")
@click.option("--text", required=True, help="for what")
@click.option("--day", required=True, metavar="YYYY-MM-DD", help="when it was borne")
@click.option("--document", default="", help="the invoice or order that proves it")
@access_options
def cost(
    intervention: str,
    amount: str,
    text: str,
    day: str,
    document: str,
    store: Path | None,
    login: str | None,
    as_json: bool,
) -> None:
    """Enter a line of eligible cost of INTERVENTION."""
    from poliqi.lab.facility.localtime import parse_day
    from poliqi.lab.facility.money import cents_of

    facility, by = open_facility(store, login)
    with facility:
        when = parse_day(day, "--day")
        made = facility.ledger.add_cost(intervention, when, text, cents_of(amount), document=document, by=by)
    say(_cost_record(made), [_cost_line(made)], as_json=as_json)


@command.command()
@click.argument("line")
@click.option("--reason", required=True, help="why it was wrong")
@access_options
def reverse(line: str, reason: str, store: Path | None, login: str | None, as_json: bool) -> None:
    """Take LINE back by its negative: nothing in the ledger is ever changed."""
    facility, by = open_facility(store, login)
    with facility:
        made = facility.ledger.reverse(line, reason, by=by)
    say(_cost_record(made), [_cost_line(made)], as_json=as_json)


@command.command()
@click.argument("intervention", required=False)
@access_options
def show(intervention: str | None, store: Path | None, login: str | None, as_json: bool) -> None:
    """All interventions with their sums, or the lines of INTERVENTION."""
    from poliqi.lab.facility.cofunding import sum_of

    facility, by = open_facility(store, login)
    with facility:
        if intervention is not None:
            one, costs = facility.ledger.account(intervention, by), facility.ledger.costs(intervention, by)
            record = _record(one) | {"costs": [_cost_record(line) for line in costs]}
            say(record, [*_lines(one), *(_cost_line(line) for line in costs)], as_json=as_json)
            return
        accounts = facility.ledger.accounts(by)
    total = sum_of(accounts)
    lines = [line for one in (*accounts, total) for line in _lines(one)]
    say({"interventions": [_record(one) for one in accounts], "total": _record(total)}, lines, as_json=as_json)


def _record(one: Account) -> dict[str, Any]:
    import msgspec

    shares = {"contributed_share": one.contributed_share, "own_share": one.own_share}
    return msgspec.to_builtins(one) | {"own_cents": one.own_cents, "lacking_cents": one.lacking_cents} | shares


def _lines(one: Account) -> list[str]:
    from poliqi.lab.facility.money import money

    head = f"{one.name}  {one.title}".rstrip()
    lacking = f", {money(one.lacking_cents)} withheld by the cap" if one.lacking_cents else ""
    return [
        head,
        f"  agreed        {money(one.agreed_cents):>20}",
        f"  eligible cost {money(one.eligible_cents):>20}",
        f"  contribution  {money(one.contributed_cents):>20}  {one.contributed_share}{lacking}",
        f"  own share     {money(one.own_cents):>20}  {one.own_share}",
    ]


def _cost_record(one: Cost) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(one)


def _cost_line(one: Cost) -> str:
    from poliqi.lab.facility.money import money

    tail = f"  reverses {one.reverses}" if one.reverses else ""
    return f"{one.id}  {one.day}  {money(one.cents):>18}  {one.text}{tail}"
