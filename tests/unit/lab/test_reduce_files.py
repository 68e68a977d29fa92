"""Frames out of files of every kind, as they were written; masks; what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import fabio.cbfimage
import fabio.edfimage
import fabio.tifimage
import h5py
import numpy as np
import pytest
from xray_frames import SHAPE, counts, mask, straight, write_eiger

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray import h5frames
from poliqi.lab.xray.frames import FrameSource, open_frames
from poliqi.lab.xray.geometry import Geometry, save_geometry
from poliqi.lab.xray.masks import load_mask, union_of_masks
from poliqi.lab.xray.prepare import Asked, prepare
from poliqi.lab.xray.reduction import Settings

CBF_HEAD = b"###CBF\n--CIF-BINARY-FORMAT-SECTION--\n"
FRAMES = [counts(5, seed) for seed in range(5)]


def read(path: Path, **more: Any) -> list[Any]:
    with open_frames(path, **more) as source:
        return [source.frame(k) for k in range(len(source))]


def same(found: list[Any], wanted: list[Any]) -> bool:
    return len(found) == len(wanted) and all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_eiger_master_with_its_data_files(tmp_path: Path) -> None:
    path = write_eiger(tmp_path, FRAMES, pixel_mask=mask(1))
    assert same(read(path), FRAMES)
    with open_frames(path) as source:
        assert source.dtype == np.uint32
        assert source.overflow == 2**32 - 1
        assert source.mask is not None
        assert np.array_equal(source.mask, mask(1))
        told = source.metadata
    assert (told.wavelength_m, told.exposure_s, told.announced_frames) == (pytest.approx(1e-10), 0.5, 5)


def test_overflow_is_what_the_detector_says(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"] = np.stack(FRAMES)
        file["entry/instrument/detector/bit_depth_image"] = 16
        file["entry/instrument/detector/saturation_value"] = 60_000
    with open_frames(tmp_path / "a.h5") as source:
        assert source.overflow == 60_001


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.int32, ">i4", np.int64, np.uint64, np.float32])
def test_types_and_byte_orders(tmp_path: Path, dtype: Any) -> None:
    np.save(tmp_path / "a.npy", np.stack(FRAMES).astype(dtype))
    found = read(tmp_path / "a.npy")
    assert same(found, FRAMES)
    assert found[0].dtype.newbyteorder("=") == found[0].dtype
    assert found[0].flags.c_contiguous


def test_tiff_and_edf(tmp_path: Path) -> None:
    fabio.tifimage.tifimage(data=FRAMES[0]).write(str(tmp_path / "a.tif"))
    fabio.edfimage.edfimage(data=FRAMES[1]).write(str(tmp_path / "a.edf"))
    assert same(read(tmp_path / "a.tif"), [FRAMES[0]])
    assert same(read(tmp_path / "a.edf"), [FRAMES[1]])


def test_cbf_of_a_pilatus_knows_its_marks_and_cutoff(tmp_path: Path) -> None:
    frame = FRAMES[0].astype(np.int32)
    frame[:, 80:84] = -1
    words = "# Exposure_time 0.25 s\r\n# Count_cutoff 1048574 counts\r\n# Wavelength 0.9 A\r\n"
    image = fabio.cbfimage.cbfimage(data=frame)
    image.header["_array_data.header_contents"] = words
    image.write(str(tmp_path / "a.cbf"))
    assert same(read(tmp_path / "a.cbf"), [frame])
    with open_frames(tmp_path / "a.cbf") as source:
        assert (source.overflow, source.negative_marks) == (1_048_575, True)
        assert source.metadata.exposure_s == 0.25
        assert source.metadata.wavelength_m == pytest.approx(0.9e-10)


def test_several_stacks_are_told_apart_by_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one/data"] = FRAMES[0]
        file["two/data"] = np.stack(FRAMES)
    with pytest.raises(ConfigError, match="--dataset one of: /one/data, /two/data"):
        open_frames(tmp_path / "a.h5")
    assert same(read(tmp_path / "a.h5", dataset="two/data"), FRAMES)
    with pytest.raises(DataRefused, match="no dataset 'three'"):
        open_frames(tmp_path / "a.h5", "three")


def test_the_signal_of_an_nxdata_comes_first(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/other/data"] = FRAMES[0]
        file["entry/measured/counts"] = np.stack(FRAMES).reshape(5, 1, *SHAPE)
        file["entry/measured"].attrs["signal"] = "counts"
    assert same(read(tmp_path / "a.nxs"), FRAMES)


def test_virtual_datasets_are_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["data"] = np.stack(FRAMES)
    layout = h5py.VirtualLayout((5, *SHAPE), np.uint32)
    layout[:] = h5py.VirtualSource("part.h5", "data", (5, *SHAPE))
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file.create_virtual_dataset("entry/data", layout)
    assert same(read(tmp_path / "whole.h5"), FRAMES)


@pytest.mark.parametrize("name", ["../secret.h5", "/etc/hosts", "sub/../../secret.h5"])
@pytest.mark.parametrize("way", ["link", "virtual"])
def test_files_outside_of_the_folder_are_not_opened(tmp_path: Path, name: str, way: str) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"] = np.stack(FRAMES)
    folder = tmp_path / "in"
    folder.mkdir()
    with h5py.File(folder / "a.h5", "w") as file:
        if way == "link":
            file["data_000001"] = h5py.ExternalLink(name, "data")
        else:
            layout = h5py.VirtualLayout((5, *SHAPE), np.uint32)
            layout[:] = h5py.VirtualSource(name, "data", (5, *SHAPE))
            file.create_virtual_dataset("data", layout)
    with pytest.raises(DataRefused, match="outside of its folder"):
        open_frames(folder / "a.h5")


def test_raw_external_storage_is_not_opened(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", SHAPE, np.uint8, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(DataRefused, match="raw files"):
        open_frames(tmp_path / "a.h5")


def virtual(path: Path, source: str, name: str, dtype: Any = np.uint32) -> None:
    """A file whose /data is made of one dataset."""
    layout = h5py.VirtualLayout((1, *SHAPE), dtype)
    layout[:] = h5py.VirtualSource(source, name, (1, *SHAPE))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("data", layout)


@pytest.mark.parametrize("is_beside", [True, False])
def test_a_virtual_dataset_leads_to_no_raw_file(tmp_path: Path, is_beside: bool) -> None:
    (tmp_path / "secret.txt").write_bytes(b"secret " * 40_000)
    folder = tmp_path / "in"
    folder.mkdir()
    raw, size = str(tmp_path / "secret.txt"), SHAPE[0] * SHAPE[1]
    with h5py.File(folder / ("b.h5" if is_beside else "a.h5"), "w") as file:
        file.create_dataset("x", (1, *SHAPE), np.uint8, external=[(raw, 0, size)])
    virtual(folder / "a.h5", "b.h5" if is_beside else ".", "x", np.uint8)
    with pytest.raises(DataRefused, match="raw files"):
        open_frames(folder / "a.h5", "data")


@pytest.mark.parametrize("deep", [0, 1])
def test_a_virtual_dataset_leads_through_no_link_out_of_the_folder(tmp_path: Path, deep: int) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"] = FRAMES[0][None]
    folder = tmp_path / "in"
    folder.mkdir()
    with h5py.File(folder / "b.h5", "w") as file:
        file["x"] = h5py.ExternalLink("../secret.h5", "data")
    virtual(folder / "a0.h5", "b.h5", "x")
    virtual(folder / "a1.h5", "a0.h5", "data")
    with pytest.raises(DataRefused, match="outside of its folder"):
        open_frames(folder / f"a{deep}.h5")


def test_virtual_datasets_of_virtual_ones_are_read_where_they_end(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    with h5py.File(below / "c.h5", "w") as file:
        file["data"] = FRAMES[0][None]
    with h5py.File(below / "b.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("c.h5", "data")
    virtual(below / "b.h5", ".", "linked")
    virtual(tmp_path / "a.h5", "below/b.h5", "data")
    assert same(read(tmp_path / "a.h5"), [FRAMES[0]])
    virtual(tmp_path / "round.h5", ".", "data")
    with pytest.raises(DataRefused, match="more than 4 deep"):
        open_frames(tmp_path / "round.h5")


@pytest.mark.parametrize(("source", "words"), [("b%%.h5", "by a pattern"), ("elsewhere/b.h5", "not there")])
def test_what_hdf5_would_look_for_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    """A source that is missing beside the file is looked for in the working directory, too."""
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    with h5py.File(tmp_path / "elsewhere/b.h5", "w") as file:
        file["data"] = FRAMES[0][None]
    monkeypatch.chdir(tmp_path)
    virtual(folder / "a.h5", source, "data")
    with pytest.raises(DataRefused, match=words):
        open_frames(folder / "a.h5")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("g")
        group["again"] = group
        group["soft"] = h5py.SoftLink("/g/loop")
        group["loop"] = h5py.SoftLink("/g/soft")
        group["self"] = h5py.ExternalLink("a.h5", "/g")
        file["data"] = FRAMES[0]
    assert same(read(tmp_path / "a.h5"), [FRAMES[0]])


def test_a_chunk_that_unpacks_to_more_than_it_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h5frames, "_MOST_CHUNK_BYTES", 1 << 20)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("data", (1, 64, 64), np.uint8, chunks=(1, 64, 64), compression="gzip")
        bomb = zlib.compress(b"\0" * (8 << 20), 1)
        made.id.write_direct_chunk((0, 0, 0), bomb)
    with open_frames(tmp_path / "a.h5") as source, pytest.raises(DataRefused, match="unpacks to more"):
        source.frame(0)


def test_a_corrupt_chunk_is_refused(tmp_path: Path) -> None:
    path = write_eiger(tmp_path, FRAMES)
    data = tmp_path / "run_data_000001.h5"
    content = bytearray(data.read_bytes())
    content[-6000:-2000] = b"\xff" * 4000
    data.write_bytes(content)
    with pytest.raises(DataRefused, match=r"cannot be decoded|not an HDF5 file"), open_frames(path) as source:
        for index in range(len(source)):
            source.frame(index)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npy", b"", "no NumPy array"),
        ("a.npy", b"\x93NUMPY\x01\x00", "no NumPy array"),
        ("a.h5", b"not HDF5 at all", "not an HDF5 file"),
        ("a.tif", b"II*\0" + b"\0" * 100, "no image|cannot be decoded|is no frame"),
        (
            "a.cbf",
            CBF_HEAD
            + b"X-Binary-Size-Fastest-Dimension: 99999999\nX-Binary-Size-Second-Dimension: 1\n\x0c\x1a\x04\xd5",
            "99999999 pixels",
        ),
        ("a.cbf", CBF_HEAD + b"X-Binary-Size-Fastest-Dimension: 9\n", "no image of a CBF begins in it"),
        ("a.tif", CBF_HEAD + b"\x0c\x1a\x04\xd5", "no TIFF begins in it"),
        ("a.edf", b"{\nCompression = GZip;\nDim_1 = 5;\n}\n", "compressed EDF"),
    ],
)
def test_refuses_what_is_no_frame(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataRefused, match=words):
        open_frames(tmp_path / name)


def edf(words: str, held: int = 16) -> bytes:
    """A header that says what it likes, and so many bytes."""
    head = f"{{\nByteOrder = LowByteFirst ;\nDataType = UnsignedByte ;\n{words}\n"
    return head.ljust(510).encode() + b"}\n" + b"\0" * held


def tiff(rows: int, columns: int, *, compression: int = 1, following: int = 0, held: int = 16) -> bytes:
    """One picture of bytes, its directory last."""
    tags = [(256, columns), (257, rows), (258, 8), (259, compression), (262, 1), (273, 8), (277, 1), (278, rows)]
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in [*tags, (279, held)])
    directory = struct.pack("<H", len(tags) + 1) + entries + struct.pack("<L", following)
    return b"II*\0" + struct.pack("<L", 8 + held) + b"\0" * held + directory


def cbf(rows: int, columns: int, held: int = 16) -> bytes:
    head = (
        "###CBF\r\ndata_x\r\n_array_data.data\r\n;\r\n--CIF-BINARY-FORMAT-SECTION--\r\n"
        'conversions="x-CBF_BYTE_OFFSET"\r\nX-Binary-Element-Type: "signed 32-bit integer"\r\n'
        f"X-Binary-Size: {held}\r\nX-Binary-Size-Fastest-Dimension: {columns}\r\n"
        f"X-Binary-Size-Second-Dimension: {rows}\r\n\r\n"
    )
    return head.encode() + b"\x0c\x1a\x04\xd5" + b"\0" * held + b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.edf", edf("Dim_1 = 30000 ;\nDim_2 = 30000 ;\nSize = 900000000 ;"), "declares 900,000,000 bytes"),
        ("a.edf", edf("Dim_1 = 30000 ;\nDim_2 = 30000 ;\nSize = 16 ;"), "declares 900,000,000 bytes and has 16"),
        ("a.edf", edf("Dim_1 = 4 ;\nDim_2 = 4 ;\nDim_999999999 = 1 ;"), "dimensions"),
        ("a.edf", edf("Dim_1 = 99999 ;\nDim_2 = 1 ;"), "99999 pixels"),
        ("a.edf", edf("Dim_1 = 4 ;\nDim_2 = 4 ;\nSize = -511 ;"), "no number of bytes"),
        ("a.edf", edf("Dim_1 = 4 ;\nDim_2 = 4 ;\nEDF_BinaryFileName = b.edf ;"), "in another file"),
        ("a.tif", tiff(30_000, 30_000), "30000 x 30000 pixels of 8 bits cannot be in"),
        ("a.tif", tiff(30_000, 30_000, compression=5), "30000 x 30000 pixels of 8 bits cannot be in"),
        ("a.tif", tiff(4, 4, following=24), "in a circle"),
        ("a.cbf", cbf(30_000, 30_000), "30000 x 30000 pixels cannot be in"),
    ],
)
def test_refuses_what_declares_more_than_its_file_holds(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / "b.edf").write_bytes(b"secret")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataRefused, match=words):
        open_frames(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.edf", edf("Dim_1 = 4 ;\nDim_2 = 4 ;\nSize = 16 ;")), ("a.tif", tiff(4, 4)), ("a.cbf", cbf(4, 4))],
)
def test_what_the_file_holds_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    """The same files as above, with nothing wrong in them."""
    (tmp_path / name).write_bytes(content)
    assert same(read(tmp_path / name), [np.zeros((4, 4))])


def test_refuses_objects_that_would_have_to_be_run(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[print]], object), allow_pickle=True)
    with pytest.raises(DataRefused, match="no NumPy array"):
        open_frames(tmp_path / "a.npy")


def test_refuses_an_unknown_ending_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ConfigError, match="end in"):
        open_frames(tmp_path / "a.jpg")
    with pytest.raises(ConfigError, match="no file that can be read"):
        open_frames(tmp_path / "a.h5")


def test_refuses_counts_beyond_32_bits(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full(SHAPE, 2**33, np.int64))
    with open_frames(tmp_path / "a.npy") as source, pytest.raises(DataRefused, match="counts from"):
        source.frame(0)


def test_refuses_frames_of_absurd_size(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (1, 40_000, 40_000), np.uint32, chunks=(1, 64, 64))
    with pytest.raises(DataRefused, match="40000 x 40000"):
        open_frames(tmp_path / "a.h5")


# ---------------------------------------------------------------- masks and geometry


@pytest.mark.parametrize("kind", ["npy", "edf", "h5"])
def test_masks_of_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"mask.{kind}"
    if kind == "npy":
        np.save(path, mask(1))
    elif kind == "edf":
        fabio.edfimage.edfimage(data=mask(1).astype(np.uint8)).write(str(path))
    else:
        with h5py.File(path, "w") as file:
            file["entry/data/frame"] = FRAMES[0]
            file["entry/mask/mask"] = mask(1).astype(np.int8)
    assert np.array_equal(load_mask(path, SHAPE), mask(1))
    assert np.array_equal(load_mask(path, SHAPE, keeps=True), ~mask(1))


def test_refuses_a_mask_of_another_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((10, 10), np.bool_))
    with pytest.raises(DataRefused, match="10 x 10 pixels, the frames are 150 x 170"):
        load_mask(tmp_path / "m.npy", SHAPE)


def test_refuses_no_mask_unless_told() -> None:
    with pytest.raises(DataRefused, match="no mask"):
        union_of_masks([None, None], SHAPE)
    assert not union_of_masks([None], SHAPE, allow_none=True).any()
    assert np.array_equal(union_of_masks([None, mask(1), mask(2)], SHAPE), mask(1) | mask(2))


def asked(tmp_path: Path, place: Geometry, **more: Any) -> Asked:
    save_geometry(place, tmp_path / "setup.poni")
    return Asked(**({"geometry": tmp_path / "setup.poni", "settings": Settings(bins=9), "masks": ("none",)} | more))


def test_refuses_frames_of_another_detector(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FRAMES[0])
    with pytest.raises(DataRefused, match="150 x 170 pixels, but the geometry is of Eiger 4M"):
        prepare(asked(tmp_path, Geometry(1.0, 0.0, 0.0, 1e-10, detector="Eiger4M")), [tmp_path / "a.npy"])
    with pytest.raises(DataRefused, match="is for 9 x 9"):
        prepare(asked(tmp_path, straight((9, 9))), [tmp_path / "a.npy"])


def test_refuses_frames_taken_at_another_wavelength(tmp_path: Path) -> None:
    path = write_eiger(tmp_path, FRAMES, wavelength_a=1.2)
    with pytest.raises(DataRefused, match=r"taken at 1\.2 A, but the geometry is for 1 A"):
        prepare(asked(tmp_path, straight()), [path])
    recipe, _ = prepare(asked(tmp_path, straight(), wavelength_m=1.1e-10), [path])
    assert recipe.geometry.wavelength_m == 1.1e-10


def test_refuses_files_of_different_count_times(tmp_path: Path) -> None:
    paths = [write_eiger(tmp_path, FRAMES, f"run{t}", count_time=t) for t in (1.0, 2.0)]
    with pytest.raises(DataRefused, match=r"frames of 2\.0 s"):
        prepare(asked(tmp_path, straight()), paths)
    assert prepare(asked(tmp_path, straight(), exposure_s=3.0), paths)[0].exposure_s == 3.0


def test_the_dark_is_scaled_to_the_count_time(tmp_path: Path) -> None:
    path, dark = write_eiger(tmp_path, FRAMES), write_eiger(tmp_path, FRAMES, "dark", count_time=2.0)
    assert prepare(asked(tmp_path, straight(), dark=dark), [path])[0].dark_scale == 0.25
    np.save(tmp_path / "dark.npy", FRAMES[0])
    with pytest.raises(ConfigError, match="give both"):
        prepare(asked(tmp_path, straight(), dark=tmp_path / "dark.npy"), [path])


@pytest.mark.parametrize(
    "settings",
    [{"polarisation": 1.5}, {"dead_time_s": -1.0}, {"dead_time_s": float("nan")}, {"x_range": (2.0, 1.0)}],
)
def test_refuses_settings_that_nobody_means(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Settings(**settings)


def test_what_is_simulated_says_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = FRAMES[0]
        file.attrs["simulated"] = True
    source: FrameSource
    with open_frames(tmp_path / "a.h5") as source:
        assert source.metadata.simulated
