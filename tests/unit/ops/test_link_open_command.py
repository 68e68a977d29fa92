"""`poliqi link open` and `poliqi link tags`: from files to figures, a recording and a drawing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench import ptu_files
from poliqi.base.errors import ConfigError, DataRefused, PoliqiError
from poliqi.edge.recordings import open_recording
from poliqi.edge.timetags import open_tags, write_tags_text
from poliqi.ops.cli import cli
from poliqi.ops.config import load_link
from poliqi.ops.survey_report import remarks
from poliqi.ops.survey_text import survey_text
from poliqi.ops.tagging_text import parse_channels, tagging_from
from poliqi.optics.sampler import Sampler
from poliqi.optics.states import alice_states

PULSES = 600_000
TOML = """
name = "desk"
[source]
clock = "1 GHz"
intensities = [0.5, 0.12]
probabilities = [0.6, 0.4]
key_basis = 0.6
pulse_fwhm = "60 ps"
[fibre]
length = "1 km"
[receiver]
error_key = "1 %"
error_test = "3 %"
[detector]
kind = "snspd"
efficiency = "40 %"
dark_rate = "1 kHz"
"""


def run(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    if isinstance(result.exception, PoliqiError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A link, its tags and states."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "LINK.toml").write_text(TOML)
    told = run(
        "link", "tags", folder / "LINK.toml", "--pulses", PULSES, "-o", folder / "bob.tags", "--alice",
        folder / "alice.states", "--seed", 5, "--start", "3 ms", "--off", -0.7, "--json",
    )  # fmt: skip
    assert json.loads(told)["pulses"] == PULSES
    return folder


def opened(desk: Path, *more: object, tags: str = "bob.tags") -> dict:
    return json.loads(run("link", "open", desk / tags, "--alice", desk / "alice.states", *more, "--json"))


@pytest.fixture(scope="module")
def found(desk: Path) -> dict:
    return opened(desk, "--link", desk / "LINK.toml", "--to", desk / "light.events", "--out", desk / "figures")


def truth(desk: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    link = load_link(desk / "LINK.toml")
    clicks = Sampler(link, 5).take(PULSES)
    return clicks.slots, alice_states(link.source, 5, clicks.slots), clicks.outcomes


def test_slots_and_clock_are_those_that_were_simulated(found: dict) -> None:
    sync = found["sync"]
    assert sync["start_s"] == pytest.approx(3e-3 - 0.5e-9, abs=20e-12)  # light stands in the middle of its slot
    assert sync["clock_error"] == pytest.approx(-0.7e-6, abs=2e-8)
    assert sync["false_alarm"] < 1e-9
    assert (found["origin"], found["link"], found["form"]) == ("simulated", "desk", "raw")


def test_errors_bases_and_intensities_are_those_of_the_light(desk: Path, found: dict) -> None:
    slots, states, outcomes = truth(desk)
    assert found["detections"] == pytest.approx(slots.size, abs=3)
    basis = states >> 1 & 1
    table = np.bincount(basis * 2 + (outcomes >> 1), minlength=4).reshape(2, 2)
    assert np.abs(np.array(found["bases"]) - table).max() < 0.01 * slots.size  # double clicks are drawn anew
    for number, name in enumerate(("key", "test")):
        mine = (basis == number) & (outcomes >> 1 == number)
        wrong = np.mean((states[mine] ^ outcomes[mine]) & 1)
        sigma = np.sqrt(wrong * (1 - wrong) / mine.sum())
        assert found["qber"][name]["qber"] == pytest.approx(wrong, abs=4 * sigma)
    for row in found["levels"]:
        assert row["detections"] == pytest.approx((states >> 2 == row["level"]).sum(), abs=3)
    assert found["remarks"] == []


def test_courses_add_up_to_their_totals(found: dict) -> None:
    for name in ("key", "test"):
        assert sum(found["errors_over_time"][name]["sifted"]) == found["qber"][name]["sifted"]
    for row in found["channels"]:
        assert sum(found["rates_over_time"]["tags"][str(row["channel"])]) == row["tags"]
    assert sum(row["tags"] for row in found["channels"]) == found["tags"]


def test_the_recording_holds_the_private_slots(desk: Path, found: dict) -> None:
    recording = open_recording(desk / "light.events")
    window = found["sync"]["window_slots"]
    slots, states, _ = truth(desk)
    private = slots >= window
    assert (recording.pulses, recording.slots.min() >= window) == (PULSES, True)
    known = np.isin(recording.slots, slots)
    assert known.mean() > 0.999
    assert recording.slots.size == pytest.approx(private.sum(), abs=3)
    at = np.searchsorted(slots, recording.slots[known])
    assert np.array_equal(recording.states[known], states[at])
    assert recording.light.origin.value == "simulated"
    assert recording.light.link is not None


def test_the_common_dead_time_is_that_of_one_pixel_in_full(desk: Path) -> None:
    """A detector of four pixels loses as much light as one of a quarter of the dead time, and forgets no faster."""
    (desk / "PIXELS.toml").write_text(TOML + 'dead_time = "40 ns"\npixels = 4\n')
    assert opened(desk, "--link", desk / "PIXELS.toml")["dead_time_s"] == pytest.approx(40e-9)


def test_a_recording_opens_to_the_same_errors(desk: Path, found: dict) -> None:
    told = json.loads(run("link", "open", desk / "light.events", "--json"))
    assert (told["form"], told["slots"]) == ("events", PULSES)
    assert told["qber"]["key"]["qber"] == pytest.approx(found["qber"]["key"]["qber"], abs=5e-3)
    assert "sync" not in told


def test_a_drawing_is_written_as_svg_and_png(desk: Path, found: dict) -> None:
    svg = (desk / "figures" / "bob.tags.svg").read_text()
    assert (desk / "figures" / "bob.tags.png").read_bytes().startswith(b"\x89PNG")
    for text in ("simulated light", "QBER (%)", "time in the slot (ps); shaded: the gate", "mean photon number"):
        assert text in svg
    assert found["drawing"].endswith("bob.tags.svg")


def test_the_terminal_shows_the_same(found: dict) -> None:
    text = survey_text(found)
    assert "simulated light" in text
    assert f"{found['detections']:,} detections" in text
    assert f"{100 * found['qber']['key']['qber']:.2f} %" in text
    assert "█" in text
    assert max(map(len, text.splitlines())) <= 140


def test_text_and_ptu_come_to_the_same_as_raw_tags(desk: Path, found: dict) -> None:
    source = open_tags(desk / "bob.tags").source
    chunks = list(iter(source.read, None))
    write_tags_text(desk / "bob.csv", chunks)
    times = np.concatenate([tags.times_ps for tags in chunks])
    channels = np.concatenate([tags.channels for tags in chunks])
    records = ptu_files.t2_records(times, channels)
    ptu = ptu_files.header(ptu_files.PtuRecordType.GenericT2, records.size) + records.astype("<u4").tobytes()
    (desk / "bob.ptu").write_bytes(ptu)
    for tags in ("bob.csv", "bob.ptu"):
        told = opened(desk, "--link", desk / "LINK.toml", tags=tags)
        assert told["form"] == tags[-3:]
        assert told["detections"] == found["detections"]
        assert told["sync"]["start_s"] == found["sync"]["start_s"]


def test_swapped_channels_are_named(desk: Path) -> None:
    with pytest.raises(DataRefused, match=r"(?i)swapped channels"):
        opened(desk, "--link", desk / "LINK.toml", "--channels", "0=key1,1=key0,2=test0,3=test1")


def test_a_wrong_clock_is_named(desk: Path) -> None:
    (desk / "wrong.toml").write_text(TOML.replace("1 GHz", "1.25 GHz"))
    with pytest.raises(ConfigError, match=r"wrong clock: .* 1,250,000,000 .* 1,000,000,000"):
        opened(desk, "--link", desk / "wrong.toml")


def test_a_start_that_is_elsewhere_is_refused(desk: Path) -> None:
    with pytest.raises(DataRefused, match="no offset"):
        opened(desk, "--start", "10 us", "--uncertainty", "5 us")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("bob.tags",), "name Alice's states with --alice"),
        (("alice.states", "--alice", "alice.states"), "no time tags"),
        (("bob.tags", "--alice", "alice.states", "--channels", "0=key0"), "--channels needs --link"),
        (("bob.tags", "--alice", "alice.states", "--start", "3"), "--start"),
    ],
)
def test_what_is_missing_is_said(desk: Path, words: tuple[str, ...], says: str) -> None:
    named = [desk / word if "." in word else word for word in words]
    with pytest.raises(PoliqiError) as refusal:
        run("link", "open", *named)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write NUMBER=MEANING"),
        ("0", "write NUMBER=MEANING"),
        ("0=laser", "known: key0"),
        ("1000=key0", "write NUMBER=MEANING"),
        ("0=key0:1.5", "delay '1.5' of input 0"),
    ],
)
def test_channels_that_cannot_be_are_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_channels(text)
    assert says in str(refusal.value)


def test_channels_carry_their_delay(desk: Path) -> None:
    tagging = tagging_from(load_link(desk / "LINK.toml"), "4=key0:-12, 5=key1,6=test0,7=test1:120")
    assert tagging is not None
    assert [(c.number, c.meaning.value, c.delay_ps) for c in tagging.channels] == [
        (4, "key0", -12),
        (5, "key1", 0),
        (6, "test0", 0),
        (7, "test1", 120),
    ]


def test_an_arm_without_a_channel_is_refused(desk: Path) -> None:
    with pytest.raises(ConfigError, match="no channel means test1"):
        tagging_from(load_link(desk / "LINK.toml"), "0=key0,1=key1,2=test0")


@pytest.mark.parametrize(
    ("key", "test", "says"),
    [
        (
            (1000, 20),
            (1000, 979),
            ["test basis: 97.9 % wrong: its two channels are swapped; swapped back it is 2.1"],
        ),
        ((1000, 20), (1000, 490), ["test basis: 49.0 % wrong, which is chance"]),
        ((1000, 20), (10, 0), ["test basis: 10 sifted detections are too few"]),
        ((1000, 20), (1000, 110), []),
    ],
)
def test_errors_that_point_to_the_channels_are_remarked_on(key: tuple, test: tuple, says: list[str]) -> None:
    told = remarks(np.array([key, test]))
    assert len(told) == len(says)
    assert all(text.startswith(start) for text, start in zip(told, says, strict=True))


def test_the_bin_where_the_test_arm_does_not_interfere_is_counted_apart(tmp_path: Path) -> None:
    """The test arm of a time-bin receiver gives half its light there: as much beside as in the bin that counts."""
    lossy = TOML.replace('error_test = "3 %"', 'error_test = "3 %"\nfront_end = "time-bin"\ntest_loss = "3 dB"')
    (tmp_path / "LINK.toml").write_text(lossy)
    run(
        "link", "tags", tmp_path / "LINK.toml", "--pulses", PULSES, "-o", tmp_path / "bob.tags", "--alice",
        tmp_path / "alice.states", "--seed", 5,
    )  # fmt: skip
    told = opened(tmp_path, "--link", tmp_path / "LINK.toml")
    lost = told["left_out"]
    counted = sum(row[1] for row in told["bases"])
    assert lost["test_side_bin"] == pytest.approx(counted, rel=0.05)
    assert lost["outside_gate"] < 0.01 * lost["test_side_bin"]
    text = survey_text(told)
    assert f"{lost['test_side_bin']:,} in the bin where the test arm does not interfere" in text
    [of_test] = [line.removeprefix("  gate t ") for line in text.splitlines() if line.startswith("  gate t")]
    assert of_test == " " * (len(of_test) // 2) + "-" * (len(of_test) // 2)


def test_states_that_are_missing_are_called_states(desk: Path) -> None:
    with pytest.raises(ConfigError, match="name a file of Alice's states"):
        run("link", "open", desk / "bob.tags", "--alice", desk / "absent")
