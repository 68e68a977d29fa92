"""The same as JSON: everything that has a page, moments instead of clock readings, levels and never keys."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from dashboard_rig import Rig, fill

from poliqi.ops.web import Action, ActionKind, DashboardSettings, Role
from poliqi.ops.web.api import RESOURCES
from poliqi.ops.web.pages import PAGES

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def rig() -> Rig:
    rig = Rig(DashboardSettings(open_role=Role.VIEWER, is_demo=True))
    asyncio.run(rig.city.act(Action(ActionKind.CUT, "leonardo-bovisa", "x")))
    return rig


def leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Every value of an object with the name that it stands under."""
    match value:
        case dict():
            return [leaf for key, inner in value.items() for leaf in leaves(inner, key)]
        case list():
            return [leaf for inner in value for leaf in leaves(inner, name)]
        case _:
            return [(name, value)]


@pytest.mark.parametrize("path", [r.path for r in RESOURCES])
def test_every_object_is_there_and_its_moments_can_be_read(rig: Rig, path: str) -> None:
    answer = rig.ask(fill(path))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    found = leaves(answer.json())
    assert found
    assert not {name for name, _ in found} & {"at", "now", "key", "bits", "material", "token"}
    for name, value in found:
        if name in ("time", "since", "cleared", "seen_at") and value is not None:
            assert MOMENT.fullmatch(value), name


def test_every_page_names_an_object_that_is_there(rig: Rig) -> None:
    resources = {r.path for r in RESOURCES}
    assert {page.json for page in PAGES} <= resources
    for page in PAGES:
        named = re.search(r'href="(/api/[^"]+)"', rig.ask(fill(page.path)).text)
        assert named is not None
        assert rig.ask(named[1]).status_code == 200


def test_the_city_in_numbers(rig: Rig) -> None:
    city = rig.ask("/api/city").json()
    assert {k: city[k] for k in ("name", "sites", "sites_up", "alarms_open", "simulated", "state")} == {
        "name": "Milano",
        "sites": 5,
        "sites_up": 5,
        "alarms_open": 1,
        "simulated": True,
        "state": "bad",
    }
    assert city["time"] == datetime.fromtimestamp(rig.clock[0], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_link_has_its_history_in_order_of_time(rig: Rig) -> None:
    link = rig.ask("/api/links/intesa-aria").json()
    times = [sample["time"] for sample in link["history"]]
    assert times == sorted(times)
    assert len(times) > 100
    assert link["ends"] == ["intesa", "aria"]
    assert "history" not in json.dumps(rig.ask("/api/links").json())


def test_a_cut_fibre_and_what_it_explains(rig: Rig) -> None:
    assert rig.ask("/api/spans/leonardo-bovisa").json()["fault"] == "cut"
    alarm = rig.ask("/api/alarms/1").json()
    assert (alarm["cause"], alarm["span"], alarm["cleared"]) == ("span-cut", "leonardo-bovisa", None)
    assert {e["kind"] for e in alarm["explains"]} == {"link-dark", "rerouted", "demand-short"}
    events = rig.ask("/api/events").json()
    assert {e["kind"] for e in events if e["alarm"] == 1} == {"link-dark", "rerouted", "demand-short"}


def test_objects_speak_the_language_that_is_asked_for(rig: Rig) -> None:
    text = rig.ask("/api/alarms/1", headers={"accept-language": "it"}).json()["text"]
    assert text.startswith("La fibra leonardo-bovisa è interrotta")


def test_levels_are_numbers(rig: Rig) -> None:
    for pool in rig.ask("/api/keys").json():
        assert set(pool) == {"ends", "free_bits", "relayed_bits", "taken_bps", "filled_bps", "hours_left"}
        assert isinstance(pool["free_bits"], int)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/nothing", 404), ("DELETE", "/api/city", 405)])
def test_errors_are_objects(rig: Rig, method: str, path: str, status: int) -> None:
    answer = rig.ask(path, method)
    assert (answer.status_code, list(answer.json())) == (status, ["message"])
