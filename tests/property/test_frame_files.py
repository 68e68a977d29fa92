"""Files of frames and geometry with any byte wrong: refused with a reason, or read as frames of the right form."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

import fabio.cbfimage
import fabio.edfimage
import fabio.tifimage
import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xray_frames import geometry

from poliqi.base.errors import PoliqiError
from poliqi.lab.xray.frames import MOST_A_SIDE, open_frames
from poliqi.lab.xray.geometry import Geometry, parse_poni

FRAME = np.random.default_rng(1).poisson(3, (20, 24)).astype(np.int32)


@cache
def content(kind: str) -> bytes:
    """A small file of one frame."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind}"
        match kind:
            case "npy":
                held = io.BytesIO()
                np.save(held, FRAME)
                return held.getvalue()
            case "cbf":
                fabio.cbfimage.cbfimage(data=FRAME).write(str(path))
            case "edf":
                fabio.edfimage.edfimage(data=FRAME).write(str(path))
            case "tif":
                fabio.tifimage.tifimage(data=FRAME).write(str(path))
            case _:
                with h5py.File(path, "w") as file:
                    file.create_dataset("data", data=FRAME[None], chunks=(1, 20, 24), **hdf5plugin.Bitshuffle())
        return path.read_bytes()


def is_frame_or_refused(kind: str, changed: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind}"
        path.write_bytes(changed)
        try:
            with open_frames(path) as source:
                frame = source.frame(0)
                assert frame.shape == source.shape
                assert max(frame.shape) <= MOST_A_SIDE
                assert frame.dtype == source.dtype
        except PoliqiError as error:
            assert str(error)


@pytest.mark.filterwarnings("ignore")  # what fabio and PIL say of broken files
@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["npy", "cbf", "edf", "tif"]), st.data())
def test_a_changed_byte(kind: str, data: st.DataObject) -> None:
    changed = bytearray(content(kind))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, min(len(changed), 2000) - 1))] = data.draw(st.integers(0, 255))
    is_frame_or_refused(kind, bytes(changed))


@pytest.mark.filterwarnings("ignore")  # what fabio and PIL say of broken files
@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["npy", "cbf", "edf", "tif", "h5"]), st.floats(0, 1))
def test_a_file_cut_short(kind: str, share: float) -> None:
    whole = content(kind)
    is_frame_or_refused(kind, whole[: int(share * len(whole))])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000))
def test_geometry_survives_its_text(seed: int) -> None:
    place = geometry(seed)
    assert parse_poni(place.poni_text("a comment: with a colon")) == place


KEYS = ["Distance", "Poni1", "Poni2", "Rot1", "Detector", "Detector_config", "Wavelength", "poni_version"]
VALUES = (
    st.text(max_size=40) | st.floats().map(str) | st.sampled_from(["{}", "null", '{"pixel1": 1e999}', "Detector"])
)
LINES = st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=12).map(
    lambda lines: "\n".join(f"{key}: {value}" for key, value in lines)
)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300) | LINES)
def test_any_text_is_a_geometry_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_poni(text), Geometry)
    except PoliqiError as error:
        assert str(error)
