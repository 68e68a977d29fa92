"""What a laboratory's pages show and do: lists, datasets, sending, calendar, bookings, quotes, invoices, report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_pages_rig import NOW, LabRig, lab_rig, svg

from poliqi.apps.share.receipt import KeyUse, Receipt
from poliqi.apps.stream.terms import Mode
from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.localtime import Month, instant
from poliqi.lab.store.crate.take import import_crate, new_import
from poliqi.lab.store.records import DatasetId, Kind
from poliqi.lab.store.sending import stage
from poliqi.ops.web import Role

KEYS = ("3f0a1e6c-7d6b-4f4e-9d6c-0d8e5a0a1b2c", "8a4b3c2d-1e0f-4a5b-8c7d-6e5f4a3b2c1d")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LabRig]:
    made = lab_rig(tmp_path, here="anna")
    yield made
    made.close()


def receipt(transfer: str = "ab" * 16, simulated: bool = False) -> Receipt:
    """What another site signed."""
    use = KeyUse(Mode.ONE_TIME, 2, KEYS, "0" * 64, (), 1.2e-9, simulated)
    return Receipt(
        transfer=transfer, name="dataset-x", stored_as="dataset-x", sender="lab", receiver="hospital",
        sender_fingerprint="11", receiver_fingerprint="22", begun="2026-09-21T14:00:00Z",
        received="2026-09-21T14:00:05Z", clock_skew_s=0.0, mode="one-time-pad", policy="strict",
        simulated=simulated, epsilon=1.2e-9, manifest_sha256="9f" * 32, files=6, folders=0, size_bytes=7000,
        left_out=0, streams=(use,),
    )  # fmt: skip


# ---- lists


def test_many_datasets_come_in_pages(rig: LabRig, tmp_path: Path) -> None:
    """Of 50 each, the newest first; three words find what they begin."""
    small = tmp_path / "small.txt"
    small.write_text("1")
    with rig.store.tenant("acme") as store:
        for n in range(58):
            store.register([small], title=f"Run {n:03d} überprüft", kind=Kind.MEASURED)
    first = rig.ask("/api/lab/datasets", who="carla").json()
    assert (first["count"], first["pages"], len(first["datasets"])) == (60, 2, 50)
    assert first["datasets"][0]["title"] == "Run 057 überprüft"
    text = rig.ask("/lab?page=2", who="carla").text
    assert "51 to 60 of 60" in text
    assert 'rel="prev" href="/lab"' in text
    assert 'rel="next"' not in text
    assert 'rel="next" href="/lab?page=2"' in rig.ask("/lab", who="carla").text
    found = rig.ask("/api/lab/datasets?q=uberpruft+017", who="carla").json()
    assert [d["title"] for d in found["datasets"]] == ["Run 017 überprüft"]
    assert rig.ask("/api/lab/datasets?kind=simulated", who="carla").json()["count"] == 2


@pytest.mark.parametrize("query", ["page=0", "page=99999999", "page=x", "kind=nothing", "sample=x", "page=%F0%9F"])
def test_an_odd_address_is_a_list_all_the_same(rig: LabRig, query: str) -> None:
    assert rig.ask(f"/lab?{query}").status_code == 200


def test_too_many_words_are_refused_in_words(rig: LabRig) -> None:
    answer = rig.ask("/lab?q=" + "a+" * 30)
    assert answer.status_code == 400
    assert "Search for fewer words" in answer.text


# ---- one dataset


def test_a_dataset_is_shown_with_files_hashes_and_provenance(rig: LabRig) -> None:
    first, second = rig.datasets["polimi"]
    text = rig.ask(f"/lab/datasets/{second.id}").text
    for word in ("Sizes of polimi", "poliqi lab xray saxs", "alloy of polimi", "Xeuss", first.id, second.id,
                 second.files[0].blake3, "{&#34;model&#34;:&#34;sphere&#34;}"):  # fmt: skip
        assert word in text, word
    record = rig.ask(f"/api/lab/datasets/{second.id}").json()
    assert record["files"][0]["blake3"] == second.files[0].blake3
    assert record["provenance"]["jobs"][0]["parameters"] == {"model": "sphere"}
    assert [d["id"] for d in record["provenance"]["datasets"]] == [second.id, first.id]
    assert rig.ask(f"/api/lab/datasets/{first.id}").json()["provenance"]["derived"][0]["id"] == second.id


def test_simulated_is_said_wherever_it_is_shown(rig: LabRig) -> None:
    for dataset in rig.datasets["polimi"]:
        assert rig.ask(f"/lab/datasets/{dataset.id}").text.count('class="mark">simulated') >= 3
        assert rig.ask(f"/api/lab/datasets/{dataset.id}").json()["simulated"] is True
    assert rig.ask("/lab").text.count('class="mark">simulated') == 2


def test_words_of_others_are_text(rig: LabRig) -> None:
    text = rig.ask(f"/lab/datasets/{rig.datasets['polimi'][0].id}").text
    assert "Secret &lt;i&gt;frames&lt;/i&gt;" in text
    assert "<i>frames" not in text
    assert "notes &lt;b&gt;.txt" in text
    assert "<script>alert" not in text


def test_a_curve_is_drawn_with_its_axes(rig: LabRig) -> None:
    text = rig.ask(f"/lab/datasets/{rig.datasets['polimi'][0].id}").text
    assert text.count('<svg class="curve') == 2
    for word in ("q (nm⁻¹)", "I (cm⁻¹)", ">1000<"):
        assert word in text, word


def number_of(rig: LabRig, name: str) -> int:
    files = rig.datasets["polimi"][0].files
    return next(n for n, file in enumerate(files) if file.path == name)


def test_files_are_saved_and_never_shown(rig: LabRig) -> None:
    dataset = rig.datasets["polimi"][0].id
    for name in ("notes <b>.txt", "fit.svg", "own.bin"):
        answer = rig.ask(f"/lab/datasets/{dataset}/files/{number_of(rig, name)}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == b"polimi" * 1000


def test_a_picture_has_no_rights(rig: LabRig) -> None:
    dataset = rig.datasets["polimi"][0].id
    answer = rig.ask(f"/lab/datasets/{dataset}/figures/{number_of(rig, 'fit.svg')}")
    assert answer.content == svg()
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-disposition"].startswith("attachment;")
    policies = answer.headers.get_list("content-security-policy")
    assert "default-src 'none'; style-src 'unsafe-inline'; sandbox" in policies
    png = rig.ask(f"/lab/datasets/{dataset}/figures/{number_of(rig, 'image.png')}")
    assert png.headers["content-type"] == "image/png"
    for name in ("own.bin", "notes <b>.txt", "curve.csv"):
        assert rig.ask(f"/lab/datasets/{dataset}/figures/{number_of(rig, name)}").status_code == 404


def test_a_file_that_was_changed_on_the_disk_is_no_picture(rig: LabRig) -> None:
    dataset = rig.datasets["polimi"][0]
    number = number_of(rig, "fit.svg")
    path = rig.room.tenant("polimi").file_path(dataset.files[number])
    path.chmod(0o600)
    path.write_bytes(svg("<!-- changed -->")[: dataset.files[number].size_bytes])
    answer = rig.ask(f"/lab/datasets/{dataset.id}/figures/{number}")
    assert answer.status_code == 503
    assert str(rig.store.root) not in answer.text


@pytest.mark.parametrize("number", ["99", "-1", "x", "00000000000", "%31"])
def test_there_is_no_other_file(rig: LabRig, number: str) -> None:
    answer = rig.ask(f"/lab/datasets/{rig.datasets['polimi'][0].id}/files/{number}")
    assert answer.status_code == (200 if number == "%31" else 404)


# ---- sending


def test_a_dataset_is_sent_and_its_receipt_becomes_its_history(rig: LabRig) -> None:
    dataset = rig.datasets["acme"][1].id
    path = f"/lab/datasets/{dataset}"
    token = rig.form_token(path, "carla")
    form = {"token": token, "peer": "hospital", "one_time": "1"}
    asked = rig.ask(f"{path}/send", "POST", who="carla", data=form)
    assert "Key needed" in asked.text
    assert rig.desk.sent == []
    sent = rig.ask(f"{path}/send", "POST", who="carla", data={**form, "go": "1"})
    assert sent.headers["location"] == "/lab/transfers/new1"
    [(contents, peer, one_time, who)] = rig.desk.sent
    assert {"ro-crate-metadata.json", "sizes.csv", "sizes.svg"} <= set(contents)
    assert (peer, one_time, who) == ("hospital", True, "carla")
    [names, size, on_receipt] = rig.desk.told["new1"]
    assert names == [f"dataset-{dataset}"]
    assert size == sum(map(len, contents.values()))
    assert 'http-equiv="refresh"' in rig.ask("/lab/transfers/new1", who="carla").text
    on_receipt(receipt())
    on_receipt(receipt())
    rig.desk.finish()
    text = rig.ask(path, who="carla").text
    for word in ("Sent to Bovisa", *KEYS, "1.2·10⁻⁹", "One-time pad", "9f" * 32, "carla"):
        assert word in text, word
    assert text.count("Sent to Bovisa") == 1
    [event] = rig.ask(f"/api{path}", who="carla").json()["events"]
    assert (event["mode"], event["epsilon"], event["key_ids"]) == ("one-time-pad", 1.2e-9, list(KEYS))
    assert 'http-equiv="refresh"' not in rig.ask("/lab/transfers/new1", who="carla").text
    assert not list((rig.store.root / "tenants/acme/staging").iterdir())


def test_simulated_keys_protect_nothing_and_it_says_so(rig: LabRig) -> None:
    dataset = rig.datasets["polimi"][0].id
    assert rig.ask(f"/api/lab/datasets/{dataset}/send", "POST", json={"peer": "hospital"}).status_code == 201
    rig.desk.told["new1"][2](receipt(simulated=True))
    text = rig.ask(f"/lab/datasets/{dataset}").text
    assert "protects nothing" in text
    assert "1.2·10" not in text


def test_what_cannot_begin_leaves_nothing_behind(rig: LabRig) -> None:
    rig.desk.refuses = "Bovisa does not answer"
    dataset = rig.datasets["polimi"][0].id
    answer = rig.ask(f"/api/lab/datasets/{dataset}/send", "POST", json={"peer": "hospital"})
    assert (answer.status_code, answer.json()["message"]) == (409, "Bovisa does not answer")
    assert not list((rig.store.root / "tenants/polimi/staging").iterdir())
    for body in (b"{", b"[]", b'{"peer": 1}', b'{"peer": "hospital", "x": 1}'):
        kind = {"content-type": "application/json"}
        sent = rig.ask(f"/api/lab/datasets/{dataset}/send", "POST", headers=kind, content=body)
        assert sent.status_code == 400


def test_a_damaged_dataset_is_not_sent(rig: LabRig) -> None:
    dataset = rig.datasets["polimi"][0]
    path = rig.room.tenant("polimi").file_path(dataset.files[0])
    path.chmod(0o600)
    path.write_bytes(b"x" * dataset.files[0].size_bytes)
    answer = rig.ask(f"/api/lab/datasets/{dataset.id}/send", "POST", json={"peer": "hospital"})
    assert answer.status_code == 409
    assert rig.desk.sent == []


def test_a_viewer_may_look_and_no_more(tmp_path: Path) -> None:
    rig = lab_rig(tmp_path, Role.VIEWER, here="luca")
    path = f"/lab/datasets/{rig.datasets['polimi'][0].id}"
    assert 'id="usual"' not in rig.ask(path).text
    assert rig.ask(f"/api{path}/send", "POST", json={"peer": "hospital"}).status_code == 403
    assert 'name="begin"' not in rig.ask("/lab/instruments/saxs").text
    rig.close()


def test_a_form_of_another_page_does_nothing(rig: LabRig) -> None:
    path = f"/lab/datasets/{rig.datasets['polimi'][0].id}/send"
    for token in ("", "0" * 64):
        assert rig.ask(path, "POST", data={"token": token, "peer": "hospital", "go": "1"}).status_code == 403
    assert rig.desk.sent == []


def test_it_is_asked_to_be_sent_on(rig: LabRig) -> None:
    """The wish stands in the crate, in the words that the other site looks for."""
    dataset = rig.datasets["acme"][1].id
    path = f"/lab/datasets/{dataset}"
    form = {"token": rig.form_token(path, "carla"), "peer": "hospital", "onward": " resins.example "}
    asked = rig.ask(f"{path}/send", "POST", who="carla", data=form)
    assert "sent on to resins.example" in asked.text
    assert 'name="onward" value="resins.example"' in asked.text
    assert rig.ask(f"{path}/send", "POST", who="carla", data={**form, "go": "1"}).status_code == 303
    [(contents, *_)] = rig.desk.sent
    assert "To be sent on to resins.example" in contents["ro-crate-metadata.json"].decode()
    assert rig.desk.told["new1"][1] == sum(map(len, contents.values()))
    for odd in ("<b>", "../x", "a\nb", "x" * 101):
        body = {"peer": "hospital", "onward": odd}
        answer = rig.ask(f"/api{path}/send", "POST", who="carla", json=body)
        assert (answer.status_code, "does not fit" in answer.json()["text"]) == (409, True)
    assert len(rig.desk.sent) == 1


def test_what_the_sender_claims_stands_apart_and_is_text(rig: LabRig, tmp_path: Path) -> None:
    with rig.store.tenant("beta") as there, rig.store.tenant("acme") as here:
        crate = stage(there, rig.datasets["beta"][1].id, tmp_path / "staged")
        taken = import_crate(here, crate, new_import(float(NOW))).dataset
    text = rig.ask(f"/lab/datasets/{taken.id}", who="carla").text
    assert "nobody here has checked them" in text
    chain = text[text.index("What its crate tells") :]
    steps = [
        "Sizes of beta",
        "poliqi lab xray saxs 0.1.0",
        "Secret &lt;i&gt;frames&lt;/i&gt; of beta",
        "alloy of beta",
    ]
    assert [step for step in steps if step in chain] == steps
    assert sorted(steps, key=chain.index) == steps
    assert "<i>frames" not in text
    assert text.count('class="node sample claimed"') == 1
    record = rig.ask(f"/api/lab/datasets/{taken.id}", who="carla").json()
    assert (record["provenance"]["jobs"], record["provenance"]["samples"]) == ([], [])
    [telling] = record["claimed"]
    assert [claim["kind"] for claim in telling["claims"]][:3] == ["dataset", "job", "dataset"]


# ---- instruments


def test_a_week_shows_what_is_taken_and_closed(rig: LabRig) -> None:
    text = rig.ask("/lab/instruments/saxs?week=2026-W39", who="carla").text
    assert "<b>14:00–16:00</b> secret alloy" in text
    assert "<b>09:00–11:30</b> taken" in text
    assert 'class="closed"' in text
    assert 'rowspan="3"' in text


@pytest.mark.parametrize("week", ["2026-W53", "2026-W54", "0000-W01", "9999-W99", "x", ""])
def test_any_week_can_be_asked_for(rig: LabRig, week: str) -> None:
    assert rig.ask(f"/lab/instruments/saxs?week={week}").status_code == 200


def book(rig: LabRig, who: str, begin: str, end: str, **more: str) -> int:
    form = {"token": rig.form_token("/lab/instruments/saxs", who), "begin": begin, "end": end, **more}
    answer = rig.ask("/lab/instruments/saxs/book", "POST", who=who, data=form)
    return answer.status_code


def test_time_is_booked_once_and_freed_again(rig: LabRig) -> None:
    assert book(rig, "carla", "2026-09-24T09:00", "2026-09-24T11:00", title="melt") == 303
    assert book(rig, "luca", "2026-09-24T10:00", "2026-09-24T12:00") == 409
    text = rig.ask("/lab/bookings", who="carla").text
    assert "2026-09-24 09:00" in text
    assert "melt" in text
    [booking] = [b["id"] for b in rig.ask("/api/lab/bookings", who="carla").json() if b["title"] == "melt"]
    asked = rig.ask(f"/lab/bookings/{booking}/cancel", who="carla").text
    assert "costs nothing" in asked
    form = {"token": rig.form_token(f"/lab/bookings/{booking}/cancel", "carla")}
    assert rig.ask(f"/lab/bookings/{booking}/cancel", "POST", who="carla", data=form).status_code == 303
    assert book(rig, "luca", "2026-09-24T10:00", "2026-09-24T12:00") == 303
    late = next(b["id"] for b in rig.ask("/api/lab/bookings", who="carla").json() if b["title"] == "secret alloy")
    assert "50 % of its price" in rig.ask(f"/lab/bookings/{late}/cancel", who="carla").text


@pytest.mark.parametrize(
    ("begin", "end", "word"),
    [
        ("2026-09-24T11:00", "2026-09-24T09:00", "the end comes after"),
        ("2026-09-20T09:00", "2026-09-20T10:00", "neither has passed"),
        ("2026-09-24T22:00", "2026-09-24T23:00", "is closed then"),
        ("2026-09-24T09:00", "2026-09-24T09:01", "shorter than"),
        ("", "2026-09-24T09:01", "do not fit"),
        ("2026-09-22T09:30", "2026-09-22T10:30", "already"),
    ],
)
def test_a_booking_that_does_not_fit_is_refused_in_words(rig: LabRig, begin: str, end: str, word: str) -> None:
    form = {"token": rig.form_token("/lab/instruments/saxs", "carla"), "begin": begin, "end": end}
    answer = rig.ask("/lab/instruments/saxs/book", "POST", who="carla", data=form)
    assert answer.status_code == 409
    assert word in answer.text
    assert f'value="{end}"' in answer.text, "what was filled in stays"
    assert "spheres" not in answer.text


def test_the_same_form_sent_twice_books_once(rig: LabRig) -> None:
    times = {"begin": "2026-09-24T09:00", "end": "2026-09-24T11:00", "request": "r1"}
    assert [book(rig, "carla", **times) for _ in range(2)] == [303, 303]
    assert (
        len([b for b in rig.ask("/api/lab/bookings", who="carla").json() if b["begin"].startswith("2026-09-24")])
        == 1
    )


def test_a_quote_says_the_price_and_becomes_a_booking(rig: LabRig) -> None:
    """Two hours at 120.00 EUR."""
    form = {"token": rig.form_token("/lab/instruments/saxs", "carla"), "begin": "2026-09-24T09:00",
            "end": "2026-09-24T11:00", "quote": "1"}  # fmt: skip
    where = rig.ask("/lab/instruments/saxs/book", "POST", who="carla", data=form).headers["location"]
    assert "240.00\u00a0EUR" in rig.ask(where, who="carla").text
    assert "240,00\u00a0EUR" in rig.ask(where, who="carla", headers={"accept-language": "it"}).text
    assert rig.ask(f"/api{where}", who="carla").json()["net_cents"] == 24_000
    assert where in rig.ask("/lab/quotes", who="carla").text
    assert [q["net_cents"] for q in rig.ask("/api/lab/quotes", who="carla").json()] == [24_000]
    for other in ("anna", "luca", "dario"):
        assert rig.ask("/api/lab/quotes", who=other).json() == []
        assert where not in rig.ask("/lab/quotes", who=other).text
    token = {"token": rig.form_token(where, "carla")}
    assert rig.ask(where, "POST", who="carla", data=token).status_code == 303
    assert rig.ask(where, "POST", who="carla", data=token).status_code == 409
    begins = [b["begin"] for b in rig.ask("/api/lab/bookings", who="carla").json()]
    assert "2026-09-24T07:00:00Z" in begins


def test_a_program_books(rig: LabRig) -> None:
    path = "/api/lab/instruments/saxs/book"
    made = rig.ask(path, "POST", who="carla", json={"begin": "2026-09-24 09:00", "end": "2026-09-24 11:00"})
    assert made.status_code == 201
    again = rig.ask(path, "POST", who="luca", json={"begin": "2026-09-24 09:00", "end": "2026-09-24 11:00"})
    assert again.status_code == 409
    assert again.json()["text"] == "Somebody has that time already. Choose another."
    assert rig.ask(path.replace("saxs", "xrd"), "POST", json={"begin": "x", "end": "y"}).status_code == 404


# ---- invoices and the month


@pytest.fixture
def billed(rig: LabRig) -> LabRig:
    """October: what Carla booked in September is metered and invoiced."""
    with Facility.open(rig.store.root, now_s=lambda: instant("2026-10-02 09:00")) as facility:
        anna, carla = facility.user("anna"), facility.user("carla")
        [booking] = facility.bookings.between(NOW, NOW + 10**6, carla)
        facility.meter.start(booking.id, by=anna, at_s=booking.begin_s)
        facility.meter.stop(booking.id, by=anna, at_s=booking.begin_s + 5400)
        facility.invoicing.issue("acme", Month.parse("2026-09"), by=anna)
    return rig


def test_an_invoice_has_its_lines_tax_and_label(billed: LabRig) -> None:
    """An hour and a half at 120.00 EUR, and 22 % of that: 39.60 EUR."""
    text = billed.ask("/lab/invoices/PF-acme-2026-0001", who="carla").text
    for word in ("PRO FORMA", "180.00\u00a0EUR", "39.60\u00a0EUR", "219.60\u00a0EUR", "ACME S.p.A.", "22 %"):
        assert word in text, word
    [invoice] = billed.ask("/api/lab/invoices", who="carla").json()
    assert (invoice["net_cents"], invoice["vat_cents"], invoice["gross_cents"]) == (18_000, 3_960, 21_960)
    for who in ("dario", "luca"):
        assert billed.ask("/api/lab/invoices", who=who).json() == []
        hit, guess = (billed.ask(f"/lab/invoices/PF-{name}-2026-0001", who=who) for name in ("acme", "nobo"))
        assert (hit.status_code, hit.text.replace("acme", "")) == (404, guess.text.replace("nobo", ""))


def test_the_month_report_is_for_who_runs_the_facility(billed: LabRig) -> None:
    text = billed.ask("/lab/report?month=2026-09", who="anna").text
    assert "PF-acme-2026-0001" in text
    assert "above 20 %" in text, "all of the metered hours were a company's"
    assert "PRO FORMA" in text
    assert billed.room.facility is not None
    assert billed.room.facility.verify_audit().text in text
    saved = billed.ask("/lab/report.csv?month=2026-09", who="anna")
    assert saved.headers["content-disposition"].startswith("attachment;")
    rows = list(csv.reader(io.StringIO(saved.text)))
    assert ["2026-09", "use", "saxs", "metered company", "5400", "s"] in rows
    for who in ("luca", "carla", "dario"):
        assert billed.ask("/lab/report?month=2026-09", who=who).status_code == 403
    assert billed.ask("/lab/report?month=x", who="anna").status_code == 404


# ---- the house without a facility


def test_a_store_without_a_facility_has_datasets_alone(tmp_path: Path) -> None:
    rig = lab_rig(tmp_path)
    rig.close()
    (rig.store.root / "facility.sqlite").unlink()
    for left in rig.store.root.glob("facility.sqlite-*"):
        left.unlink()
    (tmp_path / "again").mkdir()
    from poliqi.ops.lab_web import LabRoom

    room = LabRoom(rig.store, rig.desk)
    assert room.facility is None
    assert room.tenant("polimi").dataset(DatasetId(rig.datasets["polimi"][0].id))
    room.close()
