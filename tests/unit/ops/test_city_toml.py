"""CITY.toml: every key is read and documented; what is wrong is named, with its file and the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.candidates import Survives
from poliqi.control.city import ClassicalChannel, SpanId
from poliqi.ops.city_tables import TABLES
from poliqi.ops.city_toml import load_city, read_city
from poliqi.optics.parameters import Direction

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference" / "city-toml.md"
MILAN = ROOT / "examples" / "milan"

DEVICE = """
[device.snspd.source]
clock = "1 GHz"
intensities = [0.3, 0.1]
probabilities = [0.4, 0.6]
key_basis = 0.8
[device.snspd.receiver]
error_key = "1 %"
error_test = "2 %"
[device.snspd.detector]
kind = "snspd"
efficiency = "80 %"
"""

SITES = """
[city]
name = "Three"
[[site]]
name = "a"
coordinates = [45.48, 9.10]
[[site]]
name = "b"
coordinates = [45.48, 9.15]
switch = "2 dB"
[[site]]
name = "c"
coordinates = [45.48, 9.20]
"""

SPANS = """
[[span]]
between = ["a", "b"]
length = "5 km"
[[span]]
between = ["b", "c"]
length = "5 km"
"""

FULL = (
    """
[city]
name = "All of it"
diameter = "20 km"
simulated = true
[service]
availability = "99 %"
rate_share = 0.5
survives = "site"
[[site]]
name = "a"
title = "Site A"
coordinates = [45.48, 9.10]
approximate = true
relay = false
relay_candidate = true
note = "coarse"
[[site]]
name = "b"
coordinates = [45.48, 9.15]
switch = "2 dB"
[[site]]
name = "c"
coordinates = [45.48, 9.20]
switch_candidate = "1.5 dB"
[[span]]
name = "ab"
between = ["a", "b"]
length = "5 km"
attenuation = "0.25 dB/km"
connectors = "1 dB"
groups = ["bridge"]
invented = true
[[span.channel]]
launch = "0 dBm"
wavelength = "1310 nm"
direction = "backward"
rho = "1e-9 /(nm km)"
[[span]]
between = ["b", "c"]
length = "5 km"
[[span]]
name = "new"
between = ["a", "c"]
length = "9 km"
candidate = true
[[link]]
name = "light"
between = ["a", "c"]
over = ["ab", "b-c"]
device = "snspd"
[[demand]]
name = "bank"
between = ["a", "c"]
rate = "64 kbit/s"
priority = 5
paths = 2
never_through = ["b"]
survives = "none"
[[demand]]
between = ["a", "b"]
rate = "1 kbit/s"
[cost]
span = 1.0
span_km = 2.0
relay = 3.0
switch = 4.0
device = 5.0
invented = true
[device.snspd]
cost = 6.0
"""
    + DEVICE
)


def test_every_key_is_read() -> None:
    plan = read_city(FULL)
    city = plan.city
    assert (city.name, city.diameter_km, city.is_simulated) == ("All of it", 20.0, True)
    assert (city.service.availability, city.service.rate_share) == (0.99, 0.5)
    a = city.site[KmeId("a")]
    assert (a.title, a.latitude, a.longitude, a.is_approximate) == ("Site A", 45.48, 9.10, True)
    assert (a.is_relay, a.note, a.switch_loss_db) == (False, "coarse", None)
    b = city.site[KmeId("b")]
    assert (b.title, b.is_relay, b.switch_loss_db) == ("b", True, 2.0)
    ab = city.span[SpanId("ab")]
    assert (ab.length_km, ab.attenuation_db_km, ab.connectors_db) == (5.0, 0.25, 1.0)
    assert ab.groups == {"bridge"} and ab.is_invented
    (channel,) = ab.classical
    assert channel == ClassicalChannel(pytest.approx(1310.0), 0.0, Direction.BACKWARD, 1e-9)
    assert set(city.span) == {"ab", "b-c"}
    light = city.link[LinkId("light")]
    assert (light.ends, light.spans, light.device) == (("a", "c"), ("ab", "b-c"), "snspd")
    assert city.loss_db(light) == pytest.approx(5 * 0.25 + 1.0 + 2.0 + 5 * 0.3)
    bank = city.demand["bank"]
    assert (bank.rate_bps, bank.priority, bank.paths, bank.never_through) == (64e3, 5, 2, {"b"})
    assert plan.survives == {"bank": Survives.NONE, "a-b": Survives.SITE}
    assert [s.span for s in plan.candidates.spans] == ["new"]
    assert plan.candidates.relays == {"a"} and plan.candidates.switches == {"c": 1.5}
    costs = plan.costs
    assert costs.of_span(plan.candidates.spans[0]) == 1.0 + 2.0 * 9.0
    assert (costs.relay, costs.switch, costs.of_device("snspd"), costs.of_device("x")) == (3.0, 4.0, 6.0, 5.0)
    assert costs.is_invented
    assert plan.devices["snspd"].source.clock_hz == 1e9
    assert plan.devices["snspd"].fibre.length_m == 0.0


@pytest.mark.parametrize("path", sorted(MILAN.glob("*city.toml")), ids=lambda p: p.name)
def test_examples_are_read_and_say_that_they_are_invented(path: Path) -> None:
    plan = load_city(path)
    assert all(span.is_invented for span in (*plan.city.spans, *plan.candidates.spans))
    assert all(site.is_approximate for site in plan.city.sites)
    assert plan.city.is_simulated and plan.costs.is_invented
    assert "INVENTED" in path.read_text(encoding="utf-8")


def test_default_device_span_and_names() -> None:
    city = read_city(SITES + SPANS + '[[link]]\nbetween = ["b", "a"]\n' + DEVICE).city
    (link,) = city.links
    assert (link.link, link.spans, link.device) == ("b-a", ("a-b",), "snspd")
    assert city.diameter_km == 25.0 and not city.is_simulated


def sited(*rows: str) -> str:
    return '[city]\nname = "x"\n' + "".join(f"[[site]]\n{row}\n" for row in rows)


A, B = 'name = "a"\ncoordinates = [45.48, 9.10]', 'name = "b"\ncoordinates = [45.48, 9.15]'
BAD = [
    ("", "city"),
    (SITES + "colour = 1", "colour"),
    (SITES.replace("switch", "swich"), "swich"),
    ('[city]\nname = ""\nsite = []', "site"),
    (sited(A, B).replace('"x"', '"a\\nb"'), "city.name"),
    (sited(A, A), "site.name 'a': named twice"),
    (sited(A.replace('"a"', '"A"')), "site.name 'A'"),
    (sited(A.replace('"a"', '"a.b"')), "site.name 'a.b'"),
    (sited(A.replace('"a"', f'"{"a" * 25}"')), "1 to 24"),
    (sited(A.replace("45.48", "nan")), "latitude"),
    (sited(A.replace("9.10", "181.0")), "longitude"),
    (sited(A.replace("[45.48, 9.10]", "[45.48]")), "coordinates"),
    (sited(A, B + "\nswitch = 2"), "no unit"),
    (sited(A, B + '\nswitch = "-1 dB"'), "site b: switch: -1 dB is outside 0 dB to 60 dB"),
    (sited(A, B + '\nswitch = "1 dB"\nswitch_candidate = "1 dB"'), "switch_candidate"),
    (sited(A, B + "\nrelay_candidate = true"), "relay_candidate"),
    (sited(A, B.replace("9.15", "9.50")), "city.diameter: a and b are 31.19 km apart"),
    (SITES.replace('"Three"', '"Three"\ndiameter = "3 km"'), "city.diameter: a and c are 7.80 km apart"),
    (SITES.replace('"Three"', '"Three"\ndiameter = "26 km"'), "26 km is outside 0 km to 25 km"),
    (SITES + '[[span]]\nbetween = ["a", "z"]\nlength = "5 km"', "there is no site 'z'"),
    (SITES + '[[span]]\nbetween = ["a", "a"]\nlength = "5 km"', "both ends are 'a'"),
    (
        SITES + SPANS.replace("5 km", "3 km"),
        "length 3 km is shorter than the 3.90 km from a to b as the crow flies",
    ),
    (SITES + SPANS.replace("5 km", "-5 km"), "length: -5 km is outside"),
    (SITES + SPANS.replace("5 km", "501 km"), "length: 501 km is outside"),
    (SITES + SPANS + 'attenuation = "-0.2 dB/km"', "attenuation: -0.2 dB/km is outside"),
    (SITES + SPANS + 'connectors = "-1 dB"', "connectors: -1 dB is outside"),
    (SITES + SPANS + 'connectors = "59 dB"', "lose 60.5 dB, 60 dB is the limit"),
    (SITES + SPANS + 'groups = ["Bridge 1"]', "groups 'Bridge 1'"),
    (SITES + SPANS + '[[span.channel]]\nlaunch = "90 dBm"', "channel.launch: 90 dBm is outside"),
    (SITES + SPANS + SPANS, "span.name 'a-b': named twice"),
    (SITES + DEVICE + '[[link]]\nbetween = ["a", "b"]', "link a-b: no [[span]] joins a and b"),
    (SITES + SPANS + '[[link]]\nbetween = ["a", "b"]', "device: missing"),
    (SITES + SPANS + DEVICE + '[[link]]\nbetween = ["a", "b"]\ndevice = "apd"', "there is no device 'apd'"),
    (SITES + SPANS + DEVICE + '[[link]]\nbetween = ["a", "b"]\nover = ["x"]', "there is no span 'x'"),
    (SITES + SPANS + DEVICE + '[[link]]\nbetween = ["a", "b"]\nover = ["b-c"]', "does not start at a"),
    (SITES + SPANS + DEVICE + '[[link]]\nbetween = ["a", "c"]\nover = ["a-b"]', "the spans end at b, not at c"),
    (
        SITES + SPANS + DEVICE + '[[link]]\nbetween = ["a", "b"]\nover = ["a-b", "b-c"]',
        "already reaches b, an end of the link",
    ),
    (
        SITES.replace('switch = "2 dB"', "")
        + SPANS
        + DEVICE
        + '[[link]]\nbetween = ["a", "c"]\nover = ["a-b", "b-c"]',
        "light would pass b, which has no optical switch",
    ),
    (
        SITES
        + SPANS
        + SPANS.replace("[[span]]", '[[span]]\nname = "other"', 1).split('[[span]]\nbetween = ["b"')[0]
        + DEVICE
        + '[[link]]\nbetween = ["a", "b"]',
        "spans a-b, other join a and b; name one in `over`",
    ),
    (SITES + SPANS + DEVICE + '[[link]]\nbetween = ["a", "b"]\n' * 2, "link.name 'a-b': named twice"),
    (SITES + DEVICE.replace('"80 %"', "8"), "device snspd: detector.efficiency: 8 is outside 0 to 1"),
    (SITES + DEVICE.replace("clock", "clok"), "clok"),
    (SITES + '[[demand]]\nbetween = ["a", "q"]\nrate = "1 kbit/s"', "there is no site 'q'"),
    (SITES + '[[demand]]\nbetween = ["a", "b"]\nrate = "0 bit/s"', "rate: 0 bit/s is outside"),
    (SITES + '[[demand]]\nbetween = ["a", "b"]\nrate = "1 kbit/s"\npriority = 8', "priority: 8 is outside 0 to 7"),
    (SITES + '[[demand]]\nbetween = ["a", "b"]\nrate = "1 kbit/s"\npaths = 0', "paths: 0 is outside 1 to 8"),
    (SITES + '[[demand]]\nbetween = ["a", "b"]\nrate = "1 kbit/s"\nnever_through = ["a"]', "a is an end of it"),
    (SITES + '[[demand]]\nbetween = ["a", "b"]\nrate = "1 kbit/s"\nnever_through = ["q"]', "there is no site 'q'"),
    (SITES + '[[demand]]\nbetween = ["a", "b"]\nrate = "1 kbit/s"\nsurvives = "all"', "survives"),
    (SITES + "[service]\navailability = 1.1", "service.availability: 1.1 is outside 0 to 1"),
    (SITES + "[cost]\nrelay = -1.0", "cost.relay: -1 is outside"),
    (SITES + "[cost]\nrelay = nan", "cost.relay: nan is outside"),
    ("a = " + "[" * 50_000, ""),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_is_named_with_the_file(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^there.toml: .*{re.escape(said)}"):
        read_city(text, "there.toml")


def test_more_than_2000_sites_are_refused() -> None:
    row = '[[site]]\nname = "s{}"\ncoordinates = [45.0, 9.0]\n'
    most = '[city]\nname = "x"\n' + "".join(row.format(i) for i in range(2000))
    assert len(read_city(most).city.sites) == 2000
    with pytest.raises(ConfigError, match="site: 2001 of them, 2000 are the limit"):
        read_city(most + row.format(2000))


def test_larger_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "city.toml"
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        load_city(path)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_city(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="null"):
        load_city("a\0b")
    (tmp_path / "latin.toml").write_bytes(b'[city]\nname = "\xe8"')
    with pytest.raises(ConfigError, match="byte 15 is not UTF-8"):
        load_city(tmp_path / "latin.toml")


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(ConfigError):
        read_city(data)


PIECES = st.sampled_from(
    [
        *FULL.splitlines(),
        "name = nan",
        "length = inf",
        "between = []",
        "[[site]]",
        "[city]",
        "rate = -1",
        "over = [1]",
    ]
)


@given(st.lists(PIECES, max_size=40).map("\n".join))
def test_no_shuffled_file_raises_anything_else(text: str) -> None:
    try:
        read_city(text)
    except ConfigError as error:
        assert str(error).startswith("CITY.toml: ")


@given(st.floats(), st.floats(), st.floats(min_value=-1e9, max_value=1e9))
def test_no_numbers_raise_anything_else(latitude: float, longitude: float, length: float) -> None:
    text = SITES.replace("[45.48, 9.10]", f"[{latitude!r}, {longitude!r}]")
    try:
        read_city(text + SPANS.replace("5 km", f"{length!r} km", 1))
    except ConfigError as error:
        assert str(error).startswith("CITY.toml: ")


def test_every_key_is_documented_with_its_default() -> None:
    page = PAGE.read_text()
    for name, table in TABLES.items():
        heading = {"": "## top", "span.channel": "## [[span.channel]]", "device": "## [device.NAME]"}.get(name)
        repeated = name in ("site", "span", "link", "demand")
        heading = heading or (f"## [[{name}]]" if repeated else f"## [{name}]")
        assert heading in page, heading
        section = page.split(heading + "\n")[1].split("\n## ")[0]
        for field in table.__struct_fields__:
            assert f"| `{field}` |" in section, (name, field)
        shown = re.findall(r"^\| `(\w+)` \|", section, re.M)
        assert sorted(shown) == sorted(table.__struct_fields__), name
