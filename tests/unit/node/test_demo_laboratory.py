"""The laboratory of the demonstration: the radius is right, all of it says simulated, there is an invoice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.localtime import instant
from poliqi.lab.store.store import LabStore
from poliqi.node.demo_laboratory import HERE, make_laboratory
from poliqi.node.demo_spheres import guinier_files, sphere_files, sphere_intensity

NOW = float(instant("2026-11-23 14:00"))


def test_the_form_factor_has_its_known_zeros_and_its_guinier_slope() -> None:
    """tan x = x at 4.493409 and 7.725252; 1 - q^2 R^2 / 5 close to 0."""
    zeros = np.array([4.493409457909064, 7.725251836937707]) / 5.0
    assert np.all(sphere_intensity(zeros) < 1e-20)
    q = np.array([0.01])
    assert sphere_intensity(q)[0] == pytest.approx(1.0 - (q[0] * 5.0) ** 2 / 5.0, abs=1e-6)


def test_the_radius_of_the_simulation_is_found_within_its_sigma(tmp_path: Path) -> None:
    """Seeds 1 to 12: the pulls against the true 5 nm are those of a normal distribution."""
    pulls: list[float] = []
    for seed in range(1, 13):
        sphere_files(tmp_path, seed)
        guinier_files(tmp_path / "curve.dat", tmp_path)
        found = json.loads((tmp_path / "radius.json").read_text())
        assert found["simulated"] is True
        pulls.append((found["radius_of_sphere_nm"] - 5.0) / found["sigma_nm"])
    assert abs(float(np.mean(pulls))) < 4.0 / np.sqrt(12)
    assert 0.4 < float(np.std(pulls)) < 1.8


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lab") / "lab"
    make_laboratory("leonardo", root, "Leonardo", lambda: NOW)
    return root


def test_all_of_it_says_that_it_is_simulated(made: Path) -> None:
    with LabStore.open(made).tenant() as store:
        derived, first = (store.dataset(one.id) for one in store.find())
        assert derived.is_simulated
        assert first.is_simulated
        assert [job.inputs for job in store.provenance(derived.id).jobs] == [(first.id,)]
        assert store.verify(first.id) == store.verify(derived.id) == ()
        assert b"SIMULATED" in store.content(first.files[0], 1 << 20)


def test_a_company_was_there_and_will_come(made: Path) -> None:
    """Four hours at 120.00 EUR and 22 % of that."""
    with Facility.open(made, now_s=lambda: int(NOW)) as facility:
        guest = facility.user(HERE)
        [invoice] = facility.invoices(guest)
        assert (invoice.tenant, invoice.net_cents, invoice.vat_cents) == ("acme", 48_000, 10_560)
        coming = facility.bookings.between(int(NOW), int(NOW) + 14 * 86_400, guest)
        assert {booking.tenant for booking in coming} == {"leonardo", "acme"}


@pytest.mark.parametrize("day", ["2026-01-01 00:10", "2026-03-29 01:30", "2026-10-25 12:00", "2028-02-29 23:59"])
def test_it_can_be_made_on_any_day(tmp_path: Path, day: str) -> None:
    make_laboratory("leonardo", tmp_path / "lab", "Leonardo", lambda: float(instant(day)))


def test_the_other_store_is_empty(tmp_path: Path) -> None:
    make_laboratory("bovisa", tmp_path / "lab", "Bovisa")
    store = LabStore.open(tmp_path / "lab")
    assert store.tenants() == ["bovisa"]
    with store.tenant() as held:
        assert held.count() == 0
