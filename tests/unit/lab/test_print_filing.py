"""What the commands of printing file: all they read, as what it is; and pipes, which none of them waits for."""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from poliqi.lab.print.domain.domain import box
from poliqi.lab.print.network import Kind, Network, Port, Role
from poliqi.lab.print.vesselfile import vessels_bytes
from poliqi.lab.store import records
from poliqi.ops.cli import cli
from poliqi.ops.commands.lab_store_open import open_tenant
from poliqi.ops.lab_filing import computing
from poliqi.ops.print_design_toml import design_files, load_design

needs_print = pytest.mark.skipif(find_spec("manifold3d") is None, reason="needs the extra 'print'")
DESIGN = """
[domain]
kind = "mesh"
file = "shape.stl"
unit = "um"
[[obstacle]]
kind = "mesh"
file = "hole.stl"
unit = "um"
center_um = [100, 100, 100]
[[inlet]]
point_um = [-200, 0, 0]
[growth]
terminals = 3
flow = "20 nL/min"
pressure_drop_pa = 100
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "lab"
    made = CliRunner().invoke(cli, ["lab", "store", "init", str(root), "--organisation", "Lab"])
    assert made.exit_code == 0, made.output
    return root


@pytest.fixture
def vessels(tmp_path: Path) -> Path:
    import numpy as np

    network = Network(
        np.array([[-30.0, 0, 0], [30, 0, 0]]),
        np.array([[0, 1]], np.int32),
        np.array([8.0]),
        np.array([Kind.ARTERY], np.uint8),
        np.array([0], np.int32),
        (Port(0, Role.INLET, 100.0, 1e6), Port(1, Role.OUTLET, 0.0, 1e6)),
    )
    path = tmp_path / "t.vessels.json"
    path.write_bytes(vessels_bytes(network, box((60, 60, 60)), {}))
    return path


@pytest.fixture
def soon() -> Iterator[None]:
    """A test that waits for a pipe fails, and does not hang."""

    def stop(*_: object) -> None:
        raise TimeoutError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def run(*words: Any) -> Result:
    return CliRunner().invoke(cli, ["lab", "print", *(str(word) for word in words)])


def dataset(*words: Any) -> str:
    ran = run(*words, "--json")
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)["dataset"]


def write_block(path: Path, side_um: float) -> None:
    """A cube as binary STL: each face is two triangles, seen from outside counter-clockwise."""
    corners = [tuple((bit - 0.5) * side_um for bit in bits) for bits in product((0, 1), repeat=3)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    rows = [corner for a, b, c, d in faces for corner in ((a, b, c), (a, c, d))]
    body = b"".join(struct.pack("<12fH", 0, 0, 0, *(x for at in row for x in corners[at]), 0) for row in rows)
    path.write_bytes(bytes(80) + struct.pack("<I", len(rows)) + body)


def write_design(folder: Path) -> Path:
    write_block(folder / "shape.stl", 400.0)
    write_block(folder / "hole.stl", 60.0)
    path = folder / "d.toml"
    path.write_text(DESIGN)
    return path


def test_a_design_tells_the_files_that_it_names(tmp_path: Path) -> None:
    path = write_design(tmp_path)
    named = (tmp_path / "shape.stl", tmp_path / "hole.stl")
    assert design_files(path) == named
    assert load_design(path).files == named
    path.write_text(DESIGN.replace("hole.stl", "shape.stl"))
    assert design_files(path) == named[:1]


@needs_print
@pytest.mark.parametrize("changed", ["shape.stl", "hole.stl"])
def test_another_shape_is_another_design(changed: str, store: Path, tmp_path: Path) -> None:
    path = write_design(tmp_path)
    first = dataset("design", path, "--store", store)
    assert dataset("design", path, "--store", store) == first
    write_block(tmp_path / changed, {"shape.stl": 402.0, "hole.stl": 62.0}[changed])
    assert dataset("design", path, "--store", store) != first


@needs_print
def test_another_shape_is_another_study(store: Path, tmp_path: Path) -> None:
    path = write_design(tmp_path)
    words = ("optimise", path, "--profile", "illustrative", "--vary", "terminals=2,3", "--cells", 8)
    words = (*words, "--workers", 1, "--store", store)
    first = dataset(*words)
    write_block(tmp_path / "hole.stl", 62.0)
    assert dataset(*words) != first


@needs_print
def test_calculations_are_never_put_in_as_measured(vessels: Path, store: Path, tmp_path: Path) -> None:
    machine = ("--profile", "illustrative")
    job, perfusion = tmp_path / "t.job", tmp_path / "p.npz"
    work = (
        ("perfuse", vessels, "--cells", 12, "-o", perfusion),
        ("slice", vessels, *machine, "--mode", "wall", "--despite-problems", "-o", job),
        ("dose", vessels, *machine, "--mode", "wall", "--region", "-1,-1,5,1,1,9"),
        ("export", vessels, "--to", tmp_path / "a.swc"),
        ("export", job, "--to", tmp_path / "a.gwl"),
        ("report", vessels, "--job", job, "--perfusion", perfusion, "-o", tmp_path / "a.png"),
    )
    for number, words in enumerate(work):
        # each with a store of its own: what one put in would be found by the next
        root = store.parent / f"lab{number}"
        CliRunner().invoke(cli, ["lab", "store", "init", str(root), "--organisation", "Lab"])
        dataset(*words, "--store", root)
        with open_tenant(root, "") as part:
            kinds = {str(part.dataset(one).title): part.dataset(one).kind for one in part.all_ids()}
        assert len(kinds) > 1
        assert records.Kind.MEASURED not in kinds.values(), (words[0], kinds)


def test_options_that_decide_the_result_tell_jobs_apart(vessels: Path, store: Path, tmp_path: Path) -> None:
    report = ("report", vessels, "--no-oxygen", "--store", store, "-o")
    found = {dataset(*report, tmp_path / name) for name in ("a.html", "a.png")}
    assert len(found) == 2
    perfuse = ("perfuse", vessels, "--store", store, "--no-oxygen")
    assert dataset(*perfuse, "--reach", 100) != dataset(*perfuse, "--reach", 150)


@needs_print
def test_a_study_of_another_version_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kept = write_design(tmp_path), tmp_path / "kept.jsonl"
    words = ("optimise", path, "--profile", "illustrative", "--vary", "terminals=2", "--cells", 8, "--workers", 1)
    words = (*words, "--resume", kept)
    assert run(*words).exit_code == 0
    assert run(*words).exit_code == 0
    other = dict(computing()) | {"poliqi code": "0" * 32}
    monkeypatch.setattr("poliqi.ops.lab_filing.computing", lambda: other)
    ran = run(*words)
    assert ran.exit_code != 0
    assert "another version" in str(ran.exception) + ran.output


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "words",
    [
        ("perfuse", "PIPE"),
        ("dose", "VESSELS", "--profile", "PIPE"),
        ("dose", "PIPE", "--profile", "illustrative"),
        ("slice", "PIPE", "--profile", "illustrative"),
        ("export", "PIPE", "--to", "a.stl"),
        ("report", "PIPE", "-o", "a.html"),
        ("report", "VESSELS", "--job", "PIPE", "-o", "a.html"),
        ("report", "VESSELS", "--perfusion", "PIPE", "-o", "a.html"),
        ("calibrate", "fit", "PIPE", "--profile", "illustrative"),
        ("design", "PIPE"),
        ("design", "MESH"),
        ("design", "LABELS"),
        ("optimise", "PIPE", "--profile", "illustrative"),
        ("perfuse", "PIPE", "--store", "STORE"),
    ],
)
def test_nobody_waits_for_a_pipe(words: tuple[str, ...], vessels: Path, store: Path, tmp_path: Path) -> None:
    for name in ("pipe", "shape.stl", "shape.nii"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "mesh.toml").write_text(DESIGN.replace("hole", "shape"))
    (tmp_path / "labels.toml").write_text(
        '[domain]\nkind = "labels"\nfile = "shape.nii"\nlabel = 1\n[[inlet]]\npoint_um = [0, 0, 0]\n'
        "[growth]\nflow = '1 uL/min'\n"
    )
    places = {"PIPE": "pipe", "VESSELS": vessels, "MESH": "mesh.toml", "LABELS": "labels.toml", "STORE": store}
    names = ("a.stl", "a.html")
    ran = run(*(tmp_path / places.get(word, word) if word in {*places, *names} else word for word in words))
    assert ran.exit_code != 0
    assert "a pipe or device, not a regular file" in str(ran.exception) + ran.output
