"""A client's side of a QSN-d-1, without IO: which reply belongs to what, and what nobody asked for.

One request is under way at a time, or several `Get key by ID`, whose replies carry the ID. Keys that the device
promised by answering `Get keys` with fewer may come at any time afterwards, between other replies too; what else
comes unasked ends the connection.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ProtocolError
from poliqi.link.keydevice import DeviceKey
from poliqi.link.qsn.frames import FrameReader, encode_frame
from poliqi.link.qsn.replies import (
    MOST_KEY_BYTES,
    AttributeValue,
    Deleted,
    KeyRecord,
    KeyReply,
    Keys,
    Refusal,
    Reply,
    read_reply,
)
from poliqi.link.qsn.requests import (
    DeleteByIds,
    GetAttribute,
    GetKey,
    GetKeyById,
    GetKeys,
    encode_request,
)

__all__ = ["MOST_ASKED", "MOST_REMEMBERED", "Answer", "ClientCore", "GetNamed", "Question"]

MOST_ASKED: Final = 64
"""Keys asked for at once: the largest reply then fits a frame."""

MOST_REMEMBERED: Final = 65_536
"""IDs of keys that were given out, so that none is given out again."""

Answer = AttributeValue | Deleted | Refusal | Keys | KeyReply
"""Keys of an answer stand in `take_fresh`, less what was seen before, or in `take_found`."""


@dataclass(frozen=True, slots=True)
class GetNamed:
    """The keys of these IDs (lower case, none twice): one `Get key by ID` for each, sent without waiting."""

    key_ids: tuple[str, ...]


Question = GetAttribute | GetKey | GetKeys | GetNamed | DeleteByIds


class ClientCore:
    """What one client knows of its device, over as many connections as it takes."""

    def __init__(self, most_key_bytes: int = MOST_KEY_BYTES) -> None:
        self._most_key_bytes: Final = most_key_bytes
        self._reader = FrameReader()
        self._waiting: Question | None = None
        self._answer: Answer | None = None
        self._promised = 0
        self._absent = 0
        self._found: dict[str, DeviceKey] = {}
        self._fresh: Final[deque[DeviceKey]] = deque()
        self._given: Final[OrderedDict[str, None]] = OrderedDict()
        self._shown_again: Final[OrderedDict[str, None]] = OrderedDict()

    @property
    def promised(self) -> int:
        """Keys that the device still owes this connection."""
        return self._promised

    @property
    def shown_again(self) -> tuple[str, ...]:
        """IDs that the device gave out twice: it keeps its keys until they are deleted."""
        return tuple(self._shown_again)

    def connected(self) -> None:
        """A new connection: nothing is under way on it, and nothing is owed."""
        self._reader = FrameReader()
        self._waiting = self._answer = None
        self._promised = 0

    def ask(self, question: Question) -> bytes:
        """The frames that ask for this. ValueError where another question, or a promise, is still open."""
        if self._waiting is not None or self._found:
            raise ValueError("a question is under way already")
        match question:
            case GetKeys(count) if not 1 <= count <= MOST_ASKED or self._promised:
                raise ValueError(f"{count} keys asked, 1 to {MOST_ASKED} can be, and none while some are promised")
            case GetKey() if self._promised:
                raise ValueError("keys are promised: no other can be told from them")
            case GetNamed(key_ids):
                if not 1 <= len(key_ids) <= MOST_ASKED:
                    raise ValueError(f"{len(key_ids)} keys asked by ID, 1 to {MOST_ASKED} can be")
                self._waiting, self._absent = question, 0
                return b"".join(encode_frame(encode_request(GetKeyById(key_id))) for key_id in key_ids)
            case _:
                pass
        self._waiting = question
        return encode_frame(encode_request(question))

    def receive(self, data: bytes) -> None:
        """What came. Raises ProtocolError; keys of the frame that caused it are wiped."""
        for payload in self._reader.receive(data):
            reply = read_reply(payload)
            try:
                self._take(reply)
            except ProtocolError:
                for record in _records(reply):
                    record.key.close()
                raise

    def take_answer(self) -> Answer | None:
        """The reply to the question under way, once."""
        answer, self._answer = self._answer, None
        return answer

    def take_fresh(self, most: int) -> list[DeviceKey]:
        """Fresh keys that have come, each once."""
        return [self._fresh.popleft() for _ in range(min(most, len(self._fresh)))]

    def take_found(self) -> dict[str, DeviceKey]:
        """Keys that were asked for by their IDs and have come, those before a connection broke too."""
        found, self._found = self._found, {}
        return found

    def deleted(self) -> None:
        """The device was told to delete what it had shown again."""
        self._shown_again.clear()

    def _take(self, reply: Reply) -> None:
        for record in _records(reply):
            if len(record.key) > self._most_key_bytes:
                raise ProtocolError(
                    f"QSN-d-1: key {record.key_id} has {len(record.key)} bytes, at most {self._most_key_bytes} "
                    "were to be expected; set a larger limit if the device is to give such keys"
                )
        match self._waiting, reply:
            case GetAttribute(), AttributeValue() | Refusal():
                self._answered(reply)
            case DeleteByIds(), Deleted() | Refusal():
                self._answered(reply)
            case GetKey(), KeyReply(record):
                self._keep(() if record is None else (record,))
                self._answered(reply)
            case GetNamed(key_ids), Keys() | KeyReply() | Refusal():
                self._named(set(key_ids), reply)
            case GetKeys(count), Keys(records):
                if len(records) > count:
                    raise ProtocolError(f"QSN-d-1: {len(records)} keys came where {count} were asked")
                self._promised = count - len(records)
                self._keep(records)
                self._answered(reply)
            case ((GetKey() | GetKeys() | GetKeyById()), Refusal()):
                self._answered(reply)
            case _:
                self._pushed(reply)

    def _named(self, asked: set[str], reply: Keys | KeyReply | Refusal) -> None:
        """A key that was asked for, or a word that one is not there, which does not say which one."""
        records = _records(reply)
        if not {record.key_id for record in records} <= asked - self._found.keys():
            self._pushed(reply)
            return
        self._absent += not records
        self._found.update({record.key_id: DeviceKey(record.key_id, record.key) for record in records})
        if len(self._found) + self._absent >= len(asked):
            self._answered(Keys(()))

    def _pushed(self, reply: Reply) -> None:
        records = _records(reply)
        if not isinstance(reply, Keys | KeyReply) or not self._promised:
            raise ProtocolError(f"QSN-d-1: a reply that nobody asked for ({_words(reply)})")
        if len(records) > self._promised:
            raise ProtocolError(f"QSN-d-1: {len(records)} keys were pushed where {self._promised} were promised")
        self._promised -= len(records)
        self._keep(records)

    def _answered(self, reply: Answer) -> None:
        self._waiting, self._answer = None, reply

    def _keep(self, records: tuple[KeyRecord, ...]) -> None:
        for record in records:
            if record.key_id in self._given:
                record.key.close()
                self._remember(self._shown_again, record.key_id)
                continue
            self._remember(self._given, record.key_id)
            self._fresh.append(DeviceKey(record.key_id, record.key))

    @staticmethod
    def _remember(names: OrderedDict[str, None], key_id: str) -> None:
        names[key_id] = None
        if len(names) > MOST_REMEMBERED:
            names.popitem(last=False)


def _records(reply: Reply) -> tuple[KeyRecord, ...]:
    match reply:
        case Keys(records):
            return records
        case KeyReply(record) if record is not None:
            return (record,)
        case _:
            return ()


def _words(reply: Reply) -> str:
    count = len(_records(reply))
    return f"{count} keys" if count or isinstance(reply, Keys | KeyReply) else type(reply).__name__.lower()
