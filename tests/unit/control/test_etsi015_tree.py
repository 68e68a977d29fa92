"""The tree that a controller reads: valid YANG whatever the site's state is, and true."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdn_rig import TYPES, A, B, C, D, fibre, light, model, policy, told, tree, validate, virtual
from yangson.exceptions import ValidationError, YangsonException
from yangson.schemanode import DataNode, LeafListNode, LeafNode, ListNode

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.control.etsi015 import MODULE, NodeStatus, QkdNode, Statistics
from poliqi.control.etsi015_names import decimal64, interface_number, link_uuid, node_uuid, sae_uri, uint32
from poliqi.control.etsi015_state import NodeFigures, StockFigures, associations, qkd_node
from poliqi.control.messages import LightState, LinkReport
from poliqi.edge.restconf_schema import Kind, SchemaNode, schema_of
from poliqi.keys.buckets import Quota, Rate
from poliqi.keys.policy import Application, Grant, KeyLimits, Policy

# ------------------------------------------------------------------ the model


def each_node(schema: SchemaNode, path: str) -> list[tuple[str, SchemaNode]]:
    found = [(path, schema)]
    for name, child in schema.children.items():
        found += each_node(child, f"{path}/{name}")
    return found


def test_the_structs_say_what_the_yang_says() -> None:
    nodes = each_node(schema_of(QkdNode), f"/{MODULE}:qkd_node")
    assert len(nodes) > 50
    for path, ours in nodes:
        theirs = model().get_data_node(path)
        assert isinstance(theirs, DataNode), path
        assert (ours.kind is Kind.LEAF) == isinstance(theirs, LeafNode), path
        assert (ours.kind is Kind.LEAF_LIST) == isinstance(theirs, LeafListNode), path
        assert (ours.kind is Kind.LIST) == isinstance(theirs, ListNode), path
        assert ours.is_config == theirs.config, path
        if isinstance(theirs, ListNode):
            assert list(ours.keys) == [name for name, _ in theirs.keys], path


def test_the_judge_refuses_what_is_wrong() -> None:
    for change in ({"qkdn_status": f"{TYPES}MAGIC"}, {"qkdn_id": "a"}, {"key": "00ff"}):
        wrong = {f"{MODULE}:qkd_node": {**tree(fibre()), **change}}
        with pytest.raises(YangsonException):
            validate(wrong)


def test_error_rates_of_a_virtual_link_are_refused() -> None:
    node = tree(fibre(light=light()), tells_qber=True)
    validate({f"{MODULE}:qkd_node": node})
    node["qkd_links"]["qkd_link"][0]["qkdl_type"] = f"{TYPES}VIRT"
    with pytest.raises(ValidationError):
        validate({f"{MODULE}:qkd_node": node})


# ------------------------------------------------------------------ states of a site


def test_a_fresh_site_is_valid() -> None:
    node = qkd_node(NodeFigures(A, "poliqi 1", NodeStatus.NEW, ()))
    validate(told(node))
    assert told(node)[f"{MODULE}:qkd_node"]["qkd_links"] == {"qkd_link": []}


def test_a_site_with_everything_is_valid() -> None:
    minute = Statistics(end_time="2026-11-23T10:01:00.000Z", start_time="2026-11-23T10:00:00.000Z", consumed_bits=1)
    stocks = fibre(light=light(), is_simulated=True), virtual(prev_hop=B, bandwidth_bps=100.0)
    consumed = {(SaeId("a1"), B): [minute]}
    node = tree(*stocks, consumed=consumed, location="Leonardo", tells_qber=True)
    validate({f"{MODULE}:qkd_node": node})
    assert len(node["qkd_applications"]["qkd_app"]) == 4
    assert node["qkdn_location_id"] == "Leonardo"


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
rates = st.floats(0.0, 1e15)
lights = st.builds(
    LinkReport,
    link=st.just("x"),
    state=st.sampled_from(LightState),
    key_rate_bps=st.none() | rates,
    qber_key=st.none() | st.floats(0.0, 1.0),
    loss_db=st.none() | st.floats(-50.0, 200.0),
    age_s=st.floats(0.0, 100.0),
)
stocks = st.builds(
    StockFigures,
    link=names.map(LinkId),
    peer=names.map(KmeId),
    is_relayed=st.booleans(),
    is_connected=st.booleans(),
    stored_bits=st.integers(0, 1 << 60),
    filled_bits=st.integers(0, 1 << 60),
    filled_bps=rates,
    taken_bps=rates,
    carried_bps=rates,
    light=st.none() | lights,
    is_simulated=st.booleans(),
    next_hops=st.lists(names.map(KmeId), max_size=3).map(tuple),
    prev_hop=st.none() | names.map(KmeId),
    bandwidth_bps=st.none() | rates,
)


@settings(max_examples=40)
@given(
    site=names.map(KmeId),
    status=st.sampled_from(NodeStatus),
    stocks=st.lists(stocks, max_size=4, unique_by=lambda s: s.link),
    location=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    qber=st.booleans(),
)
def test_every_state_is_valid(
    site: KmeId, status: NodeStatus, stocks: list[StockFigures], location: str, qber: bool
) -> None:
    apps = associations(policy())
    validate(told(qkd_node(NodeFigures(site, "v", status, stocks, apps, location=location, tells_qber=qber))))


# ------------------------------------------------------------------ what stands where


def one_link(**more: Any) -> dict[str, Any]:
    return tree(fibre(**more))["qkd_links"]["qkd_link"][0]


def test_both_ends_name_a_link_and_its_interfaces_alike() -> None:
    here = one_link()
    there = told(qkd_node(NodeFigures(B, "v", NodeStatus.NEW, [StockFigures(LinkId("a-b"), A, False, True, 0, 0)])))
    other = there[f"{MODULE}:qkd_node"]["qkd_links"]["qkd_link"][0]
    assert here["qkdl_id"] == other["qkdl_id"] == link_uuid(LinkId("a-b"))
    assert here["qkdl_local"] == other["qkdl_remote"]
    assert here["qkdl_remote"] == other["qkdl_local"]
    assert 0 <= here["qkdl_local"]["qkdi_id"] < 1 << 31


def test_names_are_uuids_that_tell_things_apart() -> None:
    kinds = {node_uuid(A), node_uuid(B), link_uuid(LinkId("a")), link_uuid(LinkId("b"))}
    assert len(kinds) == 4
    assert {uuid.UUID(name).version for name in kinds} == {5}
    assert interface_number(LinkId("a-b")) != interface_number(LinkId("a-c"))


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"light": None, "filled_bps": 1.0}, "ACTIVE"),
        ({"light": light(), "filled_bps": 0.0}, "ACTIVE"),
        ({"light": light(state=LightState.DARK)}, "PASSIVE"),
        ({"light": light(state=LightState.KEYLESS)}, "PASSIVE"),
        ({"light": light(state=LightState.SILENT)}, "PASSIVE"),
        ({"light": None, "filled_bps": 0.0}, "PASSIVE"),
        ({"light": None, "filled_bps": 0.0, "stored_bits": 0}, "OFF"),
        ({"light": light(state=LightState.DARK), "stored_bits": 0}, "OFF"),
        ({"light": None, "filled_bps": 0.0, "stored_bits": 0, "filled_bits": 0}, "PENDING"),
        ({"light": light(state=LightState.DARK, age_s=31.0)}, "ACTIVE"),
    ],
)
def test_the_status_of_a_link(more: dict[str, Any], status: str) -> None:
    assert one_link(**more)["qkdl_status"] == TYPES + status


def test_rates_are_what_the_devices_say_while_that_is_fresh() -> None:
    assert one_link(light=light())["qkdl_performance"]["skr"] == 2000
    assert one_link(light=light(age_s=31.0))["qkdl_performance"]["skr"] == 1500
    assert one_link(light=light(key_rate_bps=None))["qkdl_performance"]["skr"] == 1500
    assert one_link(light=light(state=LightState.DARK))["qkdl_performance"]["skr"] == 0


def test_what_relays_carry_is_not_there_for_applications() -> None:
    rates = one_link(light=light(), taken_bps=300.4, carried_bps=500.0)["qkdl_performance"]
    assert rates == {"expected_consumption": 300, "skr": 2000, "eskr": 1500}
    assert one_link(light=light(), carried_bps=5000.0)["qkdl_performance"]["eskr"] == 0


def test_error_rates_are_told_only_where_the_site_wants_it() -> None:
    assert "phys_perf" not in one_link(light=light())["qkdl_performance"]
    link = tree(fibre(light=light()), tells_qber=True)["qkd_links"]["qkd_link"][0]
    assert link["qkdl_performance"]["phys_perf"] == [{"perf_type": f"{TYPES}QBER", "value": "0.021"}]
    assert link["phys_channel_att"] == "3.457"


def test_a_virtual_link_says_over_whom_it_goes() -> None:
    node = tree(fibre(), virtual(next_hops=(B, D, B), prev_hop=B, bandwidth_bps=1e12))
    link = node["qkd_links"]["qkd_link"][1]
    assert link["qkdl_type"] == f"{TYPES}VIRT"
    assert link["virt_next_hop"] == [node_uuid(B), node_uuid(D)]
    assert link["virt_prev_hop"] == node_uuid(B)
    assert link["virt_bandwidth"] == (1 << 32) - 1
    assert "qkdi_id" not in link["qkdl_local"]
    assert [each["qkdi_id"] for each in node["qkd_interfaces"]["qkd_interface"]] == [
        interface_number(LinkId("a-b"))
    ]


def test_relay_is_an_application_of_the_nodes_on_the_links_that_it_uses() -> None:
    node = tree(fibre(), virtual())
    [relay] = [app for app in node["qkd_applications"]["qkd_app"] if app["app_type"] == f"{TYPES}INTERNAL"]
    physical, _ = node["qkd_links"]["qkd_link"]
    assert relay["backing_qkdl_id"] == [physical["qkdl_id"]]
    assert relay["remote_qkdn_id"] == node_uuid(C)
    assert relay["app_id"] in physical["qkdl_applications"]


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (light(), "ENABLED"),
        (light(state=LightState.DARK), "ENABLED"),
        (light(state=LightState.SILENT), "FAILED"),
        (light(age_s=60.0), "FAILED"),
    ],
)
def test_the_status_of_an_interface(report: LinkReport, status: str) -> None:
    [interface] = tree(fibre(light=report))["qkd_interfaces"]["qkd_interface"]
    assert interface["qkdi_status"] == TYPES + status


def test_an_interface_of_which_nothing_is_known_has_no_status() -> None:
    [interface] = tree(fibre())["qkd_interfaces"]["qkd_interface"]
    assert "qkdi_status" not in interface
    assert "qkdi_model" not in interface


def test_simulated_light_is_called_so() -> None:
    [interface] = tree(fibre(is_simulated=True))["qkd_interfaces"]["qkd_interface"]
    assert interface["qkdi_model"] == "simulated light"


# ------------------------------------------------------------------ applications


def test_an_association_is_the_same_at_both_nodes() -> None:
    here = {app.app_id: app for app in associations(policy(A))}
    there = {app.app_id: app for app in associations(policy(B))}
    assert len(here) == 3
    assert there.keys() == {app.app_id for app in here.values() if B in (app.site, app.other)}


def test_applications_at_one_site_are_none_of_the_networks_affair() -> None:
    assert not [app for app in associations(policy(A)) if sae_uri(SaeId("a2")) in app.clients]


def test_an_application_names_its_ends_and_terms() -> None:
    ask, give, top = SaeId("ask me"), SaeId("g"), SaeId("h")
    applications = [
        Application(ask, A, KeyLimits(ttl_s=60.0, priority=5), Quota(bits=Rate(900.0, 1.0))),
        Application(give, B),
        Application(top, B),
    ]
    grant = Grant(frozenset({ask}), frozenset({give, top}), quota=Quota(bits=Rate(400.0, 1.0)))
    node = tree(fibre(), apps=associations(Policy(A, applications, [grant])))
    [app] = node["qkd_applications"]["qkd_app"]
    assert app["server_app_id"] == "urn:poliqi:sae:ask%20me"
    assert app["client_app_id"] == ["urn:poliqi:sae:g", "urn:poliqi:sae:h"]
    assert (app["local_qkdn_id"], app["remote_qkdn_id"]) == (node_uuid(A), node_uuid(B))
    assert app["app_priority"] == 5
    assert app["app_qos"]["max_bandwidth"] == 800  # twice 400 for the pairs, which is less than 900 for the master
    assert app["app_qos"]["ttl"] == 60
    assert app["backing_qkdl_id"] == [link_uuid(LinkId("a-b"))]


def test_an_application_whose_other_end_is_away_is_disconnected() -> None:
    apps = tree(fibre(is_connected=False))["qkd_applications"]["qkd_app"]
    assert {app["app_status"] for app in apps} == {f"{TYPES}DISCONNECTED"}
    assert {app["app_status"] for app in tree(fibre())["qkd_applications"]["qkd_app"]} == {
        f"{TYPES}DISCONNECTED",
        f"{TYPES}ON",
    }


# ------------------------------------------------------------------ numbers


@given(st.floats(-1e14, 1e14))
def test_a_decimal64_is_canonical_and_near(value: float) -> None:
    text = decimal64(value)
    assert text == msgspec.json.decode(msgspec.json.encode(text))
    whole, _, part = text.partition(".")
    assert whole.lstrip("-").isdigit()
    assert 1 <= len(part) <= 3
    assert part == "0" or not part.endswith("0")
    assert abs(Decimal(text) - Decimal(value)) <= Decimal("0.0005")
    assert text != "-0.0"


@given(st.floats(-1e300, 1e300) | st.just(float("inf")))
def test_a_decimal64_fits_into_64_bits(value: float) -> None:
    assert abs(int(decimal64(value).replace(".", "").lstrip("-"))) < 1 << 63


def test_rates_end_where_uint32_ends() -> None:
    assert (uint32(-1.0), uint32(0.5), uint32(1.6), uint32(1e12)) == (0, 0, 2, 4294967295)
