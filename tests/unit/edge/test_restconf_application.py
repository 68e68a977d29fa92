"""RESTCONF over HTTP as RFC 8040 has it: discovery, methods, media types, entity tags, errors, who may read."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from xml.etree import ElementTree as Xml

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sdn_rig import TYPES, YANG, fibre, figures, light, validate, virtual

from poliqi.base.ids import LinkId
from poliqi.control.etsi015 import MODULE, QkdNode
from poliqi.control.etsi015_names import link_uuid
from poliqi.control.etsi015_state import qkd_node
from poliqi.edge.identity import Caller, CallerKind
from poliqi.edge.restconf import RestconfApplication
from poliqi.edge.restconf_data import Root
from poliqi.edge.restconf_schema import schema_of
from poliqi.edge.restconf_stream import EventStream

NODE = f"/restconf/data/{MODULE}:qkd_node"
LINK = f"{NODE}/qkd_links/qkd_link={link_uuid(LinkId('a-b'))}"
DATE = "Mon, 23 Nov 2026 10:00:00 GMT"
TREE = msgspec.to_builtins(qkd_node(figures(fibre(light=light()), virtual())))
READER = Caller(CallerKind.SAE, "controller", 1e12, 1, b"", "")


class Answer:
    """What came back."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        start, *parts = sent
        self.status: int = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = b"".join(part["body"] for part in parts)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        [error] = self.json()["ietf-restconf:errors"]["error"]
        assert self.headers["content-type"] == "application/yang-data+json"
        assert error["error-type"] == "protocol"
        assert error["error-message"]
        return self.status, error["error-tag"]


def application(
    stream: EventStream | None = None, readers: tuple[str, ...] = ("controller",)
) -> RestconfApplication:
    root = Root(MODULE, "qkd_node", schema_of(QkdNode), TREE)
    return RestconfApplication(lambda: (root, DATE), stream or EventStream(), readers)


def ask(
    path: str,
    query: str = "",
    *,
    method: str = "GET",
    caller: Caller | None = READER,
    readers: tuple[str, ...] = ("controller",),
    **headers: str,
) -> Answer:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "state": {"caller": caller},
    }
    asyncio.run(application(readers=readers)(scope, receive, send))
    return Answer(sent)


# ------------------------------------------------------------------ discovery (section 3)


def test_the_root_is_discovered() -> None:
    answer = ask("/.well-known/host-meta")
    assert answer.headers["content-type"] == "application/xrd+xml"
    [link] = Xml.fromstring(answer.body)
    assert (link.get("rel"), link.get("href")) == ("restconf", "/restconf")


def test_the_api_resource_names_its_parts() -> None:
    told = ask("/restconf").json()
    parts = {"data": {}, "operations": {}, "yang-library-version": "2016-06-21"}
    assert told == {"ietf-restconf:restconf": parts}
    assert ask("/restconf/yang-library-version").json() == {"ietf-restconf:yang-library-version": "2016-06-21"}
    assert ask("/restconf/operations").json() == {"ietf-restconf:operations": {}}


def test_the_library_names_the_modules_that_are_served() -> None:
    state = ask("/restconf/data/ietf-yang-library:modules-state").json()["ietf-yang-library:modules-state"]
    served = {m["name"]: m for m in state["module"]}
    assert state["module-set-id"] == "etsi-gs-qkd-015"
    shipped = json.loads((YANG / "yang-library.json").read_text())["ietf-yang-library:modules-state"]["module"]
    for module in shipped:
        assert served[module["name"]] == module
        text = (YANG / f"{module['name']}.yang").read_text()
        assert f"revision {module['revision']} {{" in text
        assert f'namespace "{module["namespace"]}"' in text
    tops = {name.partition(":")[0] for name in ask("/restconf/data").json()["ietf-restconf:data"]}
    assert tops <= served.keys()
    one = ask("/restconf/data/ietf-yang-library:modules-state/module=ietf-yang-library,2016-06-21").json()
    assert one["ietf-yang-library:module"][0]["conformance-type"] == "implement"


def test_capabilities_and_streams_are_told() -> None:
    state = ask("/restconf/data/ietf-restconf-monitoring:restconf-state").json()
    capabilities = state["ietf-restconf-monitoring:restconf-state"]["capabilities"]["capability"]
    assert "urn:ietf:params:restconf:capability:defaults:1.0?basic-mode=explicit" in capabilities
    [stream] = state["ietf-restconf-monitoring:restconf-state"]["streams"]["stream"]
    assert stream["access"] == [{"encoding": "json", "location": "/restconf/streams/etsi-qkd"}]
    assert stream["replay-support"] is False


# ------------------------------------------------------------------ data (sections 3.5 and 4.3)


def test_the_node_is_read() -> None:
    answer = ask(NODE)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/yang-data+json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["last-modified"] == DATE
    validate(answer.json())


def test_the_datastore_holds_the_node() -> None:
    told = ask("/restconf/data").json()["ietf-restconf:data"]
    assert told[f"{MODULE}:qkd_node"] == ask(NODE).json()[f"{MODULE}:qkd_node"]


def test_what_is_below_the_node_is_read() -> None:
    [link] = ask(LINK).json()[f"{MODULE}:qkd_link"]
    assert link["qkdl_type"] == f"{TYPES}PHYS"
    assert ask(f"{LINK}/qkdl_performance/skr").json() == {f"{MODULE}:skr": 2000}
    assert ask(f"{NODE}/qkd_links").json()[f"{MODULE}:qkd_links"]["qkd_link"][0] == link
    assert [each["qkdl_id"] for each in ask(f"{NODE}/qkd_links/qkd_link").json()[f"{MODULE}:qkd_link"]][0:1] == [
        link["qkdl_id"]
    ]


def test_queries_are_heeded() -> None:
    assert ask(NODE, "depth=1").json() == {f"{MODULE}:qkd_node": {}}
    assert ask(NODE, "fields=qkdn_status").json() == {f"{MODULE}:qkd_node": {"qkdn_status": f"{TYPES}OPERATING"}}
    assert "qkdn_status" not in ask(NODE, "content=config").json()[f"{MODULE}:qkd_node"]


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("/", "", (404, "invalid-value")),
        ("/restconf/nothing", "", (404, "invalid-value")),
        ("/restconf/datax", "", (404, "invalid-value")),
        ("/restconf/data/other:thing", "", (404, "invalid-value")),
        (f"{NODE}/qkd_links/qkd_link=00", "", (404, "invalid-value")),
        (f"{NODE}//qkd_links", "", (400, "invalid-value")),
        ("/restconf/data/qkd_node", "", (400, "invalid-value")),
        (NODE, "depth=x", (400, "invalid-value")),
        (NODE, "with-defaults=trim", (400, "invalid-value")),
        ("/restconf", "depth=1", (400, "invalid-value")),
        ("/restconf/operations/x:y", "", (404, "invalid-value")),
    ],
)
def test_errors_are_restconfs(path: str, query: str, error: tuple[int, str]) -> None:
    assert ask(path, query).error == error


# ------------------------------------------------------------------ methods (section 4)


@pytest.mark.parametrize("path", ["/restconf", "/restconf/data", NODE, LINK, "/restconf/streams/etsi-qkd"])
def test_options_says_what_is_allowed(path: str) -> None:
    answer = ask(path, method="OPTIONS")
    assert (answer.status, answer.headers["allow"], answer.body) == (200, "GET, HEAD, OPTIONS", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_written(method: str) -> None:
    answer = ask(f"{LINK}/qkdl_enable", method=method)
    assert answer.error == (405, "operation-not-supported")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "site.toml" in answer.json()["ietf-restconf:errors"]["error"][0]["error-message"]


def test_head_has_the_headers_of_get() -> None:
    assert ask(NODE, method="HEAD").headers == ask(NODE).headers


# ------------------------------------------------------------------ media types and entity tags


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/yang-data+json"),
        ("application/*", "application/yang-data+json"),
        ("application/yang-data+json", "application/yang-data+json"),
        ("application/yang-data+xml, Application/Yang-Data+JSON;q=0.5", "application/yang-data+json"),
        ("application/json", "application/json"),
    ],
)
def test_the_answer_is_of_a_type_that_was_asked_for(accept: str, kind: str) -> None:
    answer = ask(NODE, accept=accept)
    assert answer.headers["content-type"] == kind
    assert f"{MODULE}:qkd_node" in answer.json()


@pytest.mark.parametrize("accept", ["application/yang-data+xml", "text/html", "application/yang-data+json;q=0"])
def test_other_types_are_not_acceptable(accept: str) -> None:
    assert ask(NODE, accept=accept).status == 406


def test_a_slash_at_the_end_asks_for_plain_json() -> None:
    answer = ask(f"{NODE}/qkd_links/")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"qkd_links": ask(f"{NODE}/qkd_links").json()[f"{MODULE}:qkd_links"]}
    strict = ask(f"{NODE}/qkd_links/", accept="application/yang-data+json")
    assert strict.json() == ask(f"{NODE}/qkd_links").json()


def test_an_entity_tag_saves_the_body() -> None:
    first = ask(NODE)
    tag = first.headers["etag"]
    again = ask(NODE, if_none_match=f'"other", W/{tag}')
    assert again.status == 304
    assert again.headers["etag"] == tag
    assert ask(NODE, if_none_match='"other"').status == 200
    assert ask(f"{NODE}/qkd_links").headers["etag"] != tag
    assert ask(NODE, accept="application/json").headers["etag"] != tag


# ------------------------------------------------------------------ who may read


def test_only_readers_are_answered() -> None:
    other = Caller(CallerKind.SAE, "bank", 1e12, 1, b"", "")
    for path in (NODE, "/restconf", "/restconf/streams/etsi-qkd", "/.well-known/host-meta", "/nothing"):
        assert ask(path, caller=None).error == (401, "access-denied")
        assert ask(path, caller=other).error == (403, "access-denied")
        assert ask(path, readers=()).error == (403, "access-denied")
    assert ask(NODE, caller=other, readers=("bank",)).status == 200


@given(st.binary(max_size=60), st.binary(max_size=30), st.sampled_from(["GET", "HEAD", "OPTIONS", "PUT"]))
def test_any_target_is_answered(path: bytes, query: bytes, method: str) -> None:
    answer = ask(NODE + "/" + path.decode("latin-1"), query.decode("latin-1"), method=method)
    assert answer.status in (200, 400, 404, 405, 414)


def test_a_websocket_is_no_request() -> None:
    async def nothing(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(ValueError, match="websocket"):
        asyncio.run(application()({"type": "websocket"}, nothing, nothing))
