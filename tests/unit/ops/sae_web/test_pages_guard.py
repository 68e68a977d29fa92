"""Who may do what on an application's pages, and what a stranger's page or file name cannot do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_pages_desk import FakePagesDesk

from poliqi.base.errors import StoreError
from poliqi.ops.sae_web import SaePages, sae_pages
from poliqi.ops.sae_web.routes import ROUTES
from poliqi.ops.web import DashboardSettings, Role, new_token, read_tokens
from poliqi.ops.web.roles import MAY

NAMES = {
    "transfer": "t1", "arrival": "a1", "number": "0", "receipt": "r1", "upload": "none", "language": "it",
    "version": "x", "name": "desk.css",
}  # fmt: skip
LOCAL = {"host": "localhost"}


@dataclass
class Rig:
    """Pages that are asked without a network."""

    pages: SaePages
    desk: FakePagesDesk
    spool: Path
    scheme: str = "http"

    def ask(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            host = "localhost" if self.scheme == "http" else "pages.example"
            cookies = more.pop("cookies", {})
            transport = httpx.ASGITransport(self.pages, client=("192.0.2.7", 4711))
            async with httpx.AsyncClient(
                transport=transport, base_url=f"{self.scheme}://{host}", cookies=cookies
            ) as client:
                return await client.request(method, path, **more)

        return asyncio.run(go())

    def hand_in(self, name: str, data: bytes) -> str:
        begun = self.ask("/api/uploads", "POST", json={"name": name, "size": len(data)})
        assert begun.status_code == 201, begun.text
        key = begun.json()["upload"]
        kind = {"content-type": "application/octet-stream"}
        put = self.ask(f"/api/uploads/{key}?at=0", "PUT", content=data, headers=kind)
        assert put.json() == {"have_bytes": len(data)}
        return key

    def form_token(self) -> str:
        found = re.search(r'name="token" value="([0-9a-f]{64})"', self.ask("/").text)
        assert found
        return found[1]


def made(tmp_path: Path, settings: DashboardSettings) -> Rig:
    desk = FakePagesDesk()
    return Rig(sae_pages(desk, tmp_path / "spool", settings), desk, tmp_path / "spool")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = made(tmp_path, DashboardSettings(open_role=Role.OPERATOR))
    yield rig
    asyncio.run(rig.pages.close())


@pytest.mark.parametrize("role", [None, *Role])
def test_every_route_lets_in_whom_it_should(tmp_path: Path, role: Role | None) -> None:
    rig = made(tmp_path, DashboardSettings(open_role=role, viewers=0))
    for row in ROUTES:
        media = {"part": "application/octet-stream", "json": "application/json"}.get(row.kind, "text/plain")
        path = row.path.format_map(NAMES)
        status = rig.ask(path, row.method, headers={"content-type": media}, content=b"{}").status_code
        if row.permission is None:
            assert status in (200, 303, 403), (row.path, status)
        elif role is None:
            is_page = row.kind == "page" and row.method == "GET"
            assert status == (303 if is_page else 401), (row.path, status)
        elif row.permission not in MAY[role]:
            assert status == 403, (row.path, status)
        elif row.kind not in ("form", "upload"):
            assert status in (200, 303, 400, 404, 503), (row.path, status)


def test_a_viewer_neither_sends_nor_takes_out(tmp_path: Path) -> None:
    rig = made(tmp_path, DashboardSettings(open_role=Role.VIEWER))
    for language in ("en", "it"):
        text = rig.ask("/", headers={"accept-language": language}).text
        assert 'id="send"' not in text
        assert "local_role = &#34;operator&#34;" in text, "who may not send is told who can allow it"
    assert "/files/" not in rig.ask("/inbox/a1").text
    assert rig.ask("/inbox/a1/files/0").status_code == 403
    assert rig.ask("/api/uploads", "POST", json={"name": "a", "size": 1}).status_code == 403


def test_files_are_handed_in_and_sent(rig: Rig) -> None:
    keys = [rig.hand_in("a.dcm", b"abc"), rig.hand_in("b.dcm", b"")]
    sent = rig.ask("/api/send", "POST", json={"uploads": keys, "peer": "hospital", "one_time": True})
    assert sent.json() == {"transfer": "new1"}
    assert rig.desk.sent == [({"a.dcm": b"abc", "b.dcm": b""}, "hospital", True, "operator")]
    assert len(list(rig.spool.iterdir())) == 2
    rig.desk.finish()
    assert not list(rig.spool.iterdir())


def test_a_form_of_another_page_sends_nothing(rig: Rig) -> None:
    files = {"files": ("a.txt", b"x")}
    for token in ("", "0" * 64):
        refused = rig.ask("/send", "POST", data={"token": token, "peer": "hospital"}, files=files)
        assert refused.status_code == 403
    for header in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}):
        data = {"token": rig.form_token(), "peer": "hospital"}
        assert rig.ask("/send", "POST", data=data, files=files, headers=header).status_code == 403
    assert rig.desk.sent == []
    data = {"token": rig.form_token(), "peer": "hospital"}
    assert rig.ask("/send", "POST", data=data, files=files).status_code == 303
    assert rig.desk.sent[0][0] == {"a.txt": b"x"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_origin_changes_nothing(rig: Rig, method: str) -> None:
    key = rig.hand_in("a", b"abc")
    path = "/api/uploads" if method == "POST" else f"/api/uploads/{key}?at=3"
    kind = "application/octet-stream" if method == "PUT" else "application/json"
    for header in ({"origin": "http://evil.example"}, {"sec-fetch-site": "same-site"}):
        assert rig.ask(path, method, headers={"content-type": kind, **header}).status_code == 403
    assert rig.ask(path, method, headers={"content-type": "text/plain"}).status_code == 403
    assert rig.ask(f"/api/uploads/{key}").json() == {"have_bytes": 3, "size_bytes": 3}


def test_a_name_that_points_here_is_misdirected(rig: Rig) -> None:
    assert rig.ask("/", headers={"host": "evil.example"}).status_code == 421


def test_what_came_is_saved_and_never_shown(rig: Rig) -> None:
    answer = rig.ask("/inbox/a1/files/1")
    assert answer.content == b"<b>hi"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-length"] == "5"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"_b_1.dcm\"; filename*=UTF-8''%3Cb%3E1.dcm"
    )
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert rig.ask("/inbox/a1/files/2").status_code == 404
    assert rig.ask("/inbox/../files/0").status_code == 404


def test_a_file_that_got_shorter_breaks_the_connection(rig: Rig) -> None:
    rig.desk.contents[0] = b"%PDF"
    with pytest.raises(OSError, match="shorter"):
        rig.ask("/inbox/a1/files/0")


def test_an_empty_file_is_taken_out(rig: Rig) -> None:
    arrival = rig.desk.now.arrivals[0]
    empty = replace(arrival, files=(replace(arrival.files[0], size_bytes=0),))
    rig.desk.set(arrivals=(empty,))
    answer = rig.ask("/inbox/a1/files/0")
    assert (answer.status_code, answer.content) == (200, b"")


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags += [tag, *(name for name, _ in attrs)]


def test_names_from_outside_are_text_everywhere(rig: Rig) -> None:
    evil = "\"'><script onload=x>{{ 7*7 }}"
    view = rig.desk.now
    transfer = replace(view.transfers[0], names=(evil, evil), place=evil, who=evil, problem=evil)
    arrival = replace(
        view.arrivals[0], name=evil, place=evil, files=(replace(view.arrivals[0].files[0], name=evil),)
    )
    receipt = replace(view.receipts[1], name=evil, place=evil, who=evil, sender=evil, key_ids=(evil,), hash=evil)
    near = replace(view.neighbours[3], place=evil, sae=evil, problem=evil)
    rig.desk.set(transfers=(transfer,), arrivals=(arrival,), receipts=(receipt,), neighbours=(near,))
    for path in ("/", "/transfers/t1", "/inbox", "/inbox/a1", "/receipts", "/receipts/r2", "/status"):
        text = rig.ask(path).text
        tags = Tags(text).tags
        assert tags.count("script") == 2, path
        assert "onload" not in tags, path
        assert "49" not in text.replace("&#34;", "").replace("&#39;", "") or "{{ 7*7 }}" in text


def test_an_upload_ends_with_what_is_wrong_in_words(rig: Rig) -> None:
    assert "rename" in rig.ask("/api/uploads", "POST", json={"name": "../x", "size": 1}).json()["message"]
    assert rig.ask("/api/uploads", "POST", json={"name": "x"}).status_code == 400
    assert rig.ask("/api/uploads", "POST", json={"name": "x", "size": 1 << 45}).status_code == 409
    assert rig.ask("/api/send", "POST", json={"uploads": [], "peer": "hospital"}).status_code == 400
    assert rig.ask("/api/send", "POST", json={"uploads": ["x"], "peer": "hospital"}).status_code == 409
    key = rig.hand_in("a", b"x")
    unknown = rig.ask("/api/send", "POST", json={"uploads": [key], "peer": "nobody"})
    assert unknown.status_code == 409
    assert "nobody" in unknown.json()["message"]
    assert rig.ask("/api/estimate?peer=nobody&bytes=1").status_code == 404
    assert rig.ask("/api/estimate?peer=bank&bytes=-1").status_code == 400


@pytest.mark.parametrize(("language", "said"), [("en", "Rename it."), ("it", "Rinominarlo.")])
def test_a_refusal_is_said_in_the_language_of_the_page(rig: Rig, language: str, said: str) -> None:
    speaks = {"accept-language": language}
    refused = rig.ask("/api/uploads", "POST", json={"name": "../x", "size": 1}, headers=speaks).json()
    assert refused["text"].endswith(said)
    assert refused["message"].endswith("rename the file"), "what exactly, for whoever helps"
    data, files = {"token": rig.form_token(), "peer": "hospital"}, {"files": ("a\u202eb", b"x")}
    page = rig.ask("/send", "POST", data=data, files=files, headers=speaks)
    assert page.status_code == 409
    assert said in page.text
    assert "rename the file" in page.text
    gone = rig.ask("/api/uploads/none", headers=speaks).json()
    assert gone["text"] == {"en": "There is no such thing here, or no longer."}.get(
        language, "Qui non c'è nulla del genere, o non c'è più."
    )


@pytest.mark.parametrize("is_simulated", [True, False])
@pytest.mark.parametrize(
    ("language", "nothing", "secrecy"),
    [
        ("en", "Simulated light: protects nothing.", ("now and later", "Who else could know", "May fail")),
        ("it", "Luce simulata: non protegge nulla.", ("oggi e in futuro", "Chi altro potrebbe", "Probabilità")),
    ],
)
def test_a_receipt_of_simulated_light_claims_no_secrecy(
    rig: Rig, language: str, nothing: str, secrecy: tuple[str, ...], is_simulated: bool
) -> None:
    rig.desk.set(receipts=tuple(replace(r, is_simulated=is_simulated) for r in rig.desk.now.receipts))
    text = rig.ask("/receipts/r2", headers={"accept-language": language}).text
    assert (nothing in text) is is_simulated
    assert [word for word in secrecy if word in text] == ([] if is_simulated else list(secrecy))


def test_a_full_disk_is_said(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    key = rig.ask("/api/uploads", "POST", json={"name": "a", "size": 3}).json()["upload"]
    monkeypatch.setattr(rig.pages.spool, "_write", full)
    kind = {"content-type": "application/octet-stream"}
    refused = rig.ask(f"/api/uploads/{key}?at=0", "PUT", content=b"abc", headers=kind)
    assert refused.status_code == 409
    assert "No space left" in refused.json()["message"]


def test_a_desk_that_fails_keeps_what_was_seen(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ct-thorax.dcm" in rig.ask("/receipts").text

    def broken() -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(rig.desk, "view", broken)
    assert "ct-thorax.dcm" in rig.ask("/receipts").text


def test_a_token_opens_the_pages_elsewhere(tmp_path: Path) -> None:
    token, lines = new_token("anna", Role.OPERATOR)
    (tmp_path / "tokens.toml").write_text(lines)
    rig = made(tmp_path, DashboardSettings(tokens=read_tokens(tmp_path / "tokens.toml")))
    rig.scheme = "https"
    assert rig.ask("/").status_code == 303
    login = rig.ask("/login", "POST", data={"secret": token, "back": "/"})
    cookie = login.headers["set-cookie"]
    assert all(word in cookie for word in ("__Host-poliqi=", "HttpOnly", "Secure", "SameSite=strict"))
    bearer = {"authorization": f"Bearer {token}"}
    begun = rig.ask("/api/uploads", "POST", json={"name": "a", "size": 0}, headers=bearer)
    rig.ask("/api/send", "POST", json={"uploads": [begun.json()["upload"]], "peer": "bank"}, headers=bearer)
    assert rig.desk.sent[0][3] == "anna"


def test_the_first_page_is_small(rig: Rig) -> None:
    text = rig.ask("/").text
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', text)
    total = len(text) + sum(len(rig.ask(path).content) for path in set(files))
    assert len(set(files)) == 5
    assert total <= 100_000
