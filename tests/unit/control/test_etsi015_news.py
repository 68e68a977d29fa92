"""Notifications: one tree after another says what is new, once, in words that the YANG module knows."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from sdn_rig import A, B, C, fibre, figures, light, model, virtual
from yangson.enumerations import ContentType
from yangson.exceptions import YangsonException

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.control.etsi015 import MODULE, NodeStatus, QkdNode
from poliqi.control.etsi015_names import interface_number, link_uuid
from poliqi.control.etsi015_news import NodeNews
from poliqi.control.etsi015_state import NodeFigures, StockFigures, associations, qkd_node
from poliqi.control.messages import LightState
from poliqi.keys.policy import Application, Grant, KeyLimits, Policy

DARK = light(state=LightState.DARK)
SILENT = light(state=LightState.SILENT)


def node(*stocks: StockFigures, **more: Any) -> QkdNode:
    return qkd_node(figures(*stocks, **more))


def news(before: QkdNode, *after: QkdNode) -> list[tuple[str, dict[str, Any]]]:
    """All notifications as JSON, each valid."""
    heard = NodeNews(before)
    told = [(n.name, json.loads(msgspec.json.encode(n.content))) for each in after for n in heard.heed(each)]
    for name, content in told:
        model().from_raw(content, f"{MODULE}:{name}").validate(ctype=ContentType.all)
    return told


def kinds(before: QkdNode, *after: QkdNode) -> list[str]:
    return [name for name, _ in news(before, *after)]


def test_nothing_new_is_no_news() -> None:
    here = node(fibre(light=light()), virtual())
    assert news(here, here, here) == []


@pytest.mark.parametrize("content", [{"x": 1}, {"qkd_link": {"x": 1}}, {"qkd_link": {"qkdl_id": "x"}}])
def test_the_judge_refuses_what_is_wrong(content: dict[str, Any]) -> None:
    with pytest.raises(YangsonException):
        model().from_raw(content, f"{MODULE}:qkdn_link_down").validate(ctype=ContentType.all)


def test_a_link_that_makes_no_key_any_more_is_down_once() -> None:
    dark = node(fibre(light=DARK))
    told = news(node(fibre(light=light())), dark, dark)
    assert told[0] == ("qkdn_link_down", {"qkd_link": {"qkdl_id": link_uuid(LinkId("a-b"))}})
    assert [name for name, _ in told] == ["qkdn_link_down", "qkdn_link_perf_update"]


def test_a_link_that_makes_key_again_tells_its_rate() -> None:
    lit = node(fibre(light=light()))
    told = news(node(fibre(light=DARK)), lit)
    assert told == [
        (
            "qkdn_link_perf_update",
            {
                "qkd_link": {
                    "qkdl_id": link_uuid(LinkId("a-b")),
                    "performance": {"expected_consumption": 0, "skr": 2000, "eskr": 2000},
                }
            },
        )
    ]


def test_small_changes_of_a_rate_are_told_once_they_have_added_up() -> None:
    rates = [2000.0, 2200.0, 2390.0, 2410.0, 2420.0]
    first, *others = (node(fibre(light=light(key_rate_bps=rate))) for rate in rates)
    told = news(first, *others)
    assert [content["qkd_link"]["performance"]["skr"] for _, content in told] == [2410]


def test_error_rates_are_not_in_the_news() -> None:
    before = node(fibre(light=DARK), tells_qber=True)
    [(_, content)] = news(before, node(fibre(light=light()), tells_qber=True))
    assert set(content["qkd_link"]["performance"]) == {"expected_consumption", "skr", "eskr"}


def test_more_taken_than_made_is_said_once() -> None:
    taken = [1000.0, 2500.0, 2600.0, 1900.0, 2500.0, 1500.0, 2500.0]
    first, *others = (node(fibre(light=light(), taken_bps=rate)) for rate in taken)
    assert kinds(first, *others).count("qkdn_link_overloaded") == 2


def test_a_device_that_does_not_answer_is_down() -> None:
    number = interface_number(LinkId("a-b"))
    lit, silent = node(fibre(light=light())), node(fibre(light=SILENT))
    assert ("qkdn_interface_down", {"qkd_interface": {"qkdi_id": number}}) in news(lit, silent)
    [content] = [c for name, c in news(silent, lit) if name == "qkdn_interface_new"]
    assert content["qkd_interface"]["qkdi_id"] == number
    assert "qkdn_interface_down" not in kinds(lit, node(fibre(light=DARK)))


def test_links_that_come_and_go() -> None:
    alone, joined = node(fibre()), node(fibre(), StockFigures(LinkId("a-d"), KmeId("d"), False, True, 8, 8, 5.0))
    assert kinds(alone, joined) == ["qkdn_interface_new", "qkdn_link_perf_update"]
    assert kinds(joined, alone) == ["qkdn_interface_out", "qkdn_link_down"]


def test_applications_that_lose_their_other_end_and_get_it_back() -> None:
    on, off = node(fibre()), node(fibre(is_connected=False))
    lost = news(on, off)
    assert {name for name, _ in lost} == {"qkdn_application_disconnected"}
    back = news(off, on)
    assert [name for name, _ in back] == ["qkdn_application_new"] * len(lost)
    assert {c["qkd_application"]["app_id"] for _, c in lost} == {c["qkd_application"]["app_id"] for _, c in back}


def test_a_site_that_is_taken_out_disconnects_its_applications() -> None:
    def at(status: NodeStatus) -> QkdNode:
        return qkd_node(NodeFigures(A, "v", status, [fibre(), virtual()], figures().apps))

    lost = kinds(at(NodeStatus.OPERATING), at(NodeStatus.OUT))
    assert set(lost) == {"qkdn_application_disconnected"}
    assert set(kinds(at(NodeStatus.OUT), at(NodeStatus.OPERATING))) == {"qkdn_application_new"}


def test_new_terms_and_removed_applications() -> None:
    def of(ttl_s: float, *slaves: tuple[str, KmeId]) -> QkdNode:
        master = Application(SaeId("m"), A, KeyLimits(ttl_s=ttl_s))
        others = [Application(SaeId(name), home) for name, home in slaves]
        grant = Grant(frozenset({master.sae}), frozenset(other.sae for other in others))
        return node(fibre(), virtual(), apps=associations(Policy(A, [master, *others], [grant])))

    before = of(60.0, ("b", B), ("c", C))
    assert kinds(before, of(90.0, ("b", B), ("c", C))) == ["qkdn_application_qos_update"] * 2
    assert kinds(before, of(60.0, ("b", B))) == ["qkdn_application_disconnected"]
    assert kinds(of(60.0, ("b", B)), before) == ["qkdn_application_new"]
