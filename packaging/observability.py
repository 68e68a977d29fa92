"""Writes grafana/poliqi-city.json and prometheus/poliqi-rules.yml from the tables of metrics and causes.

Run it after a change of either table: `python packaging/observability.py`. A test checks that the files are up to
date, that every metric they name exists, and that every expression parses.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from poliqi.control.causes import CAUSES, Cause
from poliqi.control.events import Severity

HERE = Path(__file__).resolve().parent
GRAFANA = HERE / "grafana" / "poliqi-city.json"
RULES = HERE / "prometheus" / "poliqi-rules.yml"

# title, unit, expressions with their legend, width of 24, kind of panel
PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...], int, str], ...] = (
    ("Sites up", "short", (("sum(poliqi_city_site_up)", "up"),), 4, "stat"),
    ("Key rate", "bps", (("poliqi_city_key_rate_bits_per_second", "all links"),), 4, "stat"),
    ("Shortest stock", "s", (("min(poliqi_city_pair_left_seconds)", "left"),), 4, "stat"),
    (
        "Open alarms",
        "short",
        (("sum(poliqi_city_alarms)", "open"), ("poliqi_city_alarms_unseen", "unseen")),
        4,
        "stat",
    ),
    ("In charge", "short", (("poliqi_city_in_charge", "in charge"),), 4, "stat"),
    ("Simulated light", "short", (("poliqi_city_simulated", "simulated"),), 4, "stat"),
    ("Alarms by cause", "short", (("poliqi_city_alarms > 0", "{{cause}}"),), 24, "timeseries"),
    ("Key rate of links", "bps", (("poliqi_city_link_key_rate_bits_per_second", "{{link}}"),), 12, "timeseries"),
    (
        "Error rate of links",
        "percentunit",
        (("poliqi_city_link_qber_ratio", "{{link}} {{basis}}"),),
        12,
        "timeseries",
    ),
    ("Loss of links", "dB", (("poliqi_city_link_loss_decibels", "{{link}}"),), 12, "timeseries"),
    ("Links that are lit", "short", (('poliqi_city_link_state{state="lit"}', "{{link}}"),), 12, "timeseries"),
    ("Stock of links", "decbits", (("poliqi_city_link_stock_bits", "{{link}}"),), 12, "timeseries"),
    ("Stock of pairs", "decbits", (("poliqi_city_pair_stock_bits", "{{site}} {{other}}"),), 12, "timeseries"),
    (
        "Demands: granted of wanted",
        "percentunit",
        (
            (
                "poliqi_city_demand_granted_bits_per_second / poliqi_city_demand_wanted_bits_per_second",
                "{{demand}}",
            ),
        ),
        12,
        "timeseries",
    ),
    (
        "Key taken by demands",
        "bps",
        (("poliqi_city_demand_taken_bits_per_second", "{{demand}}"),),
        12,
        "timeseries",
    ),
    ("Keys delivered", "ops", (("rate(poliqi_city_site_keys_delivered_total[5m])", "{{site}}"),), 12, "timeseries"),
    (
        "Requests refused",
        "ops",
        (("rate(poliqi_city_site_requests_refused_total[5m])", "{{site}}"),),
        12,
        "timeseries",
    ),
    ("Events", "ops", (("rate(poliqi_city_events_total[5m]) > 0", "{{kind}}"),), 12, "timeseries"),
    ("Age of reports", "s", (("poliqi_city_site_report_age_seconds", "{{site}}"),), 12, "timeseries"),
    ("Re-optimisation", "s", (("poliqi_city_optimise_seconds", "latest"),), 12, "timeseries"),
    ("Certificates", "d", (("poliqi_certificate_days_left", "{{file}}"),), 12, "timeseries"),
)

# name, expression, how long, severity, one line
RULE_ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    ("PoliqiControllerAbsent", "absent(poliqi_city_in_charge)", "2m", "critical",
     "no controller of the city is scraped; the sites go on with their last routes"),
    ("PoliqiControllerNotInCharge", "poliqi_city_in_charge == 0", "1m", "critical",
     "this controller gives no orders, another one was met"),
    ("PoliqiStockLow", "poliqi_city_pair_left_seconds < 3600", "5m", "warning",
     "{{ $labels.site }} and {{ $labels.other }} are out of key within the hour"),
    ("PoliqiDemandShort",
     "poliqi_city_demand_granted_bits_per_second < 0.9 * poliqi_city_demand_wanted_bits_per_second",
     "10m", "warning",
     "{{ $labels.demand }} gets less key than it wants"),
    ("PoliqiRequestsRefused", "rate(poliqi_city_site_requests_refused_total[5m]) > 0", "5m", "warning",
     "{{ $labels.site }} refuses requests for want of key or of a peer"),
    ("PoliqiLinkFiguresStale", "poliqi_city_link_age_seconds > 900", "5m", "warning",
     "nothing was measured on {{ $labels.link }} for a quarter of an hour"),
    ("PoliqiAlarmUnseen", "poliqi_city_alarms_unseen > 0", "30m", "warning",
     "an alarm is open and nobody acknowledged it"),
    ("PoliqiCertificateEnds", "poliqi_certificate_days_left < 14", "1h", "warning",
     "{{ $labels.file }} ends in {{ $value }} days"),
    ("PoliqiCertificateEnded", "poliqi_certificate_days_left < 0", "0m", "critical",
     "{{ $labels.file }} is over: nobody gets in with it"),
    ("PoliqiAlarmsDropped", "increase(poliqi_city_outlet_dropped_total[1h]) > 0", "0m", "warning",
     "alarms did not reach {{ $labels.outlet }}"),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The Grafana dashboard: panels from left to right, row by row."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels: list[dict[str, Any]] = []
    x = y = row = 0
    for number, (title, unit, targets, width, kind) in enumerate(PANELS, 1):
        height = 4 if kind == "stat" else 8
        if x + width > 24:
            x, y = 0, y + row
        row = height
        panels.append(
            {
                "id": number,
                "title": title,
                "type": kind,
                "datasource": source,
                "gridPos": {"x": x, "y": y, "w": width, "h": height},
                "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
                "targets": [
                    {"refId": chr(65 + i), "expr": expression, "legendFormat": legend, "datasource": source}
                    for i, (expression, legend) in enumerate(targets)
                ],
            }
        )
        x += width
    return {
        "title": "POLIQI city",
        "uid": "poliqi-city",
        "schemaVersion": 39,
        "version": 1,
        "tags": ["poliqi"],
        "refresh": "10s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": panels,
    }


def _rule(name: str, expression: str, wait: str, severity: str, summary: str, advice: str = "") -> list[str]:
    lines = [f"      - alert: {name}", f"        expr: {json.dumps(expression)}", f"        for: {wait}"]
    lines += ["        labels:", f"          severity: {severity}", "        annotations:"]
    lines.append(f"          summary: {json.dumps(summary, ensure_ascii=False)}")
    if advice:
        lines.append(f"          description: {json.dumps(advice, ensure_ascii=False)}")
    return lines


def rules() -> str:
    """The Prometheus rules: one for each cause of an alarm, and those for what the controller cannot say itself."""
    lines = ["# Written by packaging/observability.py from the tables of metrics and causes.", "groups:"]
    lines += ["  - name: poliqi-city", "    rules:"]
    for row in RULE_ROWS:
        lines += _rule(*row)
    lines += ["  - name: poliqi-causes", "    rules:"]
    for cause, row in CAUSES.items():
        if row.severity is Severity.INFO:
            continue
        name = "Poliqi" + "".join(part.title() for part in cause.value.split("-"))
        title = cause.value.replace("-", " ")
        advice = f"docs/how-to/watch-a-city.md, section {cause.value}"
        expression = f'poliqi_city_alarms{{cause="{cause.value}"}} > 0'
        lines += _rule(name, expression, "0m", row.severity.value, f"alarm of the city: {title}", advice)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    assert set(CAUSES) == set(Cause)
    GRAFANA.parent.mkdir(exist_ok=True)
    RULES.parent.mkdir(exist_ok=True)
    GRAFANA.write_text(json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n")
    RULES.write_text(rules())


if __name__ == "__main__":
    main()
