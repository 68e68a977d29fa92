"""What a running application takes up: every table is read before anything changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.played_keys import PlayedSite
from poliqi.apps.identity import Identity
from poliqi.apps.settings import SaeSettings
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.ops.cli import cli
from poliqi.ops.sae_services import checked, services_of
from poliqi.ops.sae_toml import read_sae

HEAD = """
identity = "identity.key"
[site]
url = "https://127.0.0.1:1"
certificate = "c.pem"
key = "k.pem"
authority = "ca.pem"
[[peer]]
contact = "other.pub"
address = "127.0.0.1:9"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Identity.make(SaeId("bank"), OperatingSystemEntropy()).write(tmp_path / "identity.key")
    other = Identity.make(SaeId("other"), OperatingSystemEntropy())
    (tmp_path / "other.pub").write_text(other.contact.text())
    return tmp_path


def settings(folder: Path, more: str = "") -> SaeSettings:
    return read_sae(HEAD + more, folder / "sae.toml")


WRONG = {
    "inbox": "[inbox]\nmax_files = 0\n",
    "web": '[web]\nlocal_role = "king"\n',
    "tokens": '[web]\ntokens = "none.toml"\n',
    "adapter": '[adapter.office]\nkind = "carrier-pigeon"\npeer = "other"\n',
    "dicom": '[dicom]\nlisten = "127.0.0.1:11112"\n',
    "messenger": "[messenger]\nnonsense = 1\n",
    "vault": "[vault]\nnonsense = 1\n",
    "tunnel": "[tunnel]\nnonsense = 1\n",
}


@pytest.mark.parametrize("table", list(WRONG))
def test_a_wrong_table_is_found_before_anything_changes(folder: Path, table: str) -> None:
    with pytest.raises(ConfigError):
        checked(settings(folder, WRONG[table]))


@pytest.mark.parametrize("table", list(WRONG))
def test_check_finds_it_too(folder: Path, table: str) -> None:
    (folder / "sae.toml").write_text(HEAD + WRONG[table])
    done = CliRunner().invoke(cli, ["sae", "check", str(folder / "sae.toml")])
    assert done.exit_code == 1
    assert isinstance(done.exception, ConfigError | SystemExit)
    assert "peers" not in done.stdout


def test_a_file_that_is_right_is_taken(folder: Path) -> None:
    right = '[inbox]\nmax_files = 5\n[web]\nlocal_role = "operator"\n[dicom]\n'
    assert checked(settings(folder, right)).sae == "bank"


def test_tunnels_are_served_before_the_first_target_is_written(folder: Path) -> None:
    services = services_of(settings(folder), PlayedSite().keys("bank"), lambda _: None)
    (tunnel,) = [each for each in services if each.purpose == "tunnel 1"]
    target = '[[tunnel.target]]\nname = "sftp"\naddress = "127.0.0.1:22"\npeers = ["other"]\n'
    tunnel.change(settings(folder, target))
    for each in services:
        each.close()


@pytest.mark.parametrize("option", ["--certificate", "--key", "--authority"])
def test_new_wants_files_that_are_there(tmp_path: Path, option: str) -> None:
    for name in ("c.pem", "k.pem", "ca.pem"):
        (tmp_path / name).touch()
    files = {"--certificate": "c.pem", "--key": "k.pem", "--authority": "ca.pem"} | {option: "typo.pem"}
    options = [word for name, file in files.items() for word in (name, str(tmp_path / file))]
    words = ["sae", "new", "bank", "--site", "https://kme:8443", "--folder", str(tmp_path / "new"), *options]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert "typo.pem" in done.stderr
    assert not (tmp_path / "new").exists()


def test_new_puts_what_changes_where_it_is_told(tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem", "ca.pem"):
        (tmp_path / name).touch()
    files = {"--certificate": "c.pem", "--key": "k.pem", "--authority": "ca.pem"}
    options = [word for name, file in files.items() for word in (name, str(tmp_path / file))]
    etc, data = tmp_path / "etc", tmp_path / "var"
    words = [
        "sae",
        "new",
        "bank",
        "--site",
        "https://kme:8443",
        "--folder",
        str(etc),
        "--data",
        str(data),
        *options,
    ]
    assert CliRunner().invoke(cli, words).exit_code == 0
    made = checked(read_sae((etc / "sae.toml").read_text(), etc / "sae.toml"))
    assert (made.state, made.inbox) == (data / "state", data / "inbox")
    assert not data.exists()
