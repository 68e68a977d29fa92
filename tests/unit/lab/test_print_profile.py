"""Profiles of machines: figures with their sources, and refusals."""

from __future__ import annotations

import contextlib
import copy
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, PoliqiError
from poliqi.lab.print.focus import zipfel_w_xy_um, zipfel_w_z_um
from poliqi.lab.print.profile import Profile, profile_from
from poliqi.ops.print_profile_toml import example_names, profile_digest, profile_toml, read_profile
from poliqi.ops.toml_file import toml_from

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "print-profile-toml.md").read_text(
    encoding="utf-8"
)


def table() -> dict[str, Any]:
    return copy.deepcopy(read_profile("illustrative").record)


@pytest.mark.parametrize("name", example_names())
def test_every_example_reads_and_each_group_says_where_it_is_from(name: str) -> None:
    record = read_profile(name).record
    assert record["name"] == name
    assert all(group["source"].strip() for group in record.values() if isinstance(group, dict))


def test_published_figures_stand_in_the_examples() -> None:
    """Torgersen 2012; Kiefer 2024; the preset of npxpy, from the package itself where it is installed."""
    assert read_profile("torgersen-2012").scanner.speed_mm_s == 10
    assert (read_profile("kiefer-2024").scanner.foci, read_profile("kiefer-2024").scanner.speed_mm_s) == (49, 1000)
    preset = read_profile("npxpy-preset")
    assert (preset.scanner.speed_mm_s, preset.hatch.layer_um, preset.hatch.pitch_um) == (250, 0.8, 0.3)


@pytest.mark.parametrize("name", example_names())
def test_a_profile_is_written_and_read_to_the_same(name: str) -> None:
    profile = read_profile(name)
    assert profile_from(tomllib.loads(profile_toml(profile).decode())) == profile
    assert profile_from(profile.record) == profile


def test_zipfel_widths() -> None:
    """By hand for NA .8, 780 nm, water: .325 x .78/(sqrt2 .8^.91); below .7 the other formula."""
    assert zipfel_w_xy_um(0.8, 780) == pytest.approx(0.2196, abs=1e-4)
    assert zipfel_w_xy_um(0.5, 780) == pytest.approx(0.32 * 0.78 / (math.sqrt(2) * 0.5))
    assert zipfel_w_z_um(0.8, 780, 1.33) == pytest.approx(0.532 * 0.78 / math.sqrt(2) / (1.33 - 1.062497), rel=1e-5)
    profile = read_profile("illustrative")
    assert (profile.w_xy_um, profile.w_z_um) == pytest.approx((0.2196, 1.0969), abs=1e-4)


def test_an_uncalibrated_focus_is_told() -> None:
    assert any("off by two" in one for one in read_profile("illustrative").cautions)
    given = table()
    given["focus"] |= {"w_xy_um": 0.3, "w_z_um": 1.2, "is_measured": True}
    given["material"]["source"] = "measured"
    assert profile_from(given).cautions == ()
    assert profile_from(given).w_z_um == 1.2


@pytest.mark.parametrize(
    ("group", "key", "value", "said"),
    [
        ("objective", "na", 1.33, "na 1.33 is not between 0 and the index"),
        ("objective", "na", math.nan, "is not between"),
        ("objective", "wavelength_nm", -780.0, "wavelength_nm = -780"),
        ("objective", "immersion_index", 0.9, "immersion_index"),
        ("objective", "source", "  ", "empty source"),
        ("objective", "colour", "red", "'colour' is not known; known are"),
        ("scanner", "speed_mm_s", 1001.0, "speed_mm_s = 1001; .*max_speed_mm_s 1000"),
        ("scanner", "foci", 0, "foci"),
        ("scanner", "layer_overhead_ms", math.inf, "layer_overhead_ms"),
        ("laser", "power_mw", 51.0, "max_power_mw 50"),
        ("laser", "power_mw", 0.0, "power_mw = 0"),
        ("focus", "is_measured", True, "w_xy_um is left out"),
        ("focus", "w_z_um", 0.0, "w_z_um = 0"),
        ("material", "threshold", 1.0, "threshold = 1"),
        ("material", "action", "melt", "melt"),
        ("material", "name", "", "name is empty"),
        ("material", "source", "", "empty source"),
        ("hatch", "pitch_um", "0.3", "Expected `float`"),
        ("hatch", "overlap_um", 400.0, "tiles would not advance"),
        ("hatch", "source", "x" * 2001, "2001 letters"),
    ],
)
def test_what_cannot_be_is_refused(group: str, key: str, value: object, said: str) -> None:
    given = table()
    given[group][key] = value
    with pytest.raises(ConfigError, match=said):
        profile_from(given, "mine.toml")


@pytest.mark.parametrize("group", ["objective", "scanner", "laser", "focus", "material", "hatch"])
def test_a_group_without_a_source_is_refused(group: str) -> None:
    given = table()
    del given[group]["source"]
    with pytest.raises(ConfigError, match=r"mine\.toml: .*`source`.*\$\." + group):
        profile_from(given, "mine.toml")


def test_unknown_keys_are_refused_wherever_they_stand() -> None:
    for mine in (
        table() | {"speed": 1},
        table() | {"material": table()["material"] | {"measured": [{"power_mw": 1, "colour": 2}]}},
    ):
        with pytest.raises(ConfigError, match="is not known; known are"):
            profile_from(mine)


def test_a_calibrated_threshold_goes_with_power_squared_and_speed() -> None:
    """K/(P^2/v pi w wz/(p h)) by hand, and what is too weak is refused with the power that is enough."""
    given = table()
    given["material"]["line_threshold_mw2_s_mm"] = 2.0
    profile = profile_from(given)
    gain = math.pi * profile.w_xy_um * profile.w_z_um / (0.35 * 1.0)
    assert profile.threshold_for() == pytest.approx(2.0 / (25**2 / 100 * gain))
    assert profile.threshold_for(power_mw=50) == pytest.approx(profile.threshold_for() / 4)
    assert profile.threshold_for(speed_mm_s=50) == pytest.approx(profile.threshold_for() / 2)
    with pytest.raises(ConfigError, match=r"5 mW at 100 mm/s gives .* more than ([\d.]+) mW") as told:
        profile.threshold_for(power_mw=5)
    least = float(str(told.value).split("more than ")[1].split(" ")[0])
    assert profile.threshold_for(power_mw=least * 1.01) < 1


def test_an_unknown_name_tells_the_examples(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kiefer-2024"):
        read_profile("kiefer-2025")
    file = tmp_path / "mine.toml"
    file.write_bytes(profile_toml(read_profile("illustrative")))
    assert read_profile(file) == read_profile("illustrative")
    assert len(profile_digest(file)) == 64
    assert profile_digest(file) != profile_digest("illustrative")


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large.toml"
    file.write_bytes(b"#" * ((2 << 20) + 1))
    with pytest.raises(ConfigError, match="more than 2097152 bytes"):
        read_profile(file)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    with contextlib.suppress(PoliqiError):
        assert isinstance(profile_from(toml_from(data, "x")), Profile)


SOME = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))


@given(group=st.sampled_from(["objective", "scanner", "laser", "focus", "material", "hatch"]), data=st.data())
def test_any_value_anywhere_is_refused_or_read(group: str, data: st.DataObject) -> None:
    given = table()
    key = data.draw(st.sampled_from(sorted(given[group])))
    given[group][key] = data.draw(SOME)
    try:
        found = profile_from(given)
    except PoliqiError:
        return
    assert profile_from(tomllib.loads(profile_toml(found).decode())) == found


def test_every_key_is_on_its_page() -> None:
    from dataclasses import fields

    from poliqi.lab.print import profile as module

    for group in (
        module.Objective, module.Scanner, module.Laser, module.Focus, module.Material, module.Measured,
        module.Hatching, module.Profile,
    ):  # fmt: skip
        for one in fields(group):
            assert f"`{one.name}`" in PAGE or f"`[{one.name}]`" in PAGE, one.name
    for name in example_names():
        assert f"`{name}`" in PAGE
