"""`poliqi lab echem prototype`: what it prints, writes, stores and refuses; what X-rays found goes in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from click.testing import CliRunner

from poliqi.base.errors import PoliqiError
from poliqi.lab.store.findings import Finding, Findings, findings_bytes, read_findings
from poliqi.lab.store.store import LabStore
from poliqi.ops.commands.lab_echem_prototype import command
from poliqi.ops.prototype_feed import Feed, feeds_of


def run(*words: object) -> str:
    done = CliRunner().invoke(command, [str(word) for word in words])
    if isinstance(done.exception, PoliqiError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def told(*words: object) -> dict[str, Any]:
    return json.loads(run(*words, "--draws", 200, "--json"))


@pytest.fixture
def coin(tmp_path: Path) -> Path:
    path = tmp_path / "coin.toml"
    path.write_text(run("coin", "--example"))
    return path


def findings(path: Path, *found: Finding, simulated: bool = False) -> Path:
    path.write_bytes(findings_bytes(Findings(found, "poliqi lab xray", "powder", simulated, ("mind the gap",))))
    return path


@pytest.mark.parametrize("kind", ["coin", "pouch", "fuel-cell"])
def test_an_example_builds_and_its_toml_builds_the_same_again(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(run(kind, "--example"))
    first = told(kind, path, "-o", tmp_path / "b.toml")
    assert told(kind, tmp_path / "b.toml") == first
    assert told(kind, tmp_path / "b.toml", "-o", tmp_path / "c.toml") == first
    assert (tmp_path / "b.toml").read_bytes() == (tmp_path / "c.toml").read_bytes()
    assert first["simulated"] is False
    run(kind, path, "-o", tmp_path / "d.json")
    assert told(kind, tmp_path / "d.json") == first


def test_a_build_sheet_in_words(coin: Path) -> None:
    text = run("coin", coin)
    assert "capacity                          3.970 +- 0.078 mAh" in text
    assert "punch discs of 15 mm; one weighs 28.84 +- 0.43 mg; take 27.97" in text
    assert "cobalt: strategic (I d), critical (II h): 1.233 mg" in text
    assert "no factor is assumed" in text
    guide = (Path(__file__).resolve().parents[3] / "docs/how-to/build-a-cell.md").read_text()
    (quoted,) = re.findall(r"Read the cautions\. `([^`]+)`", guide)
    assert f"caution: {quoted}" in text


def test_a_page_has_numbers_and_charts_and_names_that_are_words(coin: Path, tmp_path: Path) -> None:
    run("coin", coin, "--set", "name=<script>1</script> $x$", "--report", tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert "<td>3.970 +- 0.078 mAh</td>" in page
    assert page.count("<svg") == 4
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_settings_stand_over_the_file(coin: Path) -> None:
    one = told("coin", coin, "--set", "positive.loading=24.0(2) mg/cm2")
    assert one["results"]["positive areal capacity"]["value"] == pytest.approx(2 * 2.2464)


def test_carbon_is_partial_until_every_factor_is_there(coin: Path, tmp_path: Path) -> None:
    table = tmp_path / "carbon.toml"
    table.write_text('[[factor]]\nmaterial = "copper"\nkg_co2e_per_kg = "4.0(5)"\nsource = "made up for a test"\n')
    part = told("coin", coin, "--carbon", table)
    copper = 1.6**2 * 0.785398 * 10e-4 * 8.96 / 1000
    assert part["carbon"]["kg_co2e"] == pytest.approx(4 * copper, rel=1e-5)
    assert part["carbon"]["is_partial"] is True
    assert part["results"]["carbon per kWh"]["is_partial"] is True
    assert part["carbon"]["missing"][:2] == ["NMC811", "carbon black"]
    assert "carbon (PARTIAL)" in run("coin", coin, "--carbon", table)
    rows = "".join(
        f'[[factor]]\nmaterial = "{name}"\nkg_co2e_per_kg = "1"\nsource = "made up for a test"\n'
        for name in part["carbon"]["missing"]
    )
    table.write_text(table.read_text() + rows)
    unmade = told("coin", coin, "--carbon", table)["carbon"]
    assert (unmade["missing"], unmade["has_energy_of_making"], unmade["is_partial"]) == ([], False, True)
    table.write_text(table.read_text() + '[[factor]]\nenergy = "oven"\nkg_co2e_per_kwh = "2"\nsource = "a test"\n')
    making = ("--set", 'process=[{name = "oven", energy = "0.25 kWh"}]', "--set", "loss=")
    whole = told("coin", coin, "--carbon", table, *making)
    assert whole["carbon"]["is_partial"] is False
    mass = whole["results"]["mass"]["value"] / 1000
    assert whole["carbon"]["kg_co2e"] == pytest.approx(mass + 3 * copper + 0.5, rel=1e-5)
    kwh = whole["results"]["energy"]["value"] / 1000
    assert whole["carbon"]["per"]["kWh"]["kg_co2e"] == pytest.approx(whole["carbon"]["kg_co2e"] / kwh)


def test_energy_of_making_counts_with_its_factor(coin: Path, tmp_path: Path) -> None:
    table = tmp_path / "carbon.toml"
    table.write_text('[[factor]]\nenergy = "electricity"\nkg_co2e_per_kwh = 0.25\nsource = "made up for a test"\n')
    one = told("coin", coin, "--carbon", table, "--set", 'process=[{name = "electricity", energy = "2 kWh"}]')
    assert one["carbon"]["kg_co2e"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[factor]]\nmaterial = "a"\nkg_co2e_per_kg = 1\nsource = ""\n', "factor 1: a: source: who says so"),
        ('[[factor]]\nmaterial = "a"\nkg_co2e_per_kwh = 1\nsource = "me"\n', "give material with kg_co2e_per_kg"),
        ('[[factor]]\nmaterial = "a"\nkg_co2e_per_kg = 1\n', "source"),
        ('[[factor]]\nmaterial = "a"\nkg_co2e_per_kg = "much"\nsource = "him"\n', "factor 1: kg_co2e_per_kg"),
        (
            '[[factor]]\nmaterial = "a"\nkg_co2e_per_kg = 1\nsource = "him"\n' * 2,
            "factor 2: 'a' stands there twice",
        ),
        ("not toml", "carbon.toml"),
    ],
)
def test_a_factor_without_a_source_is_refused(coin: Path, tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "carbon.toml"
    table.write_text(text)
    with pytest.raises(PoliqiError, match=words):
        run("coin", coin, "--carbon", table)


def test_a_table_to_be_filled_has_every_material_and_no_number(coin: Path, tmp_path: Path) -> None:
    table = tmp_path / "carbon.toml"
    run("coin", coin, "--carbon-template", table)
    text = table.read_text()
    assert text.count("[[factor]]") == 11
    unfilled = told("coin", coin, "--carbon", table)
    assert (unfilled["carbon"]["kg_co2e"], "carbon" in unfilled["results"]) == (None, False)
    assert "carbon: no factor is filled in for any of NMC811" in run("coin", coin, "--carbon", table)
    table.write_text("\n".join(line.removeprefix("# ") for line in text.splitlines()[1:]))
    with pytest.raises(PoliqiError, match="factor 1"):
        run("coin", coin, "--carbon", table)


def test_a_lattice_becomes_a_density_that_the_file_tells(coin: Path, tmp_path: Path) -> None:
    found = findings(tmp_path / "f.json", Finding("volume@NMC811", 101.0, "A3", 0.5))
    one = told("coin", coin, "--findings", f"positive={found}", "-o", tmp_path / "out.toml")
    mass = 3 * (6.94 + 0.8 * 58.693 + 0.1 * 54.938 + 0.1 * 58.933 + 2 * 15.999) / 0.602214076
    text = (tmp_path / "out.toml").read_text()
    assert f'density = "{mass / 101.0 * 1000:.3f}'[:16] in text
    assert "findings f.json: volume@NMC811" in text
    assert any("mind the gap" in said for said in one["assumed"])
    porosity = one["results"]["positive porosity"]
    assert porosity["moved_by_one_sigma_of"]["material.NMC811.density"] == pytest.approx(0.62 * 0.51, abs=0.05)
    assert told("coin", tmp_path / "out.toml") == one


def test_a_density_that_contradicts_the_file_is_said(coin: Path, tmp_path: Path) -> None:
    found = findings(tmp_path / "f.json", Finding("volume@NMC811", 110.0, "A3", 0.1))
    (said,) = told("coin", coin, "--findings", f"positive={found}")["cautions"]
    assert "was stated as 4780 +- 20 kg/m3" in said


def test_particles_too_large_for_the_coating_are_said(coin: Path, tmp_path: Path) -> None:
    found = findings(tmp_path / "f.json", Finding("diameter_mean_volume", 30_000.0, "nm", 500.0), simulated=True)
    one = told("coin", coin, "--findings", f"positive={found}")
    assert one["simulated"] is True
    assert any("30 um in a coating of 39.3 um" in said for said in one["cautions"])


@pytest.mark.parametrize(
    ("finding", "surface"),
    [
        (Finding("surface_per_volume", 2.0, "1/nm", 0.1), 2.0e9 / 21450 / 1000),
        (Finding("diameter_mean_volume", 30.0, "A", 1.0), 6 / (21450 * 3e-9) / 1000),
        (Finding("crystallite_size@Pt", 2.25, "nm", 0.1), 6 / (21450 * 3e-9) / 1000),
    ],
)
def test_what_x_rays_see_of_a_catalyst_moves_the_current(finding: Finding, surface: float, tmp_path: Path) -> None:
    found = findings(tmp_path / "f.json", finding)
    path = tmp_path / "cell.toml"
    path.write_text(run("fuel-cell", "--example").replace('surface = "60(4) m2/g"\n', ""))
    one = told("fuel-cell", path, "--findings", f"cathode={found}")["results"]
    assert one["cathode surface"]["value"] == pytest.approx(surface)
    key = "cathode.surface" if "surface" in finding.name else "cathode.particle_diameter"
    assert one["current"]["moved_by_one_sigma_of"][key] != 0


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("cathode=f.json", "a coin has positive and negative"),
        ("f.json", "write SIDE=FINDINGS"),
        ("positive=nothing.json", "cannot be read"),
        ("negative=f.json", "phase.* = 'NMC811'|formula_units|names"),
    ],
)
def test_feeds_that_fit_nothing_are_refused(
    coin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    findings(tmp_path / "f.json", Finding("volume@NMC811", 101.0, "A3", 0.5))
    with pytest.raises(PoliqiError, match=words):
        run("coin", coin, "--findings", option)


def test_findings_of_something_else_are_refused(coin: Path, tmp_path: Path) -> None:
    found = findings(tmp_path / "f.json", Finding("porod_exponent", 4.0, "1", 0.1))
    with pytest.raises(PoliqiError, match="neither volume@PHASE nor a size of particles among porod_exponent"):
        run("coin", coin, "--findings", f"positive={found}")


def test_a_sheet_goes_into_the_store_once_and_knows_its_file(coin: Path, tmp_path: Path) -> None:
    LabStore.create(tmp_path / "lab", "A laboratory")
    first = told("coin", coin, "--store", tmp_path / "lab")["dataset"]
    assert told("coin", coin, "--store", tmp_path / "lab")["dataset"] == first
    with LabStore.open(tmp_path / "lab").tenant() as part:
        made = part.dataset(first)
        assert {file.path for file in made.files} == {
            "result.json",
            "prototype.toml",
            "findings.json",
            "figure.svg",
        }
        assert {one.title for one in part.provenance(first).datasets} == {made.title, "Prototype: coin.toml"}
        path = tmp_path / "found.json"
        path.write_bytes(part.content(next(f for f in made.files if f.path == "findings.json"), 1 << 20))
    capacity = read_findings(path).named("cell_capacity")
    assert (capacity.value, capacity.unit) == (pytest.approx(3.9697, abs=1e-3), "mAh")


def test_refusals_name_the_file(coin: Path, tmp_path: Path) -> None:
    with pytest.raises(PoliqiError, match=r"coin\.toml: positive\.loading: write a number with a unit"):
        run("coin", coin, "--set", "positive.loading=12 furlongs")
    with pytest.raises(PoliqiError, match=r"coin\.toml: .*active material reached|coin\.toml: electrolyte"):
        run("coin", coin, "--set", "electrolyte.excess=")
    with pytest.raises(PoliqiError, match="what is it made of"):
        run("coin")
    with pytest.raises(PoliqiError, match=r"ends in \.toml"):
        run("coin", coin, "-o", tmp_path / "sheet.pdf")
    with pytest.raises(PoliqiError, match="cannot be read"):
        run("coin", tmp_path / "none.toml")


@pytest.mark.parametrize("setting", ["simulated=false", "simulated="])
def test_a_simulated_sheet_stays_so_whatever_is_set(setting: str, coin: Path) -> None:
    coin.write_text("simulated = true\n" + coin.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(PoliqiError, match="--set takes that not back"):
        run("coin", coin, "--set", setting)


def test_files_that_say_they_are_simulated_are_put_in_so_and_no_others(coin: Path, tmp_path: Path) -> None:
    coin.write_text("simulated = true\n" + coin.read_text(encoding="utf-8"), encoding="utf-8")
    size = Finding("diameter_mean_volume", 900.0, "nm", 50.0)
    LabStore.create(tmp_path / "lab", "A laboratory")
    one = findings(tmp_path / "one.json", size)
    two = findings(tmp_path / "two.json", size, simulated=True)
    run("coin", coin, "--findings", f"positive={one}", "--findings", f"positive={two}", "--store", tmp_path / "lab")
    with LabStore.open(tmp_path / "lab").tenant() as part:
        held = {path.name: part.holding_content(blake3(path.read_bytes()).hexdigest()) for path in (coin, one, two)}
    assert {name: held and held.is_simulated for name, held in held.items()} == {
        "coin.toml": True,
        "one.json": False,
        "two.json": True,
    }


def test_a_file_that_changes_after_it_was_hashed_is_refused(
    coin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LabStore.create(tmp_path / "lab", "A laboratory")

    def late(*given: Any) -> tuple[Feed, ...]:
        coin.write_text(coin.read_text(encoding="utf-8") + "# saved meanwhile\n", encoding="utf-8")
        return feeds_of(*given)

    monkeypatch.setattr("poliqi.ops.prototype_feed.feeds_of", late)
    with pytest.raises(PoliqiError, match="changed while it was worked on"):
        run("coin", coin, "--store", tmp_path / "lab")
