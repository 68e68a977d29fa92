"""The controller's metrics, the page that names them, and the dashboard and rules that use them."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alarm_faults import ring

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.causes import CAUSES, Cause
from poliqi.control.events import CityEventKind, Severity
from poliqi.control.messages import LightState
from poliqi.control.view import AlarmView, CityView, DemandView, LinkView, PoolView, SiteView
from poliqi.node.control_figures import METRICS, OutletCount, city_values
from poliqi.node.site_figures import METRICS as SITE_METRICS
from poliqi.node.site_status import exposition

ROOT = Path(__file__).resolve().parents[3]
UNITS = ("_bits_per_second", "_bits", "_seconds", "_ratio", "_decibels", "_total", "_days_left")
PLAIN = {
    "poliqi_city_in_charge",
    "poliqi_city_epoch",
    "poliqi_city_simulated",
    "poliqi_city_alarms",
    "poliqi_city_alarms_unseen",
    "poliqi_city_site_up",
    "poliqi_city_site_draining",
    "poliqi_city_site_peers_connected",
    "poliqi_city_link_state",
    "poliqi_city_link_epsilon",
}


def view(**changes: Any) -> CityView:
    a, b = KmeId("aria"), KmeId("bovisa")
    values: dict[str, Any] = {
        "city": ring(),
        "controller": "control",
        "epoch": 3,
        "now": 100.0,
        "is_in_charge": True,
        "sites": (SiteView(a, True, False, 0.5, "1", 7, 1_234_567, 10, 1, 4, 4),),
        "links": (
            LinkView(
                LinkId("a-b"), LightState.LIT, True, 1.0, 1234.5, 0.02, None, 6.5, 6.0, None, 9, "", 4096, 10.0
            ),
        ),
        "pools": (PoolView((b, a), 4096, 0, 10.0, 20.0, 0.5),),
        "demands": (DemandView("x", (a, b), 100.0, 90.0, 5.0, 3, (), True),),
        "alarms": (AlarmView(1, "span-cut", 1.0, None, None, None, {}, ()),),
        "events": (),
    }
    return CityView(**(values | changes))


class Shown:
    def __init__(self, shown: CityView) -> None:
        self._view = shown

    def values(self) -> Iterator[tuple[str, dict[str, str], float]]:
        return city_values(
            self._view,
            Counter({CityEventKind.SITE_LOST: 2}),
            [OutletCount("udp://x:1", 1, 2, 3)],
            [("tls.crt", 9.5)],
        )

    def status(self) -> dict[str, Any]:
        return {}


def lines() -> dict[str, float]:
    text = exposition(Shown(view()), METRICS)
    return {
        name: float(value)
        for name, value in (li.rsplit(" ", 1) for li in text.splitlines() if not li.startswith("#"))
    }


def test_figures_of_a_city() -> None:
    told = lines()
    assert told["poliqi_city_key_rate_bits_per_second"] == 1234.5
    assert told['poliqi_city_link_state{link="a-b",state="lit"}'] == 1.0
    assert told['poliqi_city_link_state{link="a-b",state="dark"}'] == 0.0
    assert told['poliqi_city_link_qber_ratio{link="a-b",basis="key"}'] == 0.02
    assert told['poliqi_city_pair_left_seconds{site="aria",other="bovisa"}'] == 1800.0
    assert told['poliqi_city_alarms{cause="span-cut",severity="critical"}'] == 1.0
    assert told['poliqi_city_alarms{cause="tap-or-bend",severity="error"}'] == 0.0
    assert told['poliqi_city_events_total{kind="site-lost"}'] == 2.0
    assert told['poliqi_city_outlet_dropped_total{outlet="udp://x:1"}'] == 3.0


def test_what_is_not_known_has_no_value() -> None:
    told = lines()
    assert 'poliqi_city_link_qber_ratio{link="a-b",basis="test"}' not in told
    assert 'poliqi_city_link_epsilon{link="a-b"}' not in told


def test_every_metric_has_a_value_and_every_value_a_metric() -> None:
    link = view().links[0]
    whole = LinkView(*(getattr(link, f) if f != "epsilon" else 1e-10 for f in LinkView.__slots__))
    names = {name for name, _, _ in Shown(view(links=(whole,))).values()}
    assert names == {metric.name for metric in METRICS}


def test_names_end_in_their_unit() -> None:
    for metric in METRICS:
        assert metric.name.endswith(UNITS) or metric.name in PLAIN
        assert (metric.kind == "counter") == metric.name.endswith("_total")


def test_every_metric_is_on_the_page() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    missing = [m.name for m in METRICS if f"| `{m.name}` | {m.kind} | {m.meaning} |" not in page]
    assert not missing


# ---------------------------------------------------------------- Grafana and Prometheus


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("observability", ROOT / "packaging/observability.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expressions() -> list[str]:
    board = json.loads((ROOT / "packaging/grafana/poliqi-city.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    text = (ROOT / "packaging/prometheus/poliqi-rules.yml").read_text()
    return found + [json.loads(li.partition("expr: ")[2]) for li in text.splitlines() if "expr: " in li]


TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[a-z_]+)|(?P<string>\"[^\"]*\")|(?P<range>\[\d+[smhd]\])|"
    r"(?P<sign>==|!=|>=|<=|=~|[-+*/()<>{},=]))"
)
FUNCTIONS = {"sum", "min", "max", "absent", "rate", "increase"}


class Parser:
    """A small grammar of PromQL: sums, products and comparisons of numbers, functions and selectors."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            found = TOKEN.match(text, at)
            assert found, text[at:]
            assert found.lastgroup is not None
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self.metrics: set[str] = set()

    def take(self, *wanted: str) -> str:
        kind, text = self.tokens.pop(0)
        assert kind in wanted or text in wanted, (kind, text, wanted)
        return text

    def next(self) -> str:
        return self.tokens[0][1] if self.tokens else ""

    def whole(self) -> set[str]:
        self.expression()
        assert not self.tokens
        return self.metrics

    def expression(self) -> None:
        self.term()
        while self.next() in ("+", "-", "*", "/", ">", "<", "==", ">=", "<=", "!="):
            self.take("sign")
            self.term()

    def term(self) -> None:
        kind, text = self.tokens[0]
        if kind == "number":
            self.take("number")
        elif text == "(":
            self.take("(")
            self.expression()
            self.take(")")
        elif text in FUNCTIONS:
            self.take("name")
            self.take("(")
            self.expression()
            self.take(")")
        else:
            self.selector()

    def selector(self) -> None:
        self.metrics.add(self.take("name"))
        if self.next() == "{":
            self.take("{")
            while self.next() != "}":
                self.take("name")
                self.take("=", "=~", "!=")
                self.take("string")
                if self.next() == ",":
                    self.take(",")
            self.take("}")
        if self.tokens and self.tokens[0][0] == "range":
            self.take("range")


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_parses_and_names_metrics_that_exist(expression: str) -> None:
    known = {metric.name for metric in (*METRICS, *SITE_METRICS)}
    metrics = Parser(expression).whole()
    assert metrics
    assert metrics <= known


def test_rates_are_taken_of_counters_alone() -> None:
    counters = {metric.name for metric in METRICS if metric.kind == "counter"}
    for expression in expressions():
        for name in re.findall(r"(?:rate|increase)\(([a-z_]+)", expression):
            assert name in counters


def test_the_files_are_those_of_the_tables() -> None:
    made = generator()
    assert json.loads(made.GRAFANA.read_text()) == made.dashboard()
    assert made.RULES.read_text() == made.rules()


def test_every_cause_that_is_a_fault_has_its_rule() -> None:
    rules = (ROOT / "packaging/prometheus/poliqi-rules.yml").read_text()
    for cause in Cause:
        assert (f'cause=\\"{cause.value}\\"' in rules) == (CAUSES[cause].severity is not Severity.INFO)


def test_panels_do_not_overlap() -> None:
    board = json.loads((ROOT / "packaging/grafana/poliqi-city.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
