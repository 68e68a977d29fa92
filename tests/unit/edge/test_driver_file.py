"""Drivers of light in files and packages: how they are found, what is refused, what their light is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.ids import Origin
from poliqi.edge.driverfile import light_driver, read_options
from poliqi.ops.commands.link import _light
from poliqi.ops.config import default_link

DRIVER = """
from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
class End:
    def __init__(self, options, first_slot):
        self.options, self.first_slot = options, first_slot
        self.origin = Origin(options.get("light", "photons"))
    def detect(self, pulses): raise DataRefused("dark")
    def states(self, slots): raise DataRefused("dark")
def origin(options): return options.get("said", "photons")
def open_receiver(link, options, first_slot): return End(options, first_slot)
def open_transmitter(link, options):
    if options.get("broken"): raise RuntimeError("no cable")
    if options.get("away"): raise DataRefused("the board is off")
    return object() if options.get("empty") else End(options, None)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(DRIVER)
    return tmp_path


def test_a_driver_is_given_its_settings_and_where_to_begin(folder: Path) -> None:
    driver = light_driver("mine.py", {"slot": 3}, folder)
    assert driver.origin is Origin.PHOTONS
    receiver: Any = driver.receiver(default_link(), 77)
    assert (receiver.options, receiver.first_slot) == ({"slot": 3}, 77)
    assert driver.transmitter(default_link()).origin is Origin.PHOTONS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"broken": 1}, "cannot be opened: RuntimeError: no cable"),
        ({"empty": 1}, "gave a object without origin"),
        ({"light": "simulated"}, "its light is 'simulated', and its file says 'photons'"),
        ({"said": "starlight"}, "gives no origin"),
    ],
)
def test_a_driver_that_does_not_fit_is_named(folder: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        light_driver("mine.py", options, folder).transmitter(default_link())


def test_an_error_of_the_driver_that_is_one_of_ours_stays(folder: Path) -> None:
    with pytest.raises(DataRefused, match="the board is off"):
        light_driver("mine.py", {"away": 1}, folder).transmitter(default_link())


def test_one_end_only_is_enough_for_that_end(tmp_path: Path) -> None:
    (tmp_path / "bob.py").write_text(DRIVER.partition("def open_transmitter")[0])
    driver = light_driver("bob.py", {}, tmp_path)
    assert driver.receiver(default_link(), 0).origin is Origin.PHOTONS
    with pytest.raises(ConfigError, match="no function open_transmitter: it is a driver of the other end"):
        driver.transmitter(default_link())


def test_settings_are_toml_of_a_sensible_size(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('address = "here"\n')
    assert read_options(path) == {"address": "here"}
    assert read_options(None) == {}
    path.write_text("address =")
    with pytest.raises(ConfigError, match="not TOML"):
        read_options(path)
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_options(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_options(tmp_path / "none.toml")


def test_real_photons_need_no_leave_and_simulated_light_does(folder: Path) -> None:
    (folder / "x.toml").write_text('said = "simulated"\nlight = "simulated"\n')
    device = str(folder / "mine.py")
    assert _light(None, None, device, None, allowed=False, eve=None).origin is Origin.PHOTONS
    with pytest.raises(ConfigError, match="add --allow-simulated"):
        _light(None, None, device, folder / "x.toml", allowed=False, eve=None)
    assert _light(None, None, device, folder / "x.toml", allowed=True, eve=None).origin is Origin.SIMULATED
    with pytest.raises(ConfigError, match="one of --seed, --replay and --device"):
        _light(1, None, device, None, allowed=True, eve=None)
    with pytest.raises(ConfigError, match="--eve acts on simulated light"):
        _light(None, None, device, None, allowed=True, eve="pns")


def test_what_a_driver_raises_is_quoted_shortly_and_in_printable_words(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise RuntimeError('\\x1b[2J\\nFAKE ' * 99)")
    with pytest.raises(ConfigError, match="RuntimeError") as caught:
        light_driver("mine.py", {}, tmp_path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200 + len(str(tmp_path))
