"""Store of a laboratory: 10,000 datasets listed, a stack of 10 GB registered at the speed of the disk."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.report import Metric, best
from poliqi.lab.store.catalogue import Catalogue
from poliqi.lab.store.database import Database
from poliqi.lab.store.naming import new_id
from poliqi.lab.store.records import Dataset, DatasetId, Kind, StoredFile, Task
from poliqi.lab.store.schema import CATALOGUE
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore

DATASETS = 10_000
FILES = 3
STACK_BYTES = 10 * 10**9
BLOCK = 16 << 20


def fill(place: Path) -> None:
    """A catalogue of 10,000 datasets of three files each; nobody reads their contents here."""
    database = Database(place / "catalogue.sqlite", CATALOGUE)
    catalogue = Catalogue(database)
    with database.transaction():
        for i in range(DATASETS):
            files = tuple(
                StoredFile(
                    f"frame_{k}.h5", 4_000_000, hashlib.sha256(b"%d %d" % (i, k)).hexdigest(), "application/x-hdf5"
                )
                for k in range(FILES)
            )
            described = "Silver behenate, 300 s, 25 keV", None, None, "CC-BY-4.0", "Ada Rossi", ("saxs", "silver")
            one = Dataset(DatasetId(new_id()), f"Scan {i}", Kind.MEASURED, files, *described, 1.8e9)
            catalogue.enter_dataset(one, f"{i}", "")
    database.close()


def listing(root: Path, runs: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Milliseconds of listing, of a page, of a search, of counting."""
    store = LabStore.create(root, "Bench")
    place = root / "tenants" / "bench"
    fill(place)
    with store.tenant() as part:
        calls = {
            "all": lambda: part.find(limit=DATASETS),
            "search": lambda: part.find("scan 777"),
            "page": lambda: part.find(limit=100, offset=DATASETS // 2),
            "count": lambda: part.count("silver"),
        }
        assert len(part.find(limit=DATASETS)) == part.count("silver") == DATASETS
        figures = {name: best(call, runs=runs) * 1e3 for name, call in calls.items()}
        task = Task("bench", "1", {}, (part.all_ids()[0],), simulated=True)
        part.run(task, lambda folder: (folder / "x").touch())
        figures["job again"] = best(lambda: part.run(task, _never), runs=runs) * 1e3
    opened = best(lambda: store.tenant().close(), runs=runs) * 1e3
    return figures, {"datasets": DATASETS, "files of each": FILES, "opening ms": round(opened, 2)}


def _never(_: Path) -> None:
    raise AssertionError("a job that was done is not done again")


def write_stack(place: Path, size: int) -> None:
    block = os.urandom(BLOCK)
    with place.open("wb") as file:
        left = size
        while left:
            left -= file.write(block[: min(BLOCK, left)])
        file.flush()
        os.fsync(file.fileno())


def copied(source: Path, target: Path) -> float:
    """Seconds in which cp copies it and it is on the disk."""
    started = time.perf_counter()
    subprocess.run(["cp", source, target], check=True)
    subprocess.run(["sync", target], check=True)
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def registered(part: TenantStore, source: Path) -> float:
    started = time.perf_counter()
    dataset = part.register([source], title="Stack")
    seconds = time.perf_counter() - started
    part.file_path(dataset.files[0]).unlink()
    return seconds


def stack(root: Path, size: int, turns: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Bytes a second of registering and of cp, in turns, and by how much the memory grew."""
    source = root / "stack.h5"
    write_stack(source, size)
    with LabStore.create(root / "lab", "Bench").tenant() as part:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = [(copied(source, root / "copy.h5"), registered(part, source)) for _ in range(turns)]
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    by_cp, ours = (size / min(column) for column in zip(*seconds, strict=True))
    figures = {"cp": by_cp, "ours": ours, "grown": grown}
    return figures, {
        "bytes": size,
        "seconds of cp and of ours, in turns": [[round(x, 2) for x in s] for s in seconds],
    }


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        listed, about = listing(root / "list", 10 if quick else 30)
        large, how = stack(root, STACK_BYTES // 10 if quick else STACK_BYTES, 3 if quick else 2)
    return [
        Metric("10,000 datasets listed", listed["all"], "ms", 100.0, "max"),
        Metric("a page of 100 listed", listed["page"], "ms", None, "max"),
        Metric("search for two words", listed["search"], "ms", None, "max"),
        Metric("job that was done", listed["job again"], "ms", None, "max"),
        Metric("stack registered", large["ours"] / 1e9, "GB/s", None, "min", "cp and sync", large["cp"] / 1e9),
        Metric("stack registered / copied by cp", large["ours"] / large["cp"], "", 0.9, "min"),
        Metric("memory grown by registering", large["grown"] / 1e6, "MB", 64.0, "max"),
    ], {"listing": about, "stack": how}
