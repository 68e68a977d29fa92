"""The commands on real files and a real facility: cycles, and a campaign that is booked."""

from __future__ import annotations

import csv
import json
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaign_plans import PLAN
from click.testing import CliRunner
from cycled_cells import cycling
from package_sources import packaged_file

from poliqi.base.errors import ConfigError, DataRefused, PoliqiError
from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.localtime import local_text
from poliqi.lab.facility.records import Category
from poliqi.lab.store.store import LabStore
from poliqi.ops.cli import cli

JDB = ("Example_data/jdb11-1_c3_gcpl_5cycles_2V-3p8V_C-24_data_C09.mpr", 2_465_718)
NDAX = ("Example_data/test.ndax", 39_718)


def poliqi(*words: object, answer: str | None = None) -> str:
    """Run the command in this process; what it prints."""
    done = CliRunner().invoke(cli, [str(word) for word in words], input=answer)
    if isinstance(done.exception, PoliqiError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def navani(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Files of navani's source package (MIT), which are never copied in."""
    kept = (
        request.config.cache.mkdir("echem") if request.config.cache is not None else tmp_path_factory.mktemp("kept")
    )

    def get(member: str, size: int) -> Path:
        return packaged_file("navani", "0.1.22", member, size, cache=kept, folder=tmp_path_factory.mktemp("navani"))

    return get


def test_half_cycles_of_a_biologic_file_are_those_that_the_instrument_counted(navani: Any, tmp_path: Path) -> None:
    galvani = pytest.importorskip("galvani", reason="reading .mpr needs galvani (the extra biologic)")
    path = navani(*JDB)
    told = json.loads(poliqi("lab", "echem", "cycles", path, "--json", "--report", tmp_path / "page.html"))
    with path.open("rb") as file:
        data = galvani.BioLogic.MPRfile(file).data
    counted = np.abs(data["Q charge/discharge/mA.h"])
    theirs = [float(counted[data["half cycle"] == number].max()) for number in np.unique(data["half cycle"])]
    ours = [one[way]["capacity_ah"] * 1e3 for one in told["cycles"] for way in ("charge", "discharge") if one[way]]
    assert [one["cycle"] for one in told["cycles"]] == list(range(7))
    assert told["cycles"][0]["charge"] is None
    assert ours == pytest.approx([one for one in theirs if one > 0.01], rel=1e-5)
    assert any("cycle 0 (discharge) stands without a partner" in one for one in told["cautions"])
    assert "<svg" in (tmp_path / "page.html").read_text()


def test_half_cycles_of_a_neware_file_are_those_that_the_cycler_counted(navani: Any) -> None:
    pytest.importorskip("NewareNDA", reason="reading .ndax needs NewareNDA (the extra echem)")
    told = json.loads(poliqi("lab", "echem", "cycles", navani(*NDAX), "--repeated", "apart", "--json"))
    (one,) = told["cycles"]
    assert one["charge"]["capacity_ah"] * 1e3 == pytest.approx(0.593039, rel=3e-3)  # its currents have 4 digits
    assert one["discharge"]["capacity_ah"] * 1e3 == pytest.approx(0.625451, rel=3e-3)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Six cycles that lose 2 % each, as a table."""
    made = cycling([0.02 * at for at in range(6)])
    path = tmp_path / "cell.bdf.csv"
    with path.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["Test Time / s", "Voltage / V", "Current / A"])
        writer.writerows(zip(made.time_s.tolist(), made.voltage_v.tolist(), made.current_a.tolist(), strict=True))
    return path


def test_cycles_are_written_drawn_and_put_into_the_store(tmp_path: Path, record: Path) -> None:
    LabStore.create(tmp_path / "lab", "Politecnico di Milano")
    told = json.loads(
        poliqi(
            "lab", "echem", "cycles", record, "--json", "-o", tmp_path / "c.csv", "--plot", tmp_path / "c.png",
            "--ica", tmp_path / "ica.csv", "--dva", tmp_path / "dva.csv", "--mass-mg", "12.5(1)",
            "--nominal-ah", "1", "--store", tmp_path / "lab",
        )
    )  # fmt: skip
    assert [one["discharge"]["capacity_ah"] for one in told["cycles"]] == pytest.approx(
        [1 - 0.02 * at for at in range(6)], rel=1e-4
    )
    assert told["cycles"][0]["discharge"]["specific"]["value"] == pytest.approx(80_000, rel=1e-4)
    assert told["cycles"][0]["discharge"]["specific"]["sigma"] == pytest.approx(640, rel=1e-4)
    assert told["health"]["fade"]["value"] == pytest.approx(0.02, rel=1e-3)
    assert told["health"]["end_of_life"]["value"] == pytest.approx(11, abs=0.1)
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 7
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "ica.csv").read_text().startswith("Cycle / 1,Half Cycle,Voltage / V,dQ/dV")
    assert (tmp_path / "dva.csv").read_text().startswith("Cycle / 1,Half Cycle,Charge / Ah,dV/dQ")
    with LabStore.open(tmp_path / "lab").tenant() as part:
        dataset = part.dataset(part.resolve(told["dataset"]))
    assert {file.path for file in dataset.files} >= {"cycles.csv", "dq-dv.csv", "findings.json", "result.json"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--unit", "mAh/g"], "mass of active material is not stated"),
        (["--unit", "mAh/cm2"], "area is not stated"),
        (["--cycle", "9"], "has cycles 1 to 6"),
        (["--smooth", "20", "3"], "odd number"),
        (["--step-mv", "0"], "--step-mv"),
        (["--nominal-ah", "-1"], "nominal capacity"),
        (["--positive", "discharge"], "voltage falls where the cell is charged"),
        (["--plot", "c.pdf"], "ends in"),
    ],
)
def test_what_cannot_be_told_of_cycles_is_refused(record: Path, words: list[str], told: str) -> None:
    with pytest.raises((ConfigError, DataRefused), match=told):
        poliqi("lab", "echem", "cycles", record, *words)


@pytest.fixture
def facility(tmp_path: Path) -> Path:
    """A facility with an instrument that ann, of a company, may book."""
    root = tmp_path / "lab"
    with Facility.create(
        root, tenant="polimi", legal_name="Politecnico di Milano", login="op", name="Olga"
    ) as made:
        op = made.user("op")
        made.people.add_tenant("acme", Category.COMPANY, "Acme S.p.A.", by=op)
        made.people.add_user("ann", "Ann", "acme", by=op)
        made.instruments.put("vmp3", needs_training=False, longest_s=31 * 86_400, by=op)
        made.tariffs.add("vmp3", Category.COMPANY, date(2026, 1, 1), 1000, by=op)
    return root


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """The plan, beginning the day after tomorrow."""
    begin = local_text((int(time.time()) // 86_400 + 2) * 86_400)
    late = (datetime.now(UTC) + timedelta(300)).strftime("%Y-%m-%d 12:00")
    text = PLAN.replace("2027-01-11 08:00", begin).replace("2027-01-20 18:00", late)
    path = tmp_path / "plan.toml"
    path.write_text(
        text.replace('maintenance = [{ from = "2027-01-12 08:00", to = "2027-01-12 12:00", channel = 2 }]', "")
    )
    return path


def test_a_campaign_is_planned_and_written(tmp_path: Path, plan: Path) -> None:
    told = json.loads(
        poliqi(
            "lab", "echem", "campaign", plan, "--json", "-o", tmp_path / "c.csv", "--ics", tmp_path / "c.ics",
            "--report", tmp_path / "c.html",
        )
    )  # fmt: skip
    assert len(told["tests"]) == 7
    assert told["bound_s"] <= told["end_s"] == max(one["end_s"] for one in told["tests"])
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 8
    assert (tmp_path / "c.ics").read_bytes().count(b"BEGIN:VEVENT") == 7
    assert "expected end" in poliqi("lab", "echem", "campaign", plan)


def test_a_campaign_is_booked_after_its_quote_or_not_at_all(facility: Path, plan: Path, tmp_path: Path) -> None:
    words = ["lab", "echem", "campaign", plan, "--facility", facility, "--book", "ann"]
    LabStore.create(tmp_path / "store", "A laboratory")
    kept = ["--store", tmp_path / "store", "--json"]
    looked = json.loads(poliqi(*words[:-2], "--as", "ann", *kept))
    assert "nothing was booked" in poliqi(*words, answer="n\n")
    told = json.loads(poliqi(*words, "--yes", *kept))
    assert told["dataset"] != looked["dataset"]  # the booked plan is another than the one that was looked at
    with LabStore.open(tmp_path / "store").tenant() as part:
        made = part.dataset(told["dataset"])
        record = part.content(next(one for one in made.files if one.path == "result.json"), 1 << 20)
    assert json.loads(record)["bookings"] == told["bookings"]
    used = [one for one in told["tests"] if one["channel"] == "potentiostat"]
    (booking,) = told["bookings"]
    assert (booking["login"], booking["instrument"], booking["title"]) == ("ann", "vmp3", "Batch 7")
    assert booking["begin_s"] == min(one["mount_s"] for one in used)
    assert booking["end_s"] == max(one["end_s"] for one in used)
    with pytest.raises(DataRefused, match=f"'Batch 7' of .* is booked already for ann: vmp3 .*{booking['id']}"):
        poliqi(*words, "--yes")
    again = json.loads(poliqi(*words[:-2], "--as", "ann", "--json"))
    assert min(one["mount_s"] for one in again["tests"] if one["channel"] == "potentiostat") >= booking["end_s"]


def test_what_was_booked_is_told_and_its_plan_written_though_the_command_is_stopped(
    facility: Path, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_all: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("poliqi.ops.lab_outputs.deliver", stopped)
    words = ["lab", "echem", "campaign", plan, "--facility", facility, "--book", "ann", "--yes"]
    words += ["-o", tmp_path / "c.csv", "--ics", tmp_path / "c.ics"]
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 1
    assert "the bookings stand, though this did not come to its end" in done.stderr
    assert done.stderr.count("ageing") == 3
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 8
    assert (tmp_path / "c.ics").exists()


def test_a_plan_without_a_place_for_all_is_told_and_not_booked(facility: Path, plan: Path) -> None:
    text = plan.read_text(encoding="utf-8")
    begin = text.partition('start = "')[2][:10]
    late = (date.fromisoformat(begin) + timedelta(2)).isoformat()
    plan.write_text(text.replace("margin_percent", f'until = "{late} 08:00"\nmargin_percent'), encoding="utf-8")
    told = poliqi("lab", "echem", "campaign", plan)
    assert "ageing: no place before" in told
    assert "% longer" not in told
    with pytest.raises(DataRefused, match="tests have no place before the horizon; nothing is booked"):
        poliqi("lab", "echem", "campaign", plan, "--facility", facility, "--book", "ann", "--yes")


def test_booking_needs_a_facility_and_a_known_login(facility: Path, plan: Path) -> None:
    with pytest.raises(ConfigError, match="at which facility"):
        poliqi("lab", "echem", "campaign", plan, "--book", "ann")
    with pytest.raises(ConfigError, match="no login of this facility"):
        poliqi("lab", "echem", "campaign", plan, "--facility", facility, "--book", "bob")
