"""Messages between two people: delivered once, in order, also to somebody who is away."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import msgspec
import pytest
from sealed_talk import Town, application

from bench.played_keys import PHOTONS, SIMULATED, PlayedSite
from poliqi.apps.dial import dialling
from poliqi.apps.keygrade import Knowledge
from poliqi.apps.messenger.delivery import Postman, only_one
from poliqi.apps.messenger.mailbox import Direction, State
from poliqi.apps.messenger.service import Courier, MessageService, open_mailbox
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.base.errors import ConfigError, DataRefused, LinkDown
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy

ANNA, BRUNO = SaeId("anna"), SaeId("bruno")


class Person:
    """An application with a messenger."""

    def __init__(self, town: Town, settings: SaeSettings) -> None:
        self.town, self.settings = town, settings
        ticks = itertools.count(1000.0)
        self.mailbox = open_mailbox(settings, OperatingSystemEntropy(), lambda: next(ticks))
        self.service = MessageService(settings, self.mailbox, town.keys(settings.sae))
        town.services[settings.sae] = self.service
        self.postman = Postman(settings, self.mailbox, town.keys(settings.sae), town.dial(settings.sae))

    def deliver(self, to: str):
        return self.postman.deliver(self.settings.peers[SaeId(to)])

    def texts(self) -> list[str | None]:
        return [m.text for m in self.mailbox.messages() if m.direction is Direction.RECEIVED]


def two(folder: Path, site: PlayedSite | None = None, simulated: bool = False, **extra):
    town = Town(site)
    anna = Person(town, application("anna", folder / "anna", ["bruno"], simulated, **extra.get("anna", {})))
    bruno = Person(town, application("bruno", folder / "bruno", ["anna"], simulated, **extra.get("bruno", {})))
    return town, anna, bruno


def test_a_message_arrives_and_says_who_could_know_its_pad(tmp_path: Path):
    _town, anna, bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "Ci vediamo alle nove: àèì €")
    assert anna.deliver("bruno").delivered == 1
    [message] = bruno.mailbox.messages()
    assert (message.text, message.state, message.peer) == ("Ci vediamo alle nove: àèì €", State.UNREAD, ANNA)
    assert message.note is not None
    assert message.note.knowledge is Knowledge.DIRECT and message.note.is_hybrid
    # two keys' worth of PHOTONS at 1e-10 each at least, plus tags that are far smaller
    assert message.note.epsilon == pytest.approx(1e-10, rel=1e-6)
    [mine] = anna.mailbox.messages()
    assert mine.state is State.DELIVERED and mine.note == message.note


def test_messages_wait_while_the_other_is_away_and_arrive_in_order(tmp_path: Path):
    town, anna, bruno = two(tmp_path)
    town.away.add("bruno")
    for number in range(5):
        anna.mailbox.write(BRUNO, f"number {number}")
    outcome = anna.deliver("bruno")
    assert (outcome.delivered, outcome.waiting) == (0, 5)
    assert "refused" in anna.mailbox.messages()[0].why
    assert not town.site.delivered, "key was spent although nobody was there"
    town.away.clear()
    assert anna.deliver("bruno").delivered == 5
    assert bruno.texts() == [f"number {number}" for number in range(5)]


def test_what_waits_survives_a_restart(tmp_path: Path):
    town, anna, bruno = two(tmp_path)
    town.away.add("bruno")
    anna.mailbox.write(BRUNO, "later")
    anna.mailbox.close()
    town.away.clear()
    again = Person(town, anna.settings)
    assert again.deliver("bruno").delivered == 1
    assert bruno.texts() == ["later"]


@pytest.mark.parametrize("who", ["anna", "bruno"])
def test_a_message_whose_delivery_is_cut_is_neither_lost_nor_doubled(tmp_path: Path, who: str):
    """`who` sends the message that is cut: the letter, or its acknowledgement."""
    town, anna, bruno = two(tmp_path)
    cuts = iter([True])

    def cut(sender: str, data: bytes) -> bytes:
        if sender == who and next(cuts, False):
            raise LinkDown("the fibre is cut")
        return data

    town.wire.change = cut
    anna.mailbox.write(BRUNO, "once")
    assert anna.deliver("bruno").waiting == 1
    assert anna.deliver("bruno").delivered == 1
    assert bruno.texts() == ["once"]
    assert len(set(town.site.delivered)) == len(town.site.delivered), "a key was given twice"
    if who == "bruno":
        assert _envelope_keys(town)[0].isdisjoint(_envelope_keys(town)[1]), "a pad was used again"


def _envelope_keys(town: Town) -> list[set[str]]:
    found = [msgspec.msgpack.decode(data) for _, who, data in town.wire.passed if who == "anna"]
    return [set(envelope[1]) for envelope in found]


@pytest.mark.parametrize("place", [3, 4])
def test_a_tampered_envelope_is_dropped_and_the_message_comes_with_a_fresh_pad(tmp_path: Path, place: int):
    """Element 3 is the cipher, 4 the tag."""
    town, anna, bruno = two(tmp_path)
    times = iter([True])

    def flip(sender: str, data: bytes) -> bytes:
        if sender != "anna" or not next(times, False):
            return data
        envelope = msgspec.msgpack.decode(data)
        envelope[place] = bytes([envelope[place][0] ^ 1]) + envelope[place][1:]
        return msgspec.msgpack.encode(envelope)

    town.wire.change = flip
    anna.mailbox.write(BRUNO, "pay 100")
    assert anna.deliver("bruno").waiting == 1
    town.threads[0].join(5)
    assert "tag" in str(town.ended[0]) and bruno.texts() == []
    assert anna.deliver("bruno").delivered == 1
    assert bruno.texts() == ["pay 100"]


def test_a_tampered_acknowledgement_does_not_count(tmp_path: Path):
    town, anna, _bruno = two(tmp_path)

    def flip(sender: str, data: bytes) -> bytes:
        if sender != "bruno":
            return data
        answer = msgspec.msgpack.decode(data)
        answer[1] = bytes([answer[1][0] ^ 1]) + answer[1][1:]
        return msgspec.msgpack.encode(answer)

    town.wire.change = flip
    anna.mailbox.write(BRUNO, "really?")
    outcome = anna.deliver("bruno")
    assert outcome.waiting == 1 and "tag" in outcome.why


def test_a_replayed_envelope_opens_nothing(tmp_path: Path):
    """Its keys were given out once: the site has none of that name any more."""
    town, anna, bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "one")
    anna.deliver("bruno")
    first = next(data for _, who, data in town.wire.passed if who == "anna")
    town.wire.change = lambda who, data: first if who == "anna" else data
    anna.mailbox.write(BRUNO, "two")
    outcome = anna.deliver("bruno")
    assert outcome.waiting == 1 and "not found" in outcome.why
    assert bruno.texts() == ["one"]


def test_the_wire_shows_only_the_bucket(tmp_path: Path):
    town, anna, _bruno = two(tmp_path)
    for text in ("a", "b" * 150, "c" * 203):
        anna.mailbox.write(BRUNO, text)
    anna.deliver("bruno")
    sizes = {len(msgspec.msgpack.decode(data)[3]) for _, who, data in town.wire.passed if who == "anna"}
    assert sizes == {256}
    assert not any(b"bbbb" in data for _, _, data in town.wire.passed)


def test_the_longest_message_passes_and_one_byte_more_is_refused(tmp_path: Path):
    _town, anna, bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "x" * 65536)
    assert anna.deliver("bruno").delivered == 1
    assert bruno.texts() == ["x" * 65536]
    with pytest.raises(DataRefused, match="65537 bytes"):
        anna.mailbox.write(BRUNO, "x" * 65537)


RELAYED = {**PHOTONS, "paths": [["leonardo", "aria", "bovisa"]]}
TWO_PATHS = {**PHOTONS, "paths": [["l", "aria", "b"], ["l", "intesa", "b"]], "paths_needed": 2}
OVERLAPPING = {**PHOTONS, "paths": [["l", "aria", "b"], ["l", "aria", "b"]], "paths_needed": 2}


CASES: list[tuple[dict, dict, bool]] = [
    ({"knowledge": "direct"}, PHOTONS, True),
    ({"knowledge": "direct"}, TWO_PATHS, False),
    ({"knowledge": "direct"}, RELAYED, False),
    ({"knowledge": "disjoint"}, PHOTONS, True),
    ({"knowledge": "disjoint"}, TWO_PATHS, True),
    ({"knowledge": "disjoint", "min_paths": 3}, TWO_PATHS, False),
    ({"knowledge": "disjoint"}, OVERLAPPING, False),
    ({"knowledge": "disjoint"}, RELAYED, False),
    ({"knowledge": "relayed"}, RELAYED, True),
    ({"knowledge": "relayed"}, {**PHOTONS, "paths": []}, False),
    ({}, {**PHOTONS, "combiner": "hkdf-sha384"}, False),
    ({}, {**PHOTONS, "combiner": "xor"}, True),
    ({}, {**PHOTONS, "epsilon": None}, False),
    ({}, {**PHOTONS, "origin": "pqc"}, False),
    ({}, SIMULATED, False),
]

# what is not information-theoretic is refused by anna first, by every setting
BOTH = [(*case, strict) for case in CASES for strict in ("anna", "bruno") if case[2] or case[0] or strict == "anna"]


@pytest.mark.parametrize(("table", "grade", "is_taken", "strict"), BOTH)
def test_a_pad_that_too_many_could_know_is_refused_at_either_end(
    tmp_path: Path, table: dict, grade: dict, is_taken: bool, strict: str
):
    """The strict end refuses, whether it draws the pad or is told of it; the lax one takes all that is ITS."""
    _town, anna, bruno = two(tmp_path, PlayedSite(grade=grade), **{strict: {"messenger": table}})
    anna.mailbox.write(BRUNO, "secret")
    outcome = anna.deliver("bruno")
    assert (outcome.delivered == 1) is is_taken, outcome
    assert bruno.texts() == (["secret"] if is_taken else [])
    if not is_taken:
        assert "refuse" in outcome.why and outcome.waiting == 1


def test_refused_grades_cost_no_key(tmp_path: Path):
    town, anna, _bruno = two(tmp_path, PlayedSite(grade=RELAYED), anna={"messenger": {"knowledge": "direct"}})
    anna.mailbox.write(BRUNO, "secret")
    assert "relayed" in anna.deliver("bruno").why
    assert town.site.delivered == []


def test_a_relay_needs_ml_kem_beside_it(tmp_path: Path):
    _town, anna, _bruno = two(tmp_path)
    with pytest.raises(ConfigError, match="hybrid"):
        Person(Town(), application("anna", tmp_path / "x", ["bruno"], messenger={"hybrid": False})).postman.call(
            anna.settings.peers[BRUNO]
        )


@pytest.mark.parametrize(
    ("mine", "theirs", "is_taken"), [(True, True, True), (False, True, False), (False, False, True)]
)
def test_ml_kem_is_insisted_on_at_both_ends(tmp_path: Path, mine: bool, theirs: bool, is_taken: bool):
    tables = ({"messenger": {"knowledge": "direct", "hybrid": each}} for each in (mine, theirs))
    _town, anna, bruno = two(tmp_path, None, **dict(zip(("anna", "bruno"), tables, strict=True)))
    anna.mailbox.write(BRUNO, "hello")
    outcome = anna.deliver("bruno")
    assert (outcome.delivered == 1) is is_taken, outcome
    if is_taken:
        [message] = bruno.mailbox.messages()
        assert message.note is not None and message.note.is_hybrid is mine


def test_simulated_light_says_so(tmp_path: Path):
    _town, anna, bruno = two(tmp_path, PlayedSite(grade=SIMULATED), simulated=True)
    anna.mailbox.write(BRUNO, "play")
    anna.deliver("bruno")
    [message] = bruno.mailbox.messages()
    assert message.note is not None and message.note.is_simulated
    assert message.note.text.startswith("SIMULATED, protects nothing")


def test_without_key_the_message_waits_and_says_when(tmp_path: Path):
    town, anna, bruno = two(tmp_path, PlayedSite(stock_bytes=0, rate_bps=800.0))
    anna.mailbox.write(BRUNO, "later")
    outcome = anna.deliver("bruno")
    # 256 + 16 + 2 * 32 bytes at 100 bytes a second
    assert outcome.waiting == 1 and outcome.retry_s == pytest.approx(3.36)
    town.site.stock_bytes = 1 << 20
    assert anna.deliver("bruno").delivered == 1
    assert bruno.texts() == ["later"]


def test_burnt_messages_leave_the_disk_and_stay_known(tmp_path: Path):
    town, anna, bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "burn me", burn=True)
    anna.deliver("bruno")
    assert anna.mailbox.messages()[0].text is None
    bruno.mailbox.read(bruno.mailbox.unread()[0].number, burn=True)
    [message] = bruno.mailbox.messages()
    assert message.text is None and message.state is State.READ and bruno.mailbox.unread() == []
    _send_again(anna, town)
    assert len(bruno.mailbox.messages()) == 1


def _send_again(anna: Person, town: Town) -> None:
    """As though the acknowledgement had never come."""
    anna.mailbox._box.run("UPDATE outgoing SET delivered_s=NULL, sealed=coalesce(sealed, NULL)")
    [(peer, letter_id)] = anna.mailbox._box.run("SELECT peer, letter_id FROM outgoing")
    sealed = anna.mailbox._box.seal(b"burn me", b"outgoing", peer.encode(), letter_id)
    anna.mailbox._box.run("UPDATE outgoing SET sealed=?", (sealed,))
    assert anna.deliver("bruno").delivered == 1


def test_nothing_of_a_text_is_on_disk_in_clear(tmp_path: Path):
    _town, anna, bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "MARKER-OF-A-SECRET")
    anna.deliver("bruno")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"MARKER" not in path.read_bytes(), path
            assert path.stat().st_mode & 0o077 == 0, path
    assert bruno.texts() == ["MARKER-OF-A-SECRET"]


def test_a_senders_restored_state_loses_nothing_and_doubles_nothing(tmp_path: Path):
    """Anna sends 1 to 3, her disk is restored to 1 (unacknowledged), she writes 2' and 3'."""
    town, anna, bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "one")
    anna.mailbox.close()
    backup = {p: p.read_bytes() for p in (tmp_path / "anna").rglob("*") if p.is_file()}
    anna = Person(town, anna.settings)
    for text in ("two", "three"):
        anna.mailbox.write(BRUNO, text)
    assert anna.deliver("bruno").delivered == 3
    anna.mailbox.close()
    for path in (tmp_path / "anna").rglob("*"):
        if path.is_file():
            path.unlink()
    for path, data in backup.items():
        path.write_bytes(data)
        path.chmod(0o600)
    anna = Person(town, anna.settings)
    for text in ("two'", "three'"):
        anna.mailbox.write(BRUNO, text)
    assert anna.deliver("bruno").delivered == 3
    assert bruno.texts() == ["one", "two", "three", "two'", "three'"]


def test_a_receivers_lost_state_loses_no_new_message(tmp_path: Path):
    town, anna, bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "old")
    anna.deliver("bruno")
    bruno.mailbox.close()
    fresh = Person(town, application("bruno", tmp_path / "bruno-new", ["anna"]))
    for text in ("new", "newer"):
        anna.mailbox.write(BRUNO, text)
    assert anna.deliver("bruno").delivered == 2
    assert fresh.texts() == ["new", "newer"]


def test_one_process_at_a_time_delivers(tmp_path: Path):
    _town, anna, _bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "hello")
    with only_one(anna.settings.state, BRUNO) as first:
        assert first
        assert "another process" in anna.deliver("bruno").why
    assert anna.deliver("bruno").delivered == 1


def test_both_may_write_at_once(tmp_path: Path):
    _town, anna, bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "ping")
    bruno.mailbox.write(ANNA, "pong")
    assert anna.deliver("bruno").delivered == bruno.deliver("anna").delivered == 1
    assert (anna.texts(), bruno.texts()) == (["pong"], ["ping"])


def test_an_unknown_key_of_the_table_is_refused(tmp_path: Path):
    settings = application("anna", tmp_path, ["bruno"], messenger={"knowlege": "direct"})
    with pytest.raises(ConfigError, match="knowlege"):
        Person(Town(), settings)


def test_the_outcome_can_be_printed(tmp_path: Path):
    _town, anna, _bruno = two(tmp_path)
    anna.mailbox.write(BRUNO, "hello")
    assert "hello" not in repr(anna.mailbox.messages()[0])
    assert json.dumps(msgspec.to_builtins(anna.deliver("bruno")))


def test_a_peer_under_one_time_pad_alone_is_reached_without_ml_kem(tmp_path: Path):
    """Its policy takes no other stream; with hybrid = true the two settings contradict each other."""
    table = {"messenger": {"knowledge": "direct", "hybrid": False}}
    town, anna, bruno = two(tmp_path, None, anna=table, bruno=table)
    peer = _its(anna.settings.peers[BRUNO])
    anna.mailbox.write(BRUNO, "hello")
    assert anna.postman.deliver(peer).delivered == 1
    [message] = bruno.mailbox.messages()
    assert message.note is not None and not message.note.is_hybrid
    strict = Person(town, application("anna", tmp_path / "strict", ["bruno"]))
    strict.mailbox.write(BRUNO, "hello")
    assert "set hybrid = false" in strict.postman.deliver(peer).why


def _its(peer: Peer) -> Peer:
    return dataclasses.replace(peer, rule=peer.one_time)


@pytest.mark.parametrize("knowledge", ["direct", "disjoint"])
def test_the_stricter_of_both_tables_holds(tmp_path: Path, knowledge: str):
    """[messenger] asks for less than [one_time] of the same file."""
    _town, anna, _bruno = two(tmp_path, PlayedSite(grade=RELAYED))
    peer = anna.settings.peers[BRUNO]
    demand = dataclasses.replace(peer.one_time.demand, knowledge=Knowledge[knowledge.upper()])
    strict = dataclasses.replace(peer, one_time=dataclasses.replace(peer.one_time, demand=demand))
    anna.mailbox.write(BRUNO, "hello")
    assert "relayed" in anna.postman.deliver(strict).why


def test_a_message_for_somebody_without_address_waits_and_says_so(tmp_path: Path):
    _town, anna, _bruno = two(tmp_path)
    peer = dataclasses.replace(anna.settings.peers[BRUNO], address=None)
    anna.mailbox.write(BRUNO, "hello")
    postman = Postman(anna.settings, anna.mailbox, anna.town.keys("anna"), dialling(anna.settings, None))
    assert "has no address" in postman.deliver(peer).why


def test_the_courier_tries_again_with_longer_pauses(tmp_path: Path):
    town, anna, bruno = two(tmp_path)
    said: list[str] = []
    courier = Courier(anna.settings, anna.mailbox, anna.postman, said.append)
    town.away.add("bruno")
    anna.mailbox.write(BRUNO, "hello")
    tried = 0
    deliver = anna.postman.deliver

    def count(peer: Peer):
        nonlocal tried
        tried += 1
        return deliver(peer)

    anna.postman.deliver = count
    for second in range(200):
        courier.round(float(second))
    # at 0, 2, 6, 14, 30, 62, then every 60 s: 122, 182
    assert tried == 8
    assert len(said) == 1 and "1 messages wait for Bruno" in said[0]
    town.away.clear()
    courier.round(1000.0)
    assert bruno.texts() == ["hello"]


def test_a_service_takes_up_new_contacts(tmp_path: Path):
    _town, anna, bruno = two(tmp_path)
    old = application("bruno", tmp_path / "bruno", ["carla"])
    bruno.service.change(old)
    anna.mailbox.write(BRUNO, "hello")
    assert anna.deliver("bruno").waiting == 1
    bruno.service.change(bruno.settings)
    assert anna.deliver("bruno").delivered == 1
