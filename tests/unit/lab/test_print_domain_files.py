"""Mesh files and the tables of a design: units, damage, bombs, and every key on its page."""

from __future__ import annotations

import importlib.util
import io
import math
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain import meshfile, shapes, stlfile, table, threemf
from poliqi.lab.print.domain.domain import Domain
from poliqi.lab.print.domain.meshfile import from_mesh, mesh_of
from poliqi.lab.print.domain.table import domain_of

needs_lib3mf = pytest.mark.skipif(
    importlib.util.find_spec("lib3mf") is None, reason='needs pip install "poliqi[print]"'
)
PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "tissue-domain.md"

POINTS = np.array([[0, 0, 0], [0.2, 0, 0], [0, 0.3, 0], [0, 0, 0.4]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
VOLUME_UM3 = 200 * 300 * 400 / 6


def stl(points: Any = POINTS, faces: Any = FACES) -> bytes:
    rows = np.zeros(len(faces), dtype=[("numbers", "<f4", (4, 3)), ("more", "<u2")])
    rows["numbers"][:, 1:] = points[faces]
    return b"made for a test".ljust(80) + len(faces).to_bytes(4, "little") + rows.tobytes()


def stl_text(points: Any = POINTS, faces: Any = FACES) -> bytes:
    lines = ["solid t"]
    for face in faces:
        lines += ["  facet normal 0 0 0", "    outer loop"]
        lines += ["      vertex {:.9g} {:.9g} {:.9g}".format(*points[corner]) for corner in face]
        lines += ["    endloop", "  endfacet"]
    return "\n".join([*lines, "endsolid t", ""]).encode()


CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default '
    'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default '
    'Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Target="/3D/3dmodel.model" Id="r" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
)


def model(unit: str = "millimeter", build: str = '<item objectid="1"/>', more: str = "", head: str = "") -> str:
    vertices = "".join('<vertex x="{}" y="{}" z="{}"/>'.format(*point) for point in POINTS)
    triangles = "".join('<triangle v1="{}" v2="{}" v3="{}"/>'.format(*face) for face in FACES)
    start = '<?xml version="1.0" encoding="UTF-8"?>'
    return (
        f'{start}{head}<model unit="{unit}" xml:lang="en-US" xmlns="{CORE}"><resources>'
        f'<object id="1" type="model"><mesh><vertices>{vertices}</vertices>'
        f"<triangles>{triangles}</triangles></mesh>"
        f"</object>{more}</resources><build>{build}</build></model>"
    )


def threemf_file(text: str | None = None, **entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", TYPES)
        archive.writestr("_rels/.rels", RELATIONS)
        archive.writestr("3D/3dmodel.model", model() if text is None else text)
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("make", [stl, stl_text])
@pytest.mark.parametrize(("unit", "um"), [("mm", 1e3), ("um", 1.0), ("in", 25400.0), ("nm", 1e-3)])
def test_stl_takes_its_unit_from_the_caller(tmp_path: Path, make: Any, unit: str, um: float) -> None:
    path = tmp_path / "wedge.STL"
    path.write_bytes(make(POINTS * 1000 / um))
    made = from_mesh(path, unit)
    assert made.volume_um3 == pytest.approx(VOLUME_UM3, rel=1e-6)
    with pytest.raises(DataRefused, match="STL carries no unit; say it"):
        from_mesh(path)
    with pytest.raises(ConfigError, match="unit 'league' is not known"):
        from_mesh(path, "league")


def test_a_mesh_is_moved_to_its_centre() -> None:
    made = mesh_of(stl(), "a.stl", "mm", center_um=(10, 20, 30))
    assert made.bounds_um.mean(axis=0) == pytest.approx([10, 20, 30], abs=1e-5)


@needs_lib3mf
@pytest.mark.parametrize(
    ("unit", "um"),
    [("micron", 1), ("millimeter", 1e3), ("centimeter", 1e4), ("inch", 25400), ("foot", 304800), ("meter", 1e6)],
)
def test_3mf_carries_its_unit(unit: str, um: float) -> None:
    data = threemf_file(model(unit))
    assert mesh_of(data, "a.3mf").volume_um3 == pytest.approx(0.2 * 0.3 * 0.4 / 6 * um**3, rel=1e-6)
    with pytest.raises(DataRefused, match=r"carries the unit .*, not nm; leave the unit out"):
        mesh_of(data, "a.3mf", "nm")


@needs_lib3mf
def test_3mf_places_and_mirrors_what_is_built() -> None:
    parts = (
        '<object id="2" type="model"><components>'
        '<component objectid="1" transform="-2 0 0 0 1 0 0 0 1 0 0 5"/></components></object>'
    )
    build = '<item objectid="2" transform="1 0 0 0 1 0 0 0 1 7 0 0"/>'
    made = mesh_of(threemf_file(model(build=build, more=parts)), "a.3mf")
    assert made.volume_um3 == pytest.approx(2 * VOLUME_UM3, rel=1e-6)
    assert made.bounds_um == pytest.approx(np.array([[6600, 0, 5000], [7000, 300, 5400]]), abs=1e-2)


@needs_lib3mf
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a 3MF container"),
        (b"PK\x03\x04 nothing", "not a 3MF container"),
        (threemf_file("<model/>"), "lib3mf cannot read it|nothing with triangles"),
        (threemf_file(model(build="")), "nothing with triangles is built"),
        (threemf_file(model(head='<!DOCTYPE m [<!ENTITY a "aaaa">]>')), "declares XML entities"),
        (threemf_file(model(head="<!DOCTYPE m []>").encode("utf-16").decode("latin-1")), "cannot|declares"),
        (threemf_file(model(unit="furlong")), "Invalid Model Unit"),
        (threemf_file(model(more='<object id="2" type="model"><components>' + '<component objectid="1"/>' * 300
                            + "</components></object>", build='<item objectid="2"/>')), "more than 200"),
    ],
)  # fmt: skip
def test_a_3mf_that_cannot_be_used_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(DataRefused, match=says):
        mesh_of(data, "a.3mf")


@needs_lib3mf
def test_a_3mf_bomb_is_refused_by_what_it_unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = threemf_file(None, filler=bytes(3_000_000))
    assert len(bomb) < 10_000
    monkeypatch.setattr(threemf, "MOST_UNPACKED", 2_000_000)
    with pytest.raises(DataRefused, match="more than 2000000 bytes unpacked"):
        mesh_of(bomb, "a.3mf")
    at = bomb.rfind(b"PK\x01\x02")  # the directory's last entry: lie about the size
    lying = bomb[: at + 24] + (100).to_bytes(4, "little") + bomb[at + 28 :]
    with pytest.raises(DataRefused):
        mesh_of(lying, "a.3mf")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.stl", stl()[:-1], "or cut off: 283 bytes, its header says 4 triangles, 284 bytes"),
        ("a.stl", b"", "no header"),
        ("a.stl", stl_text()[:-20], "no endsolid"),
        ("a.stl", stl_text().replace(b"0.2", b"0.2x", 1), "cannot be read"),
        ("a.stl", stl(np.where(POINTS == 0.2, np.nan, POINTS)), "not finite"),
        ("a.stl", stl(faces=FACES[:, ::-1]), "inverted"),
        ("a.stl", stl(faces=FACES[[0, 1, 2, 2]]), "watertight|disagree"),
        ("a.stl", stl(POINTS * 1e9), "check its unit"),
        ("a.ply", b"ply", "give .stl or .3mf"),
    ],
)
def test_an_stl_that_cannot_be_used_is_refused(name: str, data: bytes, says: str) -> None:
    with pytest.raises(DataRefused, match=says):
        mesh_of(data, name, "mm")


def test_files_over_the_limits_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataRefused, match="cannot be read"):
        from_mesh(tmp_path / "none.stl", "mm")
    (tmp_path / "a.stl").write_bytes(stl())
    with pytest.raises(DataRefused, match="more than 100 bytes"):
        meshfile.file_bytes(tmp_path / "a.stl", 100)
    monkeypatch.setattr(stlfile, "MOST_TRIANGLES", 3)
    for make in (stl, stl_text):
        with pytest.raises(DataRefused, match="4 triangles; 3 are the most"):
            mesh_of(make(), "a.stl", "mm")


KINDS = [("a.stl", stl()), ("a.stl", stl_text()), ("a.3mf", threemf_file())]


@pytest.mark.parametrize("which", [0, 1, pytest.param(2, marks=needs_lib3mf)])
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_damaged_files_are_refused_or_still_a_body(which: int, data: st.DataObject) -> None:
    name, content = KINDS[which]
    whole = bytearray(content)
    if data.draw(st.booleans(), "cut"):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1), "at")]
    else:
        for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=3), "places"):
            whole[at] = data.draw(st.integers(0, 255), "byte")
    try:
        made = mesh_of(bytes(whole), name, "mm" if which < 2 else None)
    except DataRefused:
        return
    assert made.volume_um3 > 0


# ------------------------------------------------------------------------------------------------------- tables


def designed(text: str, folder: Path) -> Domain:
    whole = tomllib.loads(text)
    return domain_of(whole["domain"], folder, tuple(whole.get("obstacle", ())))


def test_a_table_with_obstacles(tmp_path: Path) -> None:
    (tmp_path / "wedge.stl").write_bytes(stl())
    made = designed(
        """
        [domain]
        kind = "box"
        size_um = [1000, 1000, 1000]
        [[obstacle]]
        kind = "sphere"
        radius_um = 100
        center_um = [-300, -300, -300]
        [[obstacle]]
        kind = "mesh"
        file = "wedge.stl"
        unit = "mm"
        """,
        tmp_path,
    )
    assert made.volume_um3 == pytest.approx(1e9 - 4 / 3 * math.pi * 1e6 - VOLUME_UM3, rel=2e-4)
    same = domain_of(
        {"kind": "sphere", "radius_um": 9.0, "obstacle": [{"kind": "box", "size_um": [2, 2, 2]}]}, tmp_path
    )
    assert same.volume_um3 == pytest.approx(4 / 3 * math.pi * 729 - 8, rel=2e-4)


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({}, "kind"),
        ({"kind": "cube"}, "cube"),
        ({"kind": "sphere"}, "radius_um"),
        ({"kind": "sphere", "radius_um": 5, "colour": "red"}, "colour"),
        ({"kind": "sphere", "radius_um": -5}, r"\[domain\]: domain: radius_um is -5"),
        ({"kind": "box", "size_um": [1, 2]}, "length"),
        ({"kind": "sphere", "radius_um": 5, "obstacle": {"kind": "box"}}, "double brackets"),
        ({"kind": "sphere", "radius_um": 5, "obstacle": [{"kind": "box"}]}, r"\[\[obstacle\]\] 1"),
        ({"kind": "labels", "file": "x.npz"}, "label"),
    ],
)
def test_a_table_that_cannot_be_is_refused(given_: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        domain_of(given_, tmp_path)


def test_every_kind_and_key_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    tables = [getattr(shapes, name) for name in shapes.__all__ if name != "Shape"] + [
        table.MeshTable,
        table.LabelsTable,
    ]
    for kind in tables:
        info = msgspec.inspect.type_info(kind)
        assert isinstance(info, msgspec.inspect.StructType)
        row = next((line for line in page.splitlines() if line.startswith(f'| `"{info.tag}"`')), None)
        assert row is not None, info.tag
        for field in info.fields:
            assert re.search(rf"`{field.encode_name}`", row), (info.tag, field.encode_name)


def test_the_page_names_every_limit() -> None:
    page = PAGE.read_text(encoding="utf-8").replace(",", "")
    from poliqi.lab.print.domain import domain, labelbody, labelvolume, meshform

    for limit in (
        meshform.MOST_TRIANGLES, labelbody.MOST_VOXELS, labelbody.MOST_RECTANGLES, labelvolume.MOST_FILE_VOXELS,
        meshfile.MOST_BYTES, threemf.MOST_UNPACKED, domain.MOST_PARTS,
    ):  # fmt: skip
        assert re.search(rf"(?<!\d){limit}(?!\d)", page), limit
