"""A client's side of a QSN-d-1 without sockets: which reply belongs to what, and what nobody asked for."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from poliqi.base.errors import ProtocolError
from poliqi.link.qsn.client import ClientCore, GetNamed
from poliqi.link.qsn.frames import encode_frame
from poliqi.link.qsn.replies import DELETED, DONE, NO_KEY, AttributeValue, KeyReply, Keys, Refusal
from poliqi.link.qsn.requests import DeleteByIds, GetAttribute, GetKey, GetKeys


def named(number: int) -> str:
    return str(UUID(int=number))


def one(number: int, key: list[int] | None = None) -> str:
    return json.dumps({"time": 1, "ID": named(number), "Key": [number % 256] if key is None else key})


def wrapped(*numbers: int) -> bytes:
    return ("{ [ " + ", ".join(one(number) for number in numbers) + " ] }").encode()


def asked(core: ClientCore, count: int, *reply: int) -> ClientCore:
    core.ask(GetKeys(count))
    core.receive(encode_frame(wrapped(*reply)))
    return core


def names(core: ClientCore) -> list[str]:
    return [key.name for key in core.take_fresh(100)]


def test_fewer_keys_than_asked_are_a_promise_that_pushes_keep() -> None:
    core = asked(ClientCore(), 3, 1)
    assert core.take_answer() is not None and core.promised == 2 and names(core) == [named(1)]
    core.receive(encode_frame(wrapped(2)) + encode_frame(one(3).encode()))  # wrapped, and bare
    assert core.promised == 0 and names(core) == [named(2), named(3)] and core.take_answer() is None


def test_a_push_comes_between_another_request_and_its_reply() -> None:
    core = asked(ClientCore(), 2)
    core.take_answer()
    core.ask(GetAttribute("QBER"))
    core.receive(encode_frame(wrapped(1)) + encode_frame(b'{"status":"Successful","value":"0.01"}'))
    assert core.take_answer() == AttributeValue("0.01") and names(core) == [named(1)]


def test_a_push_is_not_taken_for_the_key_that_was_asked_by_its_id() -> None:
    core = asked(ClientCore(), 1)
    core.take_answer()
    core.ask(GetNamed((named(9),)))
    core.receive(encode_frame(wrapped(1)))
    assert core.take_answer() is None and names(core) == [named(1)]
    core.receive(encode_frame(wrapped(9)))
    assert core.take_answer() is not None and list(core.take_found()) == [named(9)] and names(core) == []


@pytest.mark.parametrize(
    "payload", [wrapped(1), one(1).encode(), DONE, DELETED, NO_KEY, b'{"status":"ERROR","message":"x"}']
)
def test_what_nobody_asked_for_is_refused(payload: bytes) -> None:
    core = ClientCore()
    with pytest.raises(ProtocolError, match="nobody asked"):
        core.receive(encode_frame(payload))
    assert names(core) == []


def test_more_keys_than_asked_are_refused() -> None:
    with pytest.raises(ProtocolError, match="2 keys came where 1 were asked"):
        asked(ClientCore(), 1, 1, 2)


def test_more_keys_than_promised_are_refused() -> None:
    core = asked(ClientCore(), 2, 1)
    with pytest.raises(ProtocolError, match="2 keys were pushed where 1 were promised"):
        core.receive(encode_frame(wrapped(2, 3)))
    assert names(core) == [named(1)]


def test_another_key_than_the_one_asked_for_is_refused() -> None:
    core = ClientCore()
    core.ask(GetNamed((named(1),)))
    with pytest.raises(ProtocolError, match="nobody asked"):
        core.receive(encode_frame(wrapped(2)))


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (GetKey(), DONE),
        (GetKeys(1), DELETED),
        (GetAttribute("QBER"), DONE),
        (DeleteByIds((named(1),)), DONE),
        (GetAttribute("QBER"), NO_KEY),
    ],
)
def test_a_reply_to_something_else_is_refused(request_: object, reply: bytes) -> None:
    core = ClientCore()
    core.ask(request_)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ProtocolError):
        core.receive(encode_frame(reply))


def test_the_device_may_say_no_to_anything() -> None:
    for request in (GetKey(), GetKeys(1), GetAttribute("x"), DeleteByIds((named(1),))):
        core = ClientCore()
        core.ask(request)
        core.receive(encode_frame(b'{"status":"ERROR","message":"Not now"}'))
        assert core.take_answer() == Refusal("Not now")


def test_no_key_of_an_id_may_be_an_empty_array_or_an_empty_object() -> None:
    for reply in (b"{ [  ] }", b"{}", NO_KEY):
        core = ClientCore()
        core.ask(GetNamed((named(1),)))
        core.receive(encode_frame(reply))
        assert core.take_answer() == Keys(()) and core.take_found() == {}


def test_keys_asked_by_id_come_in_any_order_between_words_that_some_are_missing() -> None:
    core = ClientCore()
    assert core.ask(GetNamed((named(1), named(2), named(3), named(4)))).count(b"Get key by ID") == 4
    core.receive(encode_frame(wrapped(3)) + encode_frame(b"{ [  ] }") + encode_frame(wrapped(1)))
    assert core.take_answer() is None
    core.receive(encode_frame(b'{"status":"ERROR","message":"not found"}'))
    assert core.take_answer() is not None and set(core.take_found()) == {named(1), named(3)}


def test_keys_that_came_before_a_break_are_found() -> None:
    core = ClientCore()
    core.ask(GetNamed((named(1), named(2))))
    core.receive(encode_frame(wrapped(1)))
    core.connected()
    assert list(core.take_found()) == [named(1)]


def test_a_key_asked_by_id_that_comes_twice_is_refused() -> None:
    core = ClientCore()
    core.ask(GetNamed((named(1), named(2))))
    core.receive(encode_frame(wrapped(1)))
    with pytest.raises(ProtocolError, match="nobody asked"):
        core.receive(encode_frame(wrapped(1)))


def test_an_id_that_was_given_out_is_not_given_out_again() -> None:
    core = asked(ClientCore(), 1, 1)
    names(core)
    core.take_answer()
    asked(core, 2, 1, 2)
    assert names(core) == [named(2)] and core.shown_again == (named(1),)
    core.deleted()
    assert core.shown_again == ()


def test_what_was_given_out_is_remembered_over_connections() -> None:
    core = asked(ClientCore(), 1, 1)
    names(core)
    core.connected()
    core.ask(GetKey())
    core.receive(encode_frame(one(1, [7]).encode()))
    assert isinstance(core.take_answer(), KeyReply) and names(core) == []


def test_the_oldest_ids_are_forgotten_and_the_memory_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poliqi.link.qsn.client.MOST_REMEMBERED", 128)
    core = ClientCore()
    for first in range(0, 192, 64):
        asked(core, 64, *range(first, first + 64))
        core.take_answer()
        assert len(names(core)) == 64
    asked(core, 2, 0, 191)
    assert names(core) == [named(0)] and core.shown_again == (named(191),)


def test_a_key_that_is_longer_than_expected_is_refused_and_named() -> None:
    core = ClientCore(most_key_bytes=4)
    core.ask(GetKey())
    core.receive(encode_frame(one(1, [0, 0, 0, 0]).encode()))
    core.take_answer()
    core.ask(GetKey())
    with pytest.raises(ProtocolError, match=f"{named(2)} has 5 bytes, at most 4"):
        core.receive(encode_frame(one(2, [0, 0, 0, 0, 0]).encode()))


def test_a_new_connection_owes_nothing() -> None:
    core = asked(ClientCore(), 5, 1)
    core.connected()
    assert core.promised == 0
    with pytest.raises(ProtocolError, match="nobody asked"):
        core.receive(encode_frame(wrapped(2)))


def test_half_a_frame_of_the_last_connection_is_forgotten() -> None:
    core = ClientCore()
    core.receive(b"\x00\x00\x00\x20{")
    core.connected()
    core.ask(GetKey())
    core.receive(encode_frame(NO_KEY))
    assert core.take_answer() == KeyReply(None)


def test_the_driver_does_not_ask_what_it_must_not() -> None:
    core = ClientCore()
    for request in (GetKeys(0), GetKeys(65), GetNamed(()), GetNamed(("x",) * 65)):
        with pytest.raises(ValueError, match="can be"):
            core.ask(request)
    core.ask(GetKeys(2))
    with pytest.raises(ValueError, match="under way"):
        core.ask(GetKey())
    core.receive(encode_frame(wrapped(1)))
    for request in (GetKey(), GetKeys(1)):
        with pytest.raises(ValueError, match="promised"):
            core.ask(request)
