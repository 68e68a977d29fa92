"""Links of a city become links of the channel model: losses, Raman light, best settings, how far they reach."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City, ClassicalChannel, QuantumLink, Site, Span, SpanId
from poliqi.control.prediction import Predictor, link_parameters
from poliqi.ops.config import load_link
from poliqi.optics.optimise import optimise
from poliqi.optics.parameters import Direction, Fibre
from poliqi.optics.prediction import predict
from poliqi.optics.raman import detected_noise_rate_hz

REFERENCE = Path(__file__).resolve().parents[3] / "examples" / "reference"
WHOLE = load_link(REFERENCE / "snspd-10km.toml")
DEVICE = replace(WHOLE, fibre=Fibre(0.0))
A, B, C = KmeId("a"), KmeId("b"), KmeId("c")
SITES = (Site(A, "A", 45.48, 9.1), Site(B, "B", 45.48, 9.15, switch_loss_db=2.0), Site(C, "C", 45.48, 9.2))


def city(*spans: Span) -> City:
    return City("test", SITES, spans, ())


def span(a: KmeId, b: KmeId, km: float, *channels: ClassicalChannel, connectors: float = 0.0) -> Span:
    return Span(SpanId(f"{a}-{b}"), (a, b), km, 0.3, connectors, classical=channels)


def link(*spans: str, ends: tuple[KmeId, KmeId] = (A, B)) -> QuantumLink:
    return QuantumLink(LinkId("l"), ends, tuple(SpanId(s) for s in spans), "snspd")


def test_reference_link_gives_its_known_rate() -> None:
    """4515 kbit/s at 10 km with 3 dB of connectors: a figure made elsewhere, to 10 %."""
    found = Predictor({"snspd": DEVICE}).forecast(city(span(A, B, 10.0, connectors=3.0)), link("a-b"))
    assert found.key_rate_bps == pytest.approx(4515e3, rel=0.10)
    assert found.loss_db == pytest.approx(6.0)
    assert found.length_km == 10.0
    assert found.reason is None


def test_settings_of_a_neighbouring_loss_are_as_good_as_the_best() -> None:
    predictor = Predictor({"snspd": DEVICE})
    for km in (3.0, 7.7, 14.1, 22.3):
        here = city(span(A, B, km, connectors=1.0))
        best = predict(optimise(link_parameters(here, link("a-b"), DEVICE)))
        assert predictor.forecast(here, link("a-b")).key_rate_bps == pytest.approx(best.rate_hz, rel=2e-3)


def test_source_stays_as_it_is_set_where_that_is_asked_for() -> None:
    here = city(span(A, B, 10.0, connectors=3.0))
    found = Predictor({"snspd": DEVICE}, is_optimised=False).forecast(here, link("a-b"))
    assert found.key_rate_bps == pytest.approx(predict(replace(WHOLE, classical_channels=())).rate_hz)
    assert found.source == DEVICE.source


def test_bypass_loses_both_spans_and_the_switch_between() -> None:
    here = city(span(A, B, 4.0, connectors=1.0), span(B, C, 6.0, connectors=0.5))
    through = link("a-b", "b-c", ends=(A, C))
    fibre = link_parameters(here, through, DEVICE).fibre
    assert (fibre.length_m, fibre.connectors_db, fibre.switch_db) == (10e3, 1.5, 2.0)
    assert fibre.attenuation_db_per_km == pytest.approx(0.3)
    assert Predictor({"snspd": DEVICE}).forecast(here, through).loss_db == pytest.approx(6.5)


def test_raman_light_runs_with_or_against_the_link() -> None:
    lit = span(A, B, 10.0, ClassicalChannel(1530.0, 0.0, Direction.FORWARD))
    there = link_parameters(city(lit), link("a-b"), DEVICE)
    back = link_parameters(city(lit), link("a-b", ends=(B, A)), DEVICE)
    assert there.classical_channels[0].direction is Direction.FORWARD
    assert back.classical_channels[0].direction is Direction.BACKWARD


def test_raman_light_of_each_span_loses_what_lies_behind_it() -> None:
    """P rho dl L e^{-aL} made in the first span, times what the switch and the second span leave of it."""
    lit = span(A, B, 4.0, ClassicalChannel(1530.0, -3.0))
    here = city(lit, span(B, C, 6.0, connectors=0.5))
    through = link_parameters(here, link("a-b", "b-c", ends=(A, C)), DEVICE)
    alone = link_parameters(city(lit), link("a-b"), DEVICE)
    behind_db = 2.0 + 6.0 * 0.3 + 0.5
    expected = detected_noise_rate_hz(alone) * 10 ** (-behind_db / 10)
    assert detected_noise_rate_hz(through) == pytest.approx(expected, rel=1e-9)


def test_classical_light_costs_key() -> None:
    predictor = Predictor({"snspd": DEVICE})
    rates = [
        predictor.forecast(city(span(A, B, 10.0, *channels, connectors=3.0)), link("a-b")).key_rate_bps
        for channels in ((), (ClassicalChannel(1530.0, -10.0),), (ClassicalChannel(1530.0, 0.0),))
    ]
    assert rates[0] > rates[1] > rates[2] > 0.0


def test_margin_is_where_the_key_ends() -> None:
    predictor = Predictor({"snspd": DEVICE})
    first = predictor.forecast(city(span(A, B, 10.0)), link("a-b"))
    less = predictor.forecast(city(span(A, B, 10.0, connectors=first.margin_db - 0.3)), link("a-b"))
    more = predictor.forecast(city(span(A, B, 10.0, connectors=first.margin_db + 0.3)), link("a-b"))
    assert less.key_rate_bps > 0.0 and less.block_s is not None and less.block_s <= 3600.0
    assert more.key_rate_bps == 0.0 or (more.block_s is not None and more.block_s > 3600.0)


def test_dark_fibre_gives_no_key_and_says_why() -> None:
    found = Predictor({"snspd": DEVICE}).forecast(city(span(A, B, 10.0, connectors=55.0)), link("a-b"))
    assert found.key_rate_bps == 0.0
    assert found.reason
    assert found.margin_db < 0.0
    assert math.isfinite(found.reach_db)


def test_unknown_device_is_named() -> None:
    with pytest.raises(ConfigError, match=r"link l: there is no device 'snspd'; add \[device.snspd\]"):
        Predictor({}).forecast(city(span(A, B, 10.0)), link("a-b"))
