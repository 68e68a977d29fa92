"""Crates of others, and of enemies: what is taken in, what is refused, and that nothing of it leads anywhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import stat
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from poliqi.apps.share.receipt import RECEIPT_BYTES
from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate import graph as graphs
from poliqi.lab.store.crate import take as taking
from poliqi.lab.store.crate.archive import _check_directory
from poliqi.lab.store.crate.build import build
from poliqi.lab.store.crate.claims import claims_of
from poliqi.lab.store.crate.graph import read_graph
from poliqi.lab.store.crate.take import Taken, import_crate, new_import
from poliqi.lab.store.crate.terms import RECEIPT_TYPE
from poliqi.lab.store.crate.write import write_folder
from poliqi.lab.store.records import Kind, Task
from poliqi.lab.store.settings import Limits
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore

DESCRIPTOR = {
    "@id": "ro-crate-metadata.json",
    "@type": "CreativeWork",
    "about": {"@id": "./"},
    "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
}


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenantStore]:
    with LabStore.create(tmp_path_factory.mktemp("lab") / "store", "Acme").tenant() as made:
        yield made


def crate(folder: Path, *entities: dict[str, Any], files: dict[str, bytes] | None = None, **root: Any) -> Path:
    made = folder / "crate"
    made.mkdir()
    described = {"@id": "./", "@type": "Dataset", "name": "Theirs", "license": "CC0-1.0", **root}
    document = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [DESCRIPTOR, described, *entities]}
    (made / "ro-crate-metadata.json").write_text(json.dumps(document))
    for name, data in ({"a.txt": b"a"} if files is None else files).items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(data)
    return made


def file(name: str, **more: Any) -> dict[str, Any]:
    return {"@id": name, "@type": "File", **more}


def take(tenant: TenantStore, path: Path, licence: str = "") -> Taken:
    return import_crate(tenant, path, new_import(time.time()), licence=licence)


def refused(tenant: TenantStore, path: Path, said: str) -> None:
    """It is refused, and nothing of it stays."""
    before = tenant.count()
    with pytest.raises(DataRefused, match=said):
        take(tenant, path)
    assert tenant.count() == before
    assert list((tenant.folder / "staging").iterdir()) == []


def test_a_crate_of_others_with_no_word_of_its_past_is_taken_in(tenant: TenantStore, tmp_path: Path) -> None:
    taken = take(
        tenant,
        crate(
            tmp_path,
            file("data/a%20b.csv", contentSize=3, sha256=hashlib.sha256(b"abc").hexdigest()),
            {"@id": "data/", "@type": "Dataset"},
            {"@id": "#alice", "@type": "Person", "name": "Alice"},
            files={"data/a b.csv": b"abc", "not named.txt": b"", "ro-crate-preview.html": b"<script>"},
            author=[{"@id": "#alice"}],
            keywords="one, two",
            datePublished="2024-02-29",
            license={"@id": "https://creativecommons.org/licenses/by-sa/4.0/"},
        ),
    ).dataset
    assert [one.path for one in taken.files] == ["data/a b.csv", "not named.txt", "ro-crate-preview.html"]
    assert (taken.creator, taken.keywords, taken.licence) == ("Alice", ("one", "two"), "CC-BY-SA-4.0")
    assert taken.made_unix_s == 1709164800.0
    assert taken.kind is Kind.RECEIVED


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "a/../../outside",
        "/etc/passwd",
        "%2e%2e/outside",
        "%2E%2E%2Foutside",
        "a%2F..%2Foutside",
        "a//b",
        "./../outside",
        "file:///etc/passwd",
        "C:/Windows/win.ini",
        "C:\\Windows\\win.ini",
        "..\\outside",
        "%5C%5Cserver%5Cshare",
        "//server/share",
        "NUL",
        "a/com1.txt",
        "%00",
        "a%0Ab",
        "%ff",
        "x/" * 70 + "y",
        "a" * 300,
        "%E2%80%AEgpj.exe",
    ],
)
@pytest.mark.parametrize("kind", ["File", "Dataset"])
def test_a_path_that_escapes_is_refused(tenant: TenantStore, tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "outside").write_text("secret")
    refused(tenant, crate(tmp_path, {"@id": name, "@type": kind}), "crate names the file")


@pytest.mark.parametrize("where", ["a.txt", "inner"])
def test_a_symlink_is_refused(tenant: TenantStore, tmp_path: Path, where: str) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.txt").write_text("secret")
    made = crate(tmp_path, file("inner/a.txt"), files={"b.txt": b"b"})
    (made / where).symlink_to(tmp_path / "inner" / "a.txt" if where == "a.txt" else tmp_path / "inner")
    refused(tenant, made, "symlink|promises")


def test_metadata_that_is_a_symlink_is_refused(tenant: TenantStore, tmp_path: Path) -> None:
    made = crate(tmp_path)
    (made / "ro-crate-metadata.json").rename(tmp_path / "elsewhere.json")
    (made / "ro-crate-metadata.json").symlink_to(tmp_path / "elsewhere.json")
    refused(tenant, made, "no whole RO-Crate")


@pytest.mark.parametrize(
    ("entity", "said"),
    [
        (file("a.txt", blake3=blake3(b"b").hexdigest()), "was promised"),
        (file("a.txt", sha256=hashlib.sha256(b"b").hexdigest()), "SHA-256 is another"),
        (file("a.txt", contentSize="2"), "2 were promised"),
        (file("a.txt", blake3="../../etc/passwd"), "64 hexadecimals"),
        (file("missing.txt"), "No such file"),
        (file("a.txt", blake3={"@id": "#x"}), "64 hexadecimals"),
    ],
)
def test_what_is_promised_is_held(tenant: TenantStore, tmp_path: Path, entity: dict[str, Any], said: str) -> None:
    refused(tenant, crate(tmp_path, entity), said)


@pytest.mark.parametrize(
    ("entities", "said"),
    [
        ([file("b.txt"), file("b.txt")], "stands twice"),
        ([file("a.txt"), file("./a.txt")], "twice"),
        ([file("a.txt"), file("%61.txt")], "twice"),
        ([{"@id": "./", "@type": "Dataset", "name": "another root"}], "stands twice"),
        ([{"@id": "#x"}], "no @type"),
        ([{"@id": "#x", "@type": {"a": 1}}], "no @type"),
        ([{"@id": 7, "@type": "Person"}], "an identifier is"),
        ([{"@id": "#" + "x" * 5000, "@type": "Person"}], "an identifier is"),
        ([{"@id": "#x", "@type": "Person", "knows": {"name": "nested", "deep": {"a": {}}}}], "flat list"),
        ([{"@id": "#x", "@type": "Person", "knows": [["a"]]}], "flat list"),
    ],
)
def test_a_graph_that_is_not_flat_is_refused(
    tenant: TenantStore, tmp_path: Path, entities: list[dict[str, Any]], said: str
) -> None:
    refused(tenant, crate(tmp_path, *entities), said)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no JSON"),
        (b"[" * 1_000_000, "no JSON"),
        (b'{"@context": 1, "@graph": [' + b'{"a":' * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"@graph": []}', "@context"),
        (b'{"@context": "x", "@graph": [1]}', "no object"),
        (b'{"@context": "x", "@graph": []}', "what its root is"),
        (b'{"@context": "x", "@graph": [{"@id": "ro-crate-metadata.json", "@type": "CreativeWork"}]}', "root"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_metadata_that_is_none_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(DataRefused, match=said):
        read_graph(data)


def test_a_bomb_of_entities_or_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"@context": "x", "@graph": [{"@id": f"#{n}", "@type": "T"} for n in range(50)]}).encode()
    monkeypatch.setattr(graphs, "_ENTITIES_MOST", 49)
    with pytest.raises(DataRefused, match="50 entities, at most 49"):
        read_graph(text)
    monkeypatch.setattr(graphs, "METADATA_BYTES", len(text) - 1)
    with pytest.raises(DataRefused, match="bytes of metadata"):
        read_graph(text)


def test_an_unknown_licence_is_refused_until_somebody_says_what_it_is(tenant: TenantStore, tmp_path: Path) -> None:
    made = crate(tmp_path, license={"@id": "https://example.org/terms"})
    refused(tenant, made, "licence 'https://example.org/terms' is unknown")
    assert take(tenant, made, "LicenseRef-Example").dataset.licence == "LicenseRef-Example"


def test_no_licence_allows_nothing(tenant: TenantStore, tmp_path: Path) -> None:
    assert take(tenant, crate(tmp_path, license=None)).dataset.licence == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([None, "x"], "x"),
        ([None], ""),
        ({"@value": None}, ""),
        ({"@value": 7}, "7"),
        ([{"@id": None}, {"@id": "#alice"}], "Alice"),
        ({"@id": "#bob"}, "#bob"),
    ],
)
def test_null_says_nothing(tenant: TenantStore, tmp_path: Path, value: Any, shown: str) -> None:
    alice = {"@id": "#alice", "@type": "Person", "name": "Alice"}
    bob = {"@id": "#bob", "@type": "Person", "name": [None]}
    taken = take(tenant, crate(tmp_path, alice, bob, name=value, author=value)).dataset
    assert (taken.title, taken.creator) == (shown or "a crate without a name", shown)


def test_titles_are_shown_on_one_line_and_run_nothing(tenant: TenantStore, tmp_path: Path) -> None:
    title = "<script>alert(1)</script>\x1b[31m\u202egpj\nsecond line" + "x" * 1000
    taken = take(tenant, crate(tmp_path, name=title, description="\x00\x9b31m<b>", author="\u2067A")).dataset
    assert taken.title.startswith("<script>alert(1)</script> [31m gpj second line")
    assert len(taken.title) == 400
    assert all(letter.isprintable() for text in (taken.title, taken.description, taken.creator) for letter in text)


def test_remote_files_are_named_and_never_fetched(
    tenant: TenantStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("it called somebody")

    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket.socket, "connect", forbidden)
    urls = ["http://127.0.0.1:1/x", "https://example.org/a.h5", "ftp://example.org/b"]
    taken = take(tenant, crate(tmp_path, *(file(url, contentUrl=url) for url in urls)))
    assert taken.described.remote == tuple(sorted(urls))
    assert [one.path for one in taken.dataset.files] == ["a.txt"]


def test_an_identifier_of_theirs_is_never_one_of_ours(tenant: TenantStore, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("own")
    own = tenant.register([tmp_path / "own.txt"], title="Own")
    made, _ = tenant.run(
        Task("program", "1", {}, (own.id,), title="Made"), lambda work: (work / "m").write_text("m") and None
    )
    assert made.made_by is not None
    forged = {
        "@id": f"#job-{made.made_by}",
        "@type": "CreateAction",
        "name": "forged",
        "endTime": "2020-01-01",
        "result": [{"@id": "./"}, {"@id": f"#dataset-{made.id}"}],
    }
    claimed = {"@id": f"#dataset-{made.id}", "@type": "CreativeWork", "name": "forged past"}
    taken = take(tenant, crate(tmp_path, forged, claimed, identifier=own.id)).dataset
    assert taken.id not in (own.id, made.id)
    assert taken.made_by is None
    assert [job.program for job in tenant.provenance(made.id).jobs] == ["program"]
    assert [one.id for one in tenant.provenance(taken.id).datasets] == [taken.id]
    names = {entity["@id"] for entity in build(tenant, taken.id).entities}
    assert f"#told-0-job-{made.made_by}" in names
    assert not names & {f"#job-{made.made_by}", f"#dataset-{made.id}"}


# ZIP files


def packed(path: Path, entries: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data)
    return path


def metadata() -> bytes:
    root = {"@id": "./", "@type": "Dataset", "name": "packed", "license": "CC0-1.0"}
    return json.dumps({"@context": "x", "@graph": [DESCRIPTOR, root]}).encode()


def test_a_crate_in_the_one_folder_of_a_zip_is_taken_in(tenant: TenantStore, tmp_path: Path) -> None:
    made = packed(tmp_path / "c.zip", {"c/ro-crate-metadata.json": metadata(), "c/in/a.txt": b"a"})
    assert [one.path for one in take(tenant, made).dataset.files] == ["in/a.txt"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../outside", "crate names the file"),
        ("/etc/cron.d/x", "leads out"),
        ("a/../../x", "crate names the file"),
        ("..\\x", "leads out"),
        ("a\nb", "crate names the file"),
        ("NUL", "crate names the file"),
    ],
)
def test_a_zip_that_leads_out_is_refused(tenant: TenantStore, tmp_path: Path, name: str, said: str) -> None:
    made = packed(tmp_path / "c.zip", {"ro-crate-metadata.json": metadata(), name: b"x"})
    refused(tenant, made, said)


def test_a_zip_with_a_symlink_or_one_path_twice_is_refused(tenant: TenantStore, tmp_path: Path) -> None:
    made = packed(
        tmp_path / "c.zip", {"ro-crate-metadata.json": metadata(), "l": b"/etc"}, {"l": stat.S_IFLNK | 0o777}
    )
    refused(tenant, made, "symlink")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("ro-crate-metadata.json", metadata())
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    refused(tenant, tmp_path / "d.zip", "twice")


def test_a_zip_bomb_is_refused_before_the_disk_is_full(tenant: TenantStore, tmp_path: Path) -> None:
    bomb = tmp_path / "c.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ro-crate-metadata.json", metadata())
        with archive.open("bomb", "w") as out:
            for _ in range(150):
                out.write(bytes(1 << 20))
    assert bomb.stat().st_size < 1 << 20
    refused(tenant, bomb, "bomb")


def test_a_zip_whose_directory_is_a_bomb_is_not_even_read(tenant: TenantStore, tmp_path: Path) -> None:
    data = bytearray(packed(tmp_path / "c.zip", {"ro-crate-metadata.json": metadata()}).read_bytes())
    at = data.rfind(b"PK\x05\x06")
    data[at + 12 : at + 16] = (1 << 30).to_bytes(4, "little")
    (tmp_path / "c.zip").write_bytes(data)
    refused(tenant, tmp_path / "c.zip", "its directory has")


def zip64(path: Path, monkeypatch: pytest.MonkeyPatch, files: int = 3, comment: bytes = b"") -> bytearray:
    """One that Python writes with a ZIP64 directory, as it does for more than 65,535 files."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = comment
        archive.writestr("ro-crate-metadata.json", metadata())
        for number in range(files):
            archive.writestr(f"{number}.txt", b"x")
    data = bytearray(path.read_bytes())
    assert data[-42 - len(comment) : -38 - len(comment)] == b"PK\x06\x07"
    return data


@pytest.mark.parametrize("comment", [b"", b"of the laboratory", b"c" * 0xFFFF])
def test_a_zip64_is_taken_in(
    tenant: TenantStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comment: bytes
) -> None:
    zip64(tmp_path / "c.zip", monkeypatch, comment=comment)
    assert [one.path for one in take(tenant, tmp_path / "c.zip").dataset.files] == ["0.txt", "1.txt", "2.txt"]


@pytest.mark.parametrize("comment", [b"", b"c" * 0xFFFF])
def test_the_directory_that_counts_is_held_to_the_limit_whatever_the_other_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comment: bytes
) -> None:
    """The classic record says 100 bytes; programs read as many as that of ZIP64 says."""
    data = zip64(tmp_path / "c.zip", monkeypatch, 1500, comment)
    at = data.rfind(b"PK\x05\x06")
    data[at + 12 : at + 16] = (100).to_bytes(4, "little")
    (tmp_path / "c.zip").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "c.zip") as archive:
        assert len(archive.infolist()) == 1501
    with (tmp_path / "c.zip").open("rb") as file:
        _check_directory(file, len(data), Limits(dataset_files=2000))
        with pytest.raises(DataRefused, match="its directory has"):
            _check_directory(file, len(data), Limits(dataset_files=1))


@pytest.mark.parametrize("where", [-98, -42 + 8])
def test_a_zip64_whose_records_do_not_meet_is_refused(
    tenant: TenantStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: int
) -> None:
    """Some programs would read the record that the locator names, others the one before it, or none."""
    data = zip64(tmp_path / "c.zip", monkeypatch)
    data[where] ^= 1
    (tmp_path / "c.zip").write_bytes(data)
    refused(tenant, tmp_path / "c.zip", "ZIP64 directory does not stand")


def test_a_damaged_zip_is_refused(tenant: TenantStore, tmp_path: Path) -> None:
    made = packed(tmp_path / "c.zip", {"ro-crate-metadata.json": metadata(), "a": os.urandom(20_000)})
    whole = bytearray(made.read_bytes())
    made.write_bytes(whole[:-30])
    refused(tenant, made, "no directory")
    whole[len(whole) // 2] ^= 0xFF
    made.write_bytes(whole)
    refused(tenant, made, "no ZIP file that can be read")


def test_a_zip_without_a_crate_is_refused(tenant: TenantStore, tmp_path: Path) -> None:
    refused(tenant, packed(tmp_path / "c.zip", {"a.txt": b"a"}), "no RO-Crate")
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    (tmp_path / "e.zip").write_bytes(buffer.getvalue())
    refused(tenant, tmp_path / "e.zip", "no RO-Crate")


def lab(folder: Path) -> TenantStore:
    return LabStore.create(folder / "own", "Acme").tenant()


def test_claims_never_stand_in_the_store_s_own_voice(tmp_path: Path) -> None:
    """Nor as a receipt of its own, nor as a deed under a URI, nor in place of what its words mean."""
    hash_word = "https://w3id.org/ro/terms/poliqi#blake3"
    deed = {
        "@id": "https://acme.example/deeds/1#a",
        "@type": "CreateAction",
        "name": "Measured by Acme",
        "result": {"@id": "./"},
        "object": {"@id": hash_word},
    }
    forged = {"@id": hash_word, "@type": "rdf:Property", "rdfs:comment": "FORGED"}
    receipt = file("r/receipt.json", encodingFormat="application/vnd.poliqi.receipt")
    files = {"a.txt": b"a", "r/receipt.json": b'{"sender": "bank"}'}
    with lab(tmp_path) as own:
        taken = take(own, crate(tmp_path, deed, forged, receipt, files=files)).dataset
        built = build(own, taken.id)
    entities = {one["@id"]: one for one in built.entities}
    assert "BLAKE3" in entities[hash_word]["rdfs:comment"]
    [enclosed] = built.enclosed
    assert entities[enclosed.path]["name"] == "a receipt that another's crate brought, not verified"
    assert not any("subjectOf" in one for one in built.entities)
    assert [name for name, one in entities.items() if one.get("name") == deed["name"]] == [
        "#told-0-https://acme.example/deeds/1%23a"
    ]


@pytest.mark.parametrize(
    ("value", "is_simulated"),
    [
        ({"value": True}, True),
        ({"value": "true"}, True),
        ({"value": "Yes, all of it"}, True),
        ({"value": 1}, True),
        ({"value": {"@value": "true", "@type": "xsd:boolean"}}, True),
        ({"value": [False, True]}, True),
        ({}, True),
        ({"value": False}, False),
        ({"value": "False"}, False),
        ({"value": 0}, False),
        ({"value": {"@value": "false"}}, False),
    ],
)
def test_simulated_is_believed_however_it_is_said(
    tmp_path: Path, value: dict[str, Any], is_simulated: bool
) -> None:
    said = {"@id": "#s", "@type": "PropertyValue", "propertyID": "https://w3id.org/ro/terms/poliqi#simulated"}
    with lab(tmp_path) as own:
        taken = take(own, crate(tmp_path, said | value, additionalProperty={"@id": "#s"}))
        assert taken.dataset.is_simulated is is_simulated
        [dataset, *_] = claims_of(read_graph((tmp_path / "crate" / "ro-crate-metadata.json").read_bytes()), 5)[0]
        assert dataset.is_simulated is is_simulated


def everything(tenant: TenantStore, taken: Taken) -> list[bytes]:
    """What the store holds of a crate but its metadata, sorted."""
    [action] = tenant.actions(taken.dataset.id)
    files = [*taken.dataset.files, *(one for one in action.files if one.path != "ro-crate-metadata.json")]
    return sorted(tenant.content(one, 1 << 21) for one in files)


def receipt(name: str, **more: Any) -> dict[str, Any]:
    return file(name, encodingFormat=RECEIPT_TYPE, **more)


@pytest.mark.parametrize("most", [2000, 200])
def test_every_receipt_of_a_crate_is_held(
    tenant: TenantStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Those beyond the most that are kept as receipts are files."""
    monkeypatch.setattr(taking, "_RECEIPTS_MOST", most)
    sent = {f"r/{number:03}.json": b"%d" % number for number in range(201)}
    taken = take(
        tenant, crate(tmp_path, file("a.txt"), *map(receipt, sent), files={"a.txt": f"{most}".encode(), **sent})
    )
    assert everything(tenant, taken) == sorted([f"{most}".encode(), *sent.values()])
    assert len(taken.dataset.files) == (1 if most > 201 else 2)


def test_receipts_that_are_too_much_together_are_files(
    tenant: TenantStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_RECEIPTS_BYTES", 10)
    sent = {"1": b"sixsix", "2": b"fives", "3": b"four"}
    taken = take(tenant, crate(tmp_path, *map(receipt, sent), files=sent))
    assert [one.path for one in taken.dataset.files] == ["2"]
    assert everything(tenant, taken) == sorted(sent.values())


def test_what_is_too_large_for_a_receipt_is_a_file_held_against_its_hash(
    tenant: TenantStore, tmp_path: Path
) -> None:
    data = {"most": bytes(RECEIPT_BYTES), "large": bytes(1 << 20)}
    named = [receipt("most"), receipt("large", blake3=blake3(data["large"]).hexdigest())]
    taken = take(tenant, crate(tmp_path, file("a.txt"), *named, files={"a.txt": b"a", **data}))
    assert [one.path for one in taken.dataset.files] == ["a.txt", "large"]
    assert everything(tenant, taken) == sorted([b"a", *data.values()])
    (tmp_path / "more").mkdir()
    wrong = receipt("large", blake3=blake3(b"another").hexdigest())
    refused(tenant, crate(tmp_path / "more", wrong, files={"large": data["large"]}), "was promised")


def test_a_preview_is_a_file_of_the_dataset_and_of_its_crate(tenant: TenantStore, tmp_path: Path) -> None:
    pages = {"ro-crate-preview.html": b"page", "ro-crate-preview_files/style.css": b"style"}
    first = take(tenant, crate(tmp_path, file("a.txt"), files={"a.txt": b"a", **pages}))
    assert everything(tenant, first) == [b"a", b"page", b"style"]
    write_folder(tenant, build(tenant, first.dataset.id), tmp_path / "again", lambda _done, _all: None)
    assert take(tenant, tmp_path / "again").dataset.files == first.dataset.files
