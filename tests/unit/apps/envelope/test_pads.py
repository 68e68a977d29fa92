"""Pads: every byte once, whatever the site's limits; odd names refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.played_keys import PHOTONS, PlayedSite
from poliqi.apps.envelope.pads import PadSource
from poliqi.apps.envelope.rule import PadNote, PadRule
from poliqi.apps.keygrade import GradeDemand, KeyGrade, Knowledge
from poliqi.apps.stream.needs import tag_epsilon
from poliqi.base.errors import ConfigError, DataRefused, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

ANNA, BRUNO = SaeId("anna"), SaeId("bruno")
RULE = PadRule(replace(GradeDemand(), information_theoretic=True), is_hybrid=True)


def sources(site: PlayedSite) -> tuple[PadSource, PadSource]:
    return PadSource(site.keys(ANNA), BRUNO, RULE), PadSource(site.keys(BRUNO), ANNA, RULE)


@pytest.mark.parametrize(("most_bytes", "most_number"), [(512, 128), (64, 4), (33, 1), (4096, 1)])
@pytest.mark.parametrize("size", [1, 8, 336, 1000])
def test_both_ends_have_the_same_pad_under_any_limits(size: int, most_bytes: int, most_number: int):
    here, there = sources(PlayedSite(most_bytes=most_bytes, most_number=most_number))
    mine = here.draw(size)
    yours = there.fetch(mine.key_ids, size)
    assert len(mine) >= size
    assert mine.take(size) == yours.take(size)


def test_no_byte_is_given_twice():
    pad = sources(PlayedSite())[0].draw(64)
    first, second = pad.take(32), pad.take(32)
    assert first != second
    with pytest.raises(ValueError, match="of which 0 are left"):
        pad.take(1)


def test_a_closed_pad_gives_nothing():
    pad = sources(PlayedSite())[0].draw(64)
    pad.close()
    with pytest.raises(ValueError, match="0 are left"):
        pad.take(1)


@pytest.mark.parametrize("wrong", [[], ["a", "a"], [str(n) for n in range(4097)]])
def test_odd_lists_of_names_are_refused_before_any_key_is_fetched(wrong: list[str]):
    with pytest.raises(ProtocolError, match="each named once"):
        sources(PlayedSite())[1].fetch(wrong, 8)


def test_a_pad_that_is_too_short_is_refused():
    here, there = sources(PlayedSite())
    with pytest.raises(ProtocolError, match="a pad of 64 bytes for 65"):
        there.fetch(here.draw(64).key_ids, 65)


def test_keys_that_are_too_short_for_so_much_are_refused_in_words():
    with pytest.raises(ConfigError, match="longer keys"):
        sources(PlayedSite(most_bytes=40))[0].draw(32 + 8 * 4096 + 1)


@pytest.mark.parametrize("most_bytes", [8, 31, 32])
def test_a_site_whose_longest_keys_are_no_pad_is_told_before_any_is_drawn(most_bytes: int):
    site = PlayedSite(most_bytes=most_bytes)
    with pytest.raises(ConfigError, match=f"keys of {most_bytes} bytes are too short for a pad.*33 bytes or more"):
        sources(site)[0].draw(64)
    assert site.delivered == []


@pytest.mark.parametrize("size_bytes", [8, 31, 32])
@pytest.mark.parametrize("number", [1, 4])
def test_keys_of_other_modes_are_no_pad(size_bytes: int, number: int):
    site = PlayedSite()
    keys = site.keys(ANNA).fresh(BRUNO, number, size_bytes)
    with pytest.raises(DataRefused, match="32 bytes or less is drawn for another mode"):
        sources(site)[1].fetch([key.key_id for key in keys], 80)


@pytest.mark.parametrize("size", [33, 512, 513, 1280, 61_472])
def test_the_first_bytes_of_a_key_cover_nothing(size: int):
    """Of the first key they are what is taken first, for a tag; of the others they are dropped."""
    site = PlayedSite()
    pad = sources(site)[0].draw(size)
    first, *others = [site.promised[ANNA, BRUNO][key_id] for key_id in pad.key_ids]
    assert pad.take(len(pad)).take() == first + b"".join(other[32:] for other in others)


@pytest.mark.parametrize(
    ("size", "needed"),
    # keys of at most 512 bytes, of which all but the first give 480
    [(80, 80), (512, 512), (513, 2 * 273), (592, 2 * 312), (992, 2 * 512), (993, 3 * 353), (61_472, 128 * 512)],
)
def test_the_key_of_a_pad_is_told_beforehand(size: int, needed: int):
    site = PlayedSite(stock_bytes=1 << 20)
    source = sources(site)[0]
    assert source.outlook((size, 1)).needed_bytes == needed
    assert source.outlook((size, 3), (80, 2), (99, 0)).needed_bytes == 3 * needed + 160
    source.draw(size)
    assert (1 << 20) - site.stock_bytes == needed


def test_a_key_of_a_worse_grade_than_the_stock_showed_is_refused():
    site = PlayedSite()
    here, _there = sources(site)
    here.draw(8)
    site.grade = {**PHOTONS, "epsilon": None}
    with pytest.raises(DataRefused, match="only information-theoretic"):
        here.draw(8)


def test_the_worst_key_speaks_for_the_pad():
    """Epsilons add up (union bound); of ways the worst counts."""
    direct, relayed = KeyGrade.read(PHOTONS), KeyGrade.read({**PHOTONS, "paths": [["a", "x", "b"]]})
    note = PadNote.of([direct, relayed], 64, 1e-12, is_hybrid=True)
    assert note.knowledge is Knowledge.RELAYED and note.sites == ("x",)
    assert note.epsilon == pytest.approx(2.01e-10)
    joined = PadNote.joined(note, PadNote.of([direct], 10, 0.0, is_hybrid=False))
    assert joined is not None and joined.knowledge is Knowledge.RELAYED and not joined.is_hybrid
    assert joined.epsilon == pytest.approx(3.01e-10) and joined.key_bytes == 74


@pytest.mark.parametrize(("size", "epsilon"), [(16, 8 / 2**106), (17, 16 / 2**106), (65536, 8 * 4096 / 2**106)])
def test_the_bound_of_a_tag(size: int, epsilon: float):
    """Bernstein 2005, theorem 3.3."""
    assert tag_epsilon(size) == epsilon


BIG = 128 * 512 + 1
"""One byte more than a request gives."""


@pytest.mark.parametrize(("rate_bps", "wait_s"), [(1000.0, 8 * (137 * 511 - 65_536) / 1000), (None, None)])
def test_a_pad_of_several_requests_is_not_begun_before_all_of_it_is_there(rate_bps: float | None, wait_s: float):
    """65,537 bytes are 137 keys of 511; half of it, drawn and lost at each try, would never become a whole."""
    site = PlayedSite(stock_bytes=65_536, rate_bps=rate_bps)
    with pytest.raises(KeysNotReady, match="70,007 bytes of key with bruno are needed at once, 65,536") as waits:
        sources(site)[0].draw(BIG)
    assert site.delivered == [] and waits.value.retry_s == wait_s


def test_a_pad_of_several_requests_is_drawn_once_all_of_it_is_there():
    site = PlayedSite(stock_bytes=137 * 511)
    assert len(sources(site)[0].draw(BIG)) >= BIG and site.stock_bytes == 0


@pytest.mark.parametrize(("drawn", "asked"), [(64, 63), (512, 480), (1000, 998), (65_000, 64_800)])
def test_a_pad_longer_than_it_is_drawn_is_refused(drawn: int, asked: int):
    """Its lengths were changed on the way."""
    here, there = sources(PlayedSite())
    with pytest.raises(DataRefused, match="was changed on the way"):
        there.fetch(here.draw(drawn).key_ids, asked)
