"""A campaign's file: what it means, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign_plans import PLAN
from campaign_rig import faults

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.campaign.schedule import schedule
from poliqi.lab.facility.localtime import instant
from poliqi.ops.campaign_toml import campaign_from, read_campaign


def read(text: str) -> object:
    return campaign_from(text.encode(), "plan.toml")


def test_the_file_means_what_it_says() -> None:
    found = campaign_from(PLAN.encode(), "plan.toml")
    assert found.start_s == instant("2027-01-11 08:00")
    assert [one.name for one in found.channels] == ["cycler-1", "cycler-2", "potentiostat"]
    assert [one.name for one in found.cells] == ["A-1", "A-2", "A-3", "spare"]
    assert [len(one.blocked) for one in found.channels] == [0, 1, 0]
    formation, ageing = found.jobs[0]
    assert formation.seconds == pytest.approx(1.1 * 2 * (2 + 1 + 2) * 3600, abs=60)
    assert ageing.seconds == pytest.approx(1.1 * (20 * 3600 + 2 * 3600 + 100 * 1.111), abs=60)
    assert ageing.need.impedance
    assert ageing.need.temperature_c == 45
    assert found.cells[3].groups == ("cycler",)
    made = schedule(found)
    assert faults(made) == []
    assert not made.unplaced


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "Batch 7"', "", "missing required field `title`"),
        ("margin_percent", "margin", "unknown field `margin`"),
        ('start = "2027-01-11 08:00"', 'start = "tomorrow"', "start 'tomorrow': write YYYY-MM-DD HH:MM"),
        ('start = "2027-01-11 08:00"', 'start = "2027-03-28 02:30"', "does not exist"),
        ("c_rate = 0.5", "c_rat = 0.5", "unknown field `c_rat`"),
        ('do = "hold", hours = 1,', 'do = "hold",', "missing required field `hours`"),
        ('do = "rest"', 'do = "sleep"', "Invalid value 'sleep'"),
        ("capacity_ah = 0.004", 'capacity_ah = "4 mAh"', "Expected `float`, got `str`"),
        ("capacity_ah = 0.004", "capacity_ah = nan", "capacity nan Ah"),
        (
            'protocols = ["formation"]',
            'protocols = ["forming"]',
            "no protocol is called 'forming'; there are ageing",
        ),
        ('channels = ["cycler"]', 'channels = ["cyclers"]', "no channels is called 'cyclers'"),
        ("count = 3", "count = 0", "count = 0, must be from 1"),
        ("count = 3", "count = 100000", "must be from 1 to 20000"),
        ("channel = 2", "channel = 3", "maintenance of channel 3, must be 1 to 2"),
        ('name = "ageing"', 'name = "formation"', "two protocols have one name"),
        ('name = "spare"', 'name = "../spare"', "a name has 1 to 60 letters"),
        ('name = "spare"', 'name = "=cmd()"', "a name has 1 to 60 letters"),
        ("until_v = 4.2", "until_v = nan", "a voltage of nan V"),
        ("high_c = 60", "high_c = 10", "temperatures that rise"),
        ("repeat = 10", "repeat = 0", "once or more often"),
        ("repeat = 10", "repeat = 1" + "0" * 400, "1000000 times at most"),
        ("repeat = 2", "repeat = 1" + "0" * 400, "repeat must be from 1 to 1000000"),
        ("points_per_decade = 1", "points_per_decade = 1" + "0" * 400, "with 1 to 10000 points a decade"),
        (
            ", channel = 2 }]",
            " }" + ', { from = "2027-01-12 08:00", to = "2027-01-12 12:00" }' * 1000 + "]",
            "at most 1000",
        ),
        ('chamber = "oven"', 'chamber = "fridge"', "no chamber is called 'fridge'"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, words: str) -> None:
    assert old in PLAN
    with pytest.raises((ConfigError, DataRefused), match=r"plan\.toml: ") as refused:
        read(PLAN.replace(old, new, 1))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "text", ["= 1", "a = 1" + "0" * 5000, "a = [" * 5000, '"' * 3, "\ud800".encode("utf-8", "surrogatepass")]
)
def test_what_is_no_toml_is_refused(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigError, match=r"plan\.toml: not TOML"):
        campaign_from(data, "plan.toml")


def test_a_file_is_read_as_its_bytes_are(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    assert read_campaign(tmp_path / "plan.toml") == read(PLAN)
