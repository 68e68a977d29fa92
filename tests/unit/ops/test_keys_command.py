"""`poliqi keys`: what is asked, where keys go, and that none is shown unasked."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import pytest
from click.testing import CliRunner, Result

from poliqi.base.errors import ConfigError
from poliqi.base.secret import SecretBytes
from poliqi.edge import keyclient
from poliqi.edge.keyclient import Key, KeysNotReady, KeyStatus
from poliqi.ops.commands.keys import command

VALUE = bytes(range(32))
TEXT = base64.b64encode(VALUE).decode()
ID = "bc490419-7d60-487f-adc1-4ddcc177c139"
AS = ["--kme", "https://h:1", "--cert", "c.pem", "--key", "k.pem", "--ca", "a.pem"]


class FakeClient:
    """Notes what it is asked; gives one key."""

    asked: ClassVar[list[tuple[str, Any, Any]]] = []
    refusal: Exception | None = None

    def __init__(self, url: str, **files: Any) -> None:
        self.asked.append(("open", url, {name: str(value) for name, value in files.items()}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        pass

    def _give(self) -> list[Key]:
        if self.refusal is not None:
            raise self.refusal
        return [Key(ID, SecretBytes(VALUE), {"grade": "its", "epsilon": 1e-10})]

    def get_keys(self, *asked: Any, **more: Any) -> list[Key]:
        self.asked.append(("enc", asked, more))
        return self._give()

    def get_named_keys(self, *asked: Any) -> list[Key]:
        self.asked.append(("dec", asked, {}))
        return self._give()

    def status(self, other: str) -> KeyStatus:
        return KeyStatus(
            "leonardo", "bovisa", "bank", other, 256, 1234, 5000, 128, 4096, 64, 8, {"connected": True}
        )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, Any]]:
    calls: list[tuple[str, Any, Any]] = []
    monkeypatch.setattr(FakeClient, "asked", calls)
    monkeypatch.setattr(FakeClient, "refusal", None)
    monkeypatch.setattr(keyclient, "KeyClient", FakeClient)
    return calls


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command, [*(str(word) for word in words), *AS])


def test_keys_go_into_a_private_file_and_not_onto_the_screen(asked: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "key.json"
    result = invoke("get", "vault", "--out", out)
    assert result.exit_code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    [entry] = json.loads(out.read_text())["keys"]
    assert (entry["key_ID"], entry["key"], entry["key_extension"]["grade"]) == (ID, TEXT, "its")
    assert ID in result.output
    assert "256 bit" in result.output
    assert TEXT not in result.output


def test_show_prints_them(asked: list[Any]) -> None:
    assert TEXT in invoke("get", "vault", "--show").output
    shown = json.loads(invoke("get", "vault", "--show", "--json").output)
    assert shown["keys"][0]["key"] == TEXT


def test_json_without_show_has_no_key(asked: list[Any], tmp_path: Path) -> None:
    shown = json.loads(invoke("get", "vault", "--out", tmp_path / "k", "--json").output)
    assert shown["keys"] == [{"key_ID": ID, "size": 256, "key_extension": {"grade": "its", "epsilon": 1e-10}}]


def test_what_is_asked(asked: list[Any]) -> None:
    invoke("get", "vault", "--show", "--number", 3, "--size", 128, "--also", "lab", "--link", "l1")
    assert asked[0][2] == {"cert": "c.pem", "key": "k.pem", "ca": "a.pem", "timeout_s": "10.0"}
    assert asked[1] == ("enc", ("vault", 3, 128), {"more_slaves": ("lab",), "mandatory": [{"link_id": "l1"}]})


def test_named_keys(asked: list[Any]) -> None:
    assert invoke("get", "bank", "--show", "--key-id", ID, "--key-id", "x").exit_code == 0
    assert asked[1] == ("dec", ("bank", (ID, "x")), {})


@pytest.mark.parametrize(
    "words",
    [
        ["get", "vault"],
        ["get", "vault", "--show", "--key-id", ID, "--number", 1],
        ["get", "v", "--show", "--size", 9],
    ],
)
def test_words_that_do_not_fit_together(asked: list[Any], words: list[object]) -> None:
    assert isinstance(invoke(*words).exception, ConfigError)
    assert asked == []


def test_a_file_that_stands_is_kept_and_nothing_is_asked(asked: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "key.json"
    out.write_text("mine")
    assert isinstance(invoke("get", "vault", "--out", out).exception, ConfigError)
    assert out.read_text() == "mine"
    assert asked == []


def test_a_refusal_leaves_no_file(asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeClient, "refusal", KeysNotReady("no key now", 2.0))
    assert isinstance(invoke("get", "vault", "--out", tmp_path / "k").exception, KeysNotReady)
    assert list(tmp_path.iterdir()) == []


def test_status(asked: list[Any]) -> None:
    assert "1,234 keys of 256 bits wait" in invoke("status", "vault").output
    record = json.loads(invoke("status", "vault", "--json").output)
    assert (record["stored_keys"], record["slave"], record["extension"]) == (1234, "vault", {"connected": True})
