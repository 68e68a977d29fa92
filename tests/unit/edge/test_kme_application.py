"""The key delivery's application by itself: what it passes on, and what a failing desk looks like from outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from fake_desk import FakeDesk, fake_pair

from poliqi.base.errors import StoreError
from poliqi.edge.identity import Caller, CallerKind
from poliqi.edge.kme_http import BODY_LIMIT_BYTES, KmeApplication
from poliqi.keys.requests import Delivered, KeyOrder, Outcome, StockReport

A = Caller(CallerKind.SAE, "sae-a", 2e10, 1, b"", "")
ENC = b"/api/v1/keys/sae-b/enc_keys"


def ask(application: Any, path: bytes, method: str = "GET", parts: tuple[bytes, ...] = (b"",)) -> tuple[int, bytes]:
    """Status and body of one request, its own body in parts."""
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting[-1]["more_body"] = False
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path.decode(),
        "raw_path": path,
        "query_string": b"",
        "headers": [],
        "state": {"caller": A},
    }
    asyncio.run(application(scope, receive, send))
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent)


class Failing(FakeDesk):
    """A desk whose disk is full."""

    async def order(self, order: KeyOrder) -> Outcome:
        raise StoreError("no space left on /dev/secret")


class Downgraded(FakeDesk):
    """A desk that reports one grade and delivers another."""

    async def order(self, order: KeyOrder) -> Outcome:
        delivered = await super().order(order)
        assert isinstance(delivered, Delivered)
        report = self.report(order.master, order.slaves[0])
        assert isinstance(report, StockReport)
        worse = self.sites.grade(order.master, order.slaves[0])
        object.__setattr__(worse, "epsilon", None)
        return Delivered([key._replace(grade=worse) for key in delivered.keys])


def test_a_desk_that_fails_is_503_without_a_word_why() -> None:
    desk, _ = fake_pair()
    status, body = ask(KmeApplication(Failing(desk.kme_id, desk.sites)), ENC)
    assert status == 503
    assert b"secret" not in body


def test_keys_that_came_out_worse_than_asked_for_are_kept_back() -> None:
    desk, _ = fake_pair()
    application = KmeApplication(Downgraded(desk.kme_id, desk.sites))
    wanted = json.dumps({"extension_mandatory": [{"poliqi_grade": {"max_epsilon": 1e-9}}]}).encode()
    status, body = ask(application, ENC, "POST", (wanted,))
    assert status == 503
    assert b'"key"' not in body
    assert ask(application, ENC, "POST", (b"{}",))[0] == 200


def test_bodies_in_parts_have_the_same_limit() -> None:
    desk, _ = fake_pair()
    application = KmeApplication(desk)
    assert ask(application, ENC, "POST", (b'{"num', b'ber": 1}'))[0] == 200
    assert ask(application, ENC, "POST", tuple([b" " * 1000] * (BODY_LIMIT_BYTES // 1000 + 2)))[0] == 413


def test_paths_of_others_are_passed_on_and_described() -> None:
    desk, _ = fake_pair()

    async def others(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"others"})

    application = KmeApplication(desk, others=others, described={"/more": {}})
    assert ask(application, b"/more") == (299, b"others")
    assert ask(application, b"/capabilities") == (299, b"others")
    assert "/more" in json.loads(ask(application, b"/openapi.json")[1])["paths"]
    assert ask(application, b"/openapi.json", "POST")[0] == 405
    assert ask(KmeApplication(desk), b"/more")[0] == 404
