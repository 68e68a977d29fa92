"""Label volumes as domains: the voxels' union, exactly; every format; real anatomy."""

from __future__ import annotations

import gzip
import importlib.util
import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.domain import labelbody, labelfile, labelvolume
from poliqi.lab.print.domain.domain import Domain, box, domain_from
from poliqi.lab.print.domain.field import clearances
from poliqi.lab.print.domain.labelbody import label_body
from poliqi.lab.print.domain.labelfile import from_labels, labels_of

has_print = importlib.util.find_spec("pyvista") is not None and importlib.util.find_spec("manifold3d") is not None
needs_print = pytest.mark.skipif(not has_print, reason='needs pip install "poliqi[print]"')
Triple = tuple[float, float, float]


def blob(seed: int, shape: tuple[int, int, int] = (9, 7, 8)) -> NDArray[np.bool_]:
    found = np.random.default_rng(seed).random(shape) < 0.4
    found[4, 3, 3] = True
    return found


def body(solid: NDArray[np.bool_], voxel: Triple = (2.0, 3.0, 5.0), origin: Triple = (-9.0, 4.0, 1.0)) -> Domain:
    return Domain((label_body(solid, voxel, origin),))


def distance(p: NDArray[np.float64], solid: NDArray[np.bool_], voxel: Triple, origin: Triple) -> float:
    """Signed distance by looking at every voxel of the other kind, and one ring of voxels around."""
    padded = np.pad(solid, 1)
    at = np.floor((p - origin) / voxel).astype(int) + 1
    within = bool(np.all((at >= 0) & (at < padded.shape))) and bool(padded[tuple(at)])
    low = np.array(origin) + (np.argwhere(padded != within) - 1) * np.array(voxel)
    if within:
        gap = np.maximum(np.maximum(low - p, p - low - np.array(voxel)), 0)
        return float(np.sqrt((gap**2).sum(axis=1).min()))
    inside = np.array(origin) + np.argwhere(solid) * np.array(voxel)
    gap = np.maximum(np.maximum(inside - p, p - inside - np.array(voxel)), 0)
    return -float(np.sqrt((gap**2).sum(axis=1).min()))


@pytest.mark.parametrize("seed", range(4))
def test_clearance_is_the_distance_to_the_nearest_voxel_of_the_other_kind(seed: int) -> None:
    solid, voxel, origin = blob(seed), (2.0, 3.0, 5.0), (-9.0, 4.0, 1.0)
    made = body(solid)
    low, high = made.bounds_um
    p = np.random.default_rng(seed).uniform(low - 8, high + 8, (400, 3))
    expected = [distance(one, solid, voxel, origin) for one in p]
    assert made.clearance_um(p) == pytest.approx(expected, abs=1e-9)
    found = np.empty(len(p))
    clearances(made.field, p, found)
    inside = np.array(expected) > 0
    assert bool(np.all(found[inside] <= np.array(expected)[inside] + 1e-9))
    assert bool(np.all((found > 0) == inside))


@given(st.integers(0, 1000), st.sampled_from([(3, 4, 5), (1, 1, 1), (1, 9, 2), (6, 6, 1)]))
@settings(max_examples=60, deadline=None)
def test_spans_fill_the_volume_exactly(seed: int, shape: tuple[int, int, int]) -> None:
    """Four lines through each voxel, none of them between two: the sum is exact at this pitch, not in the limit."""
    solid = np.random.default_rng(seed).random(shape) < 0.6
    solid.flat[0] = True
    made = body(solid)
    expected = solid.sum() * 30.0
    assert made.volume_um3 == pytest.approx(expected, rel=1e-12)
    voxel, origin = np.array([2.0, 3.0, 5.0]), np.array([-9.0, 4.0, 1.0])
    for axis in range(3):
        first, second = [k for k in range(3) if k != axis]
        u, v = (origin[k] + (np.arange(-2, 2 * shape[k] + 2) + 0.5) * voxel[k] / 2 for k in (first, second))
        spans = made.spans(axis, np.repeat(u, v.size), np.tile(v, u.size))
        assert spans.length_um * voxel[first] * voxel[second] / 4 == pytest.approx(expected, rel=1e-12)
        assert bool(np.all(spans.start_um < spans.end_um))


def test_one_voxel_is_a_box() -> None:
    made, formula = body(np.ones((1, 1, 1), bool), (10, 20, 30), (0, 0, 0)), box((10, 20, 30), (5, 10, 15))
    p = np.random.default_rng(1).uniform(-10, 40, (500, 3))
    assert made.clearance_um(p) == pytest.approx(formula.clearance_um(p), abs=1e-12)
    assert made.bounds_um == pytest.approx(formula.bounds_um)


@needs_print
def test_the_solid_of_voxels_that_touch_at_edges_and_corners() -> None:
    solid = np.zeros((2, 2, 3), bool)
    solid[0, 0, 0] = solid[1, 1, 0] = solid[0, 0, 1] = solid[1, 0, 2] = True
    made = body(solid)
    assert made.manifold().volume() == pytest.approx(4 * 30, rel=1e-12)


@needs_print
@pytest.mark.parametrize("seed", range(8))
def test_the_solid_of_random_voxels(seed: int) -> None:
    solid = np.random.default_rng(seed).random((5, 5, 5)) < 0.5
    assert body(solid).manifold().volume() == pytest.approx(30 * solid.sum(), rel=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_a_record_makes_the_same_voxels(seed: int) -> None:
    made = body(blob(seed))
    again = domain_from(made.record)
    assert again.record == made.record
    p = np.random.default_rng(seed).uniform(-10, 40, (200, 3))
    assert bool(np.all(again.clearance_um(p) == made.clearance_um(p)))


@pytest.mark.parametrize(
    "change",
    [{"origin_um": (math.inf, 0, 0)}, {"shape": (9, 7, 9)},
     {"shape": (10**6, 10**6, 10**6)}, {"shape": (-1, -1, 1)}, {"bits_zlib": "!"},
     {"bits_zlib": "AAAA"}, {"voxel_um": (0, 1, 1)}, {"voxel_um": (math.nan, 1, 1)}],
)  # fmt: skip
def test_a_spoilt_record_is_refused(change: dict[str, Any]) -> None:
    record = body(blob(1)).record
    record["bodies"][0].update(change)
    with pytest.raises(DataRefused):
        domain_from(record)


def test_a_packed_bomb_in_a_record_is_not_unpacked() -> None:
    import base64

    record = body(blob(1)).record
    record["bodies"][0]["bits_zlib"] = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    with pytest.raises(DataRefused, match="unpack to other than"):
        domain_from(record)


# ------------------------------------------------------------------------------------------------------ formats

LABELS = np.zeros((5, 4, 3), dtype=np.uint8)
LABELS[1:4, 1:3, 1] = 7
LABELS[0, 0, 0] = 3
SEVEN_UM3 = 6 * 1000.0 * 2000 * 3000  # spacing 1, 2, 3 mm


def npz(**more: Any) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **{"labels": LABELS, "spacing": np.array([1.0, 2, 3]), "unit": "mm", **more})
    return out.getvalue()


def nrrd(packing: str = "gzip", kind: str = "uint8", **more: str) -> bytes:
    raw = LABELS.transpose(2, 1, 0).astype({"uint8": "u1", "short": "<i2"}[kind]).tobytes()
    facts = {
        "type": kind, "dimension": "3", "sizes": "5 4 3", "endian": "little", "encoding": packing,
        "space directions": "(1,0,0) (0,2,0) (0,0,3)", "space units": '"mm" "mm" "mm"', **more,
    }  # fmt: skip
    head = "NRRD0005\n# comment\n" + "".join(f"{key}: {value}\n" for key, value in facts.items())
    names = "Segment0_Name:=heart\nSegment0_LabelValue:=7\n\n"
    return (head + names).encode() + (gzip.compress(raw) if packing == "gzip" else raw)


def mha(packed: bool = True, **more: str) -> bytes:
    raw = LABELS.transpose(2, 1, 0).tobytes()
    facts = {
        "ObjectType": "Image", "NDims": "3", "DimSize": "5 4 3", "ElementSpacing": "1 2 3",
        "ElementType": "MET_UCHAR", "CompressedData": str(packed), **more, "ElementDataFile": "LOCAL",
    }  # fmt: skip
    return "".join(f"{k} = {v}\n" for k, v in facts.items()).encode() + (zlib.compress(raw) if packed else raw)


def nii(packed: bool = False, order: str = "<") -> bytes:
    head = bytearray(352)
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, 3, 5, 4, 3, 1, 1, 1, 1)
    struct.pack_into(f"{order}h", head, 70, 4)
    struct.pack_into(f"{order}8f", head, 76, 1, 1, 2, 3, 0, 0, 0, 0)
    struct.pack_into(f"{order}f", head, 108, 352)
    head[123] = 2
    head[344:348] = b"n+1\0"
    data = bytes(head) + LABELS.transpose(2, 1, 0).astype(f"{order}i2").tobytes()
    return gzip.compress(data) if packed else data


def tif() -> bytes:
    from PIL import Image

    pages = [Image.fromarray(np.ascontiguousarray(LABELS[:, :, k].T)) for k in range(3)]
    out = io.BytesIO()
    pages[0].save(out, format="TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    return out.getvalue()


def vti_ascii() -> bytes:
    numbers = " ".join(str(number) for number in LABELS.transpose(2, 1, 0).ravel())
    return (
        '<?xml version="1.0"?><VTKFile type="ImageData"><ImageData WholeExtent="0 5 0 4 0 3" Spacing="1 2 3">'
        '<Piece Extent="0 5 0 4 0 3"><CellData><DataArray type="UInt8" Name="l" format="ascii">'
        f"{numbers}</DataArray></CellData></Piece></ImageData></VTKFile>"
    ).encode()


FILES: dict[str, tuple[str, Any]] = {
    "npz": ("a.npz", npz),
    "nrrd": ("a.nrrd", nrrd),
    "nrrd raw": ("a.nrrd", lambda: nrrd("raw", "short")),
    "mha": ("a.mha", mha),
    "mha raw": ("a.mha", lambda: mha(False)),
    "nii": ("a.nii", nii),
    "nii.gz": ("a.nii.gz", lambda: nii(True)),
    "nii big-endian": ("a.nii", lambda: nii(order=">")),
    "tif": ("a.tif", tif),
    "vti": ("a.vti", vti_ascii),
}


def read(name: str, data: bytes, label: int | str = 7, **more: Any) -> Domain:
    size: dict[str, Any] = {"voxel_um": (1000.0, 2000.0, 3000.0)}
    return labels_of(data, name, label, **{**size, **more})


@pytest.mark.parametrize("kind", FILES)
def test_every_format_gives_the_same_body(kind: str) -> None:
    name, make = FILES[kind]
    carries_unit = kind.startswith(("npz", "nrrd", "nii"))
    made = labels_of(make(), name, 7) if carries_unit else read(name, make())
    assert made.volume_um3 == pytest.approx(SEVEN_UM3)
    assert made.bounds_um == pytest.approx(np.array([[-1500, -2000, -1500], [1500, 2000, 1500]]))
    assert labels_of(make(), name, 7, voxel_um=(2, 2, 2), scale=0.5, center_um=(9, 9, 9)).bounds_um[0].tolist() == [
        7.5, 8, 8.5,
    ]  # fmt: skip


@needs_print
@pytest.mark.parametrize("how", ["ascii", "base64", "appended", "raw", "big blocks"])
def test_vti_as_vtk_writes_it(tmp_path: Path, how: str) -> None:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    labels = np.zeros((60, 50, 40), np.uint8)
    labels[10:20, 5:25, 3:9] = 7
    image = vtk.vtkImageData()
    image.SetDimensions(60, 50, 40)
    image.SetSpacing(1, 2, 3)
    image.GetPointData().SetScalars(numpy_to_vtk(labels.ravel(order="F"), deep=True))
    writer = vtk.vtkXMLImageDataWriter()
    writer.SetFileName(str(tmp_path / "a.vti"))
    writer.SetInputData(image)
    if how == "ascii":
        writer.SetDataModeToAscii()
    elif how == "base64":
        writer.SetDataModeToBinary()
    else:
        writer.SetDataModeToAppended()
        writer.SetEncodeAppendedData(how != "raw")
        if how == "raw":
            writer.SetCompressorTypeToNone()
        if how == "big blocks":
            writer.SetHeaderTypeToUInt64()
            writer.SetBlockSize(4096)
    writer.Write()
    made = from_labels(tmp_path / "a.vti", 7, unit="um")
    assert made.volume_um3 == pytest.approx(10 * 20 * 6 * 6)
    assert (made.bounds_um[1] - made.bounds_um[0]).tolist() == [10, 40, 18]


def test_a_label_may_be_named() -> None:
    assert labels_of(nrrd(), "a.nrrd", "heart").volume_um3 == pytest.approx(SEVEN_UM3)
    named = npz(names=np.array(["", "", "", "ear", "", "", "", "heart"]))
    assert labels_of(named, "a.npz", "ear").volume_um3 == pytest.approx(SEVEN_UM3 / 6)
    with pytest.raises(DataRefused, match="'lung' is not named in it; names are heart"):
        labels_of(nrrd(), "a.nrrd", "lung")


def test_separate_bodies_need_a_choice() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:3, 1:3, 1:3] = labels[5:8, 5:8, 5:8] = 1
    data = npz(labels=labels)
    with pytest.raises(DataRefused, match=r"2 separate bodies \(1: 27 voxels, 2: 8 voxels\)"):
        read("a.npz", data, 1)
    assert [read("a.npz", data, 1, body=b).volume_um3 / 6e9 for b in ("largest", 2, "all")] == pytest.approx(
        [27, 8, 35]
    )
    with pytest.raises(DataRefused, match="body = 3"):
        read("a.npz", data, 1, body=3)


@pytest.mark.parametrize(
    ("name", "data", "more", "says"),
    [
        ("a.npz", npz(), {"label": 9}, "no voxel has the label 9; there are 0, 3, 7"),
        ("a.mha", mha(), {"voxel_um": None}, "carries no unit"),
        ("a.tif", tif(), {"voxel_um": None, "unit": "mm"}, "carries no spacing"),
        ("a.png", b"", {}, "cannot be read; give one of"),
        ("a.npz", npz(labels=LABELS + 0.5), {}, "not whole numbers"),
        ("a.npz", npz(labels=LABELS[0]), {}, "its shape is"),
        ("a.npz", npz(labels=np.array([object()])), {}, "a.npz"),
        ("a.npz", npz(), {"voxel_um": (0, 1, 1)}, "check the unit"),
        ("a.npz", npz(), {"scale": 1e8}, "check the unit"),
        ("a.nrrd", nrrd(**{"space directions": "(1,1,0) (0,2,0) (0,0,3)"}), {}, "axes are turned"),
        ("a.nrrd", nrrd(sizes="99999 99999 9"), {}, "at most 256000000 voxels"),
        ("a.nrrd", nrrd(encoding="bzip2"), {}, "encoding 'bzip2'"),
        ("a.mha", mha(TransformMatrix="0 1 0 1 0 0 0 0 1"), {}, "turned"),
        ("a.mha", mha(DimSize="5 4 4"), {}, "unpack to other than 80 bytes"),
        ("a.vti", b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + vti_ascii(), {}, "declares XML entities"),
        ("a.vti", vti_ascii().replace(b"0 5 0 4", b"0 5000 0 9000"), {}, "cut off|voxels can be read"),
    ],
)
def test_a_volume_that_cannot_be_used_is_refused(name: str, data: bytes, more: dict[str, Any], says: str) -> None:
    with pytest.raises(DataRefused, match=says):
        read(name, data, **more)


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ConfigError, match="both given"):
        read("a.npz", npz(), unit="mm")
    with pytest.raises(ConfigError, match="unit 'furlong' is not known"):
        read("a.npz", npz(), unit="furlong", voxel_um=None)
    with pytest.raises(ConfigError, match="scale nan"):
        read("a.npz", npz(), scale=math.nan)


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_files_are_refused_or_still_a_body(kind: str, data: st.DataObject) -> None:
    name, make = FILES[kind]
    whole = bytearray(make())
    if data.draw(st.booleans(), "cut"):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1), "at")]
    else:
        for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=3), "places"):
            whole[at] = data.draw(st.integers(0, 255), "byte")
    try:
        made = read(name, bytes(whole))
    except DataRefused:
        return
    assert made.volume_um3 > 0


def test_sizes_are_limited_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelvolume, "MOST_FILE_VOXELS", 59)
    for kind in ("npz", "nrrd", "mha", "nii", "nii.gz", "tif", "vti"):
        name, make = FILES[kind]
        with pytest.raises(DataRefused, match="at most 59 voxels"):
            read(name, make())
    monkeypatch.undo()
    monkeypatch.setattr(labelfile, "MOST_VOXELS", 5)
    with pytest.raises(DataRefused, match="5 are the most"):
        read("a.npz", npz())
    monkeypatch.undo()
    monkeypatch.setattr(labelbody, "MOST_RECTANGLES", 5)
    with pytest.raises(DataRefused, match="more than 5 pieces"):
        read("a.npz", npz())


@needs_print
def test_an_organ_of_a_frog() -> None:
    """Label 10 of the 500 x 470 x 136 volume that comes with pyvista, about one millimetre of it."""
    import pyvista

    path = Path(pyvista.__file__).parent / "examples" / "frog_tissues.vti"
    if not path.exists():
        pytest.skip("this pyvista comes without the frog")
    made = from_labels(path, 10, voxel_um=(7.0, 7.0, 10.5), body="largest")
    assert made.volume_um3 == pytest.approx(204_636 * 7 * 7 * 10.5)  # scipy.ndimage.label's largest
    assert 800 < float((made.bounds_um[1] - made.bounds_um[0]).max()) < 1100
    assert made.manifold().volume() == pytest.approx(made.volume_um3, rel=1e-12)
    p = np.random.default_rng(2).uniform(*made.bounds_um, (100_000, 3))
    inside = made.clearance_um(p) > 0
    share = made.volume_um3 / float(np.prod(made.bounds_um[1] - made.bounds_um[0]))
    assert abs(inside.mean() - share) < 4 * math.sqrt(share * (1 - share) / len(p))
