"""`poliqi site`: checking, asking, signalling, zeroising, backing up, auditing."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from site_certificates import make_site, trust_each_other

from poliqi.base.errors import ConfigError, DataRefused, LinkDown, StoreError
from poliqi.base.ids import KmeId
from poliqi.edge.kek import FileKek
from poliqi.edge.keystore import KeyStore
from poliqi.edge.pki import Authority
from poliqi.keys.marks import Audited
from poliqi.ops.commands.site import command

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference"

TEXT = """
site = "leonardo"
state = "state"
[kek]
folder = "kek"
[tls]
certificate = "{chain}"
key = "{key}"
authority = "{pki}/ca.pem"
revoked = "{pki}/crl.pem"
trust = "{pki}/trust"
[listen]
status = "127.0.0.1:{port}"
https = "127.0.0.1:0"
peers = "127.0.0.1:0"
[[peer]]
site = "bovisa"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("pki")
    own, issued = make_site(folder, KmeId("leonardo"))
    other, _ = make_site(folder, KmeId("bovisa"))
    trust_each_other(own, other)
    return folder, TEXT.format(chain=issued.chain, key=issued.key, pki=own.folder, port="{port}")


@pytest.fixture
def site_toml(made: tuple[Path, str], tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(made[1].replace("{port}", "0"))
    return path


def fill(folder: Path) -> None:
    store = KeyStore(folder / "state", FileKek(folder / "kek"), create=True)
    try:
        store.load()
        store.apply([Audited("key-delivered", {"master": "bank"})])
    finally:
        store.close()


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def levels(result: Result) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in json.loads(result.output)["findings"]:
        found.setdefault(finding["level"], set()).add(finding["what"])
    return found


def test_a_site_in_order_passes_its_check(site_toml: Path) -> None:
    fill(site_toml.parent)
    result = invoke("check", site_toml, "--json")
    assert result.exit_code == 0, result.output
    assert levels(result) == {"ok": {"store", "certificate", "peers", "addresses", "policy"}}
    assert "ok  certificate:" in invoke("check", site_toml).output


def test_a_new_site_is_only_warned(site_toml: Path) -> None:
    result = invoke("check", site_toml, "--json")
    assert result.exit_code == 0
    assert levels(result)["warning"] == {"store"}


def test_a_store_without_its_kek_fails_the_check(site_toml: Path) -> None:
    fill(site_toml.parent)
    shutil.rmtree(site_toml.parent / "kek")
    result = invoke("check", site_toml, "--json")
    assert result.exit_code == 1
    assert levels(result)["failure"] == {"store"}


def test_a_certificate_of_another_site_fails_the_check(site_toml: Path) -> None:
    site_toml.write_text(
        site_toml.read_text(encoding="utf-8").replace('site = "leonardo"', 'site = "milano"'), encoding="utf-8"
    )
    assert "certificate" in levels(invoke("check", site_toml, "--json"))["failure"]


def test_a_peer_that_nobody_vouches_for_fails_the_check(site_toml: Path) -> None:
    site_toml.write_text(
        site_toml.read_text(encoding="utf-8").replace('site = "bovisa"', 'site = "aria"'), encoding="utf-8"
    )
    assert levels(invoke("check", site_toml, "--json"))["failure"] == {"peers"}


def own_pki(made: tuple[Path, str], site_toml: Path) -> tuple[Path, Path]:
    """A copy of both authorities that a test may change: the site's own folder, and the other's."""
    folder = site_toml.parent / "pki"
    shutil.copytree(made[0], folder)
    site_toml.write_text(site_toml.read_text(encoding="utf-8").replace(str(made[0]), str(folder)), encoding="utf-8")
    return folder / "leonardo", folder / "bovisa"


def test_only_a_list_of_our_own_that_is_over_fails_the_check(made: tuple[Path, str], site_toml: Path) -> None:
    own, other = own_pki(made, site_toml)
    past = datetime.now(UTC) - timedelta(days=3)
    Authority(other).refresh_crl(past, days=1)
    shutil.copy(other / "crl.pem", own / "trust" / "bovisa.crl")
    result = invoke("check", site_toml, "--json")
    assert result.exit_code == 0
    assert "expiry" in levels(result)["warning"]
    Authority(own).refresh_crl(past, days=1)
    result = invoke("check", site_toml, "--json")
    assert result.exit_code == 1
    assert levels(result)["failure"] == {"expiry"}


NEIGHBOUR = """
[[neighbour]]
site = "{name}"
url = "https://127.0.0.1:1"
authority = "{authority}"
"""


def with_neighbours(site_toml: Path, **authorities: Path) -> Result:
    text = site_toml.read_text(encoding="utf-8").replace(
        "[listen]\n", '[listen]\nneighbours = "127.0.0.1:0"\nneighbours_url = "https://127.0.0.1:8020"\n'
    )
    blocks = [NEIGHBOUR.format(name=name, authority=path) for name, path in authorities.items()]
    site_toml.write_text(text + "".join(blocks), encoding="utf-8")
    return invoke("check", site_toml, "--json")


def test_neighbours_are_checked(made: tuple[Path, str], site_toml: Path) -> None:
    result = with_neighbours(site_toml, aria=made[0] / "bovisa" / "ca.pem")
    assert "neighbours" in levels(result)["ok"], result.output
    assert "listen.neighbours 127.0.0.1:0" in result.output


def test_a_neighbour_without_an_authority_of_its_own_fails_the_check(
    made: tuple[Path, str], site_toml: Path
) -> None:
    shared = made[0] / "bovisa" / "ca.pem"
    result = with_neighbours(site_toml, aria=shared, bicocca=shared)
    assert levels(result)["failure"] == {"neighbours"}


def test_simulated_light_is_a_warning(site_toml: Path) -> None:
    site_toml.write_text(
        site_toml.read_text(encoding="utf-8") + '[policy]\norigins = ["simulated"]\n', encoding="utf-8"
    )
    assert "policy" in levels(invoke("check", site_toml, "--json"))["warning"]


def test_zeroise_asks_first(site_toml: Path) -> None:
    fill(site_toml.parent)
    kek = site_toml.parent / "kek"
    before = sorted(kek.iterdir())
    assert CliRunner().invoke(command, ["zeroise", str(site_toml)], input="n\n").exit_code == 1
    assert sorted(kek.iterdir()) == before != []


def test_zeroise_destroys_every_kek_whatever_the_rest_of_the_file_says(site_toml: Path) -> None:
    fill(site_toml.parent)
    site_toml.write_text(site_toml.read_text(encoding="utf-8") + '[unknown]\nkey = "x"\n', encoding="utf-8")
    result = invoke("zeroise", site_toml, "--yes", "--json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.output)["destroyed"]) >= 1
    assert list((site_toml.parent / "kek").iterdir()) == []
    with pytest.raises((StoreError, ConfigError)):
        KeyStore(site_toml.parent / "state", FileKek(site_toml.parent / "kek")).load()


def test_the_audit_is_printed_and_verified(site_toml: Path) -> None:
    fill(site_toml.parent)
    lines = [json.loads(line) for line in invoke("audit", site_toml, "--json").output.splitlines()]
    assert lines[-1]["event"] == "key-delivered"
    assert lines[-1]["detail"] == {"master": "bank"}
    assert "key-delivered master=bank" in invoke("audit", site_toml, "--since", lines[-2]["seq"]).output
    head = json.loads(invoke("audit", site_toml, "--verify", "--json").output)
    assert head == {"seq": lines[-1]["seq"], "hash": lines[-1]["hash"]}
    noted = f"{lines[0]['seq']}:{lines[0]['hash']}"
    assert "the chain holds" in invoke("audit", site_toml, "--noted", noted).output
    wrong = invoke("audit", site_toml, "--noted", f"{lines[0]['seq']}:{'0' * 64}")
    assert isinstance(wrong.exception, DataRefused)
    assert isinstance(invoke("audit", site_toml, "--noted", "1:xyz").exception, DataRefused)


def test_a_backup_is_restored_into_an_empty_place_only(site_toml: Path) -> None:
    folder = site_toml.parent
    fill(folder)
    saved = folder / "backup"
    assert invoke("backup", site_toml, "-o", saved).exit_code == 0
    assert isinstance(invoke("restore", site_toml, "--from", saved).exception, ConfigError)
    shutil.rmtree(folder / "state")
    assert invoke("restore", site_toml, "--from", saved).exit_code == 0
    assert "restored-from-backup" in invoke("audit", site_toml).output


@pytest.mark.parametrize("word", ["reload", "drain"])
def test_nobody_to_signal(site_toml: Path, word: str) -> None:
    assert isinstance(invoke(word, site_toml).exception, ConfigError)


class Page(BaseHTTPRequestHandler):
    answer = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("ready", "code"), [(True, 0), (False, 3)])
def test_status_is_asked_for(
    site_toml: Path, port: int, monkeypatch: pytest.MonkeyPatch, ready: bool, code: int
) -> None:
    answer = {
        "ready": ready,
        "peers": {"bovisa": {"connected": 1}},
        "pools": [{"link": "l"}, {"link": "m"}],
        "x": [],
    }
    monkeypatch.setattr(Page, "answer", json.dumps(answer).encode())
    site_toml.write_text(
        site_toml.read_text(encoding="utf-8").replace("127.0.0.1:0", f"127.0.0.1:{port}", 1), encoding="utf-8"
    )
    result = invoke("status", site_toml)
    assert result.exit_code == code
    assert result.output.splitlines()[1:4] == ["peers:", "  bovisa:", "    connected: 1"]
    assert json.loads(invoke("status", site_toml, "--json").output) == answer


def test_status_of_something_else(site_toml: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Page, "answer", b"<html>")
    site_toml.write_text(
        site_toml.read_text(encoding="utf-8").replace("127.0.0.1:0", f"127.0.0.1:{port}", 1), encoding="utf-8"
    )
    assert isinstance(invoke("status", site_toml).exception, LinkDown)


def test_status_of_nobody(site_toml: Path) -> None:
    assert isinstance(invoke("status", site_toml).exception, LinkDown)


def test_the_bill_is_cyclonedx() -> None:
    assert json.loads(invoke("cbom").output)["bomFormat"] == "CycloneDX"


def leaves() -> list[tuple[str, str, click.Command]]:
    from poliqi.ops.commands.keys import command as keys

    groups = (("site", command, "site-command.md"), ("keys", keys, "keys-command.md"))
    return [(page, f"{group} {name}", leaf) for group, c, page in groups for name, leaf in c.commands.items()]


@pytest.mark.parametrize(("page", "name", "leaf"), [pytest.param(*leaf, id=leaf[1]) for leaf in leaves()])
def test_command_and_its_options_are_documented(page: str, name: str, leaf: click.Command) -> None:
    text = (PAGE / page).read_text()
    assert f"## poliqi {name}" in text
    options = [p for p in leaf.params if isinstance(p, click.Option)]
    assert leaf.help
    assert any("--json" in option.opts for option in options)
    for option in options:
        assert f"`{max(option.opts, key=len)}" in text, option.opts
