"""A facility against a list: bookings, cancellations, changes and the meter in any order."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from facility_rig import DAY, HOUR, PRICES, START, TENANTS, World, make_world
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from poliqi.lab.facility.localtime import Month
from poliqi.lab.facility.records import SlotState
from poliqi.lab.facility.refusal import Reason, Refused

LOGINS = st.sampled_from(["ann", "amy", "bob"])
STEPS = st.integers(0, 40)
"""Quarters of an hour after the start."""


class Model:
    """id -> [login, begin, end, is cancelled, seconds charged or None where it was not metered]."""

    def __init__(self) -> None:
        self.rows: dict[str, list[object]] = {}

    def is_free(self, begin: int, end: int, but: str = "") -> bool:
        return all(
            row[3] or name == but or end <= row[1] or row[2] <= begin  # type: ignore[operator]
            for name, row in self.rows.items()
        )


class FacilityMachine(RuleBasedStateMachine):
    template: Path

    @initialize()
    def fresh(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(self.template, self.folder / "lab")
        self.world = opened(self.folder / "lab")
        self.model = Model()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.facility.close()
            shutil.rmtree(self.folder)

    @rule(login=LOGINS, at=STEPS, quarters=st.integers(-1, 9), is_again=st.booleans())
    def book(self, login: str, at: int, quarters: int, is_again: bool) -> None:
        begin, end = START + 2 * DAY + at * 900, START + 2 * DAY + (at + quarters) * 900
        request = f"{len(self.model.rows)}-{at}-{quarters}"
        try:
            made = self.world.facility.book("saxs", begin, end, by=self.world.users[login], request=request)
        except Refused as refused:
            assert refused.reason is (Reason.OVERLAP if quarters > 0 else Reason.BAD_TIME)
            assert quarters <= 0 or not self.model.is_free(begin, end)
            return
        assert quarters > 0
        assert self.model.is_free(begin, end)
        self.model.rows[made.id] = [login, begin, end, False, None]
        if is_again:
            assert self.world.facility.book("saxs", begin, end, by=self.world.users[login], request=request) == made

    def some(self, choice: int) -> str:
        return sorted(self.model.rows)[choice % len(self.model.rows)]

    @rule(choice=st.integers(0, 99), login=LOGINS)
    def cancel(self, choice: int, login: str) -> None:
        if not self.model.rows:
            return
        name = self.some(choice)
        owner = self.model.rows[name][0]
        try:
            self.world.facility.cancel(name, by=self.world.users[login])
        except Refused as refused:
            same_tenant = {owner, login} <= {"ann", "amy"}
            assert owner != login
            assert refused.reason is (Reason.NOT_ALLOWED if same_tenant else Reason.UNKNOWN)
            return
        assert owner == login
        self.model.rows[name][3] = True

    @rule(choice=st.integers(0, 99), at=STEPS, quarters=st.integers(1, 5))
    def change(self, choice: int, at: int, quarters: int) -> None:
        if not self.model.rows:
            return
        name, begin = self.some(choice), START + 2 * DAY + at * 900
        end, row = begin + quarters * 900, self.model.rows[name]
        try:
            made = self.world.facility.change(name, begin, end, by=self.world.users[str(row[0])])
        except Refused as refused:
            assert refused.reason is (Reason.TOO_LATE if row[3] else Reason.OVERLAP)
            assert row[3] or not self.model.is_free(begin, end, name)
            return
        assert not row[3]
        assert self.model.is_free(begin, end, name)
        row[3] = True
        self.model.rows[made.id] = [row[0], begin, end, False, None]

    @invariant()
    def calendars_agree(self) -> None:
        if not hasattr(self, "world"):
            return
        standing = sorted((row[1], row[2], row[0]) for row in self.model.rows.values() if not row[3])
        window = (START + DAY, START + 5 * DAY)
        seen = self.world.facility.calendar("saxs", *window, self.world.users["op"])
        assert [(slot.begin_s, slot.end_s, slot.login) for slot in seen] == standing
        of_bob = self.world.facility.calendar("saxs", *window, self.world.users["bob"])
        seconds = sum(slot.end_s - slot.begin_s for slot in of_bob if slot.state is SlotState.BUSY)
        assert seconds == sum(end - begin for begin, end, login in standing if login != "bob")  # type: ignore[operator]

    @rule(used=st.lists(st.integers(1, 3 * HOUR), max_size=6))
    def end_of_the_month(self, used: list[int]) -> None:
        """Meter some, invoice all, and begin anew."""
        self.world.clock.now = Month(2026, 6).end_s
        standing = sorted((row[1], name) for name, row in self.model.rows.items() if not row[3])
        for (_, name), seconds in zip(standing, used, strict=False):
            row = self.model.rows[name]
            row[4] = min(seconds, row[2] - row[1])  # type: ignore[operator]
            booking = self.world.facility.bookings.get(name, self.world.users["op"])
            self.world.meter(booking, booking.end_s - row[4], row[4])
        for tenant, logins in (("acme", ("ann", "amy")), ("bolt", ("bob",))):
            price = PRICES[TENANTS[tenant]]
            mine = [row for row in self.model.rows.values() if row[0] in logins and not row[3]]
            times = [row[2] - row[1] if row[4] is None else row[4] for row in mine]  # type: ignore[operator]
            if times:
                invoice = self.world.facility.invoicing.issue(tenant, Month(2026, 6), by=self.world.users["op"])
                assert invoice.net_cents == sum(int(seconds * price / 3600 + 0.5 + 1e-9) for seconds in times)
        self.world.facility.verify_audit()
        self.teardown()
        self.fresh()


def opened(root: Path) -> World:
    from facility_rig import PEOPLE, Clock

    from poliqi.lab.facility.facility import Facility

    clock = Clock()
    facility = Facility.open(root, now_s=clock)
    return World(facility, clock, root, {login: facility.user(login) for login in PEOPLE})


@pytest.fixture
def template(tmp_path: Path) -> Path:
    make_world(tmp_path / "lab").facility.close()
    return tmp_path / "lab"


def test_a_facility_does_what_a_list_does(template: Path) -> None:
    FacilityMachine.template = template
    usual = settings.default
    run_state_machine_as_test(
        FacilityMachine,
        settings=settings(usual, max_examples=max(1, usual.max_examples // 2), stateful_step_count=25),
    )
