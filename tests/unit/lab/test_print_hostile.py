"""Files made to harm: whatever they hold, `DataRefused` or `ConfigError` comes, soon and in little memory."""

from __future__ import annotations

import base64
import contextlib
import gzip
import importlib.util
import io
import json
import struct
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.calibrate.sheet import read_sheet
from poliqi.lab.print.domain import domain as domains
from poliqi.lab.print.domain import labelvolume
from poliqi.lab.print.domain.domain import Domain, box, domain_from
from poliqi.lab.print.domain.labelbody import label_body
from poliqi.lab.print.domain.labelfile import labels_of
from poliqi.lab.print.domain.labelvolume import integers
from poliqi.lab.print.domain.stlfile import stl_corners
from poliqi.lab.print.export.gwl import gwl_size, write_gwl
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.flow.solve import solve_flow
from poliqi.lab.print.growth.settings import GrowthSettings, Inlet
from poliqi.lab.print.hatch import jobwriter
from poliqi.lab.print.hatch.jobformat import FORMAT, Header, Record, check_record
from poliqi.lab.print.hatch.jobreader import check_job
from poliqi.lab.print.network import Kind, Network, Port, Role
from poliqi.lab.print.oxygen.perfusionfile import perfusion_from
from poliqi.lab.print.profile import profile_from
from poliqi.lab.print.vesselfile import Vessels, vessels_bytes, vessels_from
from poliqi.lab.print.view.perfused import perfused_from
from poliqi.ops.print_design_toml import read_design
from poliqi.ops.toml_file import toml_from

PROFILES = Path(__file__).resolve().parents[3] / "src" / "poliqi" / "lab" / "print" / "profiles"


def npy(array: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array)
    return out.getvalue()


def header_only(kind: str, count: int) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": kind, "fortran_order": False, "shape": (count,)})
    return out.getvalue()


def zipped(*entries: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # names that stand there twice
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


LABELS = ("labels.npy", npy(np.ones((4, 4, 4), np.uint8)))


def measured(work: Callable[[], object]) -> tuple[float, int]:
    """Seconds and most bytes until the refusal."""
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        with pytest.raises(DataRefused):
            work()
        return time.perf_counter() - begin, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "more",
    [
        *[[("names.npy", header_only(kind, 30_000_000))] for kind in ("|S0", "|V0", "<U0")],
        [("names.npy", header_only("|S1", 1_000_000) + bytes(1_000_000))],
        [("names.npy", npy(np.array(["a"] * 65_537)))],
        [("names.npy", npy(np.array([["a"]])))],
        [("names.npy", npy(np.arange(3)))],
        [("spacing.npy", npy(np.ones(1_000_000)))],
        [("spacing.npy", npy(np.ones(2)))],
        [("spacing.npy", npy(np.ones((3, 1))))],
        [("spacing.npy", npy(np.array(["1", "1", "1"])))],
        [("unit.npy", npy(np.array(["um", "mm"])))],
        [("unit.npy", npy(np.array(7)))],
        [LABELS],
        [("other.npy", npy(np.ones(3)))],
        [("labels", npy(np.ones(3)))],
    ],
)
def test_an_npz_of_labels_is_held_to_limits_before_an_array_is_made(more: list[tuple[str, bytes]]) -> None:
    data = zipped(LABELS, *more)
    seconds, most = measured(lambda: labels_of(data, "a.npz", 1, voxel_um=(10.0, 10.0, 10.0)))
    assert seconds < 1.0 and most < 8_000_000


def test_all_names_and_a_spacing_that_are_right_are_read() -> None:
    names = np.array([f"n{k}" for k in range(65_536)])
    data = zipped(LABELS, ("names.npy", npy(names)), ("spacing.npy", npy(np.array([1, 2, 3]))),
                  ("unit.npy", npy(np.array("um"))))  # fmt: skip
    assert labels_of(data, "a.npz", "n1").bounds_um[1].tolist() == [2.0, 4.0, 6.0]


def test_duplicates_of_a_zip_count_as_often_as_they_stand_there() -> None:
    whole = npy(np.zeros(8_000_000))
    data = zipped(*[("pressure_pa.npy", whole)] * 3)
    del whole
    seconds, most = measured(lambda: perfusion_from(data))
    assert seconds < 1.0 and most < 8_000_000


def voxels(size: int) -> dict[str, Any]:
    bits = base64.b64encode(zlib.compress(b"\xff" * -(-(size**3) // 8), 9)).decode()
    return {"kind": "labels", "shape": [size] * 3, "voxel_um": [1, 1, 1], "origin_um": [0, 0, 0], "bits_zlib": bits}


def test_all_bodies_of_a_record_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    for count in (6, 65):
        record = {"bodies": [voxels(8)], "obstacles": [voxels(300)] * count}
        seconds, most = measured(lambda record=record: domain_from(record))
        assert seconds < 2.0 and most < 30_000_000
    mesh = {"kind": "mesh", "points": 4, "triangles": 600_000, "origin_um": [0, 0, 0], "step_um": 1.0,
            "steps_zlib": "", "triangles_zlib": ""}  # fmt: skip
    with pytest.raises(DataRefused, match="1200000 triangles"):
        domain_from({"bodies": [mesh, mesh], "obstacles": []})
    one = Domain((label_body(np.ones((4, 4, 4), bool), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),))
    monkeypatch.setattr(domains, "MOST_VOXELS", 100)
    with pytest.raises(ConfigError, match="128 voxels"):
        one.plus(one)
    monkeypatch.setattr(domains, "MOST_VOXELS", 1000)
    monkeypatch.setattr(domains, "MOST_RECTANGLES", 10)
    with pytest.raises(DataRefused, match="12 pieces of surface"):
        domain_from({"bodies": [voxels(4), voxels(4)], "obstacles": []})


def threemf(corners: int, items: int) -> bytes:
    space = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
    points = [(0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9)] + [(1, 1, 1)] * corners
    vertices = "".join(f'<vertex x="{x}" y="{y}" z="{z}"/>' for x, y, z in points)
    faces = "".join(
        f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
    )
    built = '<item objectid="1"/>' * items
    model = (
        f'<?xml version="1.0" encoding="UTF-8"?><model unit="micron" xmlns="{space}"><resources><object id="1" '
        f'type="model"><mesh><vertices>{vertices}</vertices><triangles>{faces}</triangles></mesh></object></resources>'
        f"<build>{built}</build></model>"
    )
    office = "http://schemas.openxmlformats.org/package/2006"
    types = (
        f'<?xml version="1.0" encoding="UTF-8"?><Types xmlns="{office}/content-types"><Default Extension="rels" '
        f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="model" '
        'ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
    )
    links = (
        f'<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="{office}/relationships"><Relationship '
        'Target="/3D/3dmodel.model" Id="rel0" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>'
        "</Relationships>"
    )
    return zipped(
        ("[Content_Types].xml", types.encode()),
        ("_rels/.rels", links.encode()),
        ("3D/3dmodel.model", model.encode()),
    )


@pytest.mark.skipif(importlib.util.find_spec("lib3mf") is None, reason='needs pip install "poliqi[print]"')
def test_corners_of_all_build_items_of_a_3mf_share_one_budget() -> None:
    from poliqi.lab.print.domain.threemf import threemf_mesh

    points, triangles, unit = threemf_mesh(threemf(0, 3), "a.3mf")
    assert len(points) == 12 and triangles.tolist()[4] == [4, 6, 5] and unit == "um"
    data = threemf(20_000, 190)
    begin = time.perf_counter()
    with pytest.raises(DataRefused, match="3000000 corners"):
        threemf_mesh(data, "a.3mf")
    assert time.perf_counter() - begin < 3.0


def nifti(shape: tuple[int, int, int], code: int, data: bytes) -> bytes:
    head = bytearray(352)
    head[0:4], head[344:348] = struct.pack("<i", 348), b"n+1\0"
    head[40:56] = struct.pack("<8h", 3, *shape, 1, 1, 1, 1)
    head[70:72] = struct.pack("<h", code)
    head[80:92], head[108:112] = struct.pack("<3f", 1, 1, 1), struct.pack("<f", 352)
    return gzip.compress(bytes(head) + data)


def test_a_packed_volume_is_held_to_bytes_and_not_to_voxels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataRefused, match="536870912 are the most"):
        labels_of(nifti((500, 500, 500), 64, b""), "a.nii.gz", 1, voxel_um=(1.0, 1.0, 1.0))
    monkeypatch.setattr(labelvolume, "MOST_FILE_BYTES", 64)
    small = labels_of(nifti((4, 4, 4), 2, b"\1" * 64), "a.nii.gz", 1, voxel_um=(1.0, 1.0, 1.0))
    assert small.volume_um3 == 64
    with pytest.raises(DataRefused, match="64 are the most"):
        labels_of(nifti((4, 4, 4), 4, b"\1" * 128), "a.nii.gz", 1, voxel_um=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("bad", [None, 0.5, np.nan, np.inf, -(2.0**31), 2.0**31])
@pytest.mark.parametrize("slab", [1, 7, 1 << 22])
def test_numbers_become_whole_slab_by_slab(bad: float | None, slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelvolume, "_SLAB", slab)
    values = np.random.default_rng(1).integers(-9, 9, (5, 6, 7)).astype(np.float64).transpose(2, 1, 0)
    if bad is None:
        assert np.array_equal(integers(values, "a"), values.astype(int))
        return
    values[3, 4, 4] = bad
    with pytest.raises(DataRefused, match="not whole numbers"):
        integers(values, "a")


@pytest.mark.parametrize("size", [0, 1, 5, 1 << 20, 3_000_000])
@pytest.mark.parametrize("level", [0, 9])
def test_inflated_gives_what_was_packed_or_refuses(size: int, level: int) -> None:
    whole = np.random.default_rng(2).integers(0, 4, size).astype(np.uint8).tobytes()
    packed = zlib.compress(whole, level)
    assert labelvolume.inflated(packed + b"behind", size, "a") == whole
    for data, length in ((packed, size + 1), (packed[:-1], size), (packed, size - 1)):
        if length >= 0:
            with pytest.raises(DataRefused):
                labelvolume.inflated(data, length, "a")


VTI = (
    '<VTKFile type="ImageData"><ImageData WholeExtent="0 1 0 1 0 1" Spacing="1 1 1"><Piece Extent="0 1 0 1 0 1">'
    '<PointData><DataArray type="UInt8" format="ascii">%s</DataArray></PointData></Piece></ImageData></VTKFile>'
)
DOCTYPE = '<!DOCTYPE x [<!ENTITY a "1 1 1 1 1 1 1 1">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", ["", "<!--" + "x" * 5000 + "-->", "<!-- <! -->\n"])
def test_a_vti_that_declares_entities_is_refused_in_any_encoding(encoding: str, before: str) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    for text in (DOCTYPE + VTI % "&a;", "<!DOCTYPE x SYSTEM 'x.dtd'>" + VTI % "1 1 1 1 1 1 1 1"):
        data = mark + (before + text).encode(encoding)
        with pytest.raises(DataRefused, match="declares XML entities"):
            labels_of(data, "a.vti", 1, voxel_um=(1.0, 1.0, 1.0))
    good = mark + (before + VTI % "1 1 1 1 1 1 1 1").encode(encoding)
    assert labels_of(good, "a.vti", 1, voxel_um=(1.0, 1.0, 1.0)).volume_um3 == 8


def test_a_vti_of_elements_without_end_is_refused() -> None:
    with pytest.raises(DataRefused, match="XML elements"):
        labels_of(b"<VTKFile>" + b"<a/>" * 200_000 + b"</VTKFile>", "a.vti", 1, voxel_um=(1.0, 1.0, 1.0))


# --- perfusion files


def vessels() -> Vessels:
    network = Network(
        np.array([[-500.0, 0, 0], [500, 0, 0]]), np.array([[0, 1]], np.int32), np.array([20.0]),
        np.array([Kind.ARTERY], np.uint8), np.array([0], np.int32),
        (Port(0, Role.INLET, 1000.0, 1e6), Port(1, Role.OUTLET, 500.0, 1e6)),
    )  # fmt: skip
    return vessels_from(vessels_bytes(network, box((1000.0, 1000.0, 1000.0)), {}))


VESSELS = vessels()
CELLS = 8


def head(**changes: Any) -> dict[str, Any]:
    oxygen = {
        "tissue": {"diffusivity_m2_s": 1.7e-9, "consumption_mol_m3_s": 1e-4, "km_mol_m3": 8e-3, "inlet_mol_m3": 0.2,
                   "hypoxic_below_mol_m3": 0.0135, "bath_mol_m3": None, "source": "a"},
        "carrier": {"capacity_mol_m3": 0.0, "half_mol_m3": 0.035, "exponent": 2.7, "diffusivity_m2_s": 2.7e-9,
                    "sherwood": 4.0},
        "spacing_um": 125.0, "cells": [CELLS] * 3, "hypoxic": 0.0, "hypoxic_doubt": None, "minimum_mol_m3": 0.125,
        "minimum_at_um": [0, 0, 0], "mean_mol_m3": 0.125,
        "balance": {"carried_in_mol_s": 2e-13, "carried_out_mol_s": 1e-13, "bath_mol_s": 0.0,
                    "consumed_mol_s": 1e-13, "residual": 0.0},
        "newton_steps": 3, "cycles": 9,
    }  # fmt: skip
    whole: dict[str, Any] = {
        "format": "poliqi-perfusion-2", "vessels": VESSELS.digest, "coverage": {"reach_um": 200.0},
        "fluid": {"viscosity_pa_s": 7e-4, "hematocrit": None, "density_kg_m3": 1000.0},
        "oxygen": oxygen, "spacing_um": 125.0, "low_um": [-500, -500, -500],
    }  # fmt: skip
    for path, value in changes.items():
        *most, last = path.split("__")
        place = whole
        for name in most:
            place = place[name]
        place[last] = value
    return whole


def arrays(**changes: Any) -> dict[str, Any]:
    flow = solve_flow(VESSELS.network, Fluid())
    kind = np.ones((CELLS,) * 3, np.uint8)
    kind[0, 0, 0] = 0
    made = {name: getattr(flow, name) for name in ("pressure_pa", "flow_um3_s", "wall_shear_pa", "viscosity_pa_s")}
    made |= {"c_mol_m3": np.where(kind > 0, np.float32(0.125), np.float32(np.nan)), "kind": kind}
    made |= {"oxygen_mol_m3": np.full(2, 0.2), "mean_oxygen_mol_m3": np.full(1, 0.2)}
    made |= {"given_mol_s": np.full(1, 1e-13)} | changes
    return {name: value for name, value in made.items() if value is not None}


def perfusion(path: Path, said: dict[str, Any], held: dict[str, Any]) -> Path:
    np.savez(path, head=np.frombuffer(json.dumps(said).encode(), np.uint8), **held)
    return path


def test_a_perfusion_as_it_has_to_be_is_read(tmp_path: Path) -> None:
    found = perfused_from(perfusion(tmp_path / "a.npz", head(), arrays()), VESSELS)
    assert found.oxygen is not None and found.oxygen.cycles == 9 and found.oxygen.low_um == (-500, -500, -500)
    bare = arrays(c_mol_m3=None, kind=None, oxygen_mol_m3=None, mean_oxygen_mol_m3=None, given_mol_s=None)
    assert perfused_from(perfusion(tmp_path / "b.npz", head(oxygen=None), bare), VESSELS).oxygen is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("oxygen__hypoxic", 5.0), ("oxygen__hypoxic", 0.5), ("oxygen__spacing_um", 10**400),
        ("spacing_um", 10**400),
        ("oxygen__hypoxic", "EVIL"), ("oxygen__cycles", "EVIL"), ("oxygen__cycles", -1),
        ("oxygen__mean_mol_m3", {}), ("oxygen__mean_mol_m3", 0.5), ("oxygen__minimum_mol_m3", 0.01),
        ("oxygen__hypoxic_doubt", 2), ("oxygen__cells", [8, 8, 9]), ("oxygen__balance", {}),
        ("oxygen__balance", []),
        ("oxygen__tissue__km_mol_m3", -1.0), ("oxygen__tissue__more", 1), ("oxygen__carrier__sherwood", 1e9),
        ("oxygen__spacing_um", 1e300), ("oxygen__spacing_um", 100.0), ("spacing_um", 1e300), ("spacing_um", 1e-300),
        ("low_um", ["EVIL", 0, 0]), ("low_um", [1e300, 0, 0]), ("low_um", [0, 0, 0]), ("oxygen", []),
        ("oxygen", None), ("coverage", None), ("coverage__reach_um", -1), ("coverage__reach_um", 1e300),
        ("fluid", []), ("fluid__viscosity_pa_s", "EVIL"), ("fluid__viscosity_pa_s", 1e8), ("vessels", "other"),
    ],
)  # fmt: skip
def test_a_perfusions_head_that_was_tampered_with_is_refused(path: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="--perfusion"):
        perfused_from(perfusion(tmp_path / "a.npz", head(**{path: value}), arrays()), VESSELS)


ONES = np.ones((CELLS,) * 3, np.float32)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, np.full(2 if name in {"pressure_pa", "oxygen_mol_m3"} else 1, np.nan)) for name in
          ("pressure_pa", "flow_um3_s", "wall_shear_pa", "viscosity_pa_s", "oxygen_mol_m3", "mean_oxygen_mol_m3",
           "given_mol_s")],
        ("pressure_pa", np.ones(3)), ("flow_um3_s", np.ones(2)), ("oxygen_mol_m3", np.ones(1)),
        ("given_mol_s", np.ones(7)),
        ("given_mol_s", None), ("oxygen_mol_m3", None), ("mean_oxygen_mol_m3", None),
        ("mean_oxygen_mol_m3", np.ones(2)),
        ("wall_shear_pa", -np.ones(1)),
        ("viscosity_pa_s", np.zeros(1)),
        ("flow_um3_s", np.ones(1, np.uint8)), ("c_mol_m3", ONES * np.nan), ("c_mol_m3", -ONES),
        ("c_mol_m3", ONES * np.inf),
        ("c_mol_m3", ONES[1:]), ("kind", np.zeros((CELLS,) * 3, np.uint8)),
        ("kind", np.full((CELLS,) * 3, 3, np.uint8)),
        ("kind", ONES), ("kind", np.ones((CELLS,) * 3, np.uint8)), ("kind", None),
    ],
)  # fmt: skip
def test_a_perfusions_array_that_was_tampered_with_is_refused(name: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(DataRefused):
        perfused_from(perfusion(tmp_path / "a.npz", head(), arrays(**{name: value})), VESSELS)


# --- designs


DESIGN = """
[domain]
kind = "mesh"
file = "a.stl"
unit = "um"
[[inlet]]
point_um = [0, 0, -100]
pressure_pa = 1500
[growth]
terminals = 10
flow = "0.02 uL/min"
pressure_drop_pa = 1000
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"0.02 uL/min"', '"1e-300 nL/h"', "from 0.001 to 1e[+]18"),
        ('"0.02 uL/min"', '"1e300 mL/s"', "flow"),
        ("drop_pa = 1000", "drop_pa = 1e-300", "from 1e-06 to 1e[+]09"),
        ("drop_pa = 1000", "drop_pa = 1e300", "from 1e-06 to 1e[+]09"),
        ("pressure_pa = 1500", "pressure_pa = 1e300", "from 1e-06 to 1e[+]09"),
        ("terminals", "wall_um = 1e300\nterminals", "from 0 to 1e[+]06"),
        ("terminals", "gap_um = nan\nterminals", "gap_um"),
        ("terminals", "terminal_pressure_pa = -inf\nterminals", "terminal_pressure_pa"),
        ("a.stl", "a\\u0000.stl", "not the name of a file"),
    ],
)
def test_a_design_out_of_range_is_refused_with_its_limits(old: str, new: str, says: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataRefused), match=says):
        read_design(DESIGN.replace(old, new).encode(), "a.toml", tmp_path)


def test_the_limits_of_growth_themselves_give_finite_quotients() -> None:
    made = GrowthSettings((Inlet((0.0, 0.0, 0.0)),), flow_um3_s=1e-3, pressure_drop_pa=1e9, viscosity_pa_s=1e-6)
    terminals = 1e6
    assert (8 * made.viscosity_pa_s * made.flow_um3_s / terminals / made.pressure_drop_pa) ** 0.25 > 0


# --- jobs


def forged(path: Path, profile: dict[str, Any], power_mw: float, speed_mm_s: float) -> Path:
    """A job that is right but for its power and speed, as a writer without checks would make it."""
    made = Header(
        FORMAT, "test", True, "solid", ((0, 0, 0), (9000, 9000, 1000)),
        (9000, 9000), 1, 1, 1, "tile", "up", 0.0, 1.0,
        0.5, {}, profile, "",
    )  # fmt: skip
    vectors = np.array([[0, 500, 9000, 500]], np.int32)
    with path.open("wb") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            jobwriter,
            "check_record",
            lambda known, one: check_record(msgspec.structs.replace(known, profile={}), one),
        )
        writer = jobwriter.JobWriter(file, made)
        writer.add(Record(0, 0, 0, 500, (4500, 4500), power_mw, speed_mm_s, vectors))
        writer.finish()
    return path


@pytest.mark.parametrize(
    ("power", "speed", "is_right"),
    [
        (1.0, 1.0, False),
        (0.5, 100.0, True),
        (0.5, 101.0, False),
        (0.51, 100.0, False),
        (2.0, 1.0, False),
        (0.5, 1e11, False),
    ],
)
def test_power_and_speed_of_a_job_are_held_to_its_profile(
    power: float, speed: float, is_right: bool, tmp_path: Path
) -> None:
    profile = {"laser": {"max_power_mw": 0.5}, "scanner": {"max_speed_mm_s": 100.0}}
    path = forged(tmp_path / "a.job", profile, power, speed)
    if is_right:
        assert check_job(path).records == 1
        assert write_gwl(path, io.BytesIO(), gwl_size(path, 10**9)) > 0
        return
    for work in (lambda: check_job(path), lambda: gwl_size(path, 10**9)):
        with pytest.raises(DataRefused, match=r"above the profile's (laser\.max_power_mw|scanner\.max_speed_mm_s)"):
            work()


@pytest.mark.parametrize(("power", "speed"), [(1e13, 1.0), (1.0, 1e307), (1.0, 0.0), (float("nan"), 1.0)])
def test_power_and_speed_that_no_machine_has_are_refused(power: float, speed: float, tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match=r"above 0 to 1e\+12 is possible"):
        forged(tmp_path / "a.job", {}, power, speed)


@pytest.mark.parametrize("bad", ["1", True, -1, 0, [], {}, 10**400])
def test_a_profile_whose_limits_are_no_numbers_is_refused(bad: object, tmp_path: Path) -> None:
    for group, name in (("laser", "max_power_mw"), ("scanner", "max_speed_mm_s")):
        with pytest.raises(DataRefused, match=name):
            check_job(forged(tmp_path / "a.job", {group: {name: bad}}, 1.0, 1.0))


# --- any bytes


def tiff() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    pages = [Image.fromarray(np.full((4, 5), k, np.uint8)) for k in (1, 1, 2)]
    pages[0].save(out, format="TIFF", save_all=True, append_images=pages[1:])
    return out.getvalue()


def binary_stl() -> bytes:
    rows = b"".join(struct.pack("<12fH", *[0.0] * 3, *map(float, range(9)), 0) for _ in range(4))
    return bytes(80) + struct.pack("<I", 4) + rows


TEXT_STL = (
    b"solid a\n"
    + b"facet normal 0 0 0\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n" * 4
    + b"endsolid a\n"
)
SHEET = b"label,power_mw,speed_mm_s,width_um,width_sigma_um\r\na,10,100,0.5,0.1\r\nb,20,100,0.7,0.1\r\n"
PROFILE = next(iter(sorted(PROFILES.glob("*.toml")))).read_bytes()
WORDS = [
    b"nan",
    b"inf",
    b"-1e308",
    b"1e999",
    b"9" * 400,
    b"\0",
    b"-0",
    b"\xff",
    b'"',
    b"\n",
    b"[",
    b"{}",
    b"=",
    b"",
]
FILES: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "tiff": (tiff(), lambda data: labels_of(data, "a.tif", 1, voxel_um=(1.0, 1.0, 1.0), body="all")),
    "npz": (zipped(LABELS), lambda data: labels_of(data, "a.npz", 1, voxel_um=(1.0, 1.0, 1.0), body="all")),
    "vti": ((VTI % "1 1 1 1 1 1 1 1").encode(), lambda data: labels_of(data, "a.vti", 1, unit="um", body="all")),
    "nii": (nifti((4, 4, 4), 2, b"\1" * 64), lambda data: labels_of(data, "a.nii.gz", 1, unit="um", body="all")),
    "stl": (binary_stl(), lambda data: stl_corners(data, "a.stl")),
    "stl text": (TEXT_STL, lambda data: stl_corners(data, "a.stl")),
    "sheet": (SHEET, lambda data: read_sheet(data)),
    "profile": (PROFILE, lambda data: profile_from(toml_from(data, "a.toml"))),
}


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=120, deadline=None)
@given(st.data())
def test_whatever_is_done_to_a_file_it_is_read_or_refused(name: str, data: st.DataObject) -> None:
    good, read = FILES[name]
    whole = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(whole) - 1, 0)))
        match data.draw(st.sampled_from(("flip", "cut", "word", "number", "twice"))):
            case "flip" if whole:
                whole[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del whole[at:]
            case "word":
                whole[at : at + data.draw(st.integers(0, 6))] = data.draw(st.sampled_from(WORDS))
            case "number":
                kind = data.draw(st.sampled_from(("<I", ">I", "<f", "<d")))
                number = 0xFFFFFFFF if kind[1] == "I" else data.draw(st.sampled_from((np.nan, np.inf, 1e38)))
                some = struct.pack(kind, number)
                whole[at : at + len(some)] = some
            case _:
                whole[at:at] = whole[at : at + 60]
    with contextlib.suppress(DataRefused, ConfigError):
        read(bytes(whole))


def test_an_stl_as_short_as_a_header_less_a_facet_is_refused() -> None:
    with pytest.raises(DataRefused, match="not an STL file"):
        stl_corners(bytes(34), "a.stl")


def test_a_metaimage_whose_last_key_is_damaged_is_refused() -> None:
    head = "DimSize = 1 1 1\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\nElementDataFile{} = LOCAL\n"
    assert labels_of(head.format("").encode() + b"\1", "a.mha", 1, unit="um").volume_um3 == 1
    for spoilt in ("\0", "s"):
        with pytest.raises(DataRefused, match="data in another file"):
            labels_of(head.format(spoilt).encode() + b"\1", "a.mha", 1, unit="um")


def test_a_signalling_nan_of_an_stl_is_a_nan() -> None:
    data = bytearray(binary_stl())
    data[96:100] = b"\1\0\x80\x7f"
    assert np.isnan(stl_corners(bytes(data), "a.stl")[0, 0, 0])


def test_the_files_that_are_fuzzed_are_right_before() -> None:
    for name, (good, read) in FILES.items():
        assert read(good) is not None, name


def test_replace_keeps_a_settings_checks() -> None:
    good = GrowthSettings((Inlet((0.0, 0.0, 0.0)),))
    with pytest.raises(ConfigError, match="flow_um3_s"):
        replace(good, flow_um3_s=1e-300)
