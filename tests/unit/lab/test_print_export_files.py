"""What is written is read back by other readers: the same counts, volumes, radii, unit; the same bytes each
time.
"""

from __future__ import annotations

import importlib.util
import io
import json
import locale
import math
import struct
import tomllib
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain.threemf import threemf_mesh
from poliqi.lab.print.export.centrelines import csv_bytes, swc_bytes
from poliqi.lab.print.export.digits import MOST_BYTES, line_of, lines_of
from poliqi.lab.print.export.gwl import gwl_size, write_gwl
from poliqi.lab.print.export.meshfiles import glb_bytes, write_stl
from poliqi.lab.print.export.solids import Solid
from poliqi.lab.print.export.targets import What, targets_of
from poliqi.lab.print.export.threemf import beams_bytes, meshes_bytes
from poliqi.lab.print.hatch.jobformat import FORMAT, Header, Record
from poliqi.lab.print.hatch.jobwriter import JobWriter
from poliqi.lab.print.localekept import locale_kept
from poliqi.lab.print.network import Network, Port, Role
from poliqi.ops.print_profile_toml import read_profile


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"needs {name}")


CORE = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"
BEAM = "{http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02}"
BALL = "{http://schemas.microsoft.com/3dmanufacturing/beamlattice/balls/2020/07}"
TOLD = {"Title": "t", "Application": "poliqi", "Description": "simulated design; vessels BLAKE3 00ff"}


def tree(*, is_loop: bool = False) -> Network:
    """A stem, two branches, and if asked a vessel between their ends."""
    points = np.array([[0.5, 0, 0], [10, 0.1, 0], [20, 10, 3], [20, -10, 1 / 3]])
    segments = [(0, 1), (1, 2), (1, 3), *([(2, 3)] if is_loop else [])]
    m = len(segments)
    return Network(
        points,
        np.array(segments, dtype=np.int32),
        np.array([3.0, 2.5, 2.1, 1.0])[:m],
        np.array([0, 1, 2, 2], dtype=np.uint8)[:m],
        np.array([0, 0, -1, -1], dtype=np.int32)[:m],
        (Port(0, Role.INLET, 100.0, 1e6),),
    )


def block(x: float, y: float, z: float) -> Solid:
    """A closed block from 0 to (x, y, z), outward."""
    corners = np.array([[a, b, c] for a in (0, x) for b in (0, y) for c in (0, z)], dtype=np.float32)
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    return Solid(corners, np.array(faces), x * y * z)


def stl_of(solid: Solid) -> bytes:
    out = io.BytesIO()
    write_stl(out, solid, "tissue, simulated design, 00ff")
    return out.getvalue()


def test_stl_is_binary_with_its_count_its_unit_and_normals_outward() -> None:
    data = stl_of(block(2, 3, 4))
    assert len(data) == 84 + 12 * 50 and b"unit um" in data[:80] and b"simulated" in data[:80]
    assert not data.startswith(b"solid")  # readers would take it for text
    assert struct.unpack("<I", data[80:84]) == (12,)
    volume = 0.0
    for at in range(84, len(data), 50):
        *numbers, attribute = struct.unpack("<12fH", data[at : at + 50])
        normal, a, b, c = np.array(numbers).reshape(4, 3)
        volume += float(a @ np.cross(b, c)) / 6
        assert attribute == 0 and np.allclose(
            normal, np.cross(b - a, c - a) / np.linalg.norm(np.cross(b - a, c - a))
        )
    assert volume == pytest.approx(24.0)


@needs("trimesh")
def test_stl_is_read_by_trimesh_as_closed() -> None:
    import trimesh

    mesh: Any = trimesh.load(io.BytesIO(stl_of(block(2, 3, 4))), file_type="stl")
    assert mesh.is_watertight and mesh.volume == pytest.approx(24.0) and len(mesh.faces) == 12


def model_of(data: bytes) -> ET.Element:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {one.date_time[:1] for one in archive.infolist()} == {(1980,)}  # no time
        return ET.fromstring(archive.read("3D/3dmodel.model"))


def points_in(element: ET.Element) -> NDArray[np.float64]:
    found = [[float(one.get(axis, "nan")) for axis in "xyz"] for one in element.iter(f"{CORE}vertex")]
    return np.array(found)


@needs("lib3mf")
def test_3mf_has_two_objects_in_micrometres_by_its_xml() -> None:
    data = meshes_bytes({"tissue": block(2, 3, 4), "lumen": block(1, 1, 0.5)}, TOLD)
    assert data == meshes_bytes({"tissue": block(2, 3, 4), "lumen": block(1, 1, 0.5)}, TOLD)
    model = model_of(data)
    assert model.get("unit") == "micron"
    told = {one.get("name"): one.text for one in model.iter(f"{CORE}metadata")}
    assert told == TOLD
    objects = list(model.iter(f"{CORE}object"))
    assert [one.get("name") for one in objects] == ["tissue", "lumen"]
    assert len(list(model.iter(f"{CORE}item"))) == 2
    for one, volume in zip(objects, (24.0, 0.5), strict=True):
        points = points_in(one)
        faces = [[int(face.get(f"v{k}", "")) for k in (1, 2, 3)] for face in one.iter(f"{CORE}triangle")]
        a, b, c = (points[np.array(faces)[:, k]] for k in range(3))
        assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6 == pytest.approx(volume)


@needs("lib3mf")
def test_3mf_is_read_by_the_consortiums_library() -> None:
    import lib3mf

    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromBuffer(meshes_bytes({"tissue": block(2, 3, 4), "lumen": block(1, 1, 0.5)}, TOLD))
    assert reader.GetWarningCount() == 0 and model.GetUnit() == lib3mf.ModelUnit.MicroMeter
    meshes = model.GetMeshObjects()
    found: dict[str, tuple[int, int, bool]] = {}
    while meshes.MoveNext():
        mesh = meshes.GetCurrentMeshObject()
        found[mesh.GetName()] = (mesh.GetVertexCount(), mesh.GetTriangleCount(), mesh.IsManifoldAndOriented())
    assert found == {"tissue": (8, 12, True), "lumen": (8, 12, True)}


@needs("lib3mf")
def test_a_mesh_with_a_hole_is_refused_for_3mf() -> None:
    whole = block(2, 3, 4)
    open_one = Solid(whole.vertices_um, whole.triangles[:-1], 24.0)
    with pytest.raises(DataRefused, match="no closed solid"):
        meshes_bytes({"tissue": open_one}, TOLD)


@needs("lib3mf")
def test_a_beam_lattice_holds_points_radii_and_balls_by_its_xml() -> None:
    network = tree(is_loop=True)
    data = beams_bytes(network, TOLD)
    assert data == beams_bytes(network, TOLD)
    model = model_of(data)
    assert model.get("unit") == "micron" and "b" in (model.get("requiredextensions") or "").split()
    assert np.allclose(points_in(model), network.points_um, rtol=1e-6, atol=1e-6)
    lattice = next(model.iter(f"{BEAM}beamlattice"))
    default, ball = float(lattice.get("radius", "nan")), float(lattice.get("ballradius", "nan"))
    assert (lattice.get("ballmode"), lattice.get("cap")) == ("all", "sphere")
    for beam, ends, radius in zip(lattice.iter(f"{BEAM}beam"), network.segments, network.radius_um, strict=True):
        assert [int(beam.get("v1", "")), int(beam.get("v2", ""))] == ends.tolist()
        r1 = float(beam.get("r1", default))
        assert r1 == pytest.approx(radius, rel=1e-6) and float(beam.get("r2", r1)) == pytest.approx(
            radius, rel=1e-6
        )
    balls = dict.fromkeys(range(4), ball) | {
        int(one.get("vindex", "")): float(one.get("r", "nan")) for one in lattice.iter(f"{BALL}ball")
    }
    assert balls == pytest.approx({0: 3.0, 1: 3.0, 2: 2.5, 3: 2.1})  # the thickest vessel at each point


@needs("lib3mf")
def test_the_locale_stays_as_it_was() -> None:
    before = locale.setlocale(locale.LC_ALL)
    beams = beams_bytes(tree(), TOLD)
    assert locale.setlocale(locale.LC_ALL) == before
    mesh = meshes_bytes({"tissue": block(1, 2, 3)}, TOLD)
    assert locale.setlocale(locale.LC_ALL) == before
    assert threemf_mesh(mesh, "a.3mf")[2] == "um"
    with pytest.raises(DataRefused):
        threemf_mesh(beams, "a.3mf")
    assert locale.setlocale(locale.LC_ALL) == before


@needs("lib3mf")
@locale_kept()
def test_a_beam_lattice_is_read_by_the_consortiums_library() -> None:
    import lib3mf

    network = tree()
    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromBuffer(beams_bytes(network, TOLD))
    assert reader.GetWarningCount() == 0
    meshes = model.GetMeshObjects()
    assert meshes.MoveNext()
    lattice = meshes.GetCurrentMeshObject().BeamLattice()
    assert lattice.GetBeamCount() == 3 and lattice.GetBallCount() == 4
    beams = [lattice.GetBeam(at) for at in range(3)]
    assert [list(beam.Indices) for beam in beams] == network.segments.tolist()
    assert np.allclose([list(beam.Radii) for beam in beams], network.radius_um[:, None], rtol=1e-6)
    assert all(list(beam.CapModes) == [int(lib3mf.BeamLatticeCapMode.Sphere)] * 2 for beam in beams)


@needs("trimesh")
def test_glb_holds_metres_with_y_up_and_both_nodes() -> None:
    import trimesh

    data = glb_bytes({"tissue": block(2, 3, 4), "lumen": block(1, 1, 0.5)}, TOLD)
    assert data == glb_bytes({"tissue": block(2, 3, 4), "lumen": block(1, 1, 0.5)}, TOLD)
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size = struct.unpack("<I", data[12:16])[0]
    said = json.loads(data[20 : 20 + size])
    assert {one["name"] for one in said["nodes"]} >= {"tissue", "lumen"} and "simulated design" in json.dumps(said)
    scene: Any = trimesh.load(io.BytesIO(data), file_type="glb")
    tissue = scene.geometry["tissue"]
    assert tissue.volume * 1e18 == pytest.approx(24.0, rel=1e-4)
    assert np.allclose(tissue.bounds * 1e6, [[0, 0, -3], [2, 4, 0]], atol=1e-5)  # x, z, -y


def test_swc_is_a_tree_with_parents_before_children() -> None:
    text = swc_bytes(tree(), TOLD).decode("ascii")
    assert text.startswith("#") and "simulated design" in text
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert [int(row[0]) for row in rows] == [1, 2, 3, 4] and rows[0][6] == "-1"
    assert all(int(row[6]) < int(row[0]) for row in rows)
    numbers = {tuple(float(value) for value in row[2:6]): (int(row[1]), int(row[6])) for row in rows}
    assert numbers[0.5, 0.0, 0.0, 3.0] == (7, -1) and numbers[10.0, 0.1, 0.0, 3.0] == (7, 1)
    assert numbers[20.0, 10.0, 3.0, 2.5] == (8, 2) and numbers[20.0, -10.0, 0.333333, 2.1] == (9, 2)
    with pytest.raises(ConfigError, match="1 vessels of this network close loops"):
        swc_bytes(tree(is_loop=True), TOLD)


def test_csv_gives_every_number_back() -> None:
    network = tree(is_loop=True)
    head, *lines = csv_bytes(network).decode("ascii").splitlines()
    assert head == "x0_um,y0_um,z0_um,x1_um,y1_um,z1_um,radius_um,kind,tree"
    rows = [line.split(",") for line in lines]
    numbers = np.array([[float(value) for value in row[:7]] for row in rows])
    assert np.array_equal(numbers, np.hstack([network.start_um, network.end_um, network.radius_um[:, None]]))
    assert [row[7:] for row in rows] == [["artery", "0"], ["vein", "0"], ["capillary", "-1"], ["capillary", "-1"]]


INT32 = st.integers(-(2**31), 2**31 - 1)


@given(st.lists(st.tuples(INT32, INT32, INT32, INT32), min_size=1, max_size=20), INT32, INT32, INT32)
@settings(max_examples=60, deadline=None)
def test_vectors_become_the_lines_that_python_writes(
    vectors: list[tuple[int, int, int, int]], x: int, y: int, z: int
) -> None:
    found = lines_of(np.array(vectors, dtype=np.int32), x, y, z)
    assert found == "".join(line_of(vector, x, y, z) for vector in vectors).encode()
    assert len(found) <= MOST_BYTES * len(vectors)


def header(**changed: Any) -> Header:
    values: dict[str, Any] = {
        "format": FORMAT, "program": "test", "simulated": True, "mode": "solid",
        "bounds_nm": ((0, 0, 0), (200_000, 100_000, 2_000)), "field_nm": (120_000, 120_000),
        "blocks": 1, "tiles": 2, "layers": 2, "order": "tile", "direction": "up", "z0_um": 0.0, "layer_um": 1.0,
        "hatch_um": 0.5, "settings": {}, "profile": {"name": "m%\nx", "laser": {"max_power_mw": 50.0}},
        "vessels_blake3": "ab" * 32,
    }  # fmt: skip
    return Header(**(values | changed))


def job(path: Path, **changed: Any) -> list[tuple[float, ...]]:
    """Two tiles of two layers, four vectors each; the vectors as (x0, y0, x1, y1, z, mW, mm/s) in um."""
    rng = np.random.default_rng(3)
    wanted: list[tuple[float, ...]] = []
    with path.open("wb") as file:
        writer = JobWriter(file, header(**changed))
        for tile, centre in ((0, 50_000), (1, 150_000)):
            for layer, power in ((0, 25.0), (1, 20.0)):
                y = rng.integers(0, 100_000, 4)
                x = rng.integers(centre - 50_000, centre + 49_000, 4)
                vectors = np.stack([x, y, x + 1 + rng.integers(0, 900, 4), y], axis=1).astype(np.int32)
                z = 500 + 1000 * layer
                writer.add(Record(0, tile, layer, z, (centre, 50_000), power, 100.0, vectors))
                wanted += [(*row, z / 1000, power, 100.0) for row in (vectors / 1000).tolist()]
        writer.finish()
    return wanted


def gwl(path: Path) -> str:
    out = io.BytesIO()
    count = write_gwl(path, out, gwl_size(path, 10**9))
    assert count == len(out.getvalue()) <= gwl_size(path, 10**9).most_bytes
    return out.getvalue().decode("ascii")


def test_gwl_says_every_vector_of_the_job(tmp_path: Path) -> None:
    """Read as public programs read it: % comments, relative moves of the stage, points, Write."""
    wanted = job(tmp_path / "a.job")
    text = gwl(tmp_path / "a.job")
    assert text.startswith("% unverified: written from public descriptions") and "simulated design" in text
    stage, points, power, speed = [0.0, 0.0], list[list[float]](), 0.0, 0.0
    found: list[tuple[float, ...]] = []
    for line in text.splitlines():
        words = line.split("%")[0].split()
        match words:
            case []:
                continue
            case ["MoveStageX" | "MoveStageY" as word, by]:
                stage["XY".index(word[-1])] += float(by)
            case ["LaserPower", percent]:
                power = float(percent) / 100 * 50
            case ["ScanSpeed", um_s]:
                speed = float(um_s) / 1000
            case ["Write"]:
                (x0, y0, z0), (x1, y1, z1) = points
                assert z0 == z1
                found.append((x0 + stage[0], y0 + stage[1], x1 + stage[0], y1 + stage[1], z0, power, speed))
                points = []
            case ["ContinuousMode" | "ConnectPointsOn" | "GalvoScanMode"] | ["PowerScaling", "1.0"]:
                assert not found
            case _:
                points.append([float(word) for word in words])
                assert len(words) == 3 and max(abs(points[-1][0]), abs(points[-1][1])) <= 60
    from_lowest = [(*one[:4], one[4] - 0.5, *one[5:]) for one in wanted]  # the lowest plane lies at .5 um
    assert np.allclose(found, from_lowest, atol=1e-9)
    assert "% z = 0 is the lowest plane, 0.500 in the design" in text
    assert gwl(tmp_path / "a.job") == text


@pytest.mark.parametrize(("top", "is_told"), [(300_000, False), (300_001, True)])
def test_more_travel_than_the_piezo_has_is_told_as_unverified(tmp_path: Path, top: int, is_told: bool) -> None:
    vectors = np.array([[0, 500, 9000, 500]], dtype=np.int32)
    tall = ((0, 0, -400_000), (200_000, 100_000, 400_000))
    with (tmp_path / "a.job").open("wb") as file:
        writer = JobWriter(file, header(tiles=1, bounds_nm=tall, z0_um=-150.0 - top / 2000, layer_um=top / 1000))
        for layer, z in enumerate((-150_000, top - 150_000)):
            writer.add(Record(0, 0, layer, z, (50_000, 50_000), 25.0, 100.0, vectors))
        writer.finish()
    said = gwl_size(tmp_path / "a.job", 10**9).cautions
    text = gwl(tmp_path / "a.job")
    assert bool(said) == is_told == ("(unverified): print it in parts" in text)
    assert f"\t{top / 1000:.3f}\n" in text and "\t0.000\n" in text and "-150.000\n" not in text


def test_gwl_is_refused_over_its_budget_or_without_the_lasers_power(tmp_path: Path) -> None:
    job(tmp_path / "a.job")
    with pytest.raises(ConfigError, match="--most-gb"):
        gwl_size(tmp_path / "a.job", 1000)
    job(tmp_path / "b.job", profile={})
    with pytest.raises(DataRefused, match="max_power_mw"):
        gwl_size(tmp_path / "b.job", 10**9)
    with pytest.raises(DataRefused, match=r"25 is above the profile's laser\.max_power_mw of 22"):
        job(tmp_path / "c.job", profile={"laser": {"max_power_mw": 22.0}})
    data = bytearray((tmp_path / "a.job").read_bytes())
    data[-100] ^= 1
    (tmp_path / "d.job").write_bytes(data)
    with pytest.raises(DataRefused):
        gwl_size(tmp_path / "d.job", 10**9)


@needs("npxpy")
def test_nano_holds_the_stl_and_the_profiles_numbers() -> None:
    from poliqi.lab.print.export.nano import nano_bytes

    stl, profile = stl_of(block(2, 3, 4)), read_profile("illustrative")
    data = nano_bytes(stl, profile, "00ff")
    assert data == nano_bytes(stl, profile, "00ff")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        project = tomllib.loads(archive.read("__main__.toml").decode())
        (mesh,) = project["resources"]
        assert archive.read(mesh["path"]) == stl and mesh["properties"]["original_triangle_count"] == 12
        assert "simulated" in json.loads(archive.read("project_info.json"))["author"]
    (preset,) = project["presets"]
    assert (preset["writing_speed"], preset["writing_power"]) == (100_000.0, 25.0)
    assert (preset["slicing_spacing"], preset["hatching_spacing"]) == pytest.approx((1.0, 0.35))
    nodes = {one["type"]: one for one in project["nodes"]}
    assert nodes["project"]["children"] == [nodes["scene"]["id"]]
    assert nodes["scene"]["children"] == [nodes["structure"]["id"]]
    assert nodes["structure"]["preset"] == preset["id"]
    assert nodes["structure"]["geometry"]["resource"] == mesh["id"]


def test_endings_say_the_format_and_what_it_holds() -> None:
    paths = [Path(name) for name in ("a.stl", "a.3MF", "a.glb", "a.swc", "a.csv", "a.nano")]
    found = [one.what for one in targets_of(paths, None, is_job=False)]
    assert found == [What.TISSUE, What.BOTH, What.BOTH, What.LINES, What.LINES, What.TISSUE]
    assert [one.what for one in targets_of(paths[:2], "lumen", is_job=False)] == [What.LUMEN] * 2


@pytest.mark.parametrize(
    ("names", "what", "is_job", "words"),
    [
        ((), None, False, "give 1 to"),
        (("a.obj",), None, False, "ending is none of"),
        (("a.gwl",), None, False, "written from a job"),
        (("a.stl",), None, True, "written from a vessels file"),
        (("a.stl",), "both", False, "holds tissue or lumen"),
        (("a.glb",), "beams", False, "holds both or tissue or lumen"),
        (("a.stl", "b/a.stl"), None, False, "given twice"),
    ],
)
def test_targets_that_cannot_be_are_refused(
    names: tuple[str, ...], what: str | None, is_job: bool, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        targets_of([Path(name) for name in names], what, is_job=is_job)


def test_the_longest_line_fits() -> None:
    assert len(line_of((-(2**31),) * 4, 2**31 - 1, 2**31 - 1, -(2**31))) <= MOST_BYTES
    assert math.isfinite(MOST_BYTES)
