"""The destination of a relay: announced orders, shares that meet, shares that lie, time."""

from __future__ import annotations

import msgspec
import pytest
from relay_city import FixedEntropy, make_order, photons, stretch

from poliqi.base.errors import DataRefused
from poliqi.base.ids import KmeId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Combiner, KeyOrigin
from poliqi.keys.relay import add_hop, block_grade, plan_shares
from poliqi.keys.relay_gather import Gathered, Gathering
from poliqi.keys.relay_messages import RelayOrder, RelayStored, Scheme, decode_relay, encode_relay

B = KmeId("B")
TWO = make_order("ACB", "ADB", scheme=Scheme.XOR, threshold=2)
TWO_OF_THREE = make_order("ACB", "ADB", "AEFB", scheme=Scheme.SHAMIR, threshold=2)
THREE_OF_FIVE = make_order("ACB", "ADB", "AEB", "AFB", "AGB", scheme=Scheme.SHAMIR, threshold=3)
SECRET = stretch("the secret", 1024)
HOPS = add_hop(None, photons(1e-10))


def shares_of(order: RelayOrder) -> list[SecretBytes]:
    return plan_shares(order, SecretBytes(SECRET), FixedEntropy(*(stretch(f"draw {i}", 1024) for i in range(8))))


def wrong(value: SecretBytes) -> SecretBytes:
    data = bytearray(value.view())
    data[500] ^= 1
    return SecretBytes(data)


def feed(
    gathering: Gathering, order: RelayOrder, numbers: list[int], liars: tuple[int, ...] = ()
) -> Gathered | None:
    shares = shares_of(order)
    result = None
    for number in numbers:
        value = wrong(shares[number - 1]) if number in liars else shares[number - 1]
        result = gathering.add(order, number, value, HOPS, now=1.0)
    return result


def begin(order: RelayOrder, **settings: float) -> Gathering:
    gathering = Gathering(B, **settings)
    gathering.expect(order, now=0.0)
    return gathering


def test_the_last_share_completes_the_secret_in_any_order() -> None:
    for numbers in ([1, 2], [2, 1]):
        done = feed(begin(TWO), TWO, numbers)
        assert done is not None
        assert (bytes(done.secret.view()), done.block, done.pool) == (SECRET, TWO.block, "A~B")


def test_the_grade_names_all_paths_the_threshold_and_the_sum_of_epsilons() -> None:
    gathering = begin(TWO)
    first, second = shares_of(TWO)
    weak = add_hop(add_hop(None, photons(3e-10, KeyOrigin.SIMULATED, "sim")), photons(4e-10))
    gathering.add(TWO, 1, first, HOPS, 1.0)
    done = gathering.add(TWO, 2, second, weak, 1.0)
    assert done is not None
    assert done.grade.paths == (tuple("ACB"), tuple("ADB"))
    assert (done.grade.threshold, done.grade.combiner) == (2, Combiner.NONE)
    assert done.grade.epsilon == pytest.approx(8e-10)
    assert (done.grade.origin, done.grade.proof) == (KeyOrigin.SIMULATED, "proof + sim")


def test_the_origin_makes_the_same_grade_from_what_the_destination_tells() -> None:
    done = feed(begin(TWO_OF_THREE), TWO_OF_THREE, [1, 2, 3])
    assert done is not None
    told = decode_relay(encode_relay(RelayStored(TWO_OF_THREE.block, done.behind)))
    assert isinstance(told, RelayStored)
    assert block_grade(TWO_OF_THREE, told.behind) == done.grade


@pytest.mark.parametrize(
    ("order", "numbers", "word"),
    [
        (make_order("AB"), [1], "its"),
        (make_order("ACB"), [1], "its-trusted-relay"),
        (TWO, [1, 2], "its-2-of-2-paths"),
        (TWO_OF_THREE, [1, 2, 3], "its-2-of-3-paths"),
    ],
)
def test_the_grades_word(order: RelayOrder, numbers: list[int], word: str) -> None:
    done = feed(begin(order), order, numbers)
    assert done is not None
    assert done.grade.name == word


def test_a_threshold_that_is_met_waits_a_little_for_a_share_that_may_unmask_a_liar() -> None:
    gathering = begin(TWO_OF_THREE, linger_s=2.0)
    assert feed(gathering, TWO_OF_THREE, [3, 1]) is None
    assert gathering.next_timeout() == 3.0
    assert gathering.tick(2.9) == ([], [])
    (done,), lost = gathering.tick(3.0)
    assert (bytes(done.secret.view()), done.agreeing, lost) == (SECRET, (1, 3), [])
    assert gathering.tick(3.1) == ([], [])


@pytest.mark.parametrize("liar", [1, 2, 3, 4, 5])
def test_with_two_shares_to_spare_one_liar_does_no_harm_and_is_named(liar: int) -> None:
    gathering = begin(THREE_OF_FIVE)
    done = feed(gathering, THREE_OF_FIVE, [1, 2, 3, 4, 5], liars=(liar,))
    assert done is not None
    assert bytes(done.secret.view()) == SECRET
    assert gathering.settle(THREE_OF_FIVE.block, done) == (THREE_OF_FIVE.paths[liar - 1],)


def test_an_announcement_said_again_changes_nothing_and_other_words_are_refused() -> None:
    gathering = begin(TWO)
    gathering.expect(TWO, now=0.5)
    with pytest.raises(DataRefused, match="other words"):
        gathering.expect(make_order("ACB", "AEB", scheme=Scheme.XOR, threshold=2), now=0.5)
    assert feed(gathering, TWO, [1, 2]) is not None


def test_announcements_that_break_this_ends_rules_are_refused() -> None:
    gathering = Gathering(B, forbidden=frozenset({KmeId("D")}), capacity=1)
    with pytest.raises(DataRefused, match="forbidden"):
        gathering.expect(TWO, 0.0)
    with pytest.raises(DataRefused, match="is for C, this is B"):
        gathering.expect(make_order("AEC"), 0.0)
    gathering.expect(make_order("ACB", name="one"), 0.0)
    with pytest.raises(DataRefused, match="1 relay orders are open"):
        gathering.expect(make_order("ACB", name="two"), 0.0)


def test_a_share_that_tells_another_order_than_the_announced_is_refused_and_the_others_stay() -> None:
    gathering = begin(TWO)
    first, second = shares_of(TWO)
    lie = msgspec.structs.replace(TWO, scheme=Scheme.SINGLE, threshold=1, paths=TWO.paths[:1])
    gathering.add(TWO, 2, second, HOPS, 1.0)
    with pytest.raises(DataRefused, match="other things"):
        gathering.add(lie, 1, first, HOPS, 1.0)
    done = gathering.add(TWO, 1, first, HOPS, 1.0)
    assert done is not None
    assert bytes(done.secret.view()) == SECRET


def test_shares_that_nobody_expects_are_refused() -> None:
    gathering = begin(TWO)
    first, _ = shares_of(TWO)
    with pytest.raises(DataRefused, match="no such order"):
        gathering.add(make_order("ACB", name="never announced"), 1, first, HOPS, 1.0)
    with pytest.raises(DataRefused, match="1023 bytes"):
        gathering.add(TWO, 1, SecretBytes(bytes(1023)), HOPS, 1.0)
    gathering.add(TWO, 1, first, HOPS, 1.0)
    with pytest.raises(DataRefused, match="came before"):
        gathering.add(TWO, 1, first, HOPS, 1.0)


def test_an_order_whose_time_is_over_names_the_paths_that_stayed_silent_and_wipes_the_rest() -> None:
    gathering = begin(TWO, patience_s=10.0)
    first, second = shares_of(TWO)
    gathering.add(TWO, 1, first, HOPS, 1.0)
    assert gathering.next_timeout() == 10.0
    with pytest.raises(DataRefused, match="no such order"):
        gathering.add(TWO, 2, second, HOPS, 10.0)
    given, (lost,) = gathering.tick(10.0)
    assert (given, lost.order, lost.missing) == ([], TWO, (tuple("ADB"),))
    with pytest.raises(ValueError, match="taken or wiped"):
        first.view()
    assert gathering.next_timeout() is None


def test_a_given_secret_is_not_lost_when_its_order_ends() -> None:
    gathering = begin(TWO, patience_s=10.0)
    assert feed(gathering, TWO, [1, 2]) is not None
    assert gathering.tick(10.0) == ([], [])


def test_settling_without_a_confirmation_accuses_nobody() -> None:
    gathering = begin(TWO)
    feed(gathering, TWO, [1, 2])
    assert gathering.settle(TWO.block, None) == ()
    assert gathering.settle(TWO.block, None) == ()
