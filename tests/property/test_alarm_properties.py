"""The book of alarms under any events at all: it never fails, stays bounded, and what was raised is cleared."""

from __future__ import annotations

from alarm_faults import NAMES, ring
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.alarms import AlarmBook
from poliqi.control.events import CityEvent, CityEventKind, Language, event_line

CITY = ring()
K = CityEventKind
TOLD = st.one_of(
    st.floats(0.0, 1.0), st.sampled_from(["", "ramp", "qber", "decoy", "no report", *NAMES, "all", "loss"])
)
EVENTS = st.builds(
    CityEvent,
    kind=st.sampled_from(CityEventKind),
    at=st.just(0.0),
    site=st.sampled_from([None, *map(KmeId, NAMES), KmeId("nobody")]),
    link=st.sampled_from([None, *CITY.link, LinkId("nowhere")]),
    demand=st.sampled_from([None, *CITY.demand, "nothing"]),
    values=st.dictionaries(
        st.sampled_from(["other", "pattern", "why", "what", "figure", "kind", "usual", "loss_db", "qber_key"]),
        TOLD,
        max_size=4,
    ),
)


def all_well() -> list[CityEvent]:
    """Everything that takes signs down."""
    told = [
        CityEvent(kind, 0.0, link=link) for link in CITY.link for kind in (K.LINK_LIT, K.LINK_USUAL, K.LINK_AGREE)
    ]
    for site in (*map(KmeId, NAMES), KmeId("nobody")):
        told += [
            CityEvent(kind, 0.0, site)
            for kind in (K.SITE_CONNECTED, K.SITE_SENSE, K.SITE_CLOCK_RIGHT, K.STORE_BACK, K.SITE_BACK)
        ]
    return [*told, CityEvent(K.CONTROLLER_ALONE, 0.0)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(EVENTS, st.floats(0.0, 5.0)), max_size=40))
def test_any_events_raise_and_clear_in_pairs(script: list[tuple[CityEvent, float]]) -> None:
    book, now, is_open = AlarmBook(CITY), 0.0, set[object]()
    for event, wait_s in script:
        now += wait_s
        book.heed(event, now)
        for said in book.tick(now):
            assert event_line(said)
            assert event_line(said, Language.ITALIAN)
            number = said.values["number"]
            if said.kind is K.ALARM_RAISED:
                assert number not in is_open
                is_open.add(number)
            else:
                is_open.remove(number)
        assert {alarm.number for alarm in book.open} == is_open
        assert all(1 <= len(alarm.explains) <= 64 for alarm in book.open)


@settings(deadline=None, max_examples=30)
@given(st.lists(EVENTS.filter(lambda e: e.link != "nowhere"), max_size=30))
def test_when_all_is_well_no_fault_stays(script: list[CityEvent]) -> None:
    book = AlarmBook(CITY)
    for number, event in enumerate(script):
        book.heed(event, 0.1 * number)
    book.tick(20.0)
    city = book.city
    for event in all_well():
        book.heed(event, 30.0)
    book.city = city
    for now in (31.0, 40.0, 4000.0, 4010.0, 9000.0, 9010.0):
        book.tick(now)
    lasting = {"peers-parted", "partition", "demand-growth", "stock-low"}
    assert {alarm.cause for alarm in book.open} <= lasting
