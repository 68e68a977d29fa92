"""The audit against the records: whatever was changed behind the facility's back is named."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import apsw
import pytest
from facility_rig import HOUR, make_world

from poliqi.base.errors import DataRefused
from poliqi.lab.facility.audit import AuditHead
from poliqi.lab.facility.database import Database
from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.localtime import Month
from poliqi.lab.facility.schema import RECORDS, STATE

JUNE = Month(2026, 6)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A facility with a row in every table, closed."""
    world = make_world(tmp_path_factory.mktemp("audit") / "lab")
    op, ann = world.users["op"], world.users["ann"]
    kept, missed = world.book("ann", 30, 2), world.book("bob", 40, 1)
    late = world.book("ann", 4, 1)
    world.facility.cancel(late.id, by=ann)
    world.facility.bookings.cancel(late.id, by=op, is_waived=True, reason="the lamp failed")
    world.facility.change(missed.id, missed.begin_s, missed.end_s + HOUR, by=world.users["bob"])
    world.facility.accept(world.facility.quote("saxs", kept.end_s, kept.end_s + HOUR, by=ann).id, by=ann)
    world.facility.tariffs.withdraw(missed.tariff, by=op)
    world.facility.people.close_user("uni", by=op)
    world.clock.now = JUNE.end_s
    world.meter(kept, kept.begin_s, HOUR)
    world.facility.meter.void(kept.id, by=op)
    world.meter(kept, kept.begin_s, HOUR)
    for tenant in ("acme", "bolt"):
        invoice = world.facility.invoicing.issue(tenant, JUNE, by=op)
    world.facility.invoicing.credit(invoice.number, "all", by=op)
    world.facility.ledger.add_intervention("q", "Q", 168_750_000, by=op)
    world.facility.ledger.add_cost("q", date(2024, 12, 31), "all", 416_340_000, by=op)
    world.facility.close()
    return world.root


@pytest.fixture
def root(lived: Path, tmp_path: Path) -> Path:
    shutil.copytree(lived, tmp_path / "lab")
    return tmp_path / "lab"


def forged(root: Path, statement: str) -> None:
    """Change the file as whoever owns it can: without its triggers."""
    file = apsw.Connection(str(root / "facility.sqlite"))  # without foreign keys, as SQLite opens one
    for (trigger,) in list(file.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")):
        file.execute(f"DROP TRIGGER {trigger}")
    file.execute(statement)
    assert file.changes() > 0
    file.close()


def verify(root: Path, noted: AuditHead | None = None) -> AuditHead:
    with Facility.open(root) as facility:
        return facility.verify_audit(noted)


def test_a_facility_that_was_let_alone_agrees(root: Path) -> None:
    assert verify(root, verify(root)).seq > 30


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE cost SET cents = cents * 2", "cost .*: cents is 832680000, line .* says 416340000"),
        (
            "UPDATE invoice SET net_cents = 1 WHERE kind = 'invoice'",
            "invoice .*: net_cents is 1, line .* says 20002",
        ),
        ("UPDATE invoice_line SET cents = 1", "invoice_line .*: cents is 1, line"),
        ("UPDATE tariff SET cents_per_hour = 1", "tariff .*: cents_per_hour is 1, line"),
        ("UPDATE tariff SET overrun_percent = 0", "tariff .*: overrun_percent is 0, line .* says 100"),
        (
            "UPDATE session SET stop_s = stop_s + 36000",
            "session .* saxs .*: stop_s is 1780412400, line .* says 1780376400",
        ),
        ("UPDATE booking SET end_s = end_s + 1", "booking .*: end_s is"),
        ("UPDATE cancellation SET is_charged = 1 - is_charged", "cancellation .*: is_charged is"),
        ("DELETE FROM waiver", "waiver .* stands in line .* and is gone"),
        ("DELETE FROM cost", "cost .* is gone from the file"),
        (
            "UPDATE billed SET booking = 'x' WHERE booking = (SELECT min(booking) FROM billed)",
            "billed x stands in the file and in no line",
        ),
        (
            "INSERT INTO cost SELECT 'x', intervention, day, text, document, cents, NULL FROM cost",
            "cost x .*no line",
        ),
        ("UPDATE user SET role = 'operator'", "user .*: role is 'operator'"),
    ],
)
def test_a_record_that_was_changed_is_named(root: Path, statement: str, words: str) -> None:
    forged(root, statement)
    with pytest.raises(DataRefused, match=words):
        verify(root)


@pytest.mark.parametrize("table", [*RECORDS, *STATE])
def test_no_table_is_left_out(root: Path, table: str) -> None:
    forged(root, f"DELETE FROM {table}")
    with pytest.raises(DataRefused, match=f"^{table} .* is gone from the file"):
        verify(root)


def test_lines_put_behind_a_noted_head_cannot_take_a_record_back(root: Path) -> None:
    noted = verify(root)
    file = Database(root)
    with file.changing("eve") as change:
        row = change.run("SELECT * FROM cost")[0]
        change.tell("cost", gone={"cost": [row]})
    file.close()
    forged(root, "DELETE FROM cost")
    with pytest.raises(DataRefused, match=f"line {noted.seq + 1} takes out of cost what cannot be taken out"):
        verify(root, noted)


def test_an_invoice_must_come_to_the_sum_of_its_lines(root: Path) -> None:
    file = Database(root)
    with file.changing("eve") as change:
        [row] = change.run("SELECT * FROM invoice WHERE kind = 'invoice' AND tenant = 'acme'")
        change.add("invoice", "x", row[1], row[2], 99, *row[4:])
        change.tell("invoice")
    file.close()
    with pytest.raises(DataRefused, match="invoice x: its net is 20002 cents, its lines come to 0"):
        verify(root)


def test_lines_that_cannot_be_read_are_refused(root: Path) -> None:
    file = Database(root)
    with file.changing("eve") as change:
        change.tell("x", rows={"cost": "much"})
    file.close()
    with pytest.raises(DataRefused, match="cannot be read"):
        verify(root)


def test_nothing_is_recorded_without_a_line(root: Path) -> None:
    file = Database(root)
    with pytest.raises(ValueError, match=r"untold in the audit.*setting"), file.changing("op") as change:
        change.add("setting", None, "ancillary", "1")
    file.close()
    assert verify(root).seq > 30
