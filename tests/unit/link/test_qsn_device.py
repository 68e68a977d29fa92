"""Two emulated ends of a QSN-d-1 without sockets: keys, promises, and what a stranger or a broken partner does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from qsn_rig import BRIGHT, CountedEntropy

from poliqi.base.errors import ConfigError, ProtocolError
from poliqi.link.qsn.device import PARTNER, Device
from poliqi.link.qsn.emulated import Emulated, Role, emulated
from poliqi.link.qsn.making import KeyDiscarded, KeyMade
from poliqi.link.qsn.replies import KeyReply, Keys, read_reply

SMALL = Emulated(seed=7, light=BRIGHT, samples=512, pause_s=1.0)
CLIENT = 3
STRANGER = 4


class Pair:
    """Both ends and the line between them."""

    def __init__(self, alice: Emulated = SMALL, bob: Emulated | None = None) -> None:
        chosen = {Role.ALICE: alice, Role.BOB: bob or alice}
        self.ends = {role: emulated(role, chosen[role], CountedEntropy(), 1.7e12) for role in Role}
        self.alice, self.bob = self.ends[Role.ALICE], self.ends[Role.BOB]
        self.now = 0.0
        self.news: dict[Role, list[KeyMade | KeyDiscarded]] = {role: [] for role in Role}
        self.to_clients: dict[Role, list[tuple[int, bytes]]] = {role: [] for role in Role}
        self.lines: list[tuple[Role, dict[str, Any]]] = []
        self.lost: set[str] = set()
        self.alice.partner_up(0.0)
        self.bob.partner_up(0.0)

    def settle(self) -> None:
        """Carry what is to be carried, until nobody says anything at this time."""
        busy = True
        while busy:
            busy = False
            for role, end in self.ends.items():
                if (due := end.next_timeout()) is not None and due <= self.now:
                    end.tick(self.now)
                for outgoing in end.take_output():
                    busy = True
                    if outgoing.to == PARTNER:
                        self._carry(role, outgoing.payload)
                    else:
                        self.to_clients[role].append((outgoing.to, outgoing.payload))
                self.news[role] += end.take_news()
                busy = busy or ((due := end.next_timeout()) is not None and due <= self.now)

    def _carry(self, role: Role, payload: bytes) -> None:
        line = json.loads(payload)
        self.lines.append((role, line))
        if line["command"] not in self.lost:
            other = self.bob if role is Role.ALICE else self.alice
            other.receive(0, payload, self.now)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.settle()
            self.now += 1.0
        self.settle()

    def ask(
        self, role: Role, command: str, value: Any = "", attribute: str = "", source: int = CLIENT
    ) -> list[Any]:
        """What the client is sent for one request, at once."""
        before = len(self.to_clients[role])
        request = {"command": command, "attribute": attribute, "value": value}
        self.ends[role].receive(source, json.dumps(request).encode(), self.now)
        self.settle()
        return [read_reply(payload) for to, payload in self.to_clients[role][before:] if to == source]


def made(news: list[KeyMade | KeyDiscarded]) -> list[str]:
    return [each.key_id for each in news if isinstance(each, KeyMade)]


def reasons(news: list[KeyMade | KeyDiscarded]) -> list[str]:
    return [each.reason for each in news if isinstance(each, KeyDiscarded)]


def test_both_ends_have_equal_keys_of_equal_ids() -> None:
    pair = Pair()
    pair.run(3)
    (alices,), (bobs,) = pair.ask(Role.ALICE, "Get keys", "3"), pair.ask(Role.BOB, "Get keys", "3")
    assert isinstance(alices, Keys) and len(alices.records) == 3
    assert {r.key_id: r.key.take() for r in alices.records} == {r.key_id: r.key.take() for r in bobs.records}
    assert all(r.time_ms >= 1.7e12 for r in alices.records)


def test_the_messages_come_in_the_documented_order() -> None:
    pair = Pair()
    pair.settle()
    said = [(role.value, line["command"]) for role, line in pair.lines]
    assert said[:5] == [
        ("alice", "start"),
        ("bob", "Confronto basi"),
        ("alice", "Sifted key"),
        ("bob", "Calc BER"),
        ("alice", "Valid key"),
    ]
    assert said[-2:] == [("bob", "Key check"), ("alice", "Privacy amplification")]
    assert set(said[5:-2]) == {("bob", "Cascade"), ("alice", "Cascade parities")}


def test_the_settings_that_bob_publishes_tell_no_bit() -> None:
    pair = Pair()
    pair.settle()
    (bases,) = [line["value"]["basi"] for _, line in pair.lines if line["command"] == "Confronto basi"]
    assert set(bases) == {0, 2}


def test_an_eavesdropper_on_every_gate_leaves_no_key() -> None:
    pair = Pair(SMALL, Emulated(seed=7, light=replace(BRIGHT, eve_fraction=1.0), samples=512))
    pair.run(2)
    assert not made(pair.news[Role.ALICE]) and not made(pair.news[Role.BOB])
    rates = [each.qber for each in pair.news[Role.ALICE] if isinstance(each, KeyDiscarded)]
    assert len(rates) >= 2 and all(rate is not None and 0.11 < rate < 0.45 for rate in rates)
    assert reasons(pair.news[Role.BOB])[0] == "the partner discarded it"
    (told,) = pair.ask(Role.ALICE, "get_attribute", attribute="QBER")
    assert float(told.value) == pytest.approx(rates[-1], rel=1e-5)


def test_ends_with_other_seeds_measure_a_half_and_discard() -> None:
    pair = Pair(SMALL, Emulated(seed=8, light=SMALL.light, samples=512))
    pair.run(2)
    rates = [each.qber for each in pair.news[Role.ALICE] if isinstance(each, KeyDiscarded)]
    assert rates and all(rate is not None and abs(rate - 0.5) < 0.15 for rate in rates)


def test_a_wrong_check_discards_the_key_at_both_ends() -> None:
    pair = Pair(SMALL, Emulated(seed=7, light=SMALL.light, samples=512, wrong_check=True))
    pair.run(2)
    assert set(reasons(pair.news[Role.ALICE])) == {"the CRC of the two ends differs"}
    assert not made(pair.news[Role.BOB]) and pair.alice.keys_in_stock == pair.bob.keys_in_stock == 0


def test_keys_that_are_not_there_yet_are_pushed_later_on_that_connection() -> None:
    pair = Pair()
    pair.settle()
    (first,) = pair.ask(Role.ALICE, "Get keys", "3")
    assert len(first.records) == 1
    pair.run(3)
    pushed = [read_reply(payload) for to, payload in pair.to_clients[Role.ALICE][1:] if to == CLIENT]
    assert [len(each.records) for each in pushed] == [1, 1]
    assert pair.alice.keys_in_stock == 1  # the promise is kept: the next stays


def test_a_client_that_is_gone_is_owed_nothing() -> None:
    pair = Pair()
    pair.ask(Role.ALICE, "Get keys", "9")
    sent = len(pair.to_clients[Role.ALICE])
    pair.alice.closed(CLIENT)
    pair.run(2)
    assert len(pair.to_clients[Role.ALICE]) == sent and pair.alice.keys_in_stock == 2


def test_one_key_is_given_once_and_nothing_is_promised() -> None:
    pair = Pair()
    pair.settle()
    (one,), (none,) = pair.ask(Role.BOB, "get_key"), pair.ask(Role.BOB, "get_key")
    assert isinstance(one, KeyReply) and one.record is not None and none.record is None
    pair.run(1)
    assert pair.bob.keys_in_stock == 1


def test_a_device_that_keeps_what_it_delivered_shows_it_again() -> None:
    pair = Pair(Emulated(seed=7, light=SMALL.light, samples=512, keeps_delivered=True))
    pair.settle()
    (one,), (again,) = pair.ask(Role.ALICE, "get_key"), pair.ask(Role.ALICE, "get_key")
    assert one.record == again.record


def test_only_new_keys_are_pushed_by_a_device_that_keeps_them() -> None:
    pair = Pair(replace(SMALL, keeps_delivered=True))
    pair.settle()
    pair.ask(Role.ALICE, "Get keys", "9")
    pair.run(2)
    given = [read_reply(payload) for _, payload in pair.to_clients[Role.ALICE]]
    assert [record.key_id for each in given for record in each.records] == made(pair.news[Role.ALICE])


def test_more_keys_than_fit_a_reply_come_as_they_are_made() -> None:
    """A later `Get keys` takes the place of an earlier one."""
    pair = Pair()
    pair.run(1)
    (first,) = pair.ask(Role.ALICE, "Get keys", "4294967295")
    assert len(first.records) == 2 and pair.ask(Role.ALICE, "Get keys", "0") == [Keys(())]
    pair.run(2)
    assert pair.alice.keys_in_stock == 2


def test_a_key_that_is_not_there_is_met_with_silence() -> None:
    assert Pair().ask(Role.ALICE, "Get key by ID", "fd7a80b4-b98e-43cb-b860-53d44b4e296b") == []


def test_any_peer_may_flush_the_keys() -> None:
    pair = Pair()
    pair.run(2)
    assert pair.ask(Role.ALICE, "Flush keys", source=STRANGER) == []
    assert pair.alice.keys_in_stock == 0 and pair.bob.keys_in_stock == 3


def test_keys_are_deleted_by_their_ids() -> None:
    pair = Pair()
    pair.run(1)
    first = made(pair.news[Role.BOB])[0]
    assert len(pair.ask(Role.BOB, "Delete by IDs", [first, "1ac7b85a-4cc9-4fe7-a119-188e0af8cdfc"])) == 1
    assert pair.ask(Role.BOB, "Get key by ID", first) == [] and pair.bob.keys_in_stock == 1


def test_keys_that_are_too_old_go_at_both_ends() -> None:
    pair = Pair(Emulated(seed=7, light=SMALL.light, samples=512, ttl_s=5, pause_s=100.0))
    pair.run(4)
    assert pair.alice.keys_in_stock == pair.bob.keys_in_stock == 1
    pair.run(3)
    assert pair.alice.keys_in_stock == pair.bob.keys_in_stock == 0
    assert pair.lines[-1][1]["command"] == "Delete by IDs"


@pytest.mark.parametrize(
    ("attribute", "value", "taken"),
    [
        ("ttl", "600", True),
        ("ttl", "4294967296", False),
        ("ttl", "-1", False),
        ("ttl", "ten", False),
        ("channel_att", "255", True),
        ("channel_att", "256", False),
        ("samples", "1024", True),
        ("samples", "1000", False),
        ("samples", "128", False),
        ("samples", "65536", False),
        ("wavelength", "35", False),
        ("QBER", "0", False),
        ("temperature", "4", False),
    ],
)
def test_what_may_be_set_is_set_at_both_ends(attribute: str, value: str, taken: bool) -> None:
    pair = Pair()
    pair.settle()
    before = pair.ask(Role.BOB, "get_attribute", attribute=attribute)
    (reply,) = pair.ask(Role.ALICE, "set_attribute", value, attribute)
    told = {role: pair.ask(role, "get_attribute", attribute=attribute) for role in Role}
    if taken:
        assert {each[0].value for each in told.values()} == {value}
    else:
        assert reply.message == "Invalid name or value" and told[Role.BOB] == before


def test_more_attenuation_leaves_less_light() -> None:
    """At 255 dB the dark counts alone, 1e-5 a gate, are too few; the receiver gives up and says why."""
    pair = Pair(replace(SMALL, light=replace(BRIGHT, batch=1000)))
    pair.ask(Role.ALICE, "set_attribute", "255", "channel_att")
    pair.run(1)
    assert any("photons in 1024 batches" in reason for reason in reasons(pair.news[Role.BOB]))


def test_a_stranger_who_discards_costs_one_key() -> None:
    pair = Pair()
    pair.lost = {"Sifted key"}
    pair.settle()
    (key_id,) = {line["value"]["ID"] for _, line in pair.lines}
    message = {"command": "Discard key", "attribute": "", "value": {"ID": key_id.upper(), "BER": 0.5}}
    pair.bob.receive(STRANGER, json.dumps(message).encode(), pair.now)
    assert [each.reason for each in pair.bob.take_news()] == ["the partner discarded it"]
    pair.lost = set()
    pair.run(12)
    assert made(pair.news[Role.BOB])


@pytest.mark.parametrize(
    "lost", ["start", "Confronto basi", "Sifted key", "Calc BER", "Valid key", "Cascade", "Key check"]
)
def test_a_message_that_is_lost_costs_one_key(lost: str) -> None:
    pair = Pair()
    pair.lost = {lost}
    pair.settle()
    pair.lost = set()
    pair.run(12)
    assert "nothing came from the partner for 10 s" in reasons(pair.news[Role.ALICE])
    assert made(pair.news[Role.ALICE]) == made(pair.news[Role.BOB]) != []


def test_a_last_message_that_is_lost_leaves_a_key_at_one_end() -> None:
    """The device's own weakness: whoever pairs the two ends has to find out."""
    pair = Pair()
    pair.lost = {"Privacy amplification"}
    pair.settle()
    assert pair.alice.keys_in_stock == 1 and pair.bob.keys_in_stock == 0


def test_a_partner_that_is_lost_ends_the_key_and_no_other_begins() -> None:
    pair = Pair()
    pair.lost = {"Sifted key"}
    pair.settle()
    pair.alice.partner_lost(pair.now)
    pair.bob.partner_lost(pair.now)
    pair.run(30)
    assert reasons(pair.news[Role.ALICE]) == ["the connection to the partner broke"]
    assert [line["command"] for _, line in pair.lines].count("start") == 1
    pair.lost = set()
    pair.alice.partner_up(pair.now)
    pair.bob.partner_up(pair.now)
    pair.settle()
    assert made(pair.news[Role.ALICE])


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("Confronto basi", {"index": [1, 1], "basi": [0, 0]}),
        ("Confronto basi", {"index": [2, 1], "basi": [0, 0]}),
        ("Confronto basi", {"index": [1], "basi": []}),
        ("Confronto basi", {"index": [], "basi": []}),
        ("Confronto basi", {"index": [2147483647], "basi": [1]}),
    ],
)
def test_a_comparison_that_contradicts_itself_discards_the_key(command: str, value: dict[str, Any]) -> None:
    pair = Pair()
    pair.lost = {"start"}
    pair.settle()
    key_id = pair.lines[0][1]["value"]["ID"]
    message = {"command": command, "attribute": "", "value": {"ID": key_id, **value}}
    pair.alice.receive(STRANGER, json.dumps(message).encode(), pair.now)
    (told,) = [json.loads(each.payload) for each in pair.alice.take_output()]
    assert told == {"command": "Discard key", "attribute": "", "value": {"ID": key_id, "BER": 1.0}}


def test_asking_for_more_parities_than_bits_discards_the_key() -> None:
    pair = Pair()
    pair.lost = {"Valid key"}
    pair.settle()
    key_id = pair.lines[0][1]["value"]["ID"]
    message = {"command": "Cascade", "value": {"ID": key_id, "pass": 0, "ranges": [[n, n + 1] for n in range(513)]}}
    pair.alice.receive(STRANGER, json.dumps(message).encode(), pair.now)
    (told,) = [json.loads(each.payload)["command"] for each in pair.alice.take_output()]
    assert told == "Discard key"


def test_messages_that_are_not_for_now_are_passed_over_and_counted() -> None:
    pair = Pair()
    pair.settle()
    stock = pair.alice.keys_in_stock
    for _, line in list(pair.lines):
        if line["command"] not in ("start", "Delete by IDs"):
            pair.alice.receive(STRANGER, json.dumps(line).encode(), pair.now)
            pair.bob.receive(STRANGER, json.dumps(line).encode(), pair.now)
    assert pair.alice.passed_over == pair.bob.passed_over == len(pair.lines) - 1
    assert pair.alice.keys_in_stock == stock


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"command":"Get all"}', b"\xff" * 9])
def test_what_is_no_message_is_refused_and_harms_nothing(payload: bytes) -> None:
    pair = Pair()
    with pytest.raises(ProtocolError):
        pair.alice.receive(STRANGER, payload, 0.0)
    pair.run(1)
    assert made(pair.news[Role.ALICE])


def test_samples_that_are_no_power_of_two_are_refused() -> None:
    with pytest.raises(ConfigError, match="power of two"):
        emulated(Role.ALICE, Emulated(seed=1, samples=1000), CountedEntropy(), 0.0)


def test_a_full_store_makes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poliqi.link.qsn.store.MOST_STORED", 2)
    pair = Pair()
    pair.run(5)
    assert pair.alice.keys_in_stock == 2
    assert isinstance(pair.alice, Device) and pair.alice.next_timeout() is not None  # keys still grow old
