"""The TOML files of the electrochemistry commands, as editors save them."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign_plans import PLAN

from poliqi.base.errors import ConfigError
from poliqi.ops.campaign_toml import read_campaign
from poliqi.ops.carbon_toml import load_carbon
from poliqi.ops.lab_stack_toml import read_plant
from poliqi.ops.prototype_examples import EXAMPLES
from poliqi.ops.prototype_toml import load_table
from poliqi.ops.toml_file import toml_from

CARBON = '[[factor]]\nmaterial = "aluminium"\nkg_co2e_per_kg = "15.1"\nsource = "who says so"\n'
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "campaign": (read_campaign, PLAN),
    "carbon": (load_carbon, CARBON),
    "plant": (read_plant, "[stack]\nramp_w_s = 5000.0\n"),
    "prototype": (lambda path: load_table(path, kind="coin"), EXAMPLES["coin"]),
}


@pytest.mark.parametrize("name", FILES)
def test_a_byte_order_mark_is_no_part_of_the_file(name: str, tmp_path: Path) -> None:
    read, text = FILES[name]
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    plain = read(path)
    path.write_bytes(BOM_UTF8 + text.replace("\n", "\r\n").encode())
    assert read(path) == plain


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"#" * ((1 << 20) + 1), "a.toml: more than 1048576 bytes"),
        ("a = 1\n".encode("utf-16"), "a.toml: not TOML: byte 0 is not UTF-8; save it as UTF-8"),
        (b"a = [" * 5000, "a.toml: not TOML: "),
        (b"a = " + b"9" * 5000, "a.toml: not TOML: "),
        (b"= 1", "a.toml: not TOML: "),
    ],
)
def test_what_is_no_toml_is_refused(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as refused:
        FILES[name][0](path)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_there_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read \(No such file or directory\); give "):
        FILES[name][0](tmp_path / "none.toml")


@pytest.mark.parametrize(
    "text",
    [
        "{}=1",
        "[{}]",
        '[["b" . {}]]',
        "x={{ {} = 1 }}",
        '"\\"".{}."b"=1',
        "x={{a = '''\n''', {} = 'b'}}",
        'x={{a = """a"""", {} = "b"}}',
        'x={{a = """\\"""\n""", {} = "b"}}',
    ],
)
def test_a_key_of_many_parts_is_refused_before_it_is_read(text: str) -> None:
    name = ".".join(["a"] * 33)
    with pytest.raises(ConfigError, match="a key of more than 32 parts"):
        toml_from(text.format(name).encode(), "a.toml")
    with pytest.raises(ConfigError, match="a key of more than 32 parts"):
        load_table(None, [f"{name}=1"], kind="coin")


def test_dots_that_are_no_key_are_read() -> None:
    floats = ",".join(["0.1"] * 40)
    rows = (
        f"# {'. ' * 99}",
        f"x = [\n{floats}\n]",
        f"t = '{'.' * 99}'",
        f'm = """\n{"wait ... " * 99}"""',
        "a.b.c=1",
    )
    assert toml_from("\n".join(rows).encode(), "a.toml")["a"] == {"b": {"c": 1}}
