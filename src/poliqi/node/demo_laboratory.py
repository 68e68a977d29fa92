"""The laboratory of a demonstration: SIMULATED scattering of spheres at Leonardo, an empty store at Bovisa.

Datasets, people, prices and hours are invented; everything that is made of simulated data says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.localtime import Month, day_of, wall_s
from poliqi.lab.facility.records import Category
from poliqi.lab.store.records import Kind, Task
from poliqi.lab.store.store import LabStore
from poliqi.node.demo_spheres import guinier_files, sphere_files

__all__ = ["HERE", "LABS", "make_laboratory"]

LABS: Final = ("leonardo", "bovisa")
HERE: Final = "guest"
"""The login under which whoever opens the pages on this machine books instruments."""
_COMPANY: Final = "acme"
_PROGRAM: Final = "poliqi demo"
_VERSION: Final = "1"
_BACK_DAYS: Final = 40
"""A company came so long ago: in a month that has ended, so that there is an invoice."""


def make_laboratory(kme: str, root: Path, place: str, wall: Callable[[], float] = time.time) -> None:
    """A store in the new folder `root`. Raises StoreError, ConfigError, OSError."""
    store = LabStore.create(root, f"Laboratory of {place} (demonstration)", kme)
    if kme == LABS[0]:
        store.add_tenant(_COMPANY)
        _add_datasets(store, place)
        _add_facility(root, kme, place, wall)


def _add_datasets(store: LabStore, place: str) -> None:
    with store.tenant() as held:
        sample = held.add_sample("Silica spheres in water (invented)", properties={"radius_nm": "5.0"})
        device = held.add_instrument("SAXS, simulated", "a calculation in place of an instrument", place)
        with held.scratch() as folder:
            sphere_files(folder)
            curve = held.register(
                [folder],
                title="Spheres of 5 nm: detector frame and curve",
                kind=Kind.SIMULATED,
                sample=sample.id,
                instrument=device.id,
                description="SIMULATED: what a detector would count behind spheres of radius 5.0 nm, and its mean"
                " over rings. Nothing was measured.",
                licence="CC0-1.0",
                creator=_PROGRAM,
                keywords=("SAXS", "spheres", "simulated"),
            )
        content = held.file_path(next(file for file in curve.files if file.path == "curve.dat"))
        task = Task(
            _PROGRAM,
            _VERSION,
            {"method": "Guinier with a term in q^4", "largest_q_rg": 1.3},
            (curve.id,),
            title="Guinier radius of the spheres",
            description="The slope of ln I over q squared where q is small gives the radius of gyration, and so the"
            " radius of a sphere.",
            licence="CC0-1.0",
            creator=_PROGRAM,
            keywords=("SAXS", "Guinier", "simulated"),
        )
        held.run(task, lambda folder: guinier_files(content, folder))


class _Clock:
    """First long ago, then now: what a company did then is invoiced."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall: Final = wall
        self.back_s = _BACK_DAYS * 86_400

    def __call__(self) -> int:
        return int(self._wall()) - self.back_s


def _add_facility(root: Path, kme: str, place: str, wall: Callable[[], float]) -> None:
    clock = _Clock(wall)
    legal = f"Laboratory of {place} (demonstration)"
    with Facility.create(
        root, tenant=kme, legal_name=legal, login=HERE, name="Whoever sits here", now_s=clock
    ) as made:
        guest = made.user(HERE)
        made.people.add_tenant(_COMPANY, Category.COMPANY, "ACME S.p.A. (invented)", by=guest)
        made.people.add_user("carla", "Carla of ACME (invented)", _COMPANY, by=guest)
        first = day_of(clock()) - timedelta(1)
        for name, text, cents in (
            ("saxs", "Small-angle X-ray scattering (invented)", 12_000),
            ("xrd", "X-ray diffractometer (invented)", 8_000),
        ):
            made.instruments.put(
                name, description=text, place=place, opening="mon-sun 08:00-20:00", is_cofunded=True, by=guest
            )
            for category, price in ((Category.OWN, 0), (Category.COMPANY, cents)):
                made.tariffs.add(name, category, first, price, by=guest)
            for login in (HERE, "carla"):
                made.people.add_training(login, name, date(first.year + 9, 12, 31), by=guest)
        made.settings.set_vat(Category.COMPANY, 2200, by=guest)
        made.settings.set_vat(Category.OWN, 0, by=guest)
        _add_hours(made, clock)


def _add_hours(made: Facility, clock: _Clock) -> None:
    guest, carla = made.user(HERE), made.user("carla")
    day = day_of(clock()) + timedelta(1)
    past = made.book("saxs", _at(day, 9), _at(day, 13), by=carla, title="resin")
    own = made.book("saxs", _at(day, 14), _at(day, 19), by=guest, title="spheres")
    clock.back_s = 0
    for booking in (past, own):
        made.meter.start(booking.id, by=guest, at_s=booking.begin_s)
        made.meter.stop(booking.id, by=guest, at_s=booking.end_s)
    made.invoicing.issue(_COMPANY, Month.of(past.begin_s), by=guest)
    monday = _next_monday(day_of(clock()))
    for offset, hour, hours, who in ((0, 9, 3, carla), (1, 10, 2, guest), (2, 14, 4, carla), (3, 9, 2, guest)):
        begin = monday + timedelta(offset)
        made.book(
            "saxs", _at(begin, hour), _at(begin, hour + hours), by=who, title="spheres" if who is guest else "resin"
        )


def _next_monday(day: date) -> date:
    return day + timedelta(7 - day.weekday())


def _at(day: date, hour: int) -> int:
    return wall_s(day, hour * 60)
