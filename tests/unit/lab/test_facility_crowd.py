"""A hundred clients in four processes book at random: no overlap, and invoices equal metered time times tariff."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import apsw
import facility_crowd
import pytest
from facility_rig import PEOPLE, PRICES, START, TENANTS, World, make_world

from poliqi.lab.facility.invoice import InvoiceKind
from poliqi.lab.facility.localtime import Month
from poliqi.lab.facility.records import Booking, Category

PROCESSES, THREADS = 4, 25


@pytest.mark.slow
def test_2000_bookings_of_100_clients(tmp_path: Path) -> None:
    everything(tmp_path, 20)


@pytest.mark.soak
def test_10000_bookings_of_100_clients(tmp_path: Path) -> None:
    everything(tmp_path, 100)


def everything(tmp_path: Path, each: int) -> None:
    world = make_world(tmp_path / "lab")
    answers = crowd(world.root, each)
    told = [booking for answer in answers for booking in answer["booked"]]
    assert len(told) == len(set(told)) == PROCESSES * THREADS * each
    assert sum(answer["refused"] for answer in answers) > 0  # they did get in each other's way
    bookings = world.facility.bookings.between(0, 1 << 40, world.users["op"])
    assert {booking.id for booking in bookings} == set(told)
    assert overlaps(world.root) == []
    used = metered(world, bookings)
    check_invoices(world, bookings, used)
    world.facility.verify_audit()


def crowd(root: Path, each: int) -> list[dict[str, list[str]]]:
    words = [sys.executable, facility_crowd.__file__]
    environment = os.environ | {"PYTHONPATH": str(Path(facility_crowd.__file__).parent), "OMP_NUM_THREADS": "1"}
    clients = [
        subprocess.Popen(
            [*words, str(root), str(seed), str(THREADS), str(each)], stdout=subprocess.PIPE, env=environment
        )
        for seed in range(PROCESSES)
    ]
    outs = [client.communicate()[0] for client in clients]
    assert [client.returncode for client in clients] == [0] * PROCESSES
    return [json.loads(out) for out in outs]


def overlaps(root: Path) -> list[tuple[str, str]]:
    """A sweep over the bookings as they stand in the file, by nothing of ours."""
    file = apsw.Connection(str(root / "facility.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = sorted(file.execute("SELECT begin_s, end_s, id FROM booking"))
    file.close()
    found, latest, holder = [], 0, ""
    for begin, end, name in rows:
        if begin < latest:
            found.append((holder, name))
        if end > latest:
            latest, holder = end, name
    return found


def metered(world: World, bookings: list[Booking]) -> dict[str, int]:
    """Use of a random part of each of the first bookings of June; seconds."""
    draw, used = random.Random(5), {}
    world.clock.now = Month(2026, 7).begin_s
    for booking in [one for one in bookings if one.end_s < Month(2026, 7).begin_s][:500]:
        start = draw.randrange(booking.begin_s, booking.end_s)
        used[booking.id] = draw.randint(1, booking.end_s - start)
        world.meter(booking, start, used[booking.id])
    return used


def check_invoices(world: World, bookings: list[Booking], used: dict[str, int]) -> None:
    """What is due, by fractions of a euro and Decimal, from times and prices alone."""
    june = Month(2026, 6)
    for tenant, category in {**TENANTS, "polimi": Category.OWN}.items():
        invoice = world.facility.invoicing.issue(tenant, june, by=world.users["op"])
        expected = Decimal(0)
        for one in bookings:
            if PEOPLE[one.login] == tenant and START < one.end_s <= june.end_s:
                seconds = used.get(one.id, one.end_s - one.begin_s)  # never metered: all of what was booked
                exact = Fraction(seconds, 3600) * Fraction(PRICES[category], 100)
                euro = Decimal(exact.numerator) / Decimal(exact.denominator)
                expected += euro.quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert invoice.kind is InvoiceKind.INVOICE
        assert Decimal(invoice.net_cents) / 100 == expected
        rate = Decimal(0) if category is Category.OWN else Decimal("0.22")
        assert Decimal(invoice.vat_cents) / 100 == (expected * rate).quantize(Decimal("0.01"), ROUND_HALF_UP)
