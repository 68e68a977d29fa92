"""`poliqi pki` as an operator types it: output, JSON, exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from poliqi.base.errors import ConfigError
from poliqi.ops.commands import pki


def call(*arguments: object) -> Result:
    return CliRunner().invoke(pki.command, [str(a) for a in arguments])


def ask(*arguments: object) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return dict(json.loads(done.output))


def refusal(*arguments: object) -> str:
    done = call(*arguments)
    assert isinstance(done.exception, ConfigError)
    return str(done.exception)


@pytest.fixture
def aria(tmp_path: Path) -> Path:
    assert call("init", tmp_path / "aria", "--site", "aria").exit_code == 0
    return tmp_path / "aria"


def test_two_sites_are_set_up_and_trust_each_other(aria: Path, tmp_path: Path) -> None:
    bovisa = tmp_path / "bovisa"
    made = ask("init", bovisa, "--site", "bovisa")
    kme = ask("issue", aria, "--kme", "aria", "--host", "localhost", "--host", "127.0.0.1")
    assert (kme["party"], kme["id"], kme["hosts"]) == ("kme", "aria", ["localhost", "127.0.0.1"])
    assert Path(kme["key"]).exists()
    trusted = ask(
        "trust", aria, bovisa / "ca.pem", "--site", "bovisa", "--crl", bovisa / "crl.pem", "--fingerprint",
        made["fingerprint"],
    )  # fmt: skip
    assert trusted["fingerprints"] == [made["fingerprint"]]
    assert (aria / "trust" / "bovisa.pem").exists()
    assert (aria / "trust" / "bovisa.crl").exists()


def test_an_authority_with_another_fingerprint_is_not_trusted(aria: Path, tmp_path: Path) -> None:
    call("init", tmp_path / "bovisa", "--site", "bovisa")
    said = refusal("trust", aria, tmp_path / "bovisa" / "ca.pem", "--site", "bovisa", "--fingerprint", "00" * 32)
    assert "do not trust it" in said
    assert not (aria / "trust" / "bovisa.pem").exists()


def test_one_holder_a_certificate(aria: Path) -> None:
    assert "give one of --kme and --sae" in refusal("issue", aria)
    assert "give one of --kme and --sae" in refusal("issue", aria, "--kme", "aria", "--sae", "bank")


def test_a_revoked_certificate_is_in_the_status(aria: Path) -> None:
    first = ask("issue", aria, "--sae", "bank")
    ask("revoke", aria, first["serial"])
    ask("issue", aria, "--sae", "clinic")
    listed = {c["id"]: c for c in ask("status", aria)["certificates"]}
    assert listed["bank"]["revoked"] is not None
    assert listed["bank"]["days_left"] is None
    assert 89 < listed["clinic"]["days_left"] <= 90
    assert "revoked" in call("status", aria).output


def later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    monkeypatch.setattr(pki, "_now", lambda: datetime.now(UTC) + timedelta(days=days))


@pytest.mark.parametrize(
    ("days", "code", "state"), [(0, 0, "ok"), (62, 3, "soon"), (85, 4, "urgent"), (95, 4, "over")]
)
def test_the_exit_code_says_how_soon_to_act(
    aria: Path, monkeypatch: pytest.MonkeyPatch, days: float, code: int, state: str
) -> None:
    call("crl", aria, "--days", "400")
    call("issue", aria, "--sae", "bank")
    later(monkeypatch, days)
    assert call("status", aria).exit_code == code
    assert ask("status", aria)["state"] == state


def test_a_certificate_that_was_renewed_warns_no_more(aria: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("crl", aria, "--days", "400")
    call("issue", aria, "--sae", "bank", "--days", "5")
    assert call("status", aria).exit_code == 4
    call("issue", aria, "--sae", "bank")
    done = call("status", aria)
    assert done.exit_code == 0
    assert "superseded" in done.output


def test_a_passphrase_comes_from_a_file_and_is_never_too_short(tmp_path: Path) -> None:
    secret, short = tmp_path / "passphrase", tmp_path / "short"
    secret.write_text("correct horse\nsecond line\n")
    short.write_text("horse\n")
    assert "at least 8" in refusal("init", tmp_path / "a", "--site", "a", "--passphrase-file", short)
    assert call("init", tmp_path / "a", "--site", "a", "--passphrase-file", secret).exit_code == 0
    assert "give --passphrase-file" in refusal("issue", tmp_path / "a", "--sae", "bank")
    done = call("issue", tmp_path / "a", "--sae", "bank", "--passphrase-file", secret)
    assert done.exit_code == 0
    assert "correct horse" not in done.output


def test_a_list_is_signed_again(aria: Path) -> None:
    until = datetime.fromisoformat(ask("crl", aria, "--days", "10")["until"])
    assert timedelta(days=9) < until - datetime.now(UTC) <= timedelta(days=10)


def test_trust_needs_something_to_bring(aria: Path) -> None:
    assert "give the site's ca.pem, its --crl, or both" in refusal("trust", aria, "--site", "bovisa")


def test_a_folder_without_an_authority_is_named(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal("status", tmp_path)
