"""DEVICE.toml: what is taken, what is refused and with which words; every setting has its line in the reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from poliqi.base.errors import ConfigError
from poliqi.edge.network import Address
from poliqi.edge.sources.catalogue import BUILT_IN, options_type
from poliqi.ops.device_toml import DeviceTable, load_device

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "device-toml.md"
GOOD = """
device = "folder"
state = "state"
site = "ingest.sock"
connect = "127.0.0.1:9060"
[options]
folder = "keys"
"""


def load(folder: Path, text: str) -> object:
    path = folder / "device.toml"
    path.write_text(text)
    return load_device(path)


def test_paths_are_relative_to_the_file_and_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(GOOD)
    settings = load_device(path, blocks=3)
    assert (settings.state, settings.site) == (tmp_path / "state", tmp_path / "ingest.sock")
    assert (settings.connect, settings.listen, settings.blocks) == (Address("127.0.0.1", 9060), None, 3)
    assert (settings.terms.block_bytes, settings.terms.gather_s, settings.terms.wait_s) == (64_000, 60.0, 10.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("connect", "listem"), "listem"),
        (('connect = "127.0.0.1:9060"', ""), "one of listen and connect"),
        (("[options]", 'listen = "127.0.0.1:1"\n[options]'), "one of listen and connect"),
        (('folder = "keys"', "folder = 5"), "folder"),
        (('folder = "keys"', 'folders = "keys"'), "folder"),
        (("[options]", 'block = "9 Mbit"\n[options]'), "block: 9e"),
        (("[options]", "block = 512\n[options]"), "no unit"),
        (("[options]", 'gather = "0 s"\n[options]'), "gather"),
        (('"folder"', '"fodler"'), "etsi014"),
        (("device =", "device"), "not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(tmp_path, GOOD.replace(*change, 1))
    assert str(tmp_path / "device.toml") in str(caught.value)


@pytest.mark.parametrize(
    ("address", "words"), [("192.0.2.7:6351", "isolated = true"), ("nowhere", "options.address")]
)
def test_an_address_that_is_refused_when_the_device_is_opened_is_named_with_the_file(
    tmp_path: Path, address: str, words: str
) -> None:
    path = tmp_path / "device.toml"
    path.write_text(GOOD.replace('"folder"', '"qsn"').replace('folder = "keys"', f'address = "{address}"'))
    with pytest.raises(ConfigError, match=words) as caught:
        load_device(path).opener()
    assert str(path) in str(caught.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_device(tmp_path / "no.toml")
    (tmp_path / "device.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not TOML"):
        load_device(tmp_path / "device.toml")
    (tmp_path / "device.toml").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(ConfigError, match="larger"):
        load_device(tmp_path / "device.toml")


def test_every_setting_has_its_line() -> None:
    sections = PAGE.read_text().split("\n## ")
    for name, kind in (("top", DeviceTable), *((name, options_type(name)) for name in BUILT_IN)):
        [section] = [text for text in sections if text.startswith(f"{name}\n")]
        rows = "".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
        assert not [field for field in kind.__struct_fields__ if f"`{field}`" not in rows], name
