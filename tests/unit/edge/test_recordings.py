import json
import os
import re
import signal
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.base.ids import Origin
from poliqi.edge.recordings import open_recording, write_recording
from poliqi.link.device import Detections
from poliqi.link.recording import Light, LinkFigures

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "events"
CASE = json.loads((VECTORS / "binary.json").read_text())["cases"][0]
GOOD = bytes.fromhex(CASE["hex"])
LIGHT = Light(
    Origin.SIMULATED,
    2,
    1e9,
    LinkFigures(
        name="bench",
        intensities=(0.5, 0.1),
        probabilities=(0.7, 0.3),
        key_basis_alice=0.9,
        key_basis_bob=0.8,
        seed=7,
        eve=None,
    ),
)
CSV = b"qubit_id,tx_state,tx_basis,decoy_level,rx_state,rx_basis,matching_basis\n4,1,0,0,1,1,False\n"


def stretch(first_slot, pulses, slots, states, outcomes):
    detections = Detections(first_slot, pulses, np.array(slots, np.int64), np.array(outcomes, np.uint8))
    return detections, np.array(states, np.uint8)


WHOLE = [stretch(0, 1000, [3, 5, 6, 900, 999], [0, 1, 6, 7, 4], [0, 1, 2, 3, 1])]
CUT = [
    stretch(0, 4, [3], [0], [0]),
    stretch(4, 1, [], [], []),
    stretch(5, 895, [5, 6], [1, 6], [1, 2]),
    stretch(900, 100, [900, 999], [7, 4], [3, 1]),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made.poliqi-events"


def left_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("chunks", [WHOLE, CUT], ids=["in one stretch", "in four"])
def test_the_file_written_is_the_published_vector(path, chunks):
    header = write_recording(path, LIGHT, chunks)
    assert path.read_bytes() == GOOD
    assert (header.pulses, header.events) == (1000, 5)
    assert left_in(path.parent) == [path.name]


def test_a_binary_file_is_opened_in_place(path):
    path.write_bytes(GOOD)
    recording = open_recording(path)
    assert recording.light == LIGHT
    assert recording.slots.tolist() == [int(slot) for slot in CASE["slots"]]
    for column in (recording.slots, recording.states, recording.outcomes):
        assert not column.flags.owndata
        assert not column.flags.writeable


def test_an_open_recording_survives_the_file(path):
    path.write_bytes(GOOD)
    recording = open_recording(path)
    write_recording(path, LIGHT, [stretch(0, 9, [], [], [])], overwrite=True)
    path.unlink()
    assert recording.states.tolist() == CASE["states"]


def test_a_csv_is_told_apart_by_its_content(path):
    path.write_bytes(CSV)
    assert open_recording(path).slots.tolist() == [4]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (GOOD[:-1], "cut short"),
        (b"\x88" + GOOD[1:], "starts with"),
        (GOOD[:8], "cut short"),
        (b"\0" * 500, "starts with"),
        (b"hello\n", "columns"),
        (CSV + b"1\n", "line 3"),
    ],
    ids=["empty", "cut", "magic damaged", "magic alone", "zeros", "text", "csv"],
)
def test_content_that_cannot_be_used_is_refused_with_the_name_of_the_file(path, content, says):
    path.write_bytes(content)
    with pytest.raises(DataRefused, match=says) as refusal:
        open_recording(path)
    assert str(path) in str(refusal.value)


def test_a_file_that_is_not_there_is_named(path):
    with pytest.raises(ConfigError, match=r"made\.poliqi-events cannot be read: No such file"):
        open_recording(path)


def test_a_folder_and_a_device_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        open_recording(tmp_path)
    with pytest.raises(ConfigError, match="not a regular file"):
        open_recording(Path(os.devnull))


def test_a_recording_is_its_owners_alone(path):
    write_recording(path, LIGHT, WHOLE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_kept_unless_asked(path):
    path.write_bytes(b"precious")
    with pytest.raises(ConfigError, match="exists already"):
        write_recording(path, LIGHT, WHOLE)
    assert path.read_bytes() == b"precious"
    write_recording(path, LIGHT, WHOLE, overwrite=True)
    assert path.read_bytes() == GOOD


def test_a_file_that_appears_meanwhile_is_kept(path):
    def chunks():
        yield WHOLE[0]
        path.write_bytes(b"precious")

    with pytest.raises(ConfigError, match="exists already"):
        write_recording(path, LIGHT, chunks())
    assert path.read_bytes() == b"precious"
    assert left_in(path.parent) == [path.name]


def test_a_device_is_never_replaced(tmp_path):
    with pytest.raises(ConfigError, match="not a regular file"):
        write_recording(tmp_path, LIGHT, WHOLE, overwrite=True)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"its folder .*absent is not there"):
        write_recording(tmp_path / "absent" / "made", LIGHT, WHOLE)


def test_a_full_disk_is_said_and_leaves_nothing(path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write_recording(path, LIGHT, WHOLE)
    assert left_in(path.parent) == []


def test_stopping_halfway_leaves_nothing(path):
    def chunks():
        yield CUT[0]
        assert len(left_in(path.parent)) == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_recording(path, LIGHT, chunks())
    assert left_in(path.parent) == []


def test_a_killed_recorder_leaves_no_file_of_that_name(path):
    code = """
import os, signal, sys
from pathlib import Path
import numpy as np
from poliqi.base.ids import Origin
from poliqi.edge.recordings import write_recording
from poliqi.link.device import Detections
from poliqi.link.recording import Light

def chunks():
    slots = np.arange(1 << 18)
    yield Detections(0, 1 << 18, slots, np.zeros(slots.size, np.uint8)), np.zeros(slots.size, np.uint8)
    os.kill(os.getpid(), signal.SIGKILL)
    yield

write_recording(Path(sys.argv[1]), Light(Origin.PHOTONS, 1, None, None), chunks())
"""
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = left_in(path.parent)
    assert left.startswith(f".{path.name}.")
    assert left.endswith(".partial")
    write_recording(path, LIGHT, WHOLE)
    assert path.read_bytes() == GOOD


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        ([], "no pulses"),
        ([stretch(1, 9, [], [], [])], "starts at slot 1, must start at 0"),
        ([CUT[0], CUT[2]], "starts at slot 5, must start at 4"),
        ([CUT[0], CUT[0]], "starts at slot 0, must start at 4"),
        ([stretch(0, 9, [9], [0], [0])], "outside 0 to 8"),
        ([stretch(0, 9, [3, 3], [0, 0], [0, 0])], "increase"),
        ([stretch(0, 9, [3], [8], [0])], "byte 8"),
        ([stretch(0, 9, [3], [0], [4])], "byte 4"),
        ([stretch(0, 9, [3], [0, 0], [0])], "need 1 bytes"),
    ],
)
def test_stretches_that_contradict_are_refused(path, chunks, says):
    with pytest.raises(DataRefused, match=says):
        write_recording(path, LIGHT, chunks)
    assert left_in(path.parent) == []


def test_light_that_contradicts_is_refused_before_anything_is_recorded(path):
    def never():
        raise AssertionError("the light was looked at")
        yield

    with pytest.raises(DataRefused, match="levels is 0"):
        write_recording(path, Light(Origin.PHOTONS, 0, None, None), never())


def test_memory_stays_flat_however_long_the_recording(path):
    slots = np.arange(0, 1 << 20, 16)

    def chunks():
        for k in range(40):
            states = (slots % 8).astype(np.uint8)
            yield Detections(k << 20, 1 << 20, slots + (k << 20), (slots % 4).astype(np.uint8)), states

    tracemalloc.start()
    try:
        header = write_recording(path, LIGHT, chunks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert header.events == 40 * slots.size
    assert path.stat().st_size > 10 * header.events
    assert peak < 6e6  # of a file of 26 MB


def test_the_reference_page_reads_a_recording_with_numpy_alone(path, monkeypatch, capsys):
    page = Path(__file__).resolve().parents[3] / "docs" / "reference" / "recordings.md"
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if "memmap" in block
    ]
    path.with_name("events.poliqi-events").write_bytes(GOOD)
    monkeypatch.chdir(path.parent)
    found = {}
    exec(code, found)
    assert found["slots"].tolist() == [3, 5, 6, 900, 999]
    assert found["intensity"].tolist() == [0, 0, 1, 1, 1]
    assert found["pulses"] == 1000
    # both ends in the key basis: the first, the second and the last event; the bits of the last differ
    assert "QBER, key basis: 0.3333333333333333\n" in capsys.readouterr().out


def test_the_reference_page_reads_a_recording_with_the_library(path, monkeypatch):
    page = Path(__file__).resolve().parents[3] / "docs" / "reference" / "recordings.md"
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if "from poliqi" in block
    ]
    path.with_name("events.poliqi-events").write_bytes(GOOD)
    monkeypatch.chdir(path.parent)
    found = {}
    exec(code, found)
    assert found["recording"].light == LIGHT
