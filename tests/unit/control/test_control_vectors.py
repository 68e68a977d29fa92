"""The vectors of docs/spec/control.md, as another implementation would read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poliqi.base.errors import ConfigError, ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.agent import Agent, AgentRule
from poliqi.control.messages import decode, encode
from poliqi.control.records import PairRoutes, encode_record, load
from poliqi.control.records import RoutesIntended as Routes

VECTORS = Path(__file__).parents[2] / "vectors" / "control"


def read(name: str) -> dict[str, Any]:
    return json.loads((VECTORS / f"{name}.json").read_text())


def named(rows: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(row, id=row["name"]) for row in rows]


MESSAGES, RECORDS, AGENT = read("messages"), read("records"), read("agent")


def agent() -> Agent:
    pools = {LinkId(pool): KmeId(peer) for pool, peer in AGENT["pools"].items()}
    never = frozenset(KmeId(site) for site in AGENT["never_through"])
    made = Agent(KmeId(AGENT["site"]), "a1", "", AgentRule(pools, never, AGENT["max_relays"]), None)
    made.connected(0.0)
    made.take_frames()
    return made


def send(made: Agent, message: dict[str, Any]) -> None:
    made.received(json.dumps(message).encode(), 0.0)


def plain(routes: list[PairRoutes]) -> list[dict[str, Any]]:
    return json.loads(encode_record(Routes(n=1, wall_ns=0, pairs=tuple(routes))))["pairs"]


@pytest.mark.parametrize("row", named(MESSAGES["accepted"]))
def test_message_is_read_and_written_as_the_vector_says(row: dict[str, Any]) -> None:
    found = decode(row["frame"].encode())
    assert (None if found is None else json.loads(encode(found))) == row["message"]


@pytest.mark.parametrize("row", named(MESSAGES["refused"]))
def test_message_is_refused_as_the_vector_says(row: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        decode(row["frame"].encode())


@pytest.mark.parametrize("row", named(RECORDS["loaded"]))
def test_log_leaves_what_the_vector_says(row: dict[str, Any]) -> None:
    found = load([line.encode() for line in row["lines"]], RECORDS["city"])
    left = {
        "epoch": found.epoch,
        "version": found.version,
        "drained": list(found.drained),
        "routes": plain(list(found.routes.values())),
    }
    assert left == row["left"]


@pytest.mark.parametrize("row", named(RECORDS["refused"]))
def test_log_is_refused_as_the_vector_says(row: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"line {row['line']} "):
        load([line.encode() for line in row["lines"]], RECORDS["city"])


@pytest.mark.parametrize("row", named(AGENT["cases"]))
def test_agent_answers_and_routes_as_the_vector_says(row: dict[str, Any]) -> None:
    made = agent()
    for message in row["frames"]:
        send(made, message)
    answers = [json.loads(frame) for frame in made.take_frames()]
    assert [{**answer, "refused": len(answer["refused"])} for answer in answers] == row["answers"]
    routes = made.take_routes() or ()
    assert {route.pool: [list(path) for path in route.paths] for route in routes} == row["paths"]


@pytest.mark.parametrize("row", named(AGENT["ended"]))
def test_stream_ends_as_the_vector_says(row: dict[str, Any]) -> None:
    made = agent()
    with pytest.raises(ProtocolError):
        for message in row["frames"]:
            send(made, message)


@pytest.mark.parametrize("name", ["messages", "records"])
def test_failures_outnumber_successes(name: str) -> None:
    rows = read(name)
    assert len(rows["refused"]) > len(rows.get("accepted", rows.get("loaded", ())))
