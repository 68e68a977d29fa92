"""The tables of a facility's file.

Records are only ever added: triggers refuse to change or delete one, and each stands once more in the audit. Three
small tables are the present state that follows from them, kept beside so that the database itself holds the rules:
`occupied` (no two overlap), `session` (what was metered), `billed` (nothing is invoiced twice). Their rows come and
go, each time with a line of the audit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["APPLICATION", "MIGRATIONS", "RECORDS", "SCHEMA", "STATE", "VERSION"]

APPLICATION: Final = 0x504F4641  # "POFA"
VERSION: Final = 2
MIGRATIONS: Final[Mapping[int, str]] = {}
"""By version: what brings a file of it to the next one. A step adds tables and indexes, and leaves the columns of
records as they are: the audit holds whole rows. A further table holds what is new (docs/spec/lab-facility.md).
"""

_RECORDS: Final = {
    "tenant": "name TEXT PRIMARY KEY, category TEXT NOT NULL, legal_name TEXT NOT NULL, address TEXT NOT NULL",
    "user": """login TEXT PRIMARY KEY, name TEXT NOT NULL, tenant TEXT NOT NULL REFERENCES tenant,
        role TEXT NOT NULL""",
    "user_closed": "login TEXT PRIMARY KEY REFERENCES user, at_s INTEGER NOT NULL",
    "instrument": """name TEXT NOT NULL, version INTEGER NOT NULL, description TEXT NOT NULL, place TEXT NOT NULL,
        opening TEXT NOT NULL, shortest_s INTEGER NOT NULL CHECK (shortest_s > 0),
        longest_s INTEGER NOT NULL CHECK (longest_s >= shortest_s), buffer_s INTEGER NOT NULL CHECK (buffer_s >= 0),
        is_cofunded INTEGER NOT NULL, needs_training INTEGER NOT NULL, made_s INTEGER NOT NULL,
        PRIMARY KEY (name, version)""",
    "training": """id INTEGER PRIMARY KEY, login TEXT NOT NULL REFERENCES user, instrument TEXT NOT NULL,
        last_day TEXT NOT NULL, at_s INTEGER NOT NULL""",
    "tariff": """id TEXT PRIMARY KEY, instrument TEXT NOT NULL, category TEXT NOT NULL, first_day TEXT NOT NULL,
        last_day TEXT CHECK (last_day >= first_day), cents_per_hour INTEGER NOT NULL CHECK (cents_per_hour >= 0),
        setup_cents INTEGER NOT NULL CHECK (setup_cents >= 0),
        minimum_cents INTEGER NOT NULL CHECK (minimum_cents >= 0),
        notice_s INTEGER NOT NULL CHECK (notice_s >= 0), late_percent INTEGER NOT NULL,
        no_show_percent INTEGER NOT NULL,
        unused_percent INTEGER NOT NULL, overrun_percent INTEGER NOT NULL""",
    "tariff_withdrawn": "tariff TEXT PRIMARY KEY REFERENCES tariff, at_s INTEGER NOT NULL",
    "quote": """id TEXT PRIMARY KEY, login TEXT NOT NULL REFERENCES user, tenant TEXT NOT NULL,
        instrument TEXT NOT NULL,
        tariff TEXT NOT NULL REFERENCES tariff, begin_s INTEGER NOT NULL, end_s INTEGER NOT NULL,
        net_cents INTEGER NOT NULL, made_s INTEGER NOT NULL, valid_until_s INTEGER NOT NULL""",
    "booking": """id TEXT PRIMARY KEY, login TEXT NOT NULL REFERENCES user, tenant TEXT NOT NULL REFERENCES tenant,
        instrument TEXT NOT NULL, tariff TEXT NOT NULL REFERENCES tariff, begin_s INTEGER NOT NULL,
        end_s INTEGER NOT NULL CHECK (end_s > begin_s), title TEXT NOT NULL, note TEXT NOT NULL,
        quote TEXT UNIQUE REFERENCES quote, replaces TEXT REFERENCES booking, made_s INTEGER NOT NULL,
        request TEXT, UNIQUE (login, request)""",
    "cancellation": """booking TEXT PRIMARY KEY REFERENCES booking, at_s INTEGER NOT NULL,
        is_charged INTEGER NOT NULL,
        reason TEXT NOT NULL""",
    "waiver": "booking TEXT PRIMARY KEY REFERENCES cancellation, at_s INTEGER NOT NULL, reason TEXT NOT NULL",
    "meter": """seq INTEGER PRIMARY KEY, booking TEXT NOT NULL REFERENCES booking, kind TEXT NOT NULL,
        at_s INTEGER NOT NULL, source TEXT NOT NULL""",
    "invoice": """id TEXT PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, year INTEGER NOT NULL,
        number INTEGER NOT NULL CHECK (number > 0), kind TEXT NOT NULL, month TEXT NOT NULL,
        issued_s INTEGER NOT NULL,
        legal_name TEXT NOT NULL, address TEXT NOT NULL, issuer TEXT NOT NULL, vat_hundredths INTEGER NOT NULL,
        net_cents INTEGER NOT NULL, vat_cents INTEGER NOT NULL, credits TEXT REFERENCES invoice,
        reason TEXT NOT NULL,
        UNIQUE (tenant, year, number)""",
    "invoice_line": """invoice TEXT NOT NULL REFERENCES invoice, position INTEGER NOT NULL, booking TEXT,
        kind TEXT NOT NULL, text TEXT NOT NULL, seconds INTEGER NOT NULL, cents_per_hour INTEGER NOT NULL,
        percent INTEGER NOT NULL, cents INTEGER NOT NULL, PRIMARY KEY (invoice, position)""",
    "intervention": """name TEXT PRIMARY KEY, title TEXT NOT NULL,
        agreed_cents INTEGER NOT NULL CHECK (agreed_cents >= 0),
        cap_hundredths INTEGER NOT NULL CHECK (cap_hundredths BETWEEN 0 AND 10000)""",
    "cost": """id TEXT PRIMARY KEY, intervention TEXT NOT NULL REFERENCES intervention, day TEXT NOT NULL,
        text TEXT NOT NULL, document TEXT NOT NULL, cents INTEGER NOT NULL, reverses TEXT UNIQUE REFERENCES cost""",
    "setting": "seq INTEGER PRIMARY KEY, name TEXT NOT NULL, value TEXT NOT NULL",
    "audit": """seq INTEGER PRIMARY KEY, at_s INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
        detail TEXT NOT NULL, hash BLOB NOT NULL""",
}

RECORDS: Final = tuple(name for name in _RECORDS if name != "audit")
"""Tables whose rows stay as they are."""
STATE: Final = ("occupied", "session", "billed")
"""Tables whose rows come and go."""

_STATE: Final = """
CREATE TABLE occupied (instrument TEXT NOT NULL, begin_s INTEGER NOT NULL, until_s INTEGER NOT NULL,
    booking TEXT NOT NULL UNIQUE REFERENCES booking, PRIMARY KEY (instrument, begin_s)) STRICT, WITHOUT ROWID;
CREATE TRIGGER occupied_apart BEFORE INSERT ON occupied WHEN EXISTS (SELECT 1 FROM (
    SELECT until_s FROM occupied WHERE instrument = NEW.instrument AND begin_s < NEW.until_s
    ORDER BY begin_s DESC LIMIT 1) WHERE until_s > NEW.begin_s)
    BEGIN SELECT RAISE(ABORT, 'two bookings overlap'); END;
CREATE TRIGGER occupied_stays BEFORE UPDATE ON occupied BEGIN SELECT RAISE(ABORT, 'a booking does not move'); END;
CREATE TABLE session (booking TEXT NOT NULL REFERENCES booking, instrument TEXT NOT NULL, start_s INTEGER NOT NULL,
    stop_s INTEGER CHECK (stop_s > start_s), PRIMARY KEY (instrument, start_s)) STRICT, WITHOUT ROWID;
CREATE INDEX session_of ON session (booking);
CREATE INDEX session_in ON session (start_s);
CREATE UNIQUE INDEX session_runs ON session (instrument) WHERE stop_s IS NULL;
CREATE TABLE billed (booking TEXT PRIMARY KEY REFERENCES booking,
    invoice TEXT NOT NULL REFERENCES invoice) STRICT, WITHOUT ROWID;
CREATE INDEX booking_of ON booking (tenant, end_s);
CREATE INDEX booking_at ON booking (end_s);
CREATE INDEX meter_of ON meter (booking);
CREATE INDEX training_of ON training (login, instrument);
CREATE INDEX tariff_of ON tariff (instrument, category);
CREATE INDEX cost_of ON cost (intervention);
"""


def _record(name: str, columns: str) -> str:
    made = f"CREATE TABLE {name} ({columns}) STRICT;\n"
    for verb in ("UPDATE", "DELETE"):
        made += (
            f"CREATE TRIGGER {name}_no_{verb.lower()} BEFORE {verb} ON {name} "
            f"BEGIN SELECT RAISE(ABORT, '{name}: a record stays as it is'); END;\n"
        )
    return made


SCHEMA: Final = "".join(_record(name, columns) for name, columns in _RECORDS.items()) + _STATE
