"""Stock: no byte of a segment is used twice, what is counted is there, leases come before use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import StoreError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.ledger import Ledger
from poliqi.keys.marks import Dropped, Leased, Owned, Readied
from poliqi.keys.segment import SegmentName, SegmentRecord, SegmentState, block_of_number
from poliqi.keys.stock import Pool, Stock

A, B, POOL = KmeId("a"), KmeId("b"), LinkId("a-b")
GRADE = Grade(KeyOrigin.PHOTONS, "a proof", 1e-10, ((A, B),))
WEAK = Grade(KeyOrigin.SIMULATED, "", None, ((A, B),))


class Vault:
    """Segments of zeros; number 66 cannot be read."""

    def read(self, number: int) -> SecretBytes:
        if number == 66:
            raise StoreError("damaged")
        return SecretBytes(bytes(4000))

    def has_seen(self, pool: LinkId, block: bytes) -> bool:
        return False


class Bench:
    """A stock of site "a" with one pool."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.pool = Pool(POOL, B, 1 << 30, 4096)
        self.stock = Stock(A, self.ledger, Vault(), {POOL: self.pool}, 1)

    def segment(
        self,
        size: int = 4000,
        owner: KmeId = A,
        leased: int = 0,
        grade: Grade = GRADE,
        state: SegmentState = SegmentState.READY,
        number: int | None = None,
    ) -> SegmentRecord:
        number = self.stock.new_number() if number is None else number
        name = SegmentName(block_of_number(number), 0)
        record = SegmentRecord(number, POOL, name, owner, size, grade, bytes(16), state, leased)
        self.stock.add(record)
        return record

    def free(self) -> int:
        return self.stock.free(self.pool, lambda _: True, 8)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def anything(_: Grade) -> bool:
    return True


def test_a_segment_is_used_from_behind_its_head_to_its_end(bench: Bench) -> None:
    record = bench.segment(1032)
    pieces = [bench.stock.take(bench.pool, 250, 1, anything) for _ in range(5)]
    assert [p and (p[0].segment, p[0].offset, p[0].count) for p in pieces] == [
        (record, 32, 1),
        (record, 282, 1),
        (record, 532, 1),
        (record, 782, 1),
        None,
    ]


def test_a_restart_goes_on_behind_the_lease(bench: Bench) -> None:
    bench.segment(4000, leased=3000)
    taken = bench.stock.take(bench.pool, 100, 10, anything)
    assert taken is not None and taken[0].offset == 3000
    assert bench.stock.take(bench.pool, 100, 1, anything) is None


def test_segments_of_the_peer_and_uncompared_ones_are_not_used(bench: Bench) -> None:
    bench.segment(owner=B)
    bench.segment(state=SegmentState.STORED)
    assert bench.stock.take(bench.pool, 8, 1, anything) is None and bench.free() == 0


def test_an_order_is_filled_from_several_segments_or_not_at_all(bench: Bench) -> None:
    bench.segment(1032)
    bench.segment(1032)
    assert bench.stock.take(bench.pool, 300, 7, anything) is None
    assert bench.pool.own_bytes == 2000
    pieces = bench.stock.take(bench.pool, 300, 6, anything)
    assert pieces is not None and [p.count for p in pieces] == [3, 3] and bench.pool.own_bytes == 200


def test_only_acceptable_grades_are_used(bench: Bench) -> None:
    bench.segment(grade=WEAK)
    good = bench.segment()
    pieces = bench.stock.take(bench.pool, 32, 1, lambda grade: grade is GRADE)
    assert pieces is not None and pieces[0].segment is good


def test_a_piece_waits_for_the_mark_of_a_lease_that_covers_it(bench: Bench) -> None:
    record = bench.segment(60_000)
    marks: list[object] = []
    used = 0
    while (pieces := bench.stock.take(bench.pool, 512, 3, anything)) is not None:
        marks += bench.ledger.take()[0]
        leases = [m.upto for m in marks[: pieces[0].after] if isinstance(m, Leased)]
        used = pieces[0].offset + 3 * 512
        assert max(leases, default=0) >= used
    assert used > 58_000 and record.leased == 60_000


@given(
    st.lists(st.tuples(st.sampled_from([8, 32, 100, 512]), st.integers(1, 20)), max_size=40), st.integers(0, 3000)
)
def test_no_byte_is_taken_twice_or_before_its_lease(orders: list[tuple[int, int]], burnt: int) -> None:
    bench = Bench()
    records = [bench.segment(size) for size in (1500, 40, 9000)]
    used: set[tuple[int, int]] = set()
    for place, (size, count) in enumerate(orders):
        if place == 3:
            bench.stock.burn_to(records[2], burnt)
        for piece in bench.stock.take(bench.pool, size, count, anything) or []:
            where = {(piece.segment.number, at) for at in range(piece.offset, piece.offset + size * piece.count)}
            assert not where & used
            assert piece.offset + size * piece.count <= min(piece.segment.size, piece.segment.leased)
            used |= where
            if place >= 3 and piece.segment is records[2]:
                assert piece.offset >= burnt
    left = sum(r.size - bench.stock._next[n] for n, r in bench.pool.own.items())
    assert bench.pool.own_bytes == left


def test_burning_only_moves_forward_and_is_leased(bench: Bench) -> None:
    record = bench.segment(4000)
    bench.stock.burn_to(record, 1000)
    bench.stock.burn_to(record, 500)
    assert record.leased == 1000 and bench.pool.own_bytes == 3000
    assert bench.ledger.take()[0] == [Leased(record.number, 1000)]
    bench.stock.burn_to(record, 1 << 40)
    assert record.leased == 4000 and bench.pool.own_bytes == 0
    assert bench.stock.finished(bench.pool) == [record]


def test_a_segment_of_the_peer_is_not_burnt(bench: Bench) -> None:
    record = bench.segment(owner=B)
    bench.stock.burn_to(record, 1000)
    assert record.leased == 0 and not bench.ledger.take()[0]


def test_the_peer_uses_its_segment_forward_only(bench: Bench) -> None:
    record = bench.segment(4000, owner=B)
    assert bench.stock.peer_uses(record, 100, 200) is not None
    for start, end in [(100, 200), (199, 300), (0, 4000), (200, 4001)]:
        assert bench.stock.peer_uses(record, start, end) is None
    assert record.leased == 200
    assert bench.stock.peer_uses(record, 200, 4000) is not None
    assert bench.ledger.take()[0] == [Leased(record.number, 200), Leased(record.number, 4000)]


def test_the_peer_uses_no_head_no_uncompared_segment_and_none_of_ours(bench: Bench) -> None:
    assert bench.stock.peer_uses(bench.segment(4000, owner=B), 31, 100) is None
    assert bench.stock.peer_uses(bench.segment(owner=B, state=SegmentState.STORED), 32, 64) is None
    assert bench.stock.peer_uses(bench.segment(owner=A), 32, 64) is None
    assert bench.stock.peer_uses(bench.segment(40, owner=B), 0, 8) is not None


def test_a_segment_given_away_is_not_ours_to_use(bench: Bench) -> None:
    record = bench.segment(4000)
    assert bench.stock.is_untouched(record)
    bench.stock.change_owner(record, B)
    assert bench.free() == bench.pool.own_bytes == 0
    bench.stock.change_owner(record, A)
    assert bench.pool.own_bytes == 3968
    assert bench.ledger.take()[0] == [Owned(record.number, B), Owned(record.number, A)]


def test_a_leased_segment_is_not_untouched(bench: Bench) -> None:
    record = bench.segment(4000)
    bench.stock.take(bench.pool, 32, 1, anything)
    assert not bench.stock.is_untouched(record)


def test_a_compared_segment_comes_into_use(bench: Bench) -> None:
    record = bench.segment(state=SegmentState.STORED)
    bench.stock.ready(record)
    assert bench.pool.own_bytes == 3968 and bench.ledger.take()[0] == [Readied(record.number)]


def test_a_dropped_segment_is_gone_and_marked_once(bench: Bench) -> None:
    record = bench.segment()
    bench.stock.drop(record)
    bench.stock.drop(record)
    assert bench.ledger.take()[0] == [Dropped(record.number)]
    assert (bench.pool.stored_bytes, bench.pool.own_bytes, bench.free()) == (0, 0, 0)
    assert not bench.stock.by_number and not bench.pool.segments


def test_numbers_are_never_given_again(bench: Bench) -> None:
    first = bench.segment()
    bench.stock.drop(first)
    assert bench.segment().number > first.number


def test_bits_that_cannot_be_read_are_reported_and_not_given(bench: Bench) -> None:
    record = bench.segment(number=66)
    assert bench.stock.bits(record) is None and bench.stock.damaged == [record]


def test_closing_wipes_what_is_open(bench: Bench) -> None:
    view = bench.stock.bits(bench.segment())
    assert view is not None and len(view) == 4000
    view.release()
    bench.stock.close()


@pytest.mark.parametrize("size", [24, 4000])
def test_bits_on_their_way_to_the_disk_are_there_and_count_as_no_damage(size: int) -> None:
    bench = Bench()
    record = bench.segment(size, number=66)
    payload = SecretBytes(bytes(range(256)) * 16)
    mark = bench.ledger.write(Readied(66))
    bench.stock.hold(record, payload, mark)
    payload.close()
    found = bench.stock.bits(record)
    assert found is not None
    assert bytes(found[:8]) == bytes(range(8))
    bench.ledger.take()
    bench.ledger.settle(mark)
    assert bench.stock.bits(record) is None
    assert bench.stock.damaged == [record]
