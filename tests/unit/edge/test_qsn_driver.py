"""The driver of a QSN-d-1 against devices that do what a script says, most of it wrong."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from qsn_rig import HASTY, PATIENT, answering, driver_of, read_frame, scripted_device

from poliqi.base.errors import ConfigError, LinkDown, ProtocolError
from poliqi.edge.network import Address
from poliqi.edge.qsn_client import QsnClient, QsnWaits
from poliqi.link.qsn.frames import encode_frame
from poliqi.link.qsn.replies import DELETED, NO_KEY
from poliqi.link.qsn.requests import Attribute

A, B, C = (str(UUID(int=number)) for number in (10, 11, 12))


def keys(*names: str) -> bytes:
    objects = [json.dumps({"time": 1, "ID": name, "Key": list(UUID(name).bytes)}) for name in names]
    return ("{ [ " + ",".join(objects) + " ] }").encode()


def tried(what: Callable[[], bool]) -> bool:
    """Whether it is so; not where the link is down."""
    try:
        return what()
    except LinkDown:
        return False


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not what():
        assert time.monotonic() < deadline, "it never came to be"


def names(given: list[object]) -> list[str]:
    return [getattr(each, "name", "") for each in given]


def test_fresh_keys_come_with_their_bytes_and_are_asked_for_as_documented() -> None:
    asked: list[bytes] = []

    def script(raw: socket.socket, _: int) -> None:
        asked.append(read_frame(raw))
        raw.sendall(encode_frame(keys(A, B)))

    with scripted_device(script) as address:
        driver = driver_of(address)
        got = driver.fresh(2, 5.0)
    assert asked == [b'{"command":"Get keys","attribute":"","value":"2"}']
    assert {key.name: key.bits.take() for key in got} == {A: UUID(A).bytes, B: UUID(B).bytes}


def test_late_pushes_come_with_the_next_calls_and_nothing_else_is_asked() -> None:
    asked: list[bytes] = []
    more = threading.Event()

    def script(raw: socket.socket, _: int) -> None:
        asked.append(read_frame(raw))
        raw.sendall(encode_frame(keys(A)))
        more.wait(5.0)
        raw.sendall(encode_frame(keys(B)) + encode_frame(keys(C)))
        asked.append(read_frame(raw))

    with scripted_device(script) as address:
        driver = driver_of(address)
        assert names(driver.fresh(3, 0.05)) == [A]
        assert names(driver.fresh(3, 0.05)) == []
        more.set()
        assert names(driver.fresh(2, 5.0)) == [B, C]
    assert len(asked) == 1


def test_a_promise_that_is_not_kept_is_asked_for_anew() -> None:
    def script(raw: socket.socket, number: int) -> None:
        read_frame(raw)
        raw.sendall(encode_frame(keys(*((A,) if number == 0 else (B, C)))))
        read_frame(raw)

    with scripted_device(script) as address:
        waits = replace(PATIENT, promise_s=0.05)
        driver = driver_of(address, waits)
        assert names(driver.fresh(3, 5.0)) == [A, B, C]


def test_a_reply_that_never_comes_drops_the_connection_and_makes_another() -> None:
    def script(raw: socket.socket, number: int) -> None:
        read_frame(raw)
        if number > 0:
            raw.sendall(encode_frame(keys(A, B)))
        read_frame(raw)

    with scripted_device(script) as address:
        driver = driver_of(address, HASTY)
        with pytest.raises(LinkDown, match="no answer to GetKeys"):
            driver.fresh(2, 1.0)
        until(lambda: tried(lambda: names(driver.fresh(2, 5.0)) == [A, B]))


def test_a_key_that_is_missing_costs_its_own_time_only() -> None:
    """The device says nothing for B; a reply that comes too late reaches nobody."""

    def script(raw: socket.socket, _: int) -> None:
        while True:
            name = json.loads(read_frame(raw))["value"]
            if name != B:
                raw.sendall(encode_frame(keys(name)))

    with scripted_device(script) as address:
        driver = driver_of(address, HASTY)
        got = driver.named([A, B, C], 1.2)
        assert [None if key is None else key.name for key in got] == [A, None, C]


def test_a_key_that_comes_to_be_within_the_time_is_found() -> None:
    def script(raw: socket.socket, number: int) -> None:
        read_frame(raw)
        if number >= 2:
            raw.sendall(encode_frame(keys(A)))
        read_frame(raw)

    with scripted_device(script) as address:
        driver = driver_of(address, HASTY)
        (got,) = driver.named([A], 5.0)
        assert got is not None and got.bits.take() == UUID(A).bytes


def test_empty_pushes_without_end_hold_nobody_up() -> None:
    def script(raw: socket.socket, _: int) -> None:
        read_frame(raw)
        raw.sendall(encode_frame(b"{ [  ] }"))
        while True:
            raw.sendall(encode_frame(b"{ [  ] }") * 100)

    with scripted_device(script) as address:
        driver = driver_of(address, HASTY)
        assert driver.fresh(2, 0.05) == []
        with pytest.raises(LinkDown, match="no answer to GetAttribute"):
            driver.qber()


@pytest.mark.parametrize("reply", [b"{ [  ] }", NO_KEY, b"{}", b'{"status":"ERROR","message":"not found"}'])
def test_a_device_that_does_say_that_a_key_is_missing_is_understood(reply: bytes) -> None:
    with scripted_device(answering([reply] * 50)) as address:
        driver = driver_of(address)
        assert driver.named([A], 0.05) == [None]


def test_names_that_are_no_ids_are_never_sent() -> None:
    with scripted_device(answering([keys(A)])) as address:
        driver = driver_of(address)
        got = driver.named(["../../x", A, "", '"}', A.upper()], 2.0)
        assert [key is not None for key in got] == [False, True, False, False, False]
        with pytest.raises(ValueError, match="twice"):
            driver.named([A, A], 1.0)


def test_no_key_now_is_asked_for_again_until_the_time_is_over() -> None:
    one = keys(A)[4:-4]
    with scripted_device(answering([NO_KEY, NO_KEY, one])) as address:
        driver = driver_of(address)
        assert names(driver.fresh(1, 5.0)) == [A]
    with scripted_device(answering([NO_KEY] * 1000)) as address:
        driver = driver_of(address)
        assert driver.fresh(1, 0.1) == []


def test_a_device_that_keeps_what_it_gave_is_told_to_delete_it() -> None:
    asked: list[str] = []
    left = [keys(A, B), keys(A, B), DELETED, keys(C)]

    def script(raw: socket.socket, _: int) -> None:
        while True:
            asked.append(json.loads(read_frame(raw))["command"])
            raw.sendall(encode_frame(left.pop(0)))

    with scripted_device(script) as address:
        driver = driver_of(address)
        assert names(driver.fresh(2, 1.0)) == [A, B]
        assert names(driver.fresh(2, 0.2)) == [C]
    assert asked[:4] == ["Get keys", "Get keys", "Delete by IDs", "Get keys"]


def test_keys_that_both_ends_have_are_deleted() -> None:
    asked: list[dict[str, Any]] = []

    def script(raw: socket.socket, _: int) -> None:
        while True:
            asked.append(json.loads(read_frame(raw)))
            raw.sendall(encode_frame(DELETED))

    with scripted_device(script) as address:
        driver = driver_of(address)
        driver.settled([A, "no ID", B])
        driver.settled([])
        driver.settled([str(UUID(int=number)) for number in range(1001)])
    assert asked[0] == {"command": "Delete by IDs", "attribute": "", "value": [A, B]}
    assert [len(each["value"]) for each in asked] == [2, 1000, 1]


def test_a_device_that_deletes_without_a_word_is_asked_once() -> None:
    """Only the receiver's reply is documented."""
    asked: list[str] = []

    def script(raw: socket.socket, _: int) -> None:
        while True:
            asked.append(json.loads(read_frame(raw))["command"])
            if asked[-1] == "Get keys":
                raw.sendall(encode_frame(keys(A, B)))

    with scripted_device(script) as address:
        driver = driver_of(address, HASTY)
        driver.settled([C])
        driver.settled([C])
        until(lambda: tried(lambda: names(driver.fresh(2, 5.0)) == [A, B]))
    assert asked.count("Delete by IDs") == 1


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b'{"time":1,"ID":"' + A.encode() + b'","Key":[256]}', "no reply"),
        (b"\x00" * 40, "no reply"),
        (b'{"command":"get_key"}', "no reply"),
        (keys(A, B, C), "3 keys came where 2 were asked"),
        (keys(A, A), "twice"),
        (keys(A)[:-2], "no reply"),
        (b'{"status":"ERROR","message":"broken"}', "broken"),
    ],
)
def test_nonsense_is_named_and_the_next_call_goes_on(reply: bytes, words: str) -> None:
    def script(raw: socket.socket, number: int) -> None:
        read_frame(raw)
        raw.sendall(encode_frame(reply if number == 0 else keys(A, B)))
        read_frame(raw)

    with scripted_device(script) as address:
        driver = driver_of(address)
        with pytest.raises(ProtocolError, match=words):
            driver.fresh(2, 1.0)
        assert names(driver.fresh(2, 5.0)) == [A, B]


@pytest.mark.parametrize(
    "raw_bytes",
    [struct.pack(">I", 0), struct.pack(">I", 1 << 31), b'{"status":"Successful"}', b"HTTP/1.1 400 Bad\r\n"],
)
def test_what_is_no_frame_is_refused_at_once(raw_bytes: bytes) -> None:
    def script(raw: socket.socket, _: int) -> None:
        read_frame(raw)
        raw.sendall(raw_bytes)
        read_frame(raw)

    with scripted_device(script) as address:
        driver = driver_of(address)
        with pytest.raises(ProtocolError):
            driver.fresh(2, 1.0)


def test_a_key_longer_than_promised_is_refused() -> None:
    with scripted_device(answering([keys(A, B)])) as address:
        driver = driver_of(address, most_key_bytes=15)
        with pytest.raises(ProtocolError, match="16 bytes, at most 15"):
            driver.fresh(2, 1.0)


def test_keys_that_came_are_given_out_before_a_break_is_told() -> None:
    def script(raw: socket.socket, _: int) -> None:
        read_frame(raw)
        raw.sendall(encode_frame(keys(A)))

    with scripted_device(script) as address:
        driver = driver_of(address, replace(PATIENT, first_pause_s=10.0, longest_pause_s=10.0))
        assert names(driver.fresh(3, 2.0)) == [A]
        with pytest.raises(LinkDown, match="next attempt"):
            driver.fresh(3, 0.05)


@pytest.mark.parametrize("told", ["0.51x", "-0.1", "1.5", "nan", ""])
def test_an_error_rate_that_cannot_be_is_refused(told: str) -> None:
    reply = json.dumps({"status": "Successful", "value": told}).encode()
    with scripted_device(answering([reply])) as address:
        driver = driver_of(address)
        with pytest.raises(ProtocolError, match="QBER"):
            driver.qber()


def test_attributes_are_told_and_unknown_ones_are_none() -> None:
    replies = [b'{"status":"Successful","value":"0.031"}', b'{"status":"ERROR","message":"Invalid name"}']
    with scripted_device(answering([*replies, replies[1]])) as address:
        driver = driver_of(address)
        assert driver.qber() == 0.031
        assert driver.attribute(Attribute.TTL) is None and driver.qber() is None


def test_nobody_there_is_a_link_that_is_down_and_pauses_grow() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = Address("127.0.0.1", listening.getsockname()[1])
    tried = 0
    with closing(QsnClient(address, waits=QsnWaits(first_pause_s=0.01, longest_pause_s=100.0))) as driver:
        for _ in range(200):
            with pytest.raises(LinkDown, match=r"cannot connect|next attempt") as told:
                driver.fresh(1, 0.0)
            tried += "cannot connect" in str(told.value)
    assert 1 <= tried < 20


@pytest.mark.parametrize("doing", ["pushes", "reply", "pause"])
def test_close_from_another_thread_ends_a_wait(doing: str) -> None:
    begun = threading.Event()

    def script(raw: socket.socket, _: int) -> None:
        read_frame(raw)
        if doing == "pushes":
            raw.sendall(encode_frame(b"{ [  ] }"))
        elif doing == "pause":
            raw.sendall(encode_frame(NO_KEY))
        begun.set()
        raw.recv(1)

    with scripted_device(script) as address:
        driver = driver_of(address, QsnWaits(answer_s=60.0, again_s=60.0))
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                driver.fresh(1 if doing == "pause" else 2, 60.0)
            except LinkDown as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        assert begun.wait(20.0)
        driver.close()
        thread.join(20.0)
        assert not thread.is_alive() and "closed" in str(ended[0])
        with pytest.raises(LinkDown, match="closed"):
            driver.fresh(1, 0.0)
        driver.close()


@pytest.mark.parametrize(
    ("host", "isolated", "words"),
    [
        ("192.0.2.7", False, "declare the interface isolated"),
        ("::", True, "name one"),
        ("device.example", True, "IP"),
    ],
)
def test_an_address_that_strangers_reach_is_refused(host: str, isolated: bool, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        QsnClient(Address(host, 6352), isolated=isolated)


def test_it_says_what_it_is_and_that_nothing_is_proven() -> None:
    with closing(QsnClient(Address("192.0.2.7", 6352), isolated=True)) as driver:
        assert driver.description == "QSN-d-1 at 192.0.2.7:6352 (no authentication: its keys are unproven)"
