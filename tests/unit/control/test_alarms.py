"""The book of alarms: one alarm for one cause, whatever else follows from it."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from alarm_faults import (
    FAULTS,
    QUIET,
    WATCHED,
    Fault,
    K,
    dark,
    event,
    lit_book,
    partition,
    play,
    raised,
    ring,
    site_down,
    stopped,
    stray_light,
)

from poliqi.base.ids import LinkId
from poliqi.control.alarms import AlarmBook
from poliqi.control.causes import CAUSES, Cause, cause_advice, cause_line
from poliqi.control.city import City
from poliqi.control.events import CityEvent, CityEventKind, Language, event_line
from poliqi.control.lines import WORDS
from poliqi.control.signs import ATTACKS, SignKind, signs_of
from poliqi.control.suspects import LINK_PATTERNS, Grade
from poliqi.link.monitor import Suspected

Make = Callable[[City, Random], Fault]

CITY = ring()


def run(book: AlarmBook, start: float, stop: float) -> list[CityEvent]:
    said: list[CityEvent] = []
    now = start
    while now < stop:
        said += book.tick(now)
        now += 0.1
    return said


def heed(book: AlarmBook, now: float, *events: CityEvent) -> None:
    for one in events:
        book.heed(replace(one, at=now), now)


@pytest.mark.parametrize("lost", [0.0, pytest.param(0.1, marks=pytest.mark.soak), 0.25])
def test_two_hundred_faults_are_named_first(lost: float) -> None:
    right = alone = 0
    for seed in range(200):
        draw = Random(1000 * seed + round(100 * lost))
        fault = FAULTS[seed % len(FAULTS)](CITY, draw)
        said = raised(play(CITY, fault, draw, lost))
        right += bool(said) and said[0].values["cause"] == fault.cause
        alone += len(said) == 1
    assert right >= 190
    assert alone >= 190


@pytest.mark.parametrize("make", FAULTS)
def test_the_place_is_named_too(make: Make) -> None:
    for seed in range(5):
        draw = Random(seed)
        fault = make(CITY, draw)
        said = raised(play(CITY, fault, draw, lost=0.0))
        assert fault.place in event_line(said[0])


@pytest.mark.parametrize("attack", sorted(WATCHED))
def test_a_quarantine_is_one_alarm_whatever_the_monitor_calls_it(attack: str) -> None:
    """It explains that the link gives no key and that the other end misses it."""
    for number, link in enumerate(CITY.links):
        for turn in range(3):
            said = raised(play(CITY, stopped(link, attack, Random(turn)), Random(10 * number + turn), lost=0.0))
            assert [e.values["cause"] for e in said] == [WATCHED[attack]], (link.link, turn)


def test_a_link_that_was_quarantined_for_interception_and_one_whose_errors_jumped_are_one_listener() -> None:
    one, other = (link for link in CITY.links if link.spans == ("fibre-leonardo-bovisa",))
    fault = stopped(one, "intercept-resend", Random(1))
    fault.sure.append(event(K.LINK_QBER, link=other.link, qber=0.08, usual=0.02, basis="test", pattern="step"))
    (said,) = raised(play(CITY, fault, Random(1), lost=0.0))
    assert (said.values["cause"], said.span) == ("eavesdropper", "fibre-leonardo-bovisa")


@pytest.mark.parametrize("attack", ["intercept-resend", "photon-number-splitting", "tap"])
def test_what_the_monitor_only_says_of_a_link_with_key_is_left_to_the_figures(attack: str) -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_ATTACK, "aria", "aria-leonardo", attack=attack, what="x", quarantined=0))
    assert raised(run(book, 10.0, 30.0)) == []


def test_the_end_of_a_quarantine_ends_its_alarm() -> None:
    book = lit_book(CITY)
    heed(
        book,
        10.0,
        event(K.LINK_ATTACK, "aria", "aria-leonardo", attack="blind", what="missing: pilot", quarantined=1),
    )
    (said,) = raised(run(book, 10.0, 20.0))
    assert said.values["cause"] == "quarantined"
    for language in Language:
        assert cause_line("quarantined", said.values, language).endswith(": missing: pilot")
    heed(book, 20.0, event(K.LINK_CLEAR, link="aria-leonardo"), event(K.LINK_LIT, link="aria-leonardo"))
    assert [e.kind for e in run(book, 20.0, 30.0)] == [K.ALARM_CLEARED]


def test_every_attack_of_the_monitor_has_its_sign_a_cause_and_words() -> None:
    assert set(ATTACKS) == {attack.value for attack in Suspected}
    assert WORDS.keys() >= WATCHED.keys()
    assert set(WATCHED.values()) <= {cause.value for cause in Cause}


def test_a_cut_span_explains_its_links_stock_and_routes() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_DARK, link="intesa-aria"), event(K.LINK_DARK, link="barbara-aria"))
    heed(book, 10.2, event(K.REROUTED, "intesa", other="aria", path="intesa, barbara, leonardo, aria"))
    heed(book, 10.3, event(K.DEMAND_SHORT, demand="intesa-aria", granted=1.0, wanted=2.0))
    said = run(book, 10.3, 20.0)
    heed(book, 20.0, event(K.STOCK_LOW, "intesa", other="aria", left=60.0))
    said += run(book, 20.0, 30.0)
    assert [e.kind for e in said] == [K.ALARM_RAISED]
    (alarm,) = book.open
    assert alarm.cause == "span-cut"
    assert alarm.span == "fibre-intesa-aria"
    kinds = {e.kind for e in alarm.explains}
    assert kinds == {K.LINK_DARK, K.REROUTED, K.DEMAND_SHORT, K.STOCK_LOW}


def test_two_cuts_are_two_alarms() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_DARK, link="bovisa-barbara"), event(K.LINK_DARK, link="intesa-aria"))
    heed(book, 10.0, event(K.LINK_DARK, link="barbara-aria"))
    spans = {str(e.span) for e in raised(run(book, 10.0, 20.0))}
    assert spans == {"fibre-bovisa-barbara", "fibre-intesa-aria"}


def test_one_dark_link_of_two_over_a_span_is_no_cut() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_DARK, link="leonardo-bovisa-2"))
    (said,) = raised(run(book, 10.0, 20.0))
    assert said.values["cause"] == "device-failed"


def test_a_dark_bypass_whose_spans_carry_other_light_is_the_switch_or_a_device() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_DARK, link="barbara-aria"))
    (said,) = raised(run(book, 10.0, 20.0))
    assert said.values["cause"] in ("switch-failed", "device-failed")


def test_an_alarm_is_over_once_the_light_is_back_and_symptoms_do_not_raise_another() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_DARK, link="aria-leonardo"))
    heed(book, 10.5, event(K.STOCK_LOW, "aria", other="leonardo", left=60.0))
    run(book, 10.5, 15.0)
    heed(book, 15.0, event(K.LINK_LIT, link="aria-leonardo"))
    said = run(book, 15.0, 60.0)
    assert [e.kind for e in said] == [K.ALARM_CLEARED]
    assert not book.open
    assert book.recent[0].cleared == pytest.approx(18.0, abs=0.2)


def test_a_symptom_that_outlives_its_cause_by_far_is_one_itself() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_DARK, link="aria-leonardo"))
    heed(book, 10.5, event(K.DEMAND_SHORT, demand="leonardo-aria", granted=1.0, wanted=2.0))
    run(book, 10.5, 15.0)
    heed(book, 15.0, event(K.LINK_LIT, link="aria-leonardo"))
    run(book, 15.0, 20.0)
    said = raised([e for now in range(20, 700) for e in book.tick(float(now))])
    assert [e.values["cause"] for e in said] == ["demand-growth"]
    assert said[0].at >= 600.0


def test_a_flapping_link_is_one_alarm() -> None:
    book, said = lit_book(CITY), []
    for turn in range(20):
        heed(book, 10.0 + 2 * turn, event(K.LINK_DARK, link="aria-leonardo"))
        said += run(book, 10.0 + 2 * turn, 11.0 + 2 * turn)
        heed(book, 11.0 + 2 * turn, event(K.LINK_LIT, link="aria-leonardo"))
        said += run(book, 11.0 + 2 * turn, 12.0 + 2 * turn)
    assert [e.kind for e in said] == [K.ALARM_RAISED]


def test_a_short_blink_raises_nothing() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_DARK, link="aria-leonardo"))
    said = run(book, 10.0, 10.3)
    heed(book, 10.3, event(K.LINK_LIT, link="aria-leonardo"))
    assert said + run(book, 10.3, 20.0) == []


def test_late_evidence_replaces_the_cause() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.SITE_LOST, "aria"))
    assert [e.values["cause"] for e in raised(run(book, 10.0, 18.0))] == ["site-unreached"]
    heed(book, 18.0, *(event(K.PEERS_PARTED, s, other="aria") for s in ("leonardo", "bovisa", "barbara", "intesa")))
    said = run(book, 18.0, 30.0)
    assert [(e.kind, e.values["cause"]) for e in said] == [
        (K.ALARM_RAISED, "site-down"),
        (K.ALARM_CLEARED, "site-unreached"),
    ]


def test_a_drained_site_that_goes_away_is_planned_work() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.SITE_DRAINING, "aria"))
    fault = site_down(replace(CITY, sites=CITY.sites[4:]), Random(1))
    heed(book, 12.0, event(K.SITE_LOST, "aria"), *fault.likely)
    heed(book, 12.0, *(event(K.PEERS_PARTED, s, other="aria") for s in ("leonardo", "bovisa", "barbara", "intesa")))
    assert [e.values["cause"] for e in raised(run(book, 12.0, 30.0))] == ["planned-work"]


def test_a_newly_lit_channel_is_likelier_than_an_eavesdropper() -> None:
    seen = play(CITY, next(f for f in (stray_light(CITY, Random(s)) for s in range(50)) if f.lit), Random(3))
    assert raised(seen)[0].values["cause"] == "stray-light"


def test_rivals_are_told() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_QBER, link="aria-leonardo", qber=0.08, usual=0.02, basis="key"))
    run(book, 10.0, 15.0)
    assert "stray-light" in book.open[0].rivals


def test_a_place_that_left_the_plan_takes_its_alarm_along() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_DARK, link="aria-leonardo"))
    run(book, 10.0, 15.0)
    book.city = replace(CITY, links=tuple(li for li in CITY.links if li.link != "aria-leonardo"), version=2)
    run(book, 15.0, 20.0)
    assert not book.open


def test_acknowledging() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.SITE_CLOCK, "aria", skew_s=5.0))
    run(book, 10.0, 12.0)
    number = book.open[0].number
    said = book.acknowledge(number, "maria", 13.0)
    assert said is not None
    assert "maria" in event_line(said, Language.ITALIAN)
    assert (book.open[0].seen_by, book.open[0].seen_at) == ("maria", 13.0)
    assert book.acknowledge(number, "luca", 14.0) is None
    assert book.acknowledge(number + 1, "luca", 14.0) is None


def test_everything_is_bounded() -> None:
    book = lit_book(CITY)
    for turn in range(400):
        now = 10.0 + turn * 20.0
        heed(book, now, event(K.SITE_NOTICE, "aria", what="x", kind="relay-refused"))
        heed(book, now, event(K.SITE_CLOCK, "aria", skew_s=5.0))
        book.tick(now + 1.0)
        heed(book, now + 2.0, event(K.SITE_CLOCK_RIGHT, "aria"))
        book.tick(now + 2.0)
        book.tick(now + 6.0)
    assert len(book.recent) == 256
    assert not book.open


def test_events_about_unknown_places_harm_nothing() -> None:
    book = lit_book(CITY)
    heed(book, 10.0, event(K.LINK_DARK, link="nowhere"), event(K.SITE_LOST, "nobody"), event(K.LINK_SILENT))
    heed(book, 10.0, event(K.DEMAND_SHORT, demand="none"), event(K.PEERS_PARTED, "aria"), event(K.LINK_DISAGREE))
    run(book, 10.0, 20.0)


def test_the_next_tick_is_due_while_something_waits() -> None:
    book = lit_book(CITY)
    assert book.next_timeout(5.0) > 6.0
    heed(book, 10.0, event(K.LINK_DARK, link="aria-leonardo"))
    assert book.next_timeout(10.0) == 10.0
    book.tick(10.0)
    assert book.next_timeout(10.0) < 10.5


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_its_texts(cause: Cause) -> None:
    row = CAUSES[cause]
    assert row.english != row.italian
    assert row.advice_english != row.advice_italian
    assert row.settle_s <= 10.0


@pytest.mark.parametrize("make", FAULTS)
@pytest.mark.parametrize("language", Language)
def test_no_place_of_a_text_stays_open(make: Make, language: Language) -> None:
    draw = Random(5)
    said = raised(play(CITY, make(CITY, draw), draw, lost=0.0))[0]
    assert "?" not in event_line(said, language)
    assert "?" not in cause_advice(str(said.values["cause"]), said.values, language)


def test_a_cause_of_a_later_version_reads_as_its_key() -> None:
    assert cause_line("solar-flare", {}) == "solar-flare"
    assert cause_advice("solar-flare", {}) == ""


def test_reason_and_figures_tell_why_a_link_is_keyless() -> None:
    def why(**values: str | float) -> list[SignKind]:
        return [sign.kind for sign in signs_of(event(K.LINK_KEYLESS, link="x", **values))]

    assert why(what="the single photon bound leaves 0 bits") == [SignKind.KEYLESS_DECOY]
    assert why(what="QBER 0.13 > 0.11") == [SignKind.KEYLESS_QBER]
    assert why(what="QBER 0.02, bounds", why="decoy") == [SignKind.KEYLESS_DECOY]
    assert why(what="too few detections") == [SignKind.KEYLESS_OTHER]
    assert why(what="", **QUIET) == [SignKind.KEYLESS_DECOY]
    assert why(what="", **(QUIET | {"qber_key": 0.09})) == [SignKind.KEYLESS_QBER, SignKind.QBER_STEP]
    assert why(what="", **(QUIET | {"loss_db": 9.0})) == [SignKind.KEYLESS_OTHER, SignKind.LOSS]


def test_partition_and_cut_together_are_two_alarms() -> None:
    book = lit_book(CITY)
    fault = partition(CITY, Random(2))
    heed(book, 10.0, *(e for _, _, e in fault.slow), *dark([CITY.links[1]]))
    causes = [e.values["cause"] for e in raised(run(book, 10.0, 20.0))]
    assert sorted(causes) == ["partition", "span-cut"]


ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_on_both_pages(cause: Cause) -> None:
    row = CAUSES[cause]
    assert (
        f"| `{cause.value}` | {row.severity.value} | {row.english} |"
        in (ROOT / "docs/reference/alarms.md").read_text()
    )
    assert f"\n### {cause.value}\n" in (ROOT / "docs/how-to/watch-a-city.md").read_text()


def test_the_page_has_the_weights_and_the_signs() -> None:
    page = (ROOT / "docs/reference/alarms.md").read_text()
    for grade in Grade:
        assert f"| {grade.name.lower()} | {grade.seen:+.1f} | {grade.missing:+.1f} |" in page
    for cause, pattern in LINK_PATTERNS.items():
        start = (f"| `{cause.value}` | must: ", f"| `{cause.value}` | likely: ")
        (line,) = [line for line in page.splitlines() if line.startswith(start)]
        assert all(sign.value in line for sign in pattern)


def test_both_languages_fill_the_same_places() -> None:
    for row in CAUSES.values():
        for english, italian in ((row.english, row.italian), (row.advice_english, row.advice_italian)):
            names = [sorted({p[1] for p in string.Formatter().parse(text) if p[1]}) for text in (english, italian)]
            assert names[0] == names[1]


def test_a_reason_that_names_single_photons_is_photon_splitting_though_light_seems_lost() -> None:
    """Splitting every pulse looks like about 1 dB more loss; the text is what a link's end says then."""
    figures = {"qber_key": 0.0063, "qber_key_usual": 0.0063, "loss_db": 5.78, "loss_db_usual": 4.8}
    what = "the counts support at most 0 secret bits (s1_K <= 0: no single photon is certain in the key basis)"
    event = CityEvent(CityEventKind.LINK_KEYLESS, 0.0, link=LinkId("l"), values={**figures, "what": what})
    assert [s.kind for s in signs_of(event)] == [SignKind.KEYLESS_DECOY, SignKind.LOSS]
    bent = {**figures, "loss_db": 9.0, "what": what}
    event = CityEvent(CityEventKind.LINK_KEYLESS, 0.0, link=LinkId("l"), values=bent)
    assert [s.kind for s in signs_of(event)] == [SignKind.KEYLESS_OTHER, SignKind.LOSS]
