"""A job is done once, whoever asks; simulated data stay simulated; what fails leaves nothing."""

from __future__ import annotations

import mmap
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_stores import blobs_on_disk, check_whole, new_store, written

from poliqi.base.errors import DataRefused, StoreError
from poliqi.lab.store.copying import is_let_go
from poliqi.lab.store.records import ActionKind, Dataset, JobId, Kind, NewAction, Task
from poliqi.lab.store.tenant import TenantStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TenantStore]:
    with new_store(tmp_path / "store") as opened:
        yield opened
    check_whole(tmp_path / "store")


@pytest.fixture
def frames(store: TenantStore, tmp_path: Path) -> Dataset:
    sample = store.add_sample("AgBh")
    source = written(tmp_path / "frames", {"1.h5": b"one", "2.h5": b"two"})
    return store.register([source], title="Frames", sample=sample.id)


def task(*inputs: Dataset, **parameters: Any) -> Task:
    return Task("reduce", "1.0", parameters, tuple(one.id for one in inputs), "Curve")


class Work:
    """Writes one file, and counts how often it was asked to."""

    def __init__(self, data: bytes = b"1,2\n") -> None:
        self.data, self.times = data, 0

    def __call__(self, folder: Path) -> None:
        self.times += 1
        (folder / "curve.csv").write_bytes(self.data)


def test_a_job_is_done_once(store: TenantStore, frames: Dataset) -> None:
    work = Work()
    made, was_there = store.run(task(frames, bins=100, mask=[1, 2]), work)
    again, was_there_again = store.run(task(frames, mask=[1, 2], bins=100), work)
    assert (was_there, was_there_again, work.times) == (False, True, 1)
    assert made == again == store.dataset(made.id)
    assert (made.kind, made.sample, made.title) == (Kind.DERIVED, frames.sample, "Curve")
    assert made.made_by is not None
    job = store.job(made.made_by)
    assert (job.program, job.version, job.parameters_json) == ("reduce", "1.0", '{"bins":100,"mask":[1,2]}')
    assert (job.inputs, job.output) == ((frames.id,), made.id)
    assert store.find_job(task(frames, bins=100, mask=[1, 2])) == job
    assert store.derived(frames.id) == [made.brief]


def test_inputs_of_different_samples_make_something_of_no_sample(
    store: TenantStore, frames: Dataset, tmp_path: Path
) -> None:
    """Sample and instrument of an output are those of all its inputs, or none: never those of one of them."""
    device = store.add_instrument("Xeuss")
    others = [
        store.register(
            [written(tmp_path / name, {"1.h5": name.encode()})], title=name, sample=sample, instrument=device.id
        )
        for name, sample in (("other", store.add_sample("gold").id), ("unnamed", None))
    ]
    for other in others:
        assert store.run(task(frames, other), Work())[0].sample is None
        assert store.run(task(other, frames), Work())[0].instrument is None
    assert store.run(task(*others), Work())[0].instrument == device.id


LARGE = bytes(range(256)) * 8192


def _kept(store: TenantStore, frames: Dataset, work: Callable[[Path], None]) -> os.stat_result:
    """What becomes of a large output: the file that holds its content."""
    made, _ = store.run(Task("large", "1", {}, (frames.id,)), work)
    place = store.file_path(made.files[0])
    assert place.read_bytes() == LARGE
    assert store.verify(made.id) == ()
    return place.stat()


def test_a_large_output_is_not_written_twice(store: TenantStore, frames: Dataset, tmp_path: Path) -> None:
    (tmp_path / "probe").touch()
    with (tmp_path / "probe").open("rb") as probe:
        if not is_let_go(probe.fileno(), 0o600):
            pytest.skip("this file system does not tell who has a file open (no leases): outputs are copied")
    made: list[os.stat_result] = []

    def work(folder: Path) -> None:
        (folder / "out").write_bytes(LARGE)
        made.append((folder / "out").stat())

    kept = _kept(store, frames, work)
    assert os.path.samestat(kept, made[0])
    assert (stat.S_IMODE(kept.st_mode), kept.st_nlink) == (0o400, 1)


@pytest.mark.parametrize("how", ["an open file", "a mapping", "another name"])
def test_an_output_that_can_still_be_written_is_copied(
    store: TenantStore, frames: Dataset, tmp_path: Path, how: str
) -> None:
    late: list[Callable[[], object]] = []

    def work(folder: Path) -> None:
        (folder / "out").write_bytes(LARGE)
        if how == "another name":
            os.link(folder / "out", tmp_path / "mine")
            late.append(lambda: (tmp_path / "mine").write_bytes(b"changed"))
            return
        opened = (folder / "out").open("r+b")
        late.append(opened.close)
        if how == "a mapping":
            mapped = mmap.mmap(opened.fileno(), 0)
            opened.close()
            late[:] = [lambda: mapped.__setitem__(0, 77), mapped.close]
        else:
            late[:] = [lambda: opened.write(b"changed"), opened.close]

    _kept(store, frames, work)
    for write in late:
        write()
    [made] = store.find("large")
    assert store.verify(made.id) == ()


def test_what_decides_the_output_decides_the_job(store: TenantStore, frames: Dataset, tmp_path: Path) -> None:
    work = Work()
    other = store.register([written(tmp_path / "other", {"1.h5": b"one", "2.h5": b"tw0"})], title="Frames")
    renamed = store.register([written(tmp_path / "renamed", {"1.h5": b"one", "3.h5": b"two"})], title="Frames")
    tasks = [
        task(frames),
        task(frames, bins=1),
        task(frames, bins=1.5),
        task(frames, bins="1"),
        task(other),
        task(renamed),
        task(frames, other),
        task(other, frames),
        Task("reduce", "1.1", {}, (frames.id,)),
        Task("integrate", "1.0", {}, (frames.id,)),
        Task("reduce", "1.0", {}, (frames.id,), simulated=True),
    ]
    outputs = {store.run(one, work)[0].id for one in tasks}
    assert len(outputs) == work.times == len(tasks)


def test_the_same_files_again_are_the_same_input(store: TenantStore, frames: Dataset, tmp_path: Path) -> None:
    work = Work()
    again = store.register([tmp_path / "frames"], title="Frames, registered again")
    assert store.run(task(frames), work)[0] == store.run(task(again), work)[0]
    assert work.times == 1


def test_what_comes_of_a_simulation_is_simulated(store: TenantStore, frames: Dataset, tmp_path: Path) -> None:
    simulated = store.register([tmp_path / "frames"], title="Calculated", kind=Kind.SIMULATED)
    first, was_there = store.run(task(simulated), Work())
    second, _ = store.run(task(frames, first), Work(b"other"))
    third, _ = store.run(task(second), Work(b"third"))
    assert not was_there
    assert {one.kind for one in (first, second, third)} == {Kind.SIMULATED}
    measured, was_there = store.run(task(frames), Work())
    assert (measured.kind, was_there) == (Kind.DERIVED, False)  # equal files, but of a measurement


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), FileNotFoundError(2, "mask.npy")])
def test_work_that_fails_leaves_nothing(store: TenantStore, frames: Dataset, error: BaseException) -> None:
    before = blobs_on_disk(store.folder)

    def work(folder: Path) -> None:
        (folder / "half.csv").write_bytes(b"1,")
        raise error

    with pytest.raises(type(error)):
        store.run(task(frames), work)
    assert list((store.folder / "staging").iterdir()) == []
    assert (blobs_on_disk(store.folder), store.count()) == (before, 1)
    assert store.run(task(frames), Work())[1] is False


def test_work_that_writes_no_file_is_refused(store: TenantStore, frames: Dataset) -> None:
    with pytest.raises(DataRefused, match="at least one"):
        store.run(task(frames), lambda folder: None)
    with pytest.raises(DataRefused, match="symlink"):
        store.run(task(frames), lambda folder: (folder / "out").symlink_to("/etc/passwd"))
    assert store.count() == 1


def test_parameters_are_what_json_can_hold(store: TenantStore, frames: Dataset) -> None:
    for value in (float("nan"), b"bytes", {1, 2}):
        with pytest.raises(DataRefused, match="JSON"):
            store.run(task(frames, x=value), Work())
    with pytest.raises(DataRefused, match="version"):
        store.run(Task("reduce", ""), Work())


def test_a_folder_that_goes_while_it_is_looked_at_is_made_again(
    store: TenantStore, frames: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real = [0], Path.mkdir

    def mkdir(self: Path, *arguments: Any, **named: Any) -> None:
        if self.name.startswith("job-") and not made[0]:
            made[0] += 1
            raise FileExistsError(17, "File exists", str(self))
        real(self, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert store.run(task(frames), Work())[1] is False
    assert made == [1]


def test_of_threads_that_ask_at_once_one_works(store: TenantStore, frames: Dataset) -> None:
    work, together, results = Work(), threading.Barrier(6), list[tuple[Dataset, bool]]()

    def ask() -> None:
        together.wait()
        results.append(store.run(task(frames), work))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert work.times == 1
    assert len({dataset.id for dataset, _ in results}) == 1
    assert sorted(was_there for _, was_there in results) == [False] + [True] * 5


def test_writers_at_once_lose_nothing(store: TenantStore, tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def fill(number: int) -> None:
        source = written(tmp_path / str(number), {"own": b"%d" % number, "shared": b"shared"})
        with new_store(store.folder) as mine:  # as another process would
            together.wait()
            for turn in range(5):
                mine.register([source], title=f"{number} {turn}")

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.title for one in store.find()} == {f"{number} {turn}" for number in range(4) for turn in range(5)}


def test_threads_can_share_one_store(store: TenantStore, frames: Dataset, tmp_path: Path) -> None:
    failed = list[BaseException]()

    def use(number: int) -> None:
        source = written(tmp_path / str(number), {"own": b"%d" % number})
        try:
            for turn in range(4):
                mine = store.register([source], title=f"{number} {turn}")
                assert store.dataset(mine.id).brief in store.find(str(number))
                store.run(task(mine, frames, turn=turn), Work(b"%d %d" % (number, turn)))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert store.count() == 1 + 4 * 4 * 2


def test_opening_spares_the_work_of_others(store: TenantStore, frames: Dataset) -> None:
    def work(folder: Path) -> None:
        (folder / "curve.csv").write_bytes(b"1,2\n")
        new_store(store.folder).close()

    assert store.run(task(frames), work)[0].files[0].path == "curve.csv"


def test_the_way_back_leads_to_the_sample(store: TenantStore, frames: Dataset) -> None:
    curve, _ = store.run(task(frames), Work())
    sizes, _ = store.run(Task("saxs", "2", {}, (curve.id, frames.id), "Sizes"), Work(b"sizes"))
    store.add_action(frames.id, NewAction(ActionKind.IMPORTED, "crate", 1.0, 2.0))
    store.run(task(sizes), Work(b"later"))
    way = store.provenance(sizes.id)
    assert [one.id for one in way.datasets] == [sizes.id, curve.id, frames.id]
    assert [job.program for job in way.jobs] == ["saxs", "reduce"]
    assert [sample.name for sample in way.samples] == ["AgBh"]
    assert [action.key for action in way.actions] == ["crate"]


def test_a_long_chain_is_followed(store: TenantStore, frames: Dataset) -> None:
    last = frames
    for number in range(60):
        last, _ = store.run(task(last), Work(b"%d" % number))
    assert len(store.provenance(last.id).datasets) == 61


def test_a_job_that_is_not_there(store: TenantStore) -> None:
    with pytest.raises(DataRefused, match="no job"):
        store.job(JobId("a" * 26))


def test_a_damaged_catalogue_is_an_error_of_the_store(tmp_path: Path) -> None:
    new_store(tmp_path / "bad").close()
    place = tmp_path / "bad" / "catalogue.sqlite"
    place.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        new_store(tmp_path / "bad")


def test_what_a_job_repeats_is_no_source_of_it(store: TenantStore, frames: Dataset, tmp_path: Path) -> None:
    """A program may give back what it was given: the file still came from where it was first."""
    task = Task("copy", "1.0", {}, (frames.id,), "The same again")
    repeated, _ = store.run(task, lambda folder: bool((folder / "1.h5").write_bytes(b"one")))
    assert repeated.made_by is not None
    assert store.holding(tmp_path / "frames" / "1.h5") == frames
    (tmp_path / "new").write_bytes(b"new")
    assert store.holding(tmp_path / "new") is None
