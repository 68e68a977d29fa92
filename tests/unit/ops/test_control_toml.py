"""control.toml: what it says, what is refused and how, and that its page knows every key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError
from poliqi.ops.control_toml import TABLES, load_controller

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "control-toml.md"
MINIMAL = """
controller = "milan-control"
city = "city.toml"
state = "state"
[tls]
certificate = "c.pem"
key = "c.key"
trust = "trust"
[listen]
sites = "0.0.0.0:9300"
"""


def load(folder: Path, text: str) -> object:
    path = folder / "control.toml"
    path.write_text(text)
    return load_controller(path)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "control.toml"
    path.write_text(MINIMAL)
    file = load_controller(path)
    assert file.city == tmp_path / "city.toml"
    assert file.settings.trust == tmp_path / "trust"
    assert str(file.settings.web) == "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("state = ", "sate = "), "sate"),
        (('"0.0.0.0:9300"', '"somewhere"'), "listen.sites"),
        (('"milan-control"', '""'), "controller"),
        (("[tls]", '[web]\ncertificates = {anna = "operator"}\n[tls]'), "tls.people"),
        (("[tls]", '[web]\nlocal_role = "king"\n[tls]'), "local_role"),
        (("[tls]", '[web]\ndesks = {a = "javascript:alert(1)"}\n[tls]'), "web.desks"),
        (("[tls]", '[web]\nlaboratories = {a = "javascript:alert(1)"}\n[tls]'), "web.laboratories"),
        (("[listen]", '[listen]\nstatus = "0.0.0.0:9240"'), "127.0.0.1"),
        (('city = "city.toml"', ""), "city"),
        (("[tls]", "[tls"), "not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=r"control\.toml") as found:
        load(tmp_path, MINIMAL.replace(*change, 1))
    assert named in str(found.value)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("c") / "control.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        load_controller(path)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than"):
        load(tmp_path, "#" * ((1 << 20) + 1))


@pytest.mark.parametrize("name", TABLES)
def test_every_key_stands_on_the_page(name: str) -> None:
    page = PAGE.read_text()
    heading = {"": "## top", "syslog": "## [[syslog]]", "webhook": "## [[webhook]]"}.get(name, f"## [{name}]")
    assert heading in page
    part = page.split(heading + "\n", 1)[1].split("\n## ", 1)[0]
    for field in TABLES[name].__struct_fields__:
        if field not in TABLES:
            assert f"| `{field}` |" in part, f"{field} of {heading}"
