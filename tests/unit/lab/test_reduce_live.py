"""Frames that appear in a folder: taken once, when they are whole, across restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from xray_frames import SHAPE, counts, mask, recipe, straight, write_eiger

from poliqi.base.errors import ConfigError, PoliqiError, StoreError
from poliqi.lab.xray import live as live_module
from poliqi.lab.xray.geometry import save_geometry
from poliqi.lab.xray.live import AVERAGE, Done, Live
from poliqi.lab.xray.nxcansas import read_curves
from poliqi.lab.xray.reduction import Marks, Plan, Settings
from poliqi.ops.commands.lab_xray_reduce import command
from poliqi.ops.lab_reduce_live import Waiting

PLAN = Plan(recipe(straight(), Settings(bins=20), mask(1)))
FRAMES = [counts(3, seed) for seed in range(6)]


class Watch:
    """A folder, the live reduction on it, and its clock."""

    def __init__(self, tmp_path: Path, **more: Any) -> None:
        self.folder, self.output = tmp_path / "frames", tmp_path / "curves"
        self.folder.mkdir(exist_ok=True)
        self.told: list[Done] = []
        self.live = Live(PLAN, self.folder, self.output, told=self.told.append, **more)
        self.now_s = 0.0

    def look(self, times: int = 1, step_s: float = 2.0) -> int:
        found = 0
        for _ in range(times):
            found += self.live.look(self.now_s)
            self.now_s += step_s
        return found


def average(watch: Watch) -> Any:
    return read_curves(watch.output / AVERAGE)[0]


def test_a_curve_for_each_file_and_their_average(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    for k in range(3):
        np.save(watch.folder / f"{k}.npy", np.stack(FRAMES[2 * k : 2 * k + 2]))
    assert watch.look(2) == 3
    wanted = sum((PLAN.reduce(f, Marks(2**32 - 1)) for f in FRAMES[1:]), PLAN.reduce(FRAMES[0], Marks(2**32 - 1)))
    assert average(watch).intensity == pytest.approx(PLAN.curve(wanted, "").intensity)
    assert (watch.output / "1.curve.h5").exists()
    assert [done.frames for done in watch.told] == [2, 2, 2]


def test_state_and_average_are_written_once_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(tmp_path)
    for k in range(30):
        np.save(watch.folder / f"{k:02}.npy", FRAMES[k % 6])
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(handle))
    assert watch.look(2) == 30
    assert (
        len(synced) <= 2 * 30 + 4
    )  # of each curve the file and its folder; then once of the average and the state
    assert len(watch.told) == 30
    assert average(watch).intensity.size == 20
    stats: list[str] = []
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **more: stats.append(path.name) or real(path, **more))
    assert watch.look() == 0
    assert stats == []


def test_a_look_at_very_many_files_ends_and_the_next_takes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "_LOOK_FILES", 2)
    watch = Watch(tmp_path)
    for k in range(5):
        np.save(watch.folder / f"{k}.npy", FRAMES[k])
    watch.look()
    assert [watch.look() for _ in range(4)] == [2, 2, 1, 0]
    assert watch.live.sums.frames == 5


def test_an_interruption_loses_nothing_that_was_reduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Watch(tmp_path)
    for k in range(3):
        np.save(first.folder / f"{k}.npy", FRAMES[k])
    first.look()
    real = Live._reduced  # pyright: ignore[reportPrivateUsage]  # Ctrl-C comes in the midst of it

    def interrupted(live: Live, path: Path) -> Any:
        if path.name == "2.npy":
            raise KeyboardInterrupt
        return real(live, path)

    monkeypatch.setattr(Live, "_reduced", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.look()
    monkeypatch.undo()
    second = Watch(tmp_path)
    assert (second.live.sums.frames, list(second.live.done)) == (2, ["0.npy", "1.npy"])
    second.look(2)
    assert [done.name for done in second.told] == ["2.npy"]


def test_a_file_that_goes_away_again_is_not_waited_for(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    path = watch.folder / "a.npy"
    path.write_bytes(b"half")
    watch.look()
    path.unlink()
    watch.live.run(every_s=0.01, idle_s=0.05)
    assert watch.told == []


def test_a_file_is_not_touched_while_it_grows(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    np.save(tmp_path / "whole.npy", FRAMES[0])
    content = (tmp_path / "whole.npy").read_bytes()
    path = watch.folder / "a.npy"
    for end in (100, 5000, len(content) // 2):
        path.write_bytes(content[:end])
        assert watch.look() == 0
    path.write_bytes(content)
    assert watch.look() == 0
    assert watch.look() == 1
    assert watch.told[0].frames == 1


def test_a_file_that_stays_half_is_reported_after_a_minute_and_taken_when_it_is_whole(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    np.save(tmp_path / "whole.npy", FRAMES[0])
    content = (tmp_path / "whole.npy").read_bytes()
    (watch.folder / "a.npy").write_bytes(content[:5000])
    assert watch.look(20) == 0
    assert watch.look(20) == 1
    assert "no NumPy array" in watch.told[0].refused
    assert watch.look(3) == 0
    (watch.folder / "a.npy").write_bytes(content)
    assert watch.look(2) == 1
    assert watch.told[1] == Done("a.npy", len(content), watch.told[1].time_ns, 1)


def test_an_eiger_is_whole_when_all_announced_frames_are_there(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    write_eiger(watch.folder, FRAMES)
    last = watch.folder / "run_data_000003.h5"
    content = last.read_bytes()
    last.unlink()
    assert watch.look(5) == 0
    last.write_bytes(content)
    assert watch.look(1) == 1
    assert [(done.name, done.frames) for done in watch.told] == [("run_master.h5", 6)]


def test_a_restart_redoes_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    first = Watch(tmp_path)
    np.save(first.folder / "a.npy", FRAMES[0])
    first.look(2)
    second = Watch(tmp_path)
    assert second.live.sums.frames == 1
    np.save(second.folder / "b.npy", FRAMES[1])
    second.look(3)
    assert [done.name for done in second.told] == ["b.npy"]
    wanted = PLAN.reduce(FRAMES[0], Marks(None)) + PLAN.reduce(FRAMES[1], Marks(None))
    assert average(second).intensity == pytest.approx(PLAN.curve(wanted, "").intensity)


def test_a_kill_between_curve_and_state_counts_the_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Watch(tmp_path)
    np.save(first.folder / "a.npy", FRAMES[0])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Live, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        first.look(2)
    monkeypatch.undo()
    second = Watch(tmp_path)
    assert second.look(2) == 1
    assert second.live.sums.frames == 1


def test_frames_of_another_shape_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    np.save(watch.folder / "a.npy", FRAMES[0][:50])
    np.save(watch.folder / "b.npy", FRAMES[1])
    watch.look(40)
    told = {done.name: done for done in watch.told}
    assert told["b.npy"].frames == 1
    assert "50 x 170 pixels" in told["a.npy"].refused
    assert watch.live.sums.frames == 1


def test_a_pattern_chooses(tmp_path: Path) -> None:
    watch = Watch(tmp_path, pattern="good*")
    np.save(watch.folder / "good.npy", FRAMES[0])
    np.save(watch.folder / "bad.npy", FRAMES[0])
    watch.look(3)
    assert [done.name for done in watch.told] == ["good.npy"]


def test_refuses_to_mix_settings(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    np.save(watch.folder / "a.npy", FRAMES[0])
    watch.look(2)
    other = Plan(recipe(straight(), Settings(bins=21), mask(1)))
    with pytest.raises(ConfigError, match="holds curves of other settings"):
        Live(other, watch.folder, watch.output)


def test_refuses_a_state_that_is_none_of_ours(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    (watch.output / "live.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(StoreError, match="move it away"):
        Live(PLAN, watch.folder, watch.output)


def test_refuses_to_write_where_it_reads(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot go where frames appear"):
        Live(PLAN, tmp_path, tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        Live(PLAN, tmp_path / "none", tmp_path)


def test_stops_when_nothing_comes(tmp_path: Path) -> None:
    watch = Watch(tmp_path, settle_s=0.0)
    np.save(watch.folder / "a.npy", np.zeros(SHAPE, np.uint16))
    watch.live.run(every_s=0.01, idle_s=0.05)
    assert watch.told[0].frames == 1


# ---- the command, before the first frame


def live_of(tmp_path: Path, *more: object) -> Result:
    (tmp_path / "frames").mkdir(exist_ok=True)
    if not (tmp_path / "setup.poni").exists():
        save_geometry(straight(), tmp_path / "setup.poni")
    words = ["--live", tmp_path / "frames", "--geometry", tmp_path / "setup.poni", "-o", tmp_path / "out", *more]
    return CliRunner().invoke(command, [str(word) for word in words])


def test_it_says_that_it_waits_and_that_nothing_came(tmp_path: Path) -> None:
    done = live_of(tmp_path, "--mask", "none", "--idle", 0)
    assert done.exit_code == 0
    assert f"waiting for frames in {tmp_path / 'frames'}\n" in done.stderr
    assert "nothing came for 0 s: nothing was reduced" in done.stderr
    assert not done.stdout


def test_it_says_when_nothing_more_comes(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    np.save(tmp_path / "frames" / "a.npy", FRAMES[0])
    done = live_of(tmp_path, "--mask", "none", "--idle", 0, "--bins", 20)
    assert (done.exit_code, done.stdout) == (0, "a.npy: 1 frames\n")
    assert f"nothing came for 0 s: the average so far is {tmp_path / 'out' / AVERAGE}" in done.stderr


@pytest.mark.parametrize(
    ("broken", "words", "told"),
    [
        ("setup.poni", (), "setup.poni"),
        ("mask.npy", ("--mask", "mask.npy"), "mask.npy"),
        ("mask.npy", ("--mask", "mask.npy", "--mask", "none"), "leave out the others"),
        ("dark.h5", ("--mask", "none", "--dark", "dark.h5"), "dark.h5"),
    ],
)
def test_what_is_wrong_is_said_before_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / broken).write_bytes(b"nothing of use")
    done = live_of(tmp_path, *words, "--idle", 0)
    assert isinstance(done.exception, PoliqiError)
    assert told in str(done.exception)
    assert "waiting" not in done.stderr


def test_a_file_that_cannot_be_opened_is_told_once_while_it_waits(tmp_path: Path) -> None:
    told: list[Done] = []
    waiting = Waiting(tmp_path, "", None, told.append)
    (tmp_path / "a.h5").write_bytes(b"half of it")
    (tmp_path / "b.h5").mkdir()
    for now_s in range(0, 200, 10):
        assert waiting.look(float(now_s)) is None
        assert len(told) == (now_s >= 60)
    assert (told[0].name, told[0].frames) == ("a.h5", 0)
    assert "not an HDF5 file" in told[0].refused
    np.save(tmp_path / "c.npy", FRAMES[0])
    assert waiting.look(300.0) == tmp_path / "c.npy"
