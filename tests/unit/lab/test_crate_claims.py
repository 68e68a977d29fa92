"""What a crate tells of a dataset's past, at the site that received it: the chain as claimed, apart, bounded."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from poliqi.lab.store.crate.build import build
from poliqi.lab.store.crate.claims import Claim, ClaimKind, claims_of
from poliqi.lab.store.crate.graph import read_graph
from poliqi.lab.store.crate.history import History, history
from poliqi.lab.store.crate.take import import_crate, new_import
from poliqi.lab.store.crate.write import write_folder
from poliqi.lab.store.records import Dataset, Kind, Task
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore

HEAD = {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}}


def lab(folder: Path, name: str) -> TenantStore:
    return LabStore.create(folder / name, name).tenant()


def figure(tenant: TenantStore, folder: Path) -> Dataset:
    (folder / "frame.h5").write_bytes(b"frame")
    sample, instrument = tenant.add_sample("AgBh-3"), tenant.add_instrument("Xeuss", place="room 12")
    frames = tenant.register(
        [folder / "frame.h5"], title="Frames", kind=Kind.SIMULATED, sample=sample.id, instrument=instrument.id
    )
    curve = made(tenant, frames, "reduce", "Curve", bins=100)
    return made(tenant, curve, "saxs", "Figure", model="sphere")


def made(tenant: TenantStore, source: Dataset, program: str, title: str, **parameters: Any) -> Dataset:
    task = Task(program, "1.2", parameters, (source.id,), title=title)
    return tenant.run(task, lambda work: bool((work / f"{title}.dat").write_text(title)))[0]


def handed(giver: TenantStore, dataset: Dataset, taker: TenantStore, folder: Path) -> Dataset:
    """From one store to another as a crate."""
    crate = folder / f"crate-{dataset.id}"
    write_folder(giver, build(giver, dataset.id), crate, lambda *_: None)
    return import_crate(taker, crate, new_import(time.time())).dataset


def chain(claims: tuple[Claim, ...]) -> list[tuple[ClaimKind, str, list[str]]]:
    return [(claim.kind, claim.title, [claims[number].title for number in claim.above]) for claim in claims]


def told(found: History) -> tuple[Claim, ...]:
    [telling] = found.told
    assert (telling.is_all, telling.problem) == (True, "")
    return telling.claims


def test_the_receiving_site_sees_the_way_from_the_sample_to_the_figure(tmp_path: Path) -> None:
    there, here = lab(tmp_path, "there"), lab(tmp_path, "here")
    taken = handed(there, figure(there, tmp_path), here, tmp_path)
    found = history(here, taken.id)
    assert [one.id for one in found.known.datasets] == [taken.id]
    assert (found.known.jobs, found.known.samples) == ((), ())
    claims = told(found)
    assert chain(claims) == [
        (ClaimKind.DATASET, "Figure", ["saxs 1.2"]),
        (ClaimKind.JOB, "saxs 1.2", ["Curve"]),
        (ClaimKind.DATASET, "Curve", ["reduce 1.2"]),
        (ClaimKind.JOB, "reduce 1.2", ["Frames"]),
        (ClaimKind.DATASET, "Frames", ["AgBh-3", "Xeuss"]),
        (ClaimKind.SAMPLE, "AgBh-3", []),
        (ClaimKind.INSTRUMENT, "Xeuss", []),
    ]
    assert [claim.detail for claim in claims if claim.kind is ClaimKind.JOB] == ["model=sphere", "bins=100"]
    assert [claim.is_simulated for claim in claims] == [True, False, True, False, True, False, False]


def test_over_two_sites_the_first_is_told_by_the_second(tmp_path: Path) -> None:
    one, two, three = (lab(tmp_path, name) for name in ("one", "two", "three"))
    middle = handed(one, figure(one, tmp_path), two, tmp_path)
    last = handed(two, made(two, middle, "fit", "Fit"), three, tmp_path)
    titles = [claim.title for claim in told(history(three, last.id))]
    for title in ("Fit", "fit 1.2", "Figure", "Taken in from a crate", "saxs 1.2", "Curve", "Frames", "AgBh-3"):
        assert titles.count(title) == 1
    # what is derived here from what was received leads on to what was told of that
    own = made(three, last, "plot", "Plot")
    assert [telling.dataset for telling in history(three, own.id).told] == [last.id]


def test_what_was_measured_here_is_told_by_nobody(tmp_path: Path) -> None:
    here = lab(tmp_path, "here")
    found = history(here, figure(here, tmp_path).id)
    assert found.told == ()
    assert len(found.known.datasets) == 3


def claimed(*entities: dict[str, Any], most: int = 100) -> tuple[tuple[Claim, ...], bool]:
    root = {"@id": "./", "@type": "Dataset", "name": "Theirs"}
    document = {"@context": "x", "@graph": [HEAD, root, *entities]}
    return claims_of(read_graph(json.dumps(document).encode()), most)


def action(own_id: str, given: str, result: str, **more: Any) -> dict[str, Any]:
    return {"@id": own_id, "@type": "CreateAction", "object": {"@id": given}, "result": {"@id": result}, **more}


def test_a_crate_of_others_whose_files_come_from_each_other(tmp_path: Path) -> None:
    """As Workflow Run RO-Crates have it: actions make files, not the whole."""
    files = [{"@id": name, "@type": "File"} for name in ("raw.h5", "curve.dat", "plot.png")]
    program = {"@id": "#p", "@type": "SoftwareApplication", "name": "reduce", "softwareVersion": "9"}
    claims, is_all = claimed(
        *files,
        program,
        action("#1", "raw.h5", "curve.dat", instrument={"@id": "#p"}),
        action("#2", "curve.dat", "plot.png", name="drawn"),
    )
    assert is_all
    assert chain(claims) == [
        (ClaimKind.DATASET, "Theirs", ["reduce 9", "drawn"]),
        (ClaimKind.JOB, "reduce 9", ["raw.h5"]),
        (ClaimKind.JOB, "drawn", ["curve.dat"]),
        (ClaimKind.DATASET, "raw.h5", []),
        (ClaimKind.DATASET, "curve.dat", ["reduce 9"]),
    ]


def test_a_past_that_runs_in_a_circle_ends() -> None:
    data = [{"@id": name, "@type": "CreativeWork", "name": name} for name in ("#a", "#b")]
    claims, _ = claimed(*data, action("#1", "#a", "./"), action("#2", "#b", "#a"), action("#3", "#a", "#b"))
    assert len(claims) == 6


def test_no_more_is_read_than_is_shown() -> None:
    sources = [{"@id": f"#{n}", "@type": "CreativeWork", "name": "\x1b[31m\u202e" + "x" * 9000} for n in range(99)]
    many = action("#job", "#0", "./") | {"object": [{"@id": one["@id"]} for one in sources]}
    claims, is_all = claimed(*sources, many)
    assert (len(claims), is_all) == (52, False)
    assert all(claim.title.isprintable() and len(claim.title) <= 200 for claim in claims)
    claims, is_all = claimed(*sources[:9], action("#job", "#0", "./"), most=2)
    assert (len(claims), claims[1].above, is_all) == (2, (), False)


def test_metadata_that_is_too_long_or_was_changed_is_said(tmp_path: Path) -> None:
    there, here = lab(tmp_path, "there"), lab(tmp_path, "here")
    taken = handed(there, figure(there, tmp_path), here, tmp_path)
    [enclosed] = [file for file in here.actions(taken.id)[0].files if file.path == "ro-crate-metadata.json"]
    path = here.file_path(enclosed)
    path.chmod(0o600)
    path.write_bytes(b" " * enclosed.size_bytes)
    [telling] = history(here, taken.id).told
    assert telling.claims == ()
    assert "was changed" in telling.problem


def test_a_name_that_is_nothing_is_passed_over() -> None:
    claims, _ = claimed({"@id": "#a", "@type": "CreativeWork", "name": [None, "A"]}, action("#1", "#a", "./"))
    assert [claim.title for claim in claims] == ["Theirs", "#1", "A"]
