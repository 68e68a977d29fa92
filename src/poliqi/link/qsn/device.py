"""One end of an emulated QSN-d-1, without IO: what it does with every frame that reaches one of its ports.

The device itself tells clients and partners apart by nothing but the command, and so does this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from poliqi.base.errors import ProtocolError
from poliqi.link.qsn.alice import Alice
from poliqi.link.qsn.attributes import Attributes
from poliqi.link.qsn.bob import Bob
from poliqi.link.qsn.making import KeyDiscarded, KeyMade, NewKey
from poliqi.link.qsn.partner import encode_partner, read_partner
from poliqi.link.qsn.replies import (
    DELETED,
    DONE,
    NO_KEY,
    encode_error,
    encode_key,
    encode_keys,
    encode_value,
)
from poliqi.link.qsn.requests import (
    DeleteByIds,
    FlushKeys,
    GetAttribute,
    GetKey,
    GetKeyById,
    GetKeys,
    Request,
    SetAttribute,
    encode_request,
    read_envelope,
    read_request,
)
from poliqi.link.qsn.store import KeyStore, StoredKey

__all__ = ["MOST_PER_FRAME", "PARTNER", "Device", "Outgoing"]

PARTNER: Final = -1
"""The connection number that stands for this end's own connection to its partner."""

MOST_PER_FRAME: Final = 256
"""Keys in one reply; what is asked beyond comes as pushes."""

_CHECK_S: Final = 1.0  # between looks for keys that are too old


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A JSON text for connection `to`."""

    to: int
    payload: bytes


class Device:
    """Alice's or Bob's end. Times are monotonic seconds; `epoch_ms` is the wall clock's at their zero.

    Connections are numbered by the caller, from 0.
    """

    def __init__(self, maker: Alice | Bob, store: KeyStore, attributes: Attributes, epoch_ms: float) -> None:
        self._maker: Final = maker
        self._store: Final = store
        self._attributes: Final = attributes
        self._epoch_ms: Final = epoch_ms
        self._promised: Final[dict[int, int]] = {}
        self._output: list[Outgoing] = []
        self._news: list[KeyMade | KeyDiscarded] = []
        self._has_partner = False
        self._checked_at = 0.0
        self.passed_over = 0
        """Partner messages that were not for now."""

    @property
    def keys_in_stock(self) -> int:
        """How many keys this end could give out."""
        return len(self._store)

    def receive(self, source: int, payload: bytes, now: float) -> None:
        """One frame of connection `source`. Raises ProtocolError where it is nothing that the protocol has."""
        envelope = read_envelope(payload)
        request = read_request(envelope)
        if request is not None:
            self._serve(source, request)
        else:
            message = read_partner(envelope)
            if message is None:
                raise ProtocolError("QSN-d-1: a command that it does not have")
            if not self._maker.receive(message, now):
                self.passed_over += 1
        self._settle(now)

    def closed(self, source: int) -> None:
        """A client's connection is gone, and with it what it was promised."""
        self._promised.pop(source, None)

    def partner_up(self, now: float) -> None:
        """The own connection to the partner stands."""
        self._has_partner = True
        self._settle(now)

    def partner_lost(self, now: float) -> None:
        """It broke: the key that was being made is lost."""
        self._has_partner = False
        self._maker.abandon("the connection to the partner broke", now)
        self._settle(now)

    def tick(self, now: float) -> None:
        """Go on with what needs nobody else."""
        self._maker.tick(now)
        self._settle(now)

    def next_timeout(self) -> float | None:
        """When to tick next."""
        making = self._maker.next_timeout()
        if not isinstance(self._maker, Alice) or not len(self._store):
            return making
        checking = self._checked_at + _CHECK_S
        return checking if making is None else min(making, checking)

    def take_output(self) -> list[Outgoing]:
        """What is to be sent, in order."""
        output, self._output = self._output, []
        return output

    def take_news(self) -> list[KeyMade | KeyDiscarded]:
        """Keys that were stored and keys that were given up."""
        news, self._news = self._news, []
        return news

    def _serve(self, source: int, request: Request) -> None:
        match request:
            case GetAttribute(name):
                told = self._attributes.get(name, self._maker.qber)
                self._reply(source, encode_error("Invalid name") if told is None else encode_value(told))
            case SetAttribute(name, value):
                self._set(source, name, value)
            case GetKey():
                given = self._store.give(1)
                self._reply(source, self._object(given[0]) if given else NO_KEY)
            case GetKeyById(key_id):
                found = self._store.give_named(key_id)
                if found is not None:  # the device sends nothing for a key that it does not have
                    self._reply(source, encode_keys([self._object(found)]))
            case GetKeys(count):
                given = self._store.give(min(count, MOST_PER_FRAME))
                self._reply(source, encode_keys(map(self._object, given)))
                self._promise(source, count - len(given))
            case FlushKeys():
                self._store.flush()
            case DeleteByIds(key_ids):
                self._store.delete(key_ids)
                self._reply(source, DELETED)
            case _:
                assert_never(request)

    def _promise(self, source: int, missing: int) -> None:
        """What was promised before is forgotten, which the manual leaves open."""
        self._promised.pop(source, None)
        if missing:
            self._promised[source] = missing

    def _set(self, source: int, name: str, value: str) -> None:
        changed = self._attributes.set(name, value)
        if changed is None:
            self._reply(source, encode_error("Invalid name or value"))
            return
        self._reply(source, DONE)
        if changed:
            self._reply(PARTNER, encode_request(SetAttribute(name, value)))

    def _settle(self, now: float) -> None:
        """What follows from anything that happened: keys into the store, promises kept, the old thrown away."""
        for message in self._maker.take_output():
            self._reply(PARTNER, encode_partner(message))
        for news in self._maker.take_news():
            match news:
                case NewKey(key_id, key, qber):
                    self._news.append(KeyMade(key_id, 8 * len(key), qber))
                    self._store.add(StoredKey(key_id, int(self._epoch_ms + 1e3 * now), now, key))
                    self._keep_promise(key_id)
                case KeyDiscarded():
                    self._news.append(news)
        self._expire(now)
        if isinstance(self._maker, Alice):
            self._maker.allow(begin=self._has_partner and not self._store.is_full)

    def _expire(self, now: float) -> None:
        """Alice deletes what is too old, here and at Bob."""
        if not isinstance(self._maker, Alice) or now < self._checked_at + _CHECK_S:
            return
        self._checked_at = now
        expired = self._store.expired(now, self._attributes.ttl_s)
        if expired:
            self._store.delete(expired)
            self._reply(PARTNER, encode_request(DeleteByIds(tuple(expired))))

    def _keep_promise(self, key_id: str) -> None:
        """A new key goes to the client that has waited longest, if one waits."""
        for source, missing in self._promised.items():
            given = self._store.give_named(key_id)
            if given is not None:
                self._reply(source, encode_keys([self._object(given)]))
                self._promised[source] = missing - 1
                if missing == 1:
                    del self._promised[source]
            return

    def _reply(self, to: int, payload: bytes) -> None:
        if to != PARTNER or self._has_partner:
            self._output.append(Outgoing(to, payload))

    def _object(self, given: StoredKey) -> bytes:
        """A key that was given out, as it goes out; wiped where the store does not keep it."""
        payload = encode_key(given.time_ms, given.key_id, given.key)
        if not self._store.keeps:
            given.key.close()
        return payload
