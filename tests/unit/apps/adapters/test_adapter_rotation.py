"""The conversation of a rotation over real streams, with software that only pretends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from adapter_hosts import wait_until
from adapter_rig import Ends, PretendedSoftware, two_ends

from bench.played_keys import SIMULATED, PlayedSite
from poliqi.apps.adapters.events import Event, Happening
from poliqi.apps.adapters.messages import PURPOSE, Done, Offer, Switch, encode
from poliqi.apps.adapters.rotator import Rotator
from poliqi.apps.keygrade import GradeDemand
from poliqi.base.errors import ConfigError, DataRefused, LinkDown, ProtocolError
from poliqi.edge.keyanswers import KeysNotReady

ANY_LIGHT = GradeDemand(allow_simulated=True)


def settled(ends: Ends) -> list[str]:
    """What bravo's software was told, once its conversation has ended."""
    wait_until(lambda: not ends.door.streams)
    software = ends.tunnels["bravo"]._software
    assert isinstance(software, PretendedSoftware)
    return software.calls


def test_both_install_the_same_key_in_the_order_of_the_specification() -> None:
    first, second = PretendedSoftware(), PretendedSoftware()
    with two_ends(first, second) as ends:
        key_id = ends.rotator().once()
        assert settled(ends) == ["open", "hold", "use", "retire"]
        assert first.calls == ["open", "hold", "use first", "retire"]
        assert first.held == second.held
        assert [len(first.held[key_id])] == [32]
        assert ends.rotated("alfa") == ends.rotated("bravo") == [key_id]


def test_where_the_first_cannot_begin_a_session_the_second_does() -> None:
    first, second = PretendedSoftware(starts=False), PretendedSoftware()
    with two_ends(first, second) as ends:
        ends.rotator().once()
        assert "use first" in settled(ends)
        assert "use" in first.calls


def test_where_neither_can_begin_a_session_it_is_said() -> None:
    with (
        two_ends(PretendedSoftware(starts=False), PretendedSoftware(starts=False)) as ends,
        pytest.raises(DataRefused, match="neither end can begin a session"),
    ):
        ends.rotator().once()


def test_a_key_is_offered_to_the_second_only_when_the_first_takes_its_grade() -> None:
    site = PlayedSite(grade=SIMULATED)
    second = PretendedSoftware()
    with two_ends(PretendedSoftware(), second, site) as ends:
        with pytest.raises(DataRefused, match="only photons are taken here"):
            ends.rotator().once()
        assert "hold" not in settled(ends)


def test_the_second_judges_the_grade_itself() -> None:
    site = PlayedSite(grade=SIMULATED)
    first, second = PretendedSoftware(), PretendedSoftware()
    with two_ends(first, second, site, demands=(ANY_LIGHT, GradeDemand())) as ends:
        with pytest.raises(DataRefused, match=r"the other end refuses the key: .*only photons are taken here"):
            ends.rotator().once()
        assert not second.held
        assert not first.held


@pytest.mark.parametrize("call", ["hold", "use"])
def test_what_the_second_cannot_do_the_first_is_told(call: str) -> None:
    second = PretendedSoftware(failing={call: ConfigError("wg0: is not there\x1b[2J")})
    with two_ends(PretendedSoftware(), second) as ends:
        with pytest.raises(DataRefused, match=r"the other end refuses the key: wg0: is not there\?\[2J"):
            ends.rotator().once()
        settled(ends)
        assert ends.told(Happening.FAILED) == ["bravo: wg0: is not there\x1b[2J"]


def test_a_tunnel_that_is_not_set_up_is_refused() -> None:
    with two_ends(PretendedSoftware(), PretendedSoftware(kind="stunnel")) as ends:
        with pytest.raises(DataRefused, match="'office' is stunnel here, and 'wireguard' was offered"):
            ends.rotator().once()
        ends.service._tunnels.clear()
        with pytest.raises(DataRefused, match="no tunnel 'office' with alfa is set up here"):
            ends.rotator().once()


def test_what_breaks_the_order_is_hung_up_on() -> None:
    with two_ends(PretendedSoftware(), PretendedSoftware()) as ends:
        (key,) = ends.keys["alfa"].fresh(ends.peer.sae, 1, 32)
        channel = ends.dial(ends.peer, ends.peer.rule, PURPOSE)
        channel.send(encode(Offer(tunnel="office", kind="wireguard", key_id=key.key_id, starts=True)))
        assert channel.receive() is not None
        channel.send(encode(Done(key_id=key.key_id)))
        assert "retire" not in settled(ends)
        with pytest.raises((LinkDown, ProtocolError)):
            channel.receive()
        channel.close()


def test_a_message_about_another_key_is_refused() -> None:
    with two_ends(PretendedSoftware(), PretendedSoftware()) as ends:
        (key,) = ends.keys["alfa"].fresh(ends.peer.sae, 1, 32)
        channel = ends.dial(ends.peer, ends.peer.rule, PURPOSE)
        channel.send(encode(Offer(tunnel="office", kind="wireguard", key_id=key.key_id, starts=True)))
        channel.receive()
        channel.send(encode(Switch(key_id="another", starter=False)))
        assert "use" not in settled(ends)
        assert "'another'" in ends.told(Happening.FAILED)[0]
        channel.close()


def test_a_newer_rotation_ends_an_older_one() -> None:
    with two_ends(PretendedSoftware(), PretendedSoftware()) as ends:
        (key,) = ends.keys["alfa"].fresh(ends.peer.sae, 1, 32)
        channel = ends.dial(ends.peer, ends.peer.rule, PURPOSE)
        channel.send(encode(Offer(tunnel="office", kind="wireguard", key_id=key.key_id, starts=True)))
        channel.receive()
        newer = ends.rotator().once()
        channel.send(encode(Switch(key_id=key.key_id, starter=False)))
        settled(ends)
        assert ends.rotated("bravo") == [newer]
        assert "another rotation began" in ends.told(Happening.FAILED)[0]
        channel.close()


def test_no_key_is_drawn_twice_and_none_is_left_unwiped_when_it_fails() -> None:
    second = PretendedSoftware(failing={"hold": LinkDown("not now")})
    with two_ends(PretendedSoftware(), second) as ends:
        for _ in range(3):
            with pytest.raises(DataRefused):
                ends.rotator().once()
        settled(ends)
        second.failing.clear()
        ends.rotator().once()
        assert len(set(ends.site.delivered)) == len(ends.site.delivered)


def test_without_keys_the_first_says_when_there_will_be_one() -> None:
    site = PlayedSite(stock_bytes=0, rate_bps=256.0)
    with two_ends(PretendedSoftware(), PretendedSoftware(), site) as ends:
        with pytest.raises(KeysNotReady):
            ends.rotator().once()
        with ends.rotating(every_s=10.0):
            wait_until(lambda: ends.told(Happening.FAILED))
        assert "there will be one in" in ends.told(Happening.FAILED)[0]


def test_a_second_that_is_away_is_told_and_tried_again() -> None:
    with two_ends(PretendedSoftware(), PretendedSoftware()) as ends:
        ends.door.close()
        with ends.rotating(every_s=10.0):
            wait_until(lambda: ends.told(Happening.FAILED))
        assert "tried again in 1 s" in ends.told(Happening.FAILED)[0]


def test_the_first_rotates_until_it_is_told_to_stop() -> None:
    with two_ends(PretendedSoftware(), PretendedSoftware()) as ends:
        with ends.rotating(every_s=0.05):
            wait_until(lambda: len(ends.rotated("alfa")) > 2)
        count = len(ends.rotated("alfa"))
        assert len(set(ends.rotated("alfa"))) == count


def test_a_key_that_no_other_follows_is_given_up_at_both_ends() -> None:
    first, second = PretendedSoftware(), PretendedSoftware()
    with two_ends(first, second, longest_s=0.1) as ends:
        ends.rotator().once()
        wait_until(lambda: len(ends.told(Happening.SHUT)) == 2)
        assert first.calls[-1] == second.calls[-1] == "shut"
        # and a new one opens it again
        again = ends.rotator().once()
        settled(ends)
        assert ends.rotated("bravo")[-1] == again


def test_a_first_key_that_was_installed_but_never_proven_is_given_up_too() -> None:
    first, second = (PretendedSoftware(failing={"use": LinkDown("no handshake")}) for _ in range(2))
    with two_ends(first, second, longest_s=0.1) as ends:
        with pytest.raises(LinkDown):
            ends.rotator().once()
        wait_until(lambda: len(ends.told(Happening.SHUT)) == 2)
        assert first.calls[-1] == second.calls[-1] == "shut"


def test_software_that_cannot_be_shut_is_tried_again_and_told() -> None:
    first = PretendedSoftware(failing={"shut": ConfigError("wg0: is away")})
    with two_ends(first, PretendedSoftware(), longest_s=0.05) as ends:
        ends.rotator().once()
        wait_until(lambda: any("cannot be shut: wg0: is away" in line for line in ends.told(Happening.FAILED)))


def test_closing_shuts_unless_the_key_is_left_in_force() -> None:
    first, second = PretendedSoftware(), PretendedSoftware()
    with two_ends(first, second) as ends:
        ends.rotator().once()
        ends.tunnels["alfa"].close(is_left_open=True)
    assert first.calls[-2:] == ["retire", "close"]
    assert second.calls[-2:] == ["shut", "close"]


def test_software_that_is_not_there_yet_is_opened_with_the_next_key() -> None:
    second = PretendedSoftware(failing={"open": ConfigError("wg0: is not there")})
    ends = Ends(PretendedSoftware(), second)
    try:
        with pytest.raises(DataRefused, match="wg0: is not there"):
            ends.rotator().once()
        second.failing.clear()
        ends.rotator().once()
        settled(ends)
        assert second.calls == ["open", "open", "hold", "use", "retire"]
    finally:
        ends.door.close()
        ends.tunnels["alfa"].close()


def test_a_record_says_what_happened_and_no_key() -> None:
    software = PretendedSoftware()
    with two_ends(software, PretendedSoftware()) as ends:
        key_id = ends.rotator().once()
        (event,) = [event for who, event in ends.events if who == "alfa"]
    record = event.record()
    assert record["event"] == "rotated"
    assert (record["key_id"], record["grade"], record["simulated"]) == (key_id, "its", False)
    assert record["latency_s"] > 0
    assert software.held[key_id].hex() not in repr(record) + event.line() + repr(event)


def test_a_record_of_simulated_light_says_so() -> None:
    event = Event(Happening.ROTATED, "office", "bravo", "", simulated=True)
    assert event.record()["simulated"] is True
    site = PlayedSite(grade=SIMULATED)
    with two_ends(PretendedSoftware(), PretendedSoftware(), site, demands=(ANY_LIGHT, ANY_LIGHT)) as ends:
        ends.rotator().once()
        (told,) = [event for who, event in ends.events if who == "alfa"]
    assert "SIMULATED LIGHT" in told.line()


def test_nothing_of_a_rotation_has_the_key_in_clear_on_the_wire() -> None:
    sent: list[bytes] = []
    first = PretendedSoftware()
    with two_ends(first, PretendedSoftware()) as ends:
        channel = ends.dial(ends.peer, ends.peer.rule, PURPOSE)
        usual = channel.send

        def listen(data: bytes | bytearray | memoryview) -> None:
            sent.append(bytes(data))
            usual(data)

        channel.send = listen  # type: ignore[method-assign]
        key_id = Rotator(ends.tunnels["alfa"], lambda: channel, ends.keys["alfa"], 10.0).once()
    assert len(sent) == 3
    assert key_id.encode() in sent[0]
    assert all(first.held[key_id] not in data and first.held[key_id].hex().encode() not in data for data in sent)


def test_the_tunnel_of_a_contact_that_was_removed_is_shut_at_once() -> None:
    first, second = PretendedSoftware(), PretendedSoftware()
    with two_ends(first, second) as ends:
        ends.rotator().once()
        settled(ends)
        ends.door.change(replace(ends.door._settings, peers={}))
        assert second.calls[-2:] == ["shut", "close"]
        assert any("no contact any more" in line for line in ends.told(Happening.WARNING))


def test_a_stricter_rule_holds_from_the_next_rotation_on() -> None:
    first, second = PretendedSoftware(), PretendedSoftware()
    with two_ends(first, second, site=PlayedSite(grade=SIMULATED), demands=(ANY_LIGHT, ANY_LIGHT)) as ends:
        first_key = ends.rotator().once()
        settled(ends)
        (peer,) = ends.door._settings.peers.values()
        strict = replace(peer, rule=replace(peer.rule, demand=GradeDemand()))
        ends.service.change(replace(ends.door._settings, peers={peer.sae: strict}))
        with pytest.raises(DataRefused):
            ends.rotator().once()
        assert ends.rotated("bravo") == [first_key]
