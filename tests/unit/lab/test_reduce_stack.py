"""Stacks: the same sums however they are cut, in constant memory, and going on after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from xray_frames import SHAPE, counts, mask, recipe, straight, write_eiger

from poliqi.base.errors import DataRefused, StoreError
from poliqi.edge.folder import lock_folder
from poliqi.lab.xray import stack as stack_module
from poliqi.lab.xray.binning import Splitting
from poliqi.lab.xray.framecurves import write_frame_curves
from poliqi.lab.xray.reduction import Marks, Plan, Settings, plan_of
from poliqi.lab.xray.stack import StackRun, reduce_block

FRAMES = [counts(3, seed) for seed in range(40)]
RECIPE = recipe(straight(), Settings(bins=30), mask(1))


def stack(tmp_path: Path, **more: Any) -> StackRun:
    path = tmp_path / "run_master.h5"
    if not path.exists():
        write_eiger(tmp_path, FRAMES, a_file=10)
    return StackRun(RECIPE, (path,), tmp_path / "curve.h5", **more)


def test_is_the_sum_of_its_frames(tmp_path: Path) -> None:
    plan = Plan(RECIPE)
    each = [plan.reduce(frame, Marks(2**32 - 1)) for frame in FRAMES]
    run = stack(tmp_path, each=True)
    total = run.run()
    assert total.frames == 40
    assert np.array_equal(total.signal, np.sum([one.signal for one in each], axis=0))
    assert all(np.array_equal(a.signal, b.signal) for a, b in zip(run.frames(), each, strict=True))
    run.done()
    assert not run.folder.exists()


def test_several_files_are_one_stack(tmp_path: Path) -> None:
    for k in range(3):
        np.save(tmp_path / f"{k}.npy", np.stack(FRAMES[k : k + 2]))
    total = StackRun(RECIPE, tuple(tmp_path / f"{k}.npy" for k in range(3)), tmp_path / "c.h5").run()
    assert total.frames == 6


def one_file_each(tmp_path: Path, **more: Any) -> StackRun:
    paths = [tmp_path / f"{k:02}.npy" for k in range(40)]
    for path, frame in zip(paths, FRAMES, strict=True):
        np.save(path, frame)
    return StackRun(RECIPE, tuple(paths), tmp_path / "each.h5", **more)


def test_many_files_of_one_frame_cost_few_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = one_file_each(tmp_path, each=True)
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(handle))
    total = run.run()
    assert len(list(run.folder.glob("*.npz"))) == 3
    assert len(synced) <= 2 * 3
    plan = Plan(RECIPE)
    each = [plan.reduce(frame, Marks(2**32 - 1)) for frame in FRAMES]
    assert all(np.array_equal(a.signal, b.signal) for a, b in zip(run.frames(), each, strict=True))
    assert np.array_equal(total.signal, np.sum([one.signal for one in each], axis=0))


def test_many_files_of_one_frame_go_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = one_file_each(tmp_path)
    whole = run.run()
    (run.folder / "000001.npz").unlink()
    redone: list[int] = []

    def counted(block: Any) -> int:
        redone.append(block.frames)
        return reduce_block(block)

    monkeypatch.setattr(stack_module, "reduce_block", counted)
    told: list[tuple[int, int]] = []
    again = run.run(progress=lambda done, of: told.append((done, of)))
    assert (redone, told) == ([16], [(24, 40), (40, 40)])
    assert np.array_equal(again.signal, whole.signal)


@pytest.mark.parametrize("lengths", [(1,), (0, 5, 0, 0, 40, 1), (16, 16), (15, 2, 33), (3,) * 17, (50, 0)])
def test_every_frame_stands_in_one_block_in_order(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    files = tuple(tmp_path / str(k) for k in range(len(lengths)))
    blocks = StackRun(RECIPE, files, tmp_path / "c.h5")._blocks(lengths)  # pyright: ignore[reportPrivateUsage]  # how they are cut
    parts = [part for block in blocks for part in block.parts]
    frames = [(path, index) for path, first, stop in parts for index in range(first, stop)]
    assert frames == [(path, index) for path, count in zip(files, lengths, strict=True) for index in range(count)]
    assert all(block.frames == 16 for block in blocks[:-1])


def test_goes_on_where_a_killed_run_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stack(tmp_path).run()
    stack(tmp_path).done()
    made: list[int] = []

    def killed(block: Any) -> int:
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(block.parts[0][1])
        return reduce_block(block)

    monkeypatch.setattr(stack_module, "reduce_block", killed)
    with pytest.raises(KeyboardInterrupt):
        stack(tmp_path).run()
    again: list[int] = []

    def counted(block: Any) -> int:
        again.append(block.parts[0][1])
        return reduce_block(block)

    monkeypatch.setattr(stack_module, "reduce_block", counted)
    told: list[tuple[int, int]] = []
    total = stack(tmp_path).run(progress=lambda done, of: told.append((done, of)))
    assert made == [0]
    assert again == [16, 32]
    assert told[0] == (16, 40)
    assert told[-1] == (40, 40)
    assert np.array_equal(total.signal, whole.signal)


def test_other_settings_or_other_frames_begin_anew(tmp_path: Path) -> None:
    stack(tmp_path).run()
    other = recipe(straight(), Settings(bins=30, splitting=Splitting.BBOX), mask(1))
    run = StackRun(other, (tmp_path / "run_master.h5",), tmp_path / "curve.h5")
    plan = Plan(other)
    assert run.run().signal == pytest.approx(sum(plan.reduce(f, Marks(2**32 - 1)).signal for f in FRAMES))


def test_two_runs_do_not_write_the_same_output(tmp_path: Path) -> None:
    run = stack(tmp_path)
    run.folder.mkdir()
    lock_folder(run.folder, "the test holds it")
    with pytest.raises(StoreError, match="another run writes the same output"):
        run.run()


def test_names_the_frame_that_it_refuses(tmp_path: Path) -> None:
    frames = [np.ones(SHAPE, np.int32) for _ in range(3)]
    frames[2][0, 0] = -7
    np.save(tmp_path / "a.npy", np.stack(frames))
    with pytest.raises(DataRefused, match=r"a\.npy frame 2: negative counts"):
        StackRun(RECIPE, (tmp_path / "a.npy",), tmp_path / "c.h5").run()


def test_refuses_files_of_different_shapes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FRAMES[0])
    np.save(tmp_path / "b.npy", FRAMES[0][:100])
    with pytest.raises(DataRefused, match="100 x 170 pixels, but the geometry and mask are for 150 x 170"):
        StackRun(RECIPE, (tmp_path / "a.npy", tmp_path / "b.npy"), tmp_path / "c.h5").run()


def test_a_broken_block_is_named(tmp_path: Path) -> None:
    run = stack(tmp_path)
    run.run()
    (run.folder / "000000.npz").write_bytes(b"half")
    with pytest.raises(StoreError, match="remove it and run again"):
        run.run()


def test_curves_of_every_frame_in_one_file(tmp_path: Path) -> None:
    run = stack(tmp_path, each=True)
    total = run.run()
    plan = plan_of(RECIPE)
    write_frame_curves(tmp_path / "f.h5", plan, run.frames(), total.frames, per=0.5, simulated=True)
    with h5py.File(tmp_path / "f.h5") as file:
        data = file["sasentry01/sasdata"]
        assert data.attrs["I_axes"] == "Frame,Q"
        assert data["I"].shape == (40, 30)
        one, sigma = plan.reduce(FRAMES[7], Marks(2**32 - 1)).intensity()
        assert np.array_equal(data["I"][7], one / 0.5, equal_nan=True)
        assert np.array_equal(data["Idev"][7], sigma / 0.5, equal_nan=True)
        assert file["sasentry01/simulated"][()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of distributed
def test_on_a_cluster_it_is_the_same(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        told: list[int] = []
        total = stack(tmp_path).run(
            cluster=cluster.scheduler_address, progress=lambda done, _all: told.append(done)
        )
    assert sorted(told)[-1] == 40
    stack(tmp_path).done()
    assert np.array_equal(total.signal, stack(tmp_path).run().signal)
