"""A link under watch: which end counts, when a figure is unusual, when a state is told."""

from __future__ import annotations

import math

import pytest
from control_rig import make_city

from poliqi.base.ids import KmeId
from poliqi.control.drift import Baseline, Change, Sensitivity
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.linkstate import STALE_S, LinkWatch
from poliqi.control.messages import LightState, LinkReport
from poliqi.control.plausible import most_rate_bps

A, B = KmeId("a"), KmeId("b")
LIT, KEYLESS, SILENT, DARK = LightState.LIT, LightState.KEYLESS, LightState.SILENT, LightState.DARK
_K = CityEventKind


def watch() -> LinkWatch:
    return LinkWatch(make_city("ab", ["ab"]).links[0], 3.8)  # type: ignore[list-item]


def report(state: LightState = LIT, **figures: float | None) -> LinkReport:
    fields = {"key_rate_bps": 1000.0, **figures}
    return LinkReport(link="a-b", state=state, **fields)  # type: ignore[arg-type]


def both(link: LinkWatch, now: float, **figures: float | None) -> list[CityEvent]:
    link.heard(A, report(**figures), now)
    link.heard(B, report(**figures), now)
    return link.update(now)


# -------------------------------------------------------------------- states


@pytest.mark.parametrize(
    ("a", "b", "state"),
    [
        (LIT, LIT, LIT),
        (LIT, None, LIT),
        (LIT, DARK, DARK),
        (DARK, LIT, DARK),
        (KEYLESS, LIT, KEYLESS),
        (KEYLESS, DARK, DARK),
        (SILENT, LIT, SILENT),
        (SILENT, DARK, DARK),
        (None, None, SILENT),
    ],
)
def test_of_two_ends_the_worse_counts_and_one_that_says_nothing_does_not(
    a: LightState | None, b: LightState | None, state: LightState
) -> None:
    link = watch()
    for site, said in ((A, a), (B, b)):
        if said is not None:
            link.heard(site, report(said), 0.0)
    link.update(0.0)
    assert link.state is state


def test_a_link_that_nobody_spoke_of_yet_is_no_event() -> None:
    assert watch().update(1000.0) == []


def test_after_five_seconds_without_a_word_a_link_is_silent_at_both_ends() -> None:
    link = watch()
    both(link, 0.0)
    assert link.update(STALE_S) == []
    events = link.update(STALE_S + 0.01)
    assert [(e.kind, e.site) for e in events] == [(_K.LINK_SILENT, A), (_K.LINK_SILENT, B)]
    assert link.figures.key_rate_bps is None


def test_while_one_end_speaks_it_alone_counts() -> None:
    link = watch()
    both(link, 0.0)
    link.heard(B, report(key_rate_bps=700.0), 6.0)
    link.update(6.0)
    assert (link.state, link.figures.key_rate_bps) == (LIT, 700.0)


def test_the_smaller_rate_and_the_larger_errors_count() -> None:
    link = watch()
    link.heard(A, report(key_rate_bps=900.0, qber_key=0.01, loss_db=4.0, epsilon=1e-10), 0.0)
    link.heard(B, report(key_rate_bps=800.0, qber_key=0.03, loss_db=3.0, epsilon=1e-12), 0.0)
    link.update(0.0)
    f = link.figures
    assert (f.key_rate_bps, f.qber_key, f.loss_db, f.epsilon) == (800.0, 0.03, 4.0, 1e-10)


def test_an_end_that_is_mistrusted_says_nothing() -> None:
    link = watch()
    link.heard(A, report(key_rate_bps=1.0), 0.0)
    link.heard(B, report(key_rate_bps=800.0), 0.0)
    link.mistrust(A)
    link.update(0.0)
    assert link.figures.key_rate_bps == 800.0


def test_each_end_of_a_dark_link_tells_once() -> None:
    link = watch()
    both(link, 0.0)
    link.heard(A, report(DARK), 1.0)
    first = link.update(1.0)
    link.heard(B, report(DARK), 1.5)
    second = link.update(1.5)
    link.heard(A, report(DARK), 2.0)
    assert [(e.kind, e.site) for e in first + second] == [(_K.LINK_DARK, A), (_K.LINK_DARK, B)]
    assert link.update(2.0) == []


def test_a_link_that_went_dark_is_lit_again_after_the_time_of_hold() -> None:
    link = watch()
    both(link, 0.0)
    link.heard(A, report(DARK), 1.0)
    link.update(1.0)
    link.heard(A, report(LIT), 2.0)
    link.heard(B, report(LIT), 2.0)
    assert link.update(2.0) == []
    assert link.rises_at(2.0) == 3.0
    assert [e.kind for e in link.update(3.0)] == [_K.LINK_LIT]


def test_a_keyless_link_says_whether_errors_are_the_reason() -> None:
    link = watch()
    link.heard(A, LinkReport(link="a-b", state=KEYLESS, qber_key=0.12, reason="abort"), 0.0)
    (event,) = link.update(0.0)
    assert (event.values["why"], event.values["what"]) == ("qber", "abort")
    other = watch()
    other.heard(A, LinkReport(link="a-b", state=KEYLESS, qber_key=0.02), 0.0)
    (event,) = other.update(0.0)
    assert "why" not in event.values
    assert event.values["what_it"] == "nessun motivo comunicato"


# -------------------------------------------------------------------- what is usual


def warmed(seconds: int = 120, **figures: float) -> LinkWatch:
    link = watch()
    for second in range(seconds):
        both(link, float(second), **figures)
    return link


def kinds_after(link: LinkWatch, begin: int, seconds: int, **figures: float) -> list[CityEvent]:
    return [e for s in range(begin, begin + seconds) for e in both(link, float(s), **figures)]


@pytest.mark.parametrize(
    ("figure", "usual", "now", "kind", "name"),
    [
        ("qber_key", 0.02, 0.05, _K.LINK_QBER, "qber"),
        ("qber_test", 0.02, 0.06, _K.LINK_QBER, "qber"),
        ("loss_db", 4.0, 5.5, _K.LINK_LOSS, "loss_db"),
        ("loss_db", 4.0, 2.5, _K.LINK_LOSS, "loss_db"),
        ("noise", 1e-6, 4e-6, _K.LINK_NOISE, "noise"),
        ("key_rate_bps", 1000.0, 300.0, _K.LINK_RATE, "rate"),
    ],
)
def test_a_step_is_told_within_five_seconds_with_the_usual_value(
    figure: str, usual: float, now: float, kind: CityEventKind, name: str
) -> None:
    link = warmed(**{figure: usual})
    (event,) = kinds_after(link, 120, 5, **{figure: now})
    assert event.kind is kind
    assert event.values["usual"] == pytest.approx(usual, rel=1e-3)
    assert event.values[name] == now


@pytest.mark.parametrize(
    ("figure", "usual", "now"),
    [
        ("qber_key", 0.02, 0.024),
        ("qber_key", 0.05, 0.01),
        ("loss_db", 4.0, 4.3),
        ("noise", 1e-6, 1.2e-6),
        ("key_rate_bps", 1000.0, 800.0),
        ("key_rate_bps", 1000.0, 5000.0),
    ],
)
def test_what_is_within_the_usual_is_not_told(figure: str, usual: float, now: float) -> None:
    assert kinds_after(warmed(**{figure: usual}), 120, 30, **{figure: now}) == []


def test_an_error_rate_that_climbs_slowly_is_told_as_a_ramp_and_a_jump_as_a_step() -> None:
    ramp = warmed(qber_key=0.02)
    (climbs,) = [
        e for s in range(300) for e in both(ramp, 120.0 + s, qber_key=0.02 + 0.0001 * s) if e.kind is _K.LINK_QBER
    ]
    (jumps,) = kinds_after(warmed(qber_key=0.02), 120, 10, qber_key=0.06)
    assert (climbs.values["pattern"], jumps.values["pattern"]) == ("ramp", "step")
    assert jumps.values["basis"] == "key"


def test_a_figure_that_returns_is_told_as_usual_once_both_bases_are() -> None:
    link = warmed(qber_key=0.02, qber_test=0.02)
    kinds_after(link, 120, 10, qber_key=0.06, qber_test=0.06)
    events = kinds_after(link, 130, 30, qber_key=0.02, qber_test=0.02)
    assert [(e.kind, e.values["figure"]) for e in events] == [(_K.LINK_USUAL, "qber")]


def test_noise_of_the_figure_itself_widens_what_is_usual() -> None:
    """A triangle wave of 0.4 % around 2 % is not told; the same offset on a quiet link is."""
    link = watch()
    wave = [0.016, 0.018, 0.020, 0.022, 0.024, 0.022, 0.020, 0.018]
    events = [e for s in range(600) for e in both(link, float(s), qber_key=wave[s % 8])]
    assert [e.kind for e in events] == [_K.LINK_LIT]


def test_a_value_that_flaps_is_not_told_each_time() -> None:
    link = warmed(qber_key=0.02)
    events = [e for s in range(600) for e in both(link, 120.0 + s, qber_key=0.02 if s % 2 else 0.06)]
    assert len(events) <= 3


def test_nothing_is_unusual_while_a_link_is_learnt() -> None:
    link = watch()
    assert [e.kind for s in range(8) for e in both(link, float(s), qber_key=0.02 + 0.01 * s)] == [_K.LINK_LIT]


def test_a_change_that_stays_for_a_day_is_the_new_usual() -> None:
    baseline = Baseline(Sensitivity(0.5, 0.0))
    for second in range(60):
        baseline.see(4.0, float(second))
    changes = [c for s in range(60, 90_000, 60) if (c := baseline.see(6.0, float(s))) is not None]
    assert changes[0] is Change.UNUSUAL
    assert changes[-1] is Change.USUAL
    assert baseline.usual == pytest.approx(6.0)


def test_a_clock_that_stands_still_or_goes_back_breaks_nothing() -> None:
    baseline = Baseline(Sensitivity(0.5, 0.0))
    for now in (10.0, 10.0, 5.0, 10.0, 11.0):
        baseline.see(4.0, now)
    assert baseline.usual == 4.0


# -------------------------------------------------------------------- two ends


def test_two_ends_that_contradict_each_other_are_told_after_a_while_and_when_they_agree() -> None:
    link = watch()
    events: list[CityEvent] = []
    for second in range(30):
        link.heard(A, report(LIT), float(second))
        link.heard(B, report(DARK), float(second))
        events += link.update(float(second))
    assert [e.kind for e in events] == [_K.LINK_DARK, _K.LINK_DISAGREE]
    assert events[1].values["what"] == "a lit, b dark"
    assert _K.LINK_AGREE in [e.kind for s in range(30, 35) for e in both(link, float(s))]


def test_ends_that_differ_for_a_moment_do_not_disagree() -> None:
    link = watch()
    events: list[CityEvent] = []
    for second in range(60):
        link.heard(A, report(key_rate_bps=1000.0), float(second))
        link.heard(B, report(key_rate_bps=1000.0 if second % 10 else 9000.0), float(second))
        events += link.update(float(second))
    assert _K.LINK_DISAGREE not in [e.kind for e in events]


# -------------------------------------------------------------------- what can be


def test_no_link_makes_more_key_than_a_repeaterless_channel_allows() -> None:
    """PLOB: 1.44 eta bits a pulse for small transmittance, at 2.5 GHz, of 3 dB less than planned."""
    assert most_rate_bps(43.0) == pytest.approx(2.5e9 * 1e-4 / math.log(2.0), rel=1e-3)
    assert most_rate_bps(6.0103) == pytest.approx(2.5e9, rel=1e-3)
    assert most_rate_bps(0.0) > 1e9


# ---------------------------------------------------------------- what the ends' own monitors say


def test_an_attack_that_a_monitor_names_is_told_once_and_so_is_its_end() -> None:
    link = watch()
    kinds = [_K.LINK_ATTACK, _K.LINK_CLEAR]

    def told(now: float, **fields: object) -> list[CityEvent]:
        link.heard(A, LinkReport(link="a-b", state=LIT, **fields), now)  # type: ignore[arg-type]
        return [event for event in link.update(now) if event.kind in kinds]

    assert told(0.0, verdict="clear") == []
    (event,) = told(1.0, verdict="attack", attack="blinding", evidence="photocurrent 9")
    assert (event.kind, event.site, event.values) == (
        _K.LINK_ATTACK,
        A,
        {"attack": "blinding", "what": "photocurrent 9", "quarantined": 0},
    )
    assert told(2.0, verdict="attack", attack="blinding", evidence="photocurrent 10") == []
    (event,) = told(2.5, verdict="attack", attack="blinding", evidence="photocurrent 9", is_quarantined=True)
    assert event.values["quarantined"] == 1, "that the link was stopped is news"
    assert told(3.0) == [], "an end without a monitor says nothing of it"
    assert [event.kind for event in told(4.0, verdict="clear")] == [_K.LINK_CLEAR]
    assert told(5.0, verdict="clear") == []


def test_the_end_that_stopped_the_link_is_heeded_before_one_that_only_names_something() -> None:
    link = watch()
    link.heard(A, LinkReport(link="a-b", state=LIT, verdict="attack", attack="tap"), 0.0)
    stopped = LinkReport(link="a-b", state=KEYLESS, verdict="attack", attack="blind", is_quarantined=True)
    link.heard(B, stopped, 0.0)
    (event,) = (event for event in link.update(0.0) if event.kind is _K.LINK_ATTACK)
    assert (event.site, event.values["attack"], event.values["quarantined"]) == (B, "blind", 1)
