"""Rows of a key store and what they mean: segments, runs, grades, pools."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from poliqi.base.errors import DataRefused
from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.edge.keydatabase import KeyDatabase
from poliqi.edge.sealing import EpochSeal, Part
from poliqi.keys.grade import Combiner, Grade
from poliqi.keys.run import Run, RunKey
from poliqi.keys.segment import SegmentName, SegmentRecord, SegmentState

__all__ = [
    "WRAPPED",
    "Interned",
    "SegmentRow",
    "WrappedRow",
    "run_from_row",
    "run_row",
    "signed",
    "use_blob",
    "wrapped_row",
]

_pack: Final = msgspec.msgpack.Encoder().encode
_json: Final = msgspec.json.Encoder().encode
_slaves: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_grade: Final = msgspec.json.Decoder(Grade).decode
_use: Final = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes]).decode
_SUM_BYTES: Final = 4


class Interned:
    """Pools and grades by their short numbers; new ones are written in the transaction at hand."""

    def __init__(self, database: KeyDatabase) -> None:
        self._database: Final = database
        self._pools: Final[dict[str, int]] = {name: n for n, name in database.run("SELECT id, name FROM pool")}
        self._grades: Final[dict[Grade, int]] = {}
        self._digests: Final[dict[int, bytes]] = {}
        self.pools: Final = {n: LinkId(name) for name, n in self._pools.items()}
        self.grades: Final[dict[int, Grade]] = {}
        for n, body in database.run("SELECT id, body FROM grade"):
            self._learn(n, body)

    def _learn(self, number: int, body: str) -> None:
        try:
            grade = _grade(body)
        except msgspec.DecodeError:
            return  # whatever refers to it is damaged
        self._grades[grade] = number
        self.grades[number] = grade
        self._digests[number] = sha256(body.encode()).digest()

    def digest(self, number: int) -> bytes:
        """What stands for a grade where something is bound to it. Raises DataRefused on an unknown one."""
        try:
            return self._digests[number]
        except KeyError:
            raise DataRefused(f"grade {number} is damaged or missing") from None

    def pool(self, name: LinkId) -> int:
        """The number of a pool."""
        number = self._pools.get(name)
        if number is None:
            [(number,)] = self._database.run("INSERT INTO pool (name) VALUES (?) RETURNING id", (name,))
            self._pools[name], self.pools[number] = number, name
        return number

    def grade(self, grade: Grade) -> int:
        """The number of a grade."""
        number = self._grades.get(grade)
        if number is None:
            body = _json(grade).decode()
            [(number,)] = self._database.run("INSERT INTO grade (body) VALUES (?) RETURNING id", (body,))
            self._learn(number, body)
        return number

    def pool_if_known(self, name: LinkId) -> int | None:
        """The number of a pool, from any thread; None where nothing of it was ever stored."""
        return self._pools.get(name)


WRAPPED: Final = (
    "SELECT s.number, s.pool, s.block, s.part, s.owner, s.size, s.grade, s.tag, s.sealing, s.state, s.leased,"
    " s.unleased, s.swept, s.kept, d.epoch, d.sealed FROM segment s LEFT JOIN dek d USING (number)"
)
"""Segments with their wrapped DEKs; see `wrapped_row`."""


class SegmentRow(NamedTuple):
    """A row of `segment`, in the order of its columns."""

    number: int
    pool: int
    block: bytes
    part: int
    owner: str
    size: int
    grade: int
    tag: bytes
    sealing: int
    state: str
    leased: int
    unleased: int
    swept: int
    kept: int

    def dek_parts(self, interned: Interned) -> Sequence[Part]:
        """What a wrapped DEK is bound to: all of the segment that never changes. Raises DataRefused."""
        pool = interned.pools.get(self.pool)
        if pool is None:
            raise DataRefused(f"the pool of segment {self.number} is missing")
        return (
            self.number,
            self.sealing,
            pool,
            self.block,
            self.part,
            self.owner,
            self.size,
            self.tag,
            interned.digest(self.grade),
        )

    def payload_parts(self, interned: Interned) -> Sequence[Part]:
        """What the sealed bits are bound to."""
        return (self.number, self.sealing, interned.pools[self.pool], self.block, self.part)

    def record(self, interned: Interned) -> SegmentRecord:
        """The segment. Raises DataRefused where the row contradicts itself."""
        if not 0 <= self.leased == self.size - self.unleased <= self.size or self.state not in _STATES:
            raise DataRefused(f"the row of segment {self.number} contradicts itself")
        return SegmentRecord(
            number=self.number,
            pool=interned.pools[self.pool],
            name=SegmentName(self.block, self.part),
            owner=KmeId(self.owner),
            size=self.size,
            grade=interned.grades[self.grade],
            tag=self.tag,
            state=_STATES[self.state],
            leased=self.leased,
        )


WrappedRow = tuple[SegmentRow, int | None, bytes | None]
"""A segment, the epoch of its wrapped DEK and that DEK; None where the DEK is missing."""


def wrapped_row(row: tuple[Any, ...]) -> WrappedRow:
    """What a row of `WRAPPED` says."""
    columns = len(SegmentRow._fields)
    return SegmentRow(*row[:columns]), row[columns], row[columns + 1]


_STATES: Final = {state.value: state for state in SegmentState}


def signed(number: int) -> int:
    """64 bits without a sign, as SQLite's integers have one."""
    return number - (1 << 64) if number >> 63 else number


def use_blob(number: int, used: int, user: bytes, user_used: int) -> bytes:
    """What was used of a run, as it is stored: MessagePack, its checksum behind it, which finds bit rot only."""
    body = _pack((_mask(used), user, _mask(user_used)))
    return body + zlib.crc32(body, number & 0xFFFFFFFF).to_bytes(_SUM_BYTES, "little")


def _mask(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) >> 3, "little")


def _use_from_blob(number: int, blob: bytes) -> tuple[int, bytes, int]:
    body = blob[:-_SUM_BYTES]
    if zlib.crc32(body, number & 0xFFFFFFFF).to_bytes(_SUM_BYTES, "little") != blob[-_SUM_BYTES:]:
        raise DataRefused("the marks of a run are damaged")
    used, user, user_used = _use(body)
    return int.from_bytes(used, "little"), user, int.from_bytes(user_used, "little")


def cipher_parts(run: Run) -> Sequence[Part]:
    """What a sealed cipher is bound to."""
    return (run.key.owner, run.key.number, run.segment, run.offset, run.size, run.count)


def run_row(run: Run, interned: Interned, seal: EpochSeal) -> tuple[Any, ...]:
    """The row of a run."""
    (owner, number), grade = run.key, None if run.grade is None else interned.grade(run.grade)
    epoch = cipher = None
    if run.cipher is not None:
        epoch, cipher = seal.epoch, seal.seal("cipher", run.cipher, *cipher_parts(run))
    body = (
        *(owner, signed(number), run.peer, run.segment, run.offset, run.size, run.count, run.master),
        *(_json(run.slaves).decode(), run.ids, epoch, cipher, grade, run.combiner.value, run.kem_epoch),
    )
    return (*body, use_blob(number, run.used, run.user, run.user_used), _sum(body))


def _sum(body: tuple[Any, ...]) -> int:
    """Checksum of what never changes in a row; the sealed cipher guards itself."""
    return zlib.crc32(_pack(body[:10] + body[12:15]))


def run_from_row(row: tuple[Any, ...], interned: Interned, seals: dict[int, EpochSeal]) -> Run:
    """The run of a row. Raises DataRefused where the row was damaged."""
    owner, number, peer, segment, offset, size, count, master, slaves, ids = row[:10]
    epoch, cipher, grade, combiner, kem_epoch = row[10:15]
    if _sum(row[:15]) != row[16]:
        raise DataRefused(f"the row of run {number} of {owner} is damaged")
    if grade is not None:
        interned.digest(grade)
    used, user, user_used = _use_from_blob(number & 0xFFFFFFFFFFFFFFFF, row[15])
    run = Run(
        key=RunKey(KmeId(owner), number & 0xFFFFFFFFFFFFFFFF),
        peer=KmeId(peer),
        segment=segment,
        offset=offset,
        size=size,
        count=count,
        master=SaeId(master),
        slaves=tuple(SaeId(slave) for slave in _slaves(slaves)),
        ids=ids,
        grade=None if grade is None else interned.grades[grade],
        combiner=Combiner(combiner),
        kem_epoch=kem_epoch,
        used=used,
        user=user,
        user_used=user_used,
    )
    if cipher is not None:
        if epoch not in seals:
            raise DataRefused(f"the cipher of run {number} of {owner} is of epoch {epoch}, which is gone")
        run.cipher = seals[epoch].open("cipher", cipher, *cipher_parts(run))
    return run
