"""Messages of the QSN-d-1, byte for byte as the specification has them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from poliqi.base.errors import ProtocolError
from poliqi.base.secret import SecretBytes
from poliqi.link.qsn import partner, replies, requests
from poliqi.link.qsn.frames import FrameReader, encode_frame

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "qsn"
FILES = {
    name: json.loads((VECTORS / f"{name}.json").read_text())
    for name in ("requests", "replies", "partner", "refused")
}


def named(case: dict[str, Any]) -> str:
    return case["name"]


def written(name: str) -> list[dict[str, Any]]:
    return [case for case in FILES[name] if case["written"]]


def payload(case: dict[str, Any]) -> bytes:
    (only,) = FrameReader().receive(bytes.fromhex(case["frame"]))
    return only


def refused(of: str) -> list[dict[str, Any]]:
    return [case for case in FILES["refused"] if case["of"] == of]


def test_failures_outnumber_successes() -> None:
    assert len(FILES["refused"]) > sum(len(FILES[name]) for name in ("requests", "replies", "partner"))


def test_the_files_are_what_their_generator_writes() -> None:
    spec = importlib.util.spec_from_file_location("generate_qsn_vectors", VECTORS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for file, entries in module.files().items():
        assert json.loads((VECTORS / file).read_text()) == entries


# ---------------------------------------------------------------- requests


def request_of(meaning: dict[str, Any]) -> requests.Request:
    match meaning:
        case {"kind": "get_attribute", "name": name}:
            return requests.GetAttribute(name)
        case {"kind": "set_attribute", "name": name, "value": value}:
            return requests.SetAttribute(name, value)
        case {"kind": "get_key"}:
            return requests.GetKey()
        case {"kind": "get_key_by_id", "id": key_id}:
            return requests.GetKeyById(key_id)
        case {"kind": "get_keys", "count": count}:
            return requests.GetKeys(count)
        case {"kind": "flush_keys"}:
            return requests.FlushKeys()
        case {"kind": "delete_by_ids", "ids": ids}:
            return requests.DeleteByIds(tuple(ids))
        case _:
            raise AssertionError(meaning)


@pytest.mark.parametrize("case", FILES["requests"], ids=named)
def test_a_request_is_read(case: dict[str, Any]) -> None:
    read = requests.read_request(requests.read_envelope(payload(case)))
    assert read == request_of(case["meaning"])


@pytest.mark.parametrize("case", written("requests"), ids=named)
def test_a_request_is_written(case: dict[str, Any]) -> None:
    assert encode_frame(requests.encode_request(request_of(case["meaning"]))).hex() == case["frame"]


@pytest.mark.parametrize("case", refused("request"), ids=named)
def test_what_is_no_request_is_refused(case: dict[str, Any]) -> None:
    try:
        envelope = requests.read_envelope(payload(case))
        assert requests.read_request(envelope) is None and partner.read_partner(envelope) is None
    except ProtocolError:
        return


# ---------------------------------------------------------------- replies


def reply_of(meaning: dict[str, Any]) -> replies.Reply:
    match meaning:
        case {"kind": "value", "value": value}:
            return replies.AttributeValue(value)
        case {"kind": "error", "message": message}:
            return replies.Refusal(message)
        case {"kind": "done"}:
            return replies.Done()
        case {"kind": "deleted"}:
            return replies.Deleted()
        case {"kind": "key", "key": key}:
            return replies.KeyReply(None if key is None else record(key))
        case {"kind": "keys", "keys": keys}:
            return replies.Keys(tuple(record(key) for key in keys))
        case _:
            raise AssertionError(meaning)


def record(key: dict[str, Any]) -> replies.KeyRecord:
    return replies.KeyRecord(key["time"], key["ID"], SecretBytes(bytes.fromhex(key["key"])))


def encoded(meaning: dict[str, Any]) -> bytes:
    match reply_of(meaning):
        case replies.AttributeValue(value):
            return replies.encode_value(value)
        case replies.Refusal(message):
            return replies.encode_error(message)
        case replies.Done():
            return replies.DONE
        case replies.Deleted():
            return replies.DELETED
        case replies.KeyReply(None):
            return replies.NO_KEY
        case replies.KeyReply(key):
            return replies.encode_key(key.time_ms, key.key_id, key.key)
        case replies.Keys(records):
            return replies.encode_keys(replies.encode_key(r.time_ms, r.key_id, r.key) for r in records)


@pytest.mark.parametrize("case", FILES["replies"], ids=named)
def test_a_reply_is_read(case: dict[str, Any]) -> None:
    assert replies.read_reply(payload(case)) == reply_of(case["meaning"])


@pytest.mark.parametrize("case", written("replies"), ids=named)
def test_a_reply_is_written(case: dict[str, Any]) -> None:
    assert encode_frame(encoded(case["meaning"])).hex() == case["frame"]


@pytest.mark.parametrize("case", refused("reply"), ids=named)
def test_what_is_no_reply_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        replies.read_reply(payload(case))


@pytest.mark.parametrize("text", ["", "nan", "-0.01", "1.01", "2 %", "inf"])
def test_an_error_rate_that_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="from 0 to 1"):
        replies.qber_of(text)


# ---------------------------------------------------------------- partner

KINDS: dict[str, Any] = {
    "start": partner.Start,
    "bases": partner.BasisComparison,
    "sifted": partner.SiftedKey,
    "test": partner.BerTest,
    "valid": partner.ValidKey,
    "discard": partner.DiscardKey,
    "ask": partner.ParityRequest,
    "tell": partner.Parities,
    "check": partner.KeyCheck,
    "amplify": partner.PrivacyAmplification,
}


def message_of(meaning: dict[str, Any]) -> partner.PartnerMessage:
    fields = {("number" if name == "pass" else name): value for name, value in meaning.items() if name != "kind"}
    if "ranges" in fields:
        fields["ranges"] = [tuple(each) for each in fields["ranges"]]
    return KINDS[meaning["kind"]](**fields)


@pytest.mark.parametrize("case", FILES["partner"], ids=named)
def test_a_partner_message_is_read(case: dict[str, Any]) -> None:
    assert partner.read_partner(requests.read_envelope(payload(case))) == message_of(case["meaning"])


@pytest.mark.parametrize("case", written("partner"), ids=named)
def test_a_partner_message_is_written(case: dict[str, Any]) -> None:
    assert encode_frame(partner.encode_partner(message_of(case["meaning"]))).hex() == case["frame"]


@pytest.mark.parametrize("case", refused("partner"), ids=named)
def test_what_is_no_partner_message_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        partner.read_partner(requests.read_envelope(payload(case)))


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize("case", refused("frame"), ids=named)
def test_what_is_no_frame_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        FrameReader().receive(bytes.fromhex(case["frame"]))


def test_text_without_its_length_is_named_as_that() -> None:
    with pytest.raises(ProtocolError, match="without the four bytes of length"):
        FrameReader().receive(b'{"status":"Successful"}')


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_frames_come_whole_however_they_are_cut(step: int) -> None:
    stream, reader = encode_frame(b'{"a":1}') + encode_frame(b"[]") + encode_frame(b"{}"), FrameReader()
    got = [frame for at in range(0, len(stream), step) for frame in reader.receive(stream[at : at + step])]
    assert got == [b'{"a":1}', b"[]", b"{}"]


@pytest.mark.parametrize("size", [0, (8 << 20) + 1])
def test_a_frame_of_a_length_that_is_not_allowed_is_not_written(size: int) -> None:
    with pytest.raises(ValueError, match="can be sent"):
        encode_frame(bytes(size))


def test_no_byte_of_a_key_is_in_what_is_said_of_it() -> None:
    (case,) = [case for case in FILES["replies"] if case["name"] == "a key"]
    assert "key=" not in repr(replies.read_reply(payload(case)))
    with pytest.raises(ProtocolError) as told:
        replies.read_reply(b'{"time":1,"ID":"x","Key":[201,202,203,204,205]}')
    assert not any(str(number) in str(told.value) for number in range(201, 206))
