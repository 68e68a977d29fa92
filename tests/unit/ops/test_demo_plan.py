"""What a demonstration is made of: TOML that reads back, links of a city, ENDS.toml, folders left behind."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.base.ids import Role
from poliqi.node import demo_running
from poliqi.node.demo_files import make_demo_folder, ports_of, reserve_ports
from poliqi.node.demo_running import demo_folder, mark_demo, memory_of, running_demos, sweep_demos
from poliqi.node.light import PlantLight, ReplayedLight, SimulatedLight
from poliqi.ops.city_toml import load_city, read_city
from poliqi.ops.config import default_link, default_link_text, load_link, read_link
from poliqi.ops.demo_plan import demo_city_text, plan_demo
from poliqi.ops.ends_toml import TABLES, load_ends
from poliqi.ops.link_text import link_text
from poliqi.ops.site_toml import load_site
from poliqi.ops.toml_text import toml_text
from poliqi.optics.parameters import AttackKind

ROOT = Path(__file__).resolve().parents[3]
VALUES = (
    st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
TABLE = st.recursive(
    st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=3)),
    lambda inner: st.dictionaries(NAMES, inner | st.lists(inner, min_size=1, max_size=3), max_size=3),
    max_leaves=8,
)


@given(TABLE)
def test_what_is_written_as_toml_is_read_as_it_was(table: dict[str, object]) -> None:
    assert tomllib.loads(toml_text(table)) == table


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "reference").glob("*.toml")), ids=lambda p: p.stem)
def test_links_written_as_text_are_read_as_they_were(path: Path) -> None:
    link = load_link(path)
    assert read_link(link_text(link)) == link


def test_an_attack_on_a_link_stands_in_its_text() -> None:
    link = default_link()
    tapped = replace(link, attack=replace(link.attack, kind=AttackKind.INTERCEPT_RESEND, fraction=0.25))
    assert read_link(link_text(tapped)).attack.fraction == 0.25


def test_the_city_that_is_built_in_has_the_sites_fibres_and_links_of_the_example() -> None:
    built_in, example = read_city(demo_city_text()).city, load_city(ROOT / "examples/milan/city.toml").city
    assert (built_in.sites, built_in.spans, built_in.links) == (example.sites, example.spans, example.links)
    assert built_in.is_simulated


def test_every_link_of_the_demonstration_gives_key_within_seconds() -> None:
    from poliqi.optics.prediction import predict

    plan = plan_demo(None)
    assert plan.slowed_to_hz is None
    for link in plan.city.links:
        made = read_link(plan.links[link.link])
        prediction = predict(made)
        assert prediction.block_s == pytest.approx(2.5, rel=1e-3)
        assert prediction.rate_hz > 50_000
        fibre = made.fibre.attenuation_db_per_km * made.fibre.length_m / 1e3 + made.fibre.connectors_db
        assert fibre == pytest.approx(plan.city.loss_db(link))
    wanted = sum(demand.rate_bps for demand in plan.city.demands)
    assert wanted * 2 < 5 * 100_000, "the city gives what its demands want"


def test_a_city_with_fast_devices_is_slowed_down() -> None:
    plan = plan_demo(ROOT / "examples/milan/city.toml")
    assert plan.slowed_to_hz == 25e6
    assert {read_link(text).source.clock_hz for text in plan.links.values()} == {25e6}
    assert read_city(plan.city_text).city == plan.city


def test_a_city_of_too_many_links_is_refused(tmp_path: Path) -> None:
    more = "".join(f'\n[[link]]\nname = "x{n}"\nbetween = ["leonardo", "bovisa"]\n' for n in range(20))
    path = tmp_path / "city.toml"
    path.write_text(demo_city_text() + more)
    with pytest.raises(ConfigError, match="25 links"):
        plan_demo(path)


# ---------------------------------------------------------------- the folder


def test_every_file_of_a_demonstration_can_be_used() -> None:
    plan = plan_demo(None)
    with ExitStack() as held:
        folder = demo_folder(None, [s.kme for s in plan.city.sites], held)
        ports = reserve_ports(ports_of(5, 5)[0], held)
        made = make_demo_folder(folder, plan.city, plan.city_text, plan.links, ports)
        assert len(set(ports)) == len(ports)
        for site in made.sites.values():
            settings = load_site(site.folder / "site.toml")
            assert {p.kme for p in settings.peers} == set(made.sites) - {site.kme}
            ends = load_ends(site.folder / "ends.toml")
            assert len(ends) == 2
            assert {end.party.role for end in ends} == set(Role), "in a ring each site sends once and detects once"
        control = tomllib.loads(made.control_toml.read_text())
        assert control["demo"]["plant"] == "plant.json"
        mark_demo(made)
        assert [demo.folder for demo in running_demos(folder)] == []  # the test's own process is no demonstration
    assert not folder.exists()


def test_a_folder_whose_sockets_would_have_too_long_a_name_is_refused(tmp_path: Path) -> None:
    with ExitStack() as held, pytest.raises(ConfigError, match="name a shorter folder"):
        demo_folder(tmp_path / ("x" * 90), ["leonardo"], held)
    with ExitStack() as held, pytest.raises(ConfigError, match="that is new"):
        demo_folder(tmp_path, ["a"], held)


def test_folders_of_killed_demonstrations_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_running.tempfile, "gettempdir", lambda: str(tmp_path))
    left, fresh, other = (tmp_path / name for name in ("poliqi-demo-a", "poliqi-demo-b", "else"))
    for folder in (left, fresh, other):
        folder.mkdir()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    (left / "demo.json").write_text(f'{{"pid": {int(gone.stdout)}, "web": 1}}')
    sweep_demos()
    assert not left.exists()
    assert fresh.exists() and other.exists()


def test_memory_is_that_of_all_processes() -> None:
    own = memory_of({})
    rss = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert own["processes"] == 1
    assert own["rss_bytes"] == pytest.approx(rss, rel=0.1)
    twice = memory_of({"again": os.getpid()})
    assert twice["processes"] == 2 and math.isclose(twice["rss_bytes"], 2 * rss, rel_tol=0.1)


# ---------------------------------------------------------------- ENDS.toml

END = '[[end]]\nlink = "l.toml"\nrole = "bob"\nstate = "s"\nlisten = "127.0.0.1:0"\n'
HEAD = 'site = "ingest"\nallow_simulated = true\n'


def ends(folder: Path, text: str):
    (folder / "l.toml").write_text(default_link_text())
    (folder / "ends.toml").write_text(text)
    return load_ends(folder / "ends.toml")


def test_ends_have_the_light_that_they_name(tmp_path: Path) -> None:
    [end] = ends(tmp_path, HEAD + END + "seed = 7\n")
    assert (end.name, end.party.light) == ("s", SimulatedLight(7))
    assert (end.party.state, end.party.site) == (tmp_path / "s", tmp_path / "ingest")
    [end] = ends(tmp_path, HEAD + END + 'replay = "r"\n')
    assert end.party.light == ReplayedLight(tmp_path / "r")
    [end] = ends(tmp_path, HEAD + 'plant = "p"\n' + END + 'seed = 7\nspans = ["x", "y"]\n')
    assert end.party.light == PlantLight(7, tmp_path / "p", ("x", "y"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEAD, "end"),
        ('site = "i"\n' + END + "seed = 7\n", "protect nothing"),
        (HEAD + END, "one of seed, replay and device"),
        (HEAD + END + "seed = 7\n" + END + "seed = 8\n", "a state of its own"),
        (HEAD + END + 'seed = 7\nconnect = "127.0.0.1:1"\n', "one of listen and connect"),
        (HEAD + END + 'seed = 7\nspans = ["x"]\n', "no `plant`"),
        (HEAD + END + "seed = 7\nfrequency = 3\n", "frequency"),
        (HEAD + "x" * (1 << 20), "larger than"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        ends(tmp_path, text)


def test_every_key_of_ends_toml_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "ends-toml.md").read_text()
    for table in TABLES.values():
        for key in table.__struct_fields__:
            assert f"`{key}`" in page or f"[[{key}]]" in page, key
