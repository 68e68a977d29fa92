"""What the people of a facility set: taxes, thresholds, the name on invoices. The newest word counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poliqi.lab.facility.database import Database
from poliqi.lab.facility.people import People
from poliqi.lab.facility.records import Category, User
from poliqi.lab.facility.refusal import Reason, Refused, checked_text

__all__ = ["FacilitySettings", "Settings"]


@dataclass(frozen=True, slots=True)
class FacilitySettings:
    """`vat_hundredths`: value-added tax for each category in hundredths of a percent; no category has one until it
    is set. `ancillary_hundredths`: above this share of commercial hours a report warns. `issuer` stands on
    invoices.
    """

    issuer: str
    vat_hundredths: dict[Category, int]
    ancillary_hundredths: int = 2000

    def vat_for(self, category: Category) -> int:
        """Raises Refused where nobody has set it: no tax is guessed."""
        if category not in self.vat_hundredths:
            raise Refused(
                Reason.NO_VAT,
                f"no VAT rate is set for the category {category.value}: an operator sets it with "
                f"`poliqi lab access settings --vat {category.value}=PERCENT`, 0 where none is due",
            )
        return self.vat_hundredths[category]


class Settings:
    """Read and set."""

    def __init__(self, database: Database, people: People) -> None:
        self._database: Final = database
        self._people: Final = people

    def get(self) -> FacilitySettings:
        """As they stand now."""
        rows = self._database.read("SELECT name, value FROM setting ORDER BY seq")
        words = {str(name): str(value) for name, value in rows}
        vat = {c: int(words[f"vat {c.value}"]) for c in Category if f"vat {c.value}" in words}
        return FacilitySettings(words.get("issuer", ""), vat, int(words.get("ancillary", "2000")))

    def set_vat(self, category: Category, hundredths: int, *, by: User) -> None:
        """22 % is 2200."""
        self._set_share(f"vat {category.value}", hundredths, by)

    def set_ancillary(self, hundredths: int, *, by: User) -> None:
        """The share of commercial hours above which reports warn; 20 % is 2000."""
        self._set_share("ancillary", hundredths, by)

    def set_issuer(self, issuer: str, *, by: User) -> None:
        """Name and address as they stand on invoices."""
        self._set("issuer", checked_text("issuer", issuer, 300), by)

    def _set_share(self, name: str, hundredths: int, by: User) -> None:
        if not 0 <= hundredths <= 10_000:
            raise Refused(Reason.BAD_VALUE, f"{name}: from 0 to 100 %, not {hundredths / 100:g}")
        self._set(name, str(hundredths), by)

    def _set(self, name: str, value: str, by: User) -> None:
        operator = self._people.operator(by)
        with self._database.changing(operator.login) as change:
            change.add("setting", None, name, value)
            change.tell("setting", name=name, value=value)
