"""Whatever is put into a store comes out of it; whatever is asked of it, nothing leads out of its folders."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab_stores import blobs_on_disk, check_whole, new_store, quick_folder, written

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.store.licence import check_licence
from poliqi.lab.store.naming import check_path, check_tenant, tenant_of
from poliqi.lab.store.records import Dataset, DatasetId, Task
from poliqi.lab.store.settings import draft_of, read_settings
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore

ODD = st.text(st.sampled_from("ab./\\~\n\x00\x1b\u202e\ud800 \u00e9*'\"%-"), max_size=12)
NAME = st.text(st.sampled_from("abcdefgh. -_\u00e9\u6f22()'\"%$"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
TREE = st.dictionaries(st.lists(NAME, min_size=1, max_size=3).map("/".join), st.binary(max_size=40), min_size=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TenantStore:
    folder = tmp_path_factory.mktemp("properties")
    store = new_store(folder / "store")
    for title in ("first", "second", "third"):
        store.register([written(folder / title, {"x": title.encode()})], title=title)
    return store


def is_tree(files: dict[str, bytes]) -> bool:
    """No file stands where another path has a folder."""
    return not any(other.startswith(path + "/") for path in files for other in files)


@settings(max_examples=25)
@given(TREE.filter(is_tree))
def test_what_goes_in_comes_out(files: dict[str, bytes]) -> None:
    with quick_folder() as name:
        folder = Path(name)
        source = written(folder / "in", files)
        with new_store(folder / "store") as store:
            dataset = store.register([source], title="x")
            again = store.register([source], title="y")
            assert dataset.files == again.files
            assert len(blobs_on_disk(store.folder)) == len(set(files.values()))
            store.copy_out(dataset.id, folder / "out")
        found = {
            str(p.relative_to(folder / "out")): p.read_bytes() for p in (folder / "out").rglob("*") if p.is_file()
        }
        assert found == files
        check_whole(folder / "store")


@given(st.one_of(st.text(max_size=300), ODD))
def test_a_path_stays_inside_or_is_refused(path: str) -> None:
    try:
        names = check_path(path)
    except DataRefused as refusal:
        assert str(refusal).isprintable()
        return
    assert "/".join(names) == path
    assert Path("/base").joinpath(*names).resolve().is_relative_to("/base")
    assert path.isprintable() or "\xa0" in path or not path.isascii()


@given(st.one_of(st.text(max_size=60), ODD))
def test_a_tenant_is_a_plain_name_or_refused(name: str) -> None:
    try:
        check_tenant(name)
    except ConfigError:
        return
    assert name.isascii() and name == name.lower() and "/" not in name and not name.startswith((".", "-"))


@given(st.one_of(st.text(max_size=100), ODD))
def test_any_organisation_that_is_taken_is_read_back(organisation: str) -> None:
    with quick_folder() as folder, suppress(ConfigError):
        (Path(folder) / "lab.toml").write_bytes(draft_of(organisation, tenant_of(organisation)))
        assert read_settings(Path(folder) / "lab.toml").organisation == organisation


@given(st.binary(max_size=300))
def test_any_settings_are_read_or_refused(data: bytes) -> None:
    with quick_folder() as folder:
        (Path(folder) / "lab.toml").write_bytes(b'version = 1\norganisation = "x"\n' + data)
        with suppress(ConfigError):
            read_settings(Path(folder) / "lab.toml")


@given(st.one_of(st.text(max_size=400), ODD))
def test_any_words_are_searched_or_refused(store: TenantStore, words: str) -> None:
    try:
        found = store.find(words)
    except DataRefused:
        return
    assert store.count(words) == len(found)


@given(st.one_of(st.text(max_size=40), ODD))
def test_any_name_is_found_or_refused(store: TenantStore, name: str) -> None:
    for look in (store.resolve, store.sample_named, store.instrument_named, lambda n: store.dataset(DatasetId(n))):
        with pytest.raises(DataRefused):
            look(name)


@given(st.one_of(st.text(max_size=60), st.sampled_from(["MIT OR", "(CC0-1.0", "CC-BY-4.0 WITH x", "AND"]), ODD))
def test_any_licence_is_canonical_or_refused(text: str) -> None:
    try:
        canonical = check_licence(text)
    except DataRefused:
        return
    assert check_licence(canonical) == canonical


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(max_size=8)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
).filter(lambda value: "inf" not in repr(value).lower())


@settings(max_examples=20)
@given(st.dictionaries(st.text(max_size=6), JSON, max_size=3))
def test_a_job_of_any_parameters_is_done_once(parameters: dict[str, object]) -> None:
    with quick_folder() as folder, new_store(Path(folder) / "store") as store:
        runs = [
            store.run(Task("p", "1", given), write_one)
            for given in (parameters, dict(reversed(parameters.items())))
        ]
        assert [was_there for _, was_there in runs] == [False, True]
        job = store.job(made_by(runs[0][0]))
        assert msgspec.json.decode(job.parameters_json) == parameters


def write_one(folder: Path) -> None:
    (folder / "x").write_bytes(b"x")


def made_by(dataset: Dataset) -> object:
    assert dataset.made_by is not None
    return dataset.made_by


@settings(max_examples=10)
@given(st.lists(st.sampled_from(["acme", "beta-labs", "x"]), min_size=1, max_size=3, unique=True))
def test_tenants_share_nothing(names: list[str]) -> None:
    with quick_folder() as name:
        folder = Path(name)
        lab = LabStore.create(folder / "lab", "Politecnico di Milano")
        source = written(folder / "in", {"x": b"the same"})
        made = dict[str, DatasetId]()
        for tenant in names:
            lab.add_tenant(tenant)
            with lab.tenant(tenant) as part:
                made[tenant] = part.register([source], title=f"of {tenant}").id
        for tenant in names:
            with lab.tenant(tenant) as part:
                assert part.all_ids() == [made[tenant]]
                for other in set(names) - {tenant}:
                    with pytest.raises(DataRefused):
                        part.dataset(made[other])
        assert lab.tenants() == sorted([*names, "politecnico-di-milano"])
        with lab.tenant() as own:
            assert own.count() == 0
