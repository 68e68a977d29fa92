"""`poliqi lab store`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lab_stores import written

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.store.records import ActionKind, Kind, NewAction, Task
from poliqi.lab.store.store import LabStore
from poliqi.ops.cli import cli

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    runner = CliRunner(env={"POLIQI_LAB": str(tmp_path / "lab")})

    def calling(*arguments: object) -> Result:
        result = runner.invoke(cli, ["lab", "store", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    calling("init", tmp_path / "lab", "--organisation", "Politecnico di Milano")
    return calling


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return written(tmp_path / "frames", {"1.h5": b"one", "2.h5": b"two"})


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_from_files_to_a_copy(call: Call, files: Path, tmp_path: Path) -> None:
    call("sample", "add", "AgBh-3", "--note", "batch=7", "--note", "thickness_mm=0.2")
    call("instrument", "add", "Xeuss", "--place", "room 12")
    more = ("--sample", "AgBh-3", "--instrument", "Xeuss", "--licence", "cc0-1.0", "--keyword", "saxs")
    made = told(call("add", files, "--title", "AgBh, 3 min", *more, "--json"))
    assert (made["kind"], made["licence"], made["size_bytes"]) == ("measured", "CC0-1.0", 6)
    assert [one["id"] for one in told(call("list", "agbh", "sax", "--json"))] == [made["id"]]
    shown = call("show", made["id"][:6]).stdout
    for words in ("AgBh, 3 min", "Xeuss", "CC0-1.0", "1.h5", made["files"][0]["blake3"][:16]):
        assert words in shown
    out = tmp_path / "out"
    call("get", made["id"], out)
    assert {place.name: place.read_bytes() for place in out.iterdir()} == {"1.h5": b"one", "2.h5": b"two"}
    assert told(call("verify", "--json")) == {"verified": 1, "problems": {}}


def test_the_same_files_again_with_once(call: Call, files: Path) -> None:
    first = told(call("add", files, "--title", "x", "--json"))
    assert told(call("add", files, "--title", "x", "--once", "--json"))["id"] == first["id"]


def test_simulated_data_say_so(call: Call, files: Path) -> None:
    assert "(simulated)" in call("add", files, "--title", "x", "--simulated").stdout
    assert "simulated" in call("list").stdout


def test_pages_of_a_long_list(call: Call, files: Path) -> None:
    for number in range(3):
        call("add", files, "--title", f"number {number}")
    lines = call("list", "--limit", 2).stdout.splitlines()
    assert [line.split()[-1] for line in lines[:2]] == ["2", "1"]
    assert lines[2] == "1 more: --offset 2"
    assert call("list", "nothing").stdout == "nothing found\n"


def test_the_way_back(call: Call, files: Path, tmp_path: Path) -> None:
    with LabStore.open(tmp_path / "lab").tenant() as part:
        sample = part.add_sample("AgBh")
        frames = part.register([files], title="Frames", sample=sample.id, kind=Kind.SIMULATED)
        task = Task("reduce", "1.2", {"bins": 9}, (frames.id,), "Curve")
        curve, _ = part.run(task, lambda folder: bool((folder / "curve.csv").write_text("1")))
        went = NewAction(ActionKind.SENT, "t", 1.0, 2.0, {"site": "Bovisa \x9b31m"})
        part.add_action(curve.id, went)
    text = call("provenance", curve.id).stdout
    assert [line.strip().split("  ")[0] for line in text.splitlines()] == [
        curve.id[:8],
        "of sample AgBh",
        'sent 1970-01-01 00:00 {"site":"Bovisa \ufffd31m"}',
        'by reduce 1.2 {"bins":9}',
        frames.id[:8],
        "of sample AgBh",
    ]
    assert text.count("simulated") == 2
    assert [job["program"] for job in told(call("provenance", curve.id, "--json"))["jobs"]] == ["reduce"]


def test_verify_ends_with_one_where_something_has_rotted(call: Call, files: Path, tmp_path: Path) -> None:
    made = told(call("add", files, "--title", "x", "--json"))
    [blob] = [place for place in (tmp_path / "lab").rglob("blobs/*/*") if place.read_bytes() == b"two"]
    blob.chmod(0o600)
    blob.write_bytes(b"tw0")
    result = call("verify")
    assert result.exit_code == 1
    assert "2.h5" in result.stdout
    assert call("verify", made["id"], "--json").exit_code == 1


def test_tenants_see_their_own(call: Call, files: Path) -> None:
    call("tenant", "add", "acme")
    call("add", files, "--title", "Secret", "--tenant", "acme")
    assert told(call("tenant", "list", "--json")) == ["acme", "politecnico-di-milano"]
    assert "Secret" not in call("list").stdout
    assert "Secret" in call("list", "--tenant", "acme").stdout


def test_errors_say_what_to_do(call: Call, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        call("sample", "add", "x", "--note", "batch")
    with pytest.raises(DataRefused, match="sample list"):
        call("add", files, "--title", "x", "--sample", "unknown")
    with pytest.raises(ConfigError, match="tenant add nobody"):
        call("list", "--tenant", "nobody")
    with pytest.raises(ConfigError, match="POLIQI_LAB"):
        CliRunner(env={"POLIQI_LAB": ""}).invoke(cli, ["lab", "store", "list"], catch_exceptions=False)


NAMES = ("", "add", "get", "init", "list", "provenance", "sample", "show", "tenant", "verify")


@pytest.mark.parametrize("name", NAMES)
def test_every_help_has_an_example_or_says_what_is_done(name: str) -> None:
    result = CliRunner().invoke(cli, ["lab", "store", *filter(None, [name]), "--help"])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 5
