"""LINK.toml: every key is read and documented; what is wrong is named, with its file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.base.ids import LeakModel
from poliqi.ops.config import TABLES, default_link, default_link_text, load_link, read_link
from poliqi.optics.parameters import (
    Attack,
    AttackKind,
    BasisChoice,
    Block,
    ClassicalChannel,
    DeadTimeModel,
    Detector,
    DetectorKind,
    Direction,
    Fibre,
    FrontEnd,
    LinkParameters,
    Receiver,
    Source,
)
from poliqi.proof import ProofName

ROOT = Path(__file__).resolve().parents[3]
REFERENCE_PAGE = ROOT / "docs" / "reference" / "link-toml.md"

SHORTEST = """
name = "short"
[source]
clock = "1 GHz"
intensities = [0.5, 0.15]
probabilities = [0.7, 0.3]
key_basis = 0.9
[fibre]
length = "10 km"
[receiver]
error_key = 0.01
error_test = "2 %"
[detector]
kind = "snspd"
efficiency = "85 %"
"""

FULL = """
name = "full"
note = "anything"
[source]
clock = "625 MHz"
intensities = [0.5, 0.1, 0.001]
probabilities = [0.7, 0.2, 0.1]
key_basis = "95 %"
intensity_noise = "2 %"
pulse_fwhm = "100 ps"
wavelength = "1551.5 nm"
linewidth = "0.1 nm"
[fibre]
length = "7 km"
attenuation = "0.3 dB/km"
connectors = "1.5 dB"
mux = "1 dB"
switch = "2 dB"
dispersion = "16.5 ps/(nm km)"
[receiver]
extinction = "20 dB"
visibility = "98 %"
front_end = "time-bin"
basis_choice = "active"
key_basis = 0.5
loss = "3 dB"
test_loss = "2.5 dB"
filter_loss = "1.25 dB"
filter_width = "0.5 nm"
drift = "0.5 rad/sqrt(s)"
tracking_time = "20 ms"
[detector]
kind = "free-running-apd"
efficiency = 0.2
dark_rate = "1 kHz"
dead_time = "5 us"
dead_time_model = "non-paralysable"
pixels = 2
afterpulse = "3 %"
afterpulse_time = "1 us"
jitter = "150 ps"
window = "400 ps"
[[classical_channel]]
launch = "0 dBm"
[[classical_channel]]
launch = "-3 dBm"
direction = "backward"
rho = "3e-9 /(nm km)"
[attack]
kind = "intercept-resend"
fraction = "20 %"
key_basis = 1.0
[instruments]
click_charge = "2 pC"
blinded_current = "3 mA"
current_noise = "5 nA"
mismatch = "40 %"
mismatch_time = "90 ps"
time_resolution = "8 ps"
time_noise = "1 ps"
pilot_noise = "0.05 dB"
isolation = "150 dB"
back_light_noise = "20 pW"
[block]
sifted_key = 1e6
proof = "lim"
clamp = false
epsilon_sec = 1e-9
epsilon_cor = 1e-12
leak_model = "both-directions"
efficiency = 1.16
intensity_uncertainty = "1 %"
"""


def test_a_short_file_takes_every_default() -> None:
    expected = LinkParameters(
        name="short",
        source=Source(1e9, (0.5, 0.15), (0.7, 0.3), 0.9),
        fibre=Fibre(10e3),
        receiver=Receiver(0.01, 0.02),
        detector=Detector(DetectorKind.SNSPD, 0.85),
    )
    link = read_link(SHORTEST)
    assert link.source.wavelength_m == pytest.approx(1550e-9)
    assert link.receiver.filter_width_m == pytest.approx(0.8e-9)
    assert (link.fibre, link.detector, link.block) == (expected.fibre, expected.detector, expected.block)
    assert link.attack == expected.attack
    assert asdict(link.instruments) == pytest.approx(asdict(expected.instruments))


def test_a_full_file_sets_every_field() -> None:
    link = read_link(FULL)
    assert asdict(link.source) == {
        "clock_hz": pytest.approx(625e6),
        "intensities": (0.5, 0.1, 0.001),
        "probabilities": (0.7, 0.2, 0.1),
        "key_basis": pytest.approx(0.95),
        "intensity_noise": 0.02,
        "pulse_fwhm_s": pytest.approx(100e-12),
        "wavelength_m": pytest.approx(1551.5e-9),
        "linewidth_m": pytest.approx(0.1e-9),
    }
    assert link.fibre == Fibre(7e3, 0.3, 1.5, 1.0, 2.0, 16.5)
    assert link.receiver.error_key == pytest.approx(1 / 101)
    assert link.receiver.error_test == pytest.approx(0.01)
    assert link.receiver.front_end is FrontEnd.TIME_BIN
    assert link.receiver.basis_choice is BasisChoice.ACTIVE
    assert link.receiver.key_basis == 0.5
    assert (link.receiver.loss_db, link.receiver.test_loss_db, link.receiver.filter_db) == (3.0, 2.5, 1.25)
    assert link.receiver.filter_width_m == pytest.approx(0.5e-9)
    assert link.receiver.drift_rad_per_sqrt_s == 0.5
    assert link.receiver.tracking_time_s == pytest.approx(0.02)
    assert asdict(link.detector) == {
        "kind": DetectorKind.FREE_RUNNING_APD,
        "efficiency": 0.2,
        "dark_rate_hz": 1000.0,
        "dark_per_gate": 0.0,
        "dead_time_s": pytest.approx(5e-6),
        "pixels": 2,
        "dead_time_model": DeadTimeModel.NON_PARALYSABLE,
        "afterpulse": 0.03,
        "afterpulse_time_s": pytest.approx(1e-6),
        "jitter_fwhm_s": pytest.approx(150e-12),
        "window_s": pytest.approx(400e-12),
    }
    assert link.classical_channels == (
        ClassicalChannel(0.0),
        ClassicalChannel(-3.0, Direction.BACKWARD, 3e-9),
    )
    assert link.attack == Attack(AttackKind.INTERCEPT_RESEND, 0.2, 1.0)
    assert asdict(link.instruments) == {
        "click_charge_c": pytest.approx(2e-12),
        "blinded_current_a": pytest.approx(3e-3),
        "current_noise_a": pytest.approx(5e-9),
        "mismatch": pytest.approx(0.4),
        "mismatch_time_s": pytest.approx(90e-12),
        "time_resolution_s": pytest.approx(8e-12),
        "time_noise_s": pytest.approx(1e-12),
        "pilot_noise_db": 0.05,
        "isolation_db": 150.0,
        "back_light_noise_w": pytest.approx(20e-12),
    }
    assert link.block == Block(10**6, ProofName.LIM, False, 1e-9, 1e-12, LeakModel.BOTH_DIRECTIONS, 1.16, 0.01)


WRONG: list[tuple[str, str, str]] = [
    ('length = "10 km"', "length = 10", "fibre"),
    ('length = "10 km"', 'length = "10"', "fibre.length: write a number with a unit"),
    ('length = "10 km"', 'length = "10 ns"', "which measures s"),
    ('length = "10 km"', 'length = "-10 km"', "fibre.length: -10000 is outside"),
    ('length = "10 km"', 'length = "nan km"', "fibre.length"),
    ('length = "10 km"', "", "missing required field `length`"),
    ('length = "10 km"', 'length = "10 km"\nlenght = "3 km"', "unknown field `lenght`"),
    ('length = "10 km"', 'length = "10 km"\nlength = "3 km"', "not TOML"),
    ('clock = "1 GHz"', 'clock = "1 Gbit"', "source.clock"),
    ("[0.7, 0.3]", "[0.7, 0.2]", "sum to 0.9"),
    ("[0.7, 0.3]", "[0.7, 0.2, 0.1]", "3 of them for 2"),
    ("[0.5, 0.15]", "[0.15, 0.5]", "do not fall"),
    ("[0.5, 0.15]", '["0.5", "0.15"]', "intensities"),
    ("key_basis = 0.9", "key_basis = true", "key_basis"),
    ("error_key = 0.01", "", "receiver.error_key: missing; give it or receiver.extinction"),
    ("error_key = 0.01", 'error_key = 0.01\nextinction = "20 dB"', "keep one of the two"),
    ('error_test = "2 %"', "visibility = 1.5", "receiver.visibility"),
    ('kind = "snspd"', 'kind = "pmt"', "kind"),
    ('kind = "snspd"', 'kind = "snspd"\nafterpulse = 0.1', "detector.afterpulse_time"),
    ('efficiency = "85 %"', "efficiency = 85", "detector.efficiency: 85 is outside 0 to 1"),
    ("[detector]", "[detektor]", "detektor"),
    ('name = "short"', "", "name"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[f"{n or 'no ' + o}" for o, n, _ in WRONG])
def test_what_is_wrong_is_named(old: str, new: str, message: str) -> None:
    assert old in SHORTEST
    with pytest.raises(ConfigError) as caught:
        read_link(SHORTEST.replace(old, new, 1), "my-link.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("my-link.toml: ")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("sifted_key = 1.5", "whole number"),
        ("sifted_key = inf", "block.sifted_key"),
        ("sifted_key = nan", "block.sifted_key"),
        ('proof = "gllp"', "proof"),
        ("epsilon_sec = 2.0", "block.epsilon_sec"),
        ('leak_model = "none"', "leak_model"),
    ],
)
def test_what_is_wrong_in_the_block_is_named(block: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_link(f"{SHORTEST}\n[block]\n{block}\n")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_link(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_link(tmp_path)
    large = tmp_path / "large.toml"
    large.write_text(SHORTEST + "#" * 70_000)
    with pytest.raises(ConfigError, match="larger than"):
        load_link(large)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_link(binary)


@given(st.text(max_size=300))
def test_any_text_is_a_link_or_a_config_error(text: str) -> None:
    for candidate in (text, SHORTEST + text, SHORTEST.replace("10 km", text.replace('"', ""))):
        try:
            read_link(candidate)
        except ConfigError:
            continue


def test_deep_nesting_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        read_link("a = " + "[" * 20_000 + "]" * 20_000)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*-*.toml")), ids=lambda p: p.stem)
def test_examples_are_read(path: Path) -> None:
    if "[source]" in path.read_text(encoding="utf-8"):
        assert load_link(path).name


def test_the_built_in_link_is_the_example_and_says_what_is_invented() -> None:
    example = ROOT / "examples" / "two-sites" / "leonardo-bovisa.toml"
    assert example.read_text(encoding="utf-8") == default_link_text()
    assert "INVENTED" in default_link_text()
    assert default_link().name == "Leonardo-Bovisa"
    assert default_link().fibre.length_m == 7e3


def documented() -> dict[str, str]:
    """Key -> default, as the tables of the reference page have them."""
    rows: dict[str, str] = {}
    section = ""
    for line in REFERENCE_PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:].strip().strip("`").strip("[]")
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) >= 3:
            rows[f"{section}.{cells[0].strip('`')}"] = cells[1].strip("`")
    return rows


def default_of(field: msgspec.structs.FieldInfo) -> str:
    value: Any = field.default
    if value is msgspec.NODEFAULT:
        return "" if field.default_factory is msgspec.NODEFAULT else "-"
    if value is None or value in ("", ()):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{value:g}"


@pytest.mark.parametrize("table", TABLES)
def test_every_key_and_default_is_documented(table: str) -> None:
    rows = documented()
    for field in msgspec.structs.fields(TABLES[table]):
        if table == "" and field.name in TABLES:
            continue
        key = f"{table or 'top'}.{field.name}"
        assert key in rows, f"{key} is missing in {REFERENCE_PAGE.name}"
        wanted = default_of(field)
        assert rows[key] == (wanted or "required"), f"{key}: the page says {rows[key]!r}"


def test_no_documented_key_is_unknown() -> None:
    known = {
        f"{table or 'top'}.{field.name}"
        for table, struct in TABLES.items()
        for field in msgspec.structs.fields(struct)
    }
    assert set(documented()) <= known
