"""SCENARIO.toml: every key is read and documented; what is wrong is named, with its file and the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import SpanId
from poliqi.ops.scenario_toml import FAULT_KEYS, TABLES, load_scenario, read_scenario
from poliqi.optics.parameters import AttackKind
from poliqi.twin.scenario import Fault, FaultKind, Load, Pace

ROOT = Path(__file__).resolve().parents[3]
MILAN = ROOT / "examples" / "milan"
PAGE = ROOT / "docs" / "reference" / "scenario.md"
HERE = MILAN / "test.scenario.toml"
SHORT = 'name = "a test"\ncity = "city.toml"\nduration = "2 min"\n'
FULL = (
    SHORT
    + """
settle = "90 s"
controller = false
delay = "1 ms"
jitter = "2 ms"
capacity = "16 Mbit"
low_water = "1 Mbit"
sifted_key = 1e7
[load]
interval = "5 s"
key_size = "512 bit"
most_keys = 8
share = "50 %"
fetch = "1 s"
[pace]
tick = "0.5 s"
light = "2 s"
watch = "10 s"
[[fault]]
kind = "eavesdropper"
at = "10 s"
for = "20 s"
every = "1 min"
span = "aria-leonardo"
attack = "pns"
fraction = 0.5
[[fault]]
kind = "device"
link = "aria-leonardo"
site = "aria"
[[fault]]
kind = "partition"
sites = ["leonardo", "aria"]
"""
)


def test_the_shortest_file_has_the_documented_defaults() -> None:
    s = read_scenario(SHORT, HERE)
    assert (s.name, s.duration_s, s.settle_s, s.controller, s.faults) == ("a test", 120.0, 120.0, True, ())
    assert (s.load, s.pace, s.capacity, s.low_water) == (Load(), Pace(), 1_000_000, 64_000)
    assert len(s.city.sites) == 5


def test_every_key_is_read() -> None:
    s = read_scenario(FULL, HERE)
    assert (s.settle_s, s.controller, s.delay_s, s.jitter_s) == (90.0, False, 1e-3, 2e-3)
    assert (s.capacity, s.low_water, s.sifted_key) == (2_000_000, 125_000, 10_000_000)
    assert s.load == Load(5.0, 512, 8, 0.5, 1.0)
    assert s.pace == Pace(0.5, 2.0, 10.0)
    eve, device, parted = s.faults
    assert eve == Fault(
        FaultKind.EAVESDROPPER,
        10.0,
        20.0,
        60.0,
        span=SpanId("aria-leonardo"),
        attack=AttackKind.PHOTON_NUMBER_SPLITTING,
        fraction=0.5,
    )
    assert device == Fault(FaultKind.DEVICE, link=LinkId("aria-leonardo"), site=KmeId("aria"))
    assert parted.sites == ("aria", "leonardo")


@pytest.mark.parametrize("name", ["day", "cut", "storm"])
def test_the_examples_are_scenarios(name: str) -> None:
    s = load_scenario(MILAN / f"{name}.scenario.toml")
    assert s.city.is_simulated
    assert s.faults


def test_settings_change_keys() -> None:
    changes = {"load.share": "0.25", "duration": "5 s", "fault.1.site": "leonardo", "pace.tick": "'1 s'"}
    s = read_scenario(FULL, HERE, changes)
    assert (s.load.share, s.duration_s, s.faults[1].site, s.pace.tick_s) == (0.25, 5.0, "leonardo", 1.0)
    assert read_scenario(SHORT, HERE, {"load.share": "0.5"}).load.share == 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"duration": "5"}, "duration: write a number with a unit"),
        ({"duration": "0 s"}, "outside 0.1 s to"),
        ({"load.share": "-1"}, "load.share"),
        ({"load.key_size": "'100 bit'"}, "load.key_size"),
        ({"load.key_size": "'260 bit'"}, "multiple of 8"),
        ({"pace.tick": "'5 s'"}, "pace.tick: 5 s is outside 0.01 s to 4 s"),
        ({"capacity": "'1 kbit'"}, "capacity"),
        ({"low_water": "'15 Mbit'"}, "low_water"),
        ({"speed": "1"}, "unknown field `speed`"),
        ({"fault.7.at": "'1 s'"}, "the file has no such place"),
        ({"load.share.x": "1"}, "the file has no such place"),
        ({"fault.0.kind": "flood"}, "fault 0: kind 'flood': write any, cut, "),
        ({"fault.0.attack": "'tap'"}, "fault 0: attack 'tap': write one of intercept, pns"),
        ({"fault.0.loss": "'3 dB'"}, "fault 0: loss: a fault of kind 'eavesdropper' takes at, attack"),
        ({"fault.0.kind": "any"}, "a fault of kind 'any' takes at, every, for"),
        (
            {"fault.0.span": "nowhere"},
            "fault 0: span: there is no 'nowhere' in the city; name one of: aria-leonardo",
        ),
        ({"fault.1.site": "bovisa"}, "bovisa is no end of a link that is named"),
        ({"fault.2.sites": "[]"}, "0 of 5"),
        ({"fault.0.fraction": "1.5"}, "fraction"),
        ({"city": "none.toml"}, "cannot be read"),
        ({"name": "''"}, "name ''"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_scenario(FULL, HERE, change)
    assert str(refused.value).startswith(f"{HERE}: ")
    assert said in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"give a SCENARIO\.toml"):
        load_scenario(tmp_path / "none.toml")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_scenario_or_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        read_scenario(data, HERE)


def test_the_page_has_every_key_and_every_kind() -> None:
    text = PAGE.read_text()
    parts = {
        name: text.split(f"## `[[{name}]]`" if name == "fault" else f"## `[{name}]`")[-1] for name in TABLES if name
    }
    parts[""] = text.split("## The file")[1]
    for table, struct in TABLES.items():
        documented = set(re.findall(r"^\| `([a-z_]+)` \|", parts[table].split("\n## ")[0], re.M))
        known = set(struct.__struct_encode_fields__)
        assert known <= documented, f"[{table}]: {sorted(known - documented)} not on the page"
    kinds = dict(
        re.findall(r"^\| `([a-z-]+)` \| (.*?) \| .* \|$", parts["fault"].split("| `kind` | takes |")[1], re.M)
    )
    assert {kind: set(re.findall(r"`([a-z]+)`", takes)) for kind, takes in kinds.items()} == {
        kind.value: set(keys) for kind, keys in FAULT_KEYS.items()
    }
