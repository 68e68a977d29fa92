"""`poliqi lab access`: who may use which instrument, when, and what it costs."""

from __future__ import annotations

from typing import Final

from poliqi.ops.commands.lazygroup import lazy_group

__all__ = ["command"]

_COMMANDS: Final = {
    "audit": ("lab_access_report", "audit", "who did what, in a chain that shows any change"),
    "book": ("lab_access_book", "book", "time at an instrument"),
    "calendar": ("lab_access_book", "calendar", "what is booked, busy, closed and free"),
    "cancel": ("lab_access_book", "cancel", "give booked time back"),
    "change": ("lab_access_book", "change", "other times for a booking"),
    "init": ("lab_access_people", "init", "make the facility of a laboratory, with its first operator"),
    "instrument": ("lab_access_things", "instrument", "what can be booked, and by which rules: put, list"),
    "invoice": ("lab_access_invoice", "command", "pro forma: draft, issue, credit, list, show"),
    "ledger": ("lab_access_ledger", "command", "co-funding: interventions, eligible cost, contribution"),
    "meter": ("lab_access_meter", "command", "when an instrument was really used: start, stop, void, show"),
    "quote": ("lab_access_quote", "command", "the price before the work: ask, list, accept"),
    "report": ("lab_access_report", "report", "a month: hours, commercial share, invoices, co-funding"),
    "settings": ("lab_access_report", "settings", "VAT, threshold of commercial use, issuer"),
    "tariff": ("lab_access_things", "tariff", "what an hour costs, for whom, from when: add, list, withdraw"),
    "tenant": ("lab_access_people", "tenant", "institutes and companies: add, list"),
    "training": ("lab_access_people", "training", "leave to use an instrument: give, withdraw, list"),
    "user": ("lab_access_people", "user", "people: add, close, list"),
}

command = lazy_group(
    _COMMANDS,
    """Access to the instruments of a laboratory for its own people, other institutes and companies.

    \b
      poliqi lab access init mylab --tenant polimi --legal-name Polimi --operator ada --name "Ada Rossi"
      export POLIQI_LAB=mylab POLIQI_LOGIN=ada
      poliqi lab access instrument put xeuss --opening "mon-fri 08:00-20:00" --cofunded
      poliqi lab access tenant add acme company --legal-name "ACME S.r.l."
      poliqi lab access user add ugo --name "Ugo Bo" --tenant acme
      poliqi lab access training give ugo xeuss --until 2027-12-31
      poliqi lab access tariff add xeuss company --from 2026-01-01 --hour 120.00
      poliqi lab access book xeuss "2026-12-01 09:00" "2026-12-01 12:00" --for ugo

    Times are Milan's; the hour that exists twice in October wants its offset: "2026-10-25 02:30+01:00".
    """,
)
