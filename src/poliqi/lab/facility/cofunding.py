"""The ledger of a co-funding agreement: what each intervention cost, and what the region contributes to it.

The contribution of an intervention is what was agreed, but never more than a share of its eligible cost (50 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from poliqi.lab.facility.database import Database
from poliqi.lab.facility.money import MOST_CENTS, money, share_hundredths, share_text
from poliqi.lab.facility.people import People, checked_name
from poliqi.lab.facility.records import User
from poliqi.lab.facility.refusal import Reason, Refused, checked_text
from poliqi.lab.store.naming import new_id

__all__ = ["Account", "Cost", "Ledger", "contribution", "sum_of"]


def contribution(agreed_cents: int, eligible_cents: int, cap_hundredths: int) -> int:
    """The agreed sum, at most the cap's share of the eligible cost; the cap is rounded down to the cent."""
    return max(0, min(agreed_cents, eligible_cents * cap_hundredths // 10_000))


@dataclass(frozen=True, slots=True)
class Cost:
    """A line of eligible cost. One that `reverses` another is its negative."""

    id: str
    intervention: str
    day: date
    text: str
    document: str
    cents: int
    reverses: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """An intervention with the sums of its lines; also the sum of several, named `total`."""

    name: str
    title: str
    agreed_cents: int
    cap_hundredths: int
    eligible_cents: int
    contributed_cents: int

    @property
    def own_cents(self) -> int:
        """What the partner bears."""
        return self.eligible_cents - self.contributed_cents

    @property
    def lacking_cents(self) -> int:
        """Of the agreed sum, what the cap withholds until more eligible cost stands."""
        return self.agreed_cents - self.contributed_cents

    @property
    def contributed_share(self) -> str:
        """In percent of the eligible cost, two decimals."""
        return share_text(self.contributed_cents, self.eligible_cents)

    @property
    def own_share(self) -> str:
        """The rest: the two shares that are shown always come to 100.00 %."""
        if self.eligible_cents <= 0:
            return "-"
        return share_text(10_000 - share_hundredths(self.contributed_cents, self.eligible_cents), 10_000)


def sum_of(accounts: list[Account]) -> Account:
    """All together. Each is capped alone: what one lacks is not made up by another."""
    sums = [
        sum(column)
        for column in zip(*((a.agreed_cents, a.eligible_cents, a.contributed_cents) for a in accounts), strict=True)
    ]
    agreed, eligible, contributed = sums or (0, 0, 0)
    return Account("total", "", agreed, 0, eligible, contributed)


class Ledger:
    """Interventions and their costs; for operators."""

    def __init__(self, database: Database, people: People) -> None:
        self._database: Final = database
        self._people: Final = people

    def add_intervention(
        self, name: str, title: str, agreed_cents: int, *, cap_hundredths: int = 5000, by: User
    ) -> Account:
        """What was agreed for it, and the cap in hundredths of a percent."""
        operator = self._people.operator(by)
        checked_name("intervention", name)
        title = checked_text("title", title, 300)
        if not 0 <= agreed_cents <= MOST_CENTS:
            raise Refused(Reason.BAD_VALUE, f"agreed sum: from 0 to {money(MOST_CENTS)}, not {money(agreed_cents)}")
        if not 0 <= cap_hundredths <= 10_000:
            raise Refused(Reason.BAD_VALUE, f"cap: from 0 to 100 %, not {cap_hundredths / 100:g}")
        with self._database.changing(operator.login) as change:
            if change.run("SELECT 1 FROM intervention WHERE name = ?", (name,)):
                raise Refused(Reason.TAKEN_NAME, f"intervention {name} stands already")
            change.add("intervention", name, title, agreed_cents, cap_hundredths)
            change.tell("intervention", intervention=name, agreed_cents=agreed_cents, cap_hundredths=cap_hundredths)
        return self.account(name, by)

    def add_cost(
        self, intervention: str, day: date, text: str, cents: int, *, document: str = "", by: User
    ) -> Cost:
        """A line of eligible cost; what was wrong is reversed, never changed."""
        operator = self._people.operator(by)
        if not 0 < cents <= MOST_CENTS:
            raise Refused(
                Reason.BAD_VALUE,
                f"cost: more than 0, at most {money(MOST_CENTS)}, not {money(cents)}; reverse a line that is wrong",
            )
        words = (checked_text("text", text, 300), checked_text("document", document, 100, is_needed=False))
        made = Cost(new_id(), intervention, day, *words, cents, None)
        return self._put(made, operator)

    def reverse(self, cost: str, reason: str, *, by: User) -> Cost:
        """Take a line back by its negative, on the same day."""
        operator = self._people.operator(by)
        reason = checked_text("reason", reason, 300)
        rows = self._database.read("SELECT * FROM cost WHERE id = ?", (cost,))
        if not rows:
            raise Refused(Reason.UNKNOWN, f"no line of cost has the id {cost[:40]!a}")
        wrong = _cost(rows[0])
        if wrong.reverses is not None:
            raise Refused(Reason.BAD_VALUE, f"line {cost} is a reversal itself: enter the cost again")
        return self._put(
            Cost(new_id(), wrong.intervention, wrong.day, reason, wrong.document, -wrong.cents, wrong.id),
            operator,
        )

    def _put(self, made: Cost, operator: User) -> Cost:
        with self._database.changing(operator.login) as change:
            if not change.run("SELECT 1 FROM intervention WHERE name = ?", (made.intervention,)):
                raise Refused(Reason.UNKNOWN, f"no intervention is called {made.intervention[:63]!a}")
            if made.reverses is not None and change.run("SELECT 1 FROM cost WHERE reverses = ?", (made.reverses,)):
                raise Refused(Reason.TOO_LATE, f"line {made.reverses} is reversed already")
            day = made.day.isoformat()
            change.add("cost", made.id, made.intervention, day, made.text, made.document, made.cents, made.reverses)
            change.tell(
                "cost", cost=made.id, intervention=made.intervention, cents=made.cents, reverses=made.reverses
            )
        return made

    def costs(self, intervention: str, viewer: User) -> list[Cost]:
        """By day."""
        self._people.operator(viewer)
        rows = self._database.read("SELECT * FROM cost WHERE intervention = ? ORDER BY day, rowid", (intervention,))
        return [_cost(row) for row in rows]

    def account(self, name: str, viewer: User) -> Account:
        """Raises Refused where there is no such intervention."""
        for found in self.accounts(viewer):
            if found.name == name:
                return found
        raise Refused(Reason.UNKNOWN, f"no intervention is called {name[:63]!a}")

    def accounts(self, viewer: User) -> list[Account]:
        """All, by name."""
        self._people.operator(viewer)
        rows = self._database.read(
            "SELECT i.name, i.title, i.agreed_cents, i.cap_hundredths, "
            "(SELECT coalesce(sum(cents), 0) FROM cost WHERE intervention = i.name) "
            "FROM intervention i ORDER BY name"
        )
        return [
            Account(name, title, agreed, cap, eligible, contribution(agreed, eligible, cap))
            for name, title, agreed, cap, eligible in rows
        ]


def _cost(row: tuple[str, str, str, str, str, int, str | None]) -> Cost:
    cost, intervention, day, text, document, cents, reverses = row
    return Cost(cost, intervention, date.fromisoformat(day), text, document, cents, reverses)
