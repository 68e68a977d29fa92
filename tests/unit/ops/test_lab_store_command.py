"""`poliqi lab store`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from facility_rig import make_world
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


def test_add_says_which_dataset_makes_the_new_one_simulated(call: Call, files: Path) -> None:
    first = told(call("add", files, "--title", "Calculated", "--simulated", "--json"))
    assert "made_simulated_by" not in first
    again = told(call("add", files / "1.h5", "--title", "Mine", "--json"))
    assert again["made_simulated_by"] == {"id": first["id"], "title": "Calculated"}
    assert f"simulated dataset {first['id']}, 'Calculated'" in call("add", files / "2.h5", "--title", "x").stdout
    standing = call("add", files, "--title", "y", "--once").stdout
    assert first["id"] in standing
    assert "stand as this simulated dataset already" in standing


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
        went = NewAction(ActionKind.SENT, "t", 1.0, 2.0, {"place": "Bovisa \x9b31m"})
        part.add_action(curve.id, went)
    text = call("provenance", curve.id).stdout
    assert [line.strip().split("  ")[0] for line in text.splitlines()] == [
        curve.id[:8],
        "of sample AgBh",
        "sent 1970-01-01 00:00 to Bovisa \ufffd31m",
        'by reduce 1.2 {"bins":9}',
        frames.id[:8],
        "of sample AgBh",
    ]
    assert text.count("simulated") == 2
    assert [job["program"] for job in told(call("provenance", curve.id, "--json"))["jobs"]] == ["reduce"]


PROTECTED = [
    (
        {"mode": "quantum", "epsilon": 1.25e-9, "keys": 5, "key_ids": ["k1", "k2", "k3", "k4"], "who": "carla"},
        "to Bovisa by carla, mode quantum, epsilon 1.25e-09, 5 keys k1, k2, k3, ...",
    ),
    (
        {"mode": "one-time-pad", "epsilon": 1e-9, "keys": 1, "key_ids": ["k1"], "simulated": True},
        "to Bovisa, mode one-time-pad, epsilon none, 1 key k1, keys of SIMULATED light, which protect nothing",
    ),
    (
        {"mode": "pqc and quantum", "epsilon": "computational"},
        "to Bovisa, mode pqc and quantum, epsilon computational, no keys, NO QUANTUM KEY for all or part of it",
    ),
]


@pytest.mark.parametrize(("facts", "words"), PROTECTED)
def test_a_receipt_is_a_line_for_people(
    call: Call, files: Path, tmp_path: Path, facts: dict[str, Any], words: str
) -> None:
    with LabStore.open(tmp_path / "lab").tenant() as part:
        frames = part.register([files], title="Frames")
        part.add_action(frames.id, NewAction(ActionKind.SENT, "t", 1.0, 61.0, {"receiver": "Bovisa", **facts}))
    assert call("provenance", frames.id).stdout.splitlines()[1] == f"  sent 1970-01-01 00:01 {words}"
    [action] = told(call("provenance", frames.id, "--json"))["actions"]
    assert json.loads(action["facts_json"]) == {"receiver": "Bovisa", **facts}


def test_what_a_crate_claims_stands_apart(call: Call, files: Path, tmp_path: Path) -> None:
    with LabStore.open(tmp_path / "lab").tenant() as part:
        sample = part.add_sample("AgBh")
        frames = part.register([files], title="Frames", sample=sample.id, kind=Kind.SIMULATED)
        task = Task("reduce", "1.2", {"bins": 9}, (frames.id,), "Curve")
        curve, _ = part.run(task, lambda folder: bool((folder / "curve.csv").write_text("1")))
    call("export", curve.id, tmp_path / "crate")
    taken = told(call("import", tmp_path / "crate", "--json"))
    here, told_there = call("provenance", taken["id"]).stdout.split("\n\n")
    assert "reduce" not in here
    assert "from a crate" in here
    head, *lines = told_there.splitlines()
    assert "nobody here has checked" in head
    assert [line.strip().split("  ")[0] for line in lines] == ["Curve", "by reduce 1.2", "Frames", "of sample AgBh"]
    assert told_there.count("simulated") == 2


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


def commands_below(group: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(group, click.Group):
        yield " ".join(words), group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield from commands_below(found, (*words, name))


def test_every_command_takes_the_store_in_the_same_way() -> None:
    """--store ROOT or POLIQI_LAB, whichever tool it is; in help, too."""
    lab = dict(commands_below(cli))
    options = {
        name: option
        for name, one in lab.items()
        for option in one.params
        if name.startswith("lab ") and option.name == "store"
    }
    assert {"lab store list", "lab xray reduce", "lab xray calibrate", "lab xray saxs", "lab access book"} < set(
        options
    )
    for name, option in options.items():
        assert option.envvar == "POLIQI_LAB", name
        assert isinstance(option, click.Option)
        assert "(or POLIQI_LAB)" in (option.help or ""), name


def test_frames_as_they_come_are_not_put_into_the_store_that_is_set(tmp_path: Path) -> None:
    """POLIQI_LAB is set for a whole session; --live would refuse --store, and has nothing to put in yet."""
    words = ["lab", "xray", "reduce", "--live", str(tmp_path), "--geometry", "g.poni", "--idle", "0"]
    for more, expected in (([], "where to"), (["--store", "lab"], "leave out --store")):
        with pytest.raises(ConfigError, match=expected):
            CliRunner(env={"POLIQI_LAB": "lab"}).invoke(cli, [*words, *more], catch_exceptions=False)


def test_a_store_of_a_facility_has_its_tenant(tmp_path: Path) -> None:
    make_world(tmp_path / "lab").facility.close()
    words = ["lab", "store", "init", str(tmp_path / "lab"), "--organisation", "Politecnico di Milano"]
    with pytest.raises(ConfigError, match="give --tenant polimi"):
        CliRunner().invoke(cli, words, catch_exceptions=False)
    assert CliRunner().invoke(cli, [*words, "--tenant", "polimi"]).exit_code == 0
