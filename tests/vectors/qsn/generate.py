"""Writes the vectors of the QSN-d-1 from docs/spec/qsn-d-1.md alone: nothing of the library is imported.

Run it with any Python 3: `python tests/vectors/qsn/generate.py`. A test holds that the files are fresh.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

A = "fd7a80b4-b98e-43cb-b860-53d44b4e296b"
B = "1ac7b85a-4cc9-4fe7-a119-188e0af8cdfc"
KEY_A = '{"time":1234567891011,"ID":"' + A + '","Key":[36,39,75,136,254,145,133,234,25,193,42,172]}'
KEY_B = '{"time":1234567891525,"ID":"' + B + '","Key":[0,255,1]}'
READ_A = {"time": 1234567891011, "ID": A, "key": "24274b88fe9185ea19c12aac"}
READ_B = {"time": 1234567891525, "ID": B, "key": "00ff01"}


def frame(text: str | bytes) -> str:
    payload = text.encode() if isinstance(text, str) else text
    return (len(payload).to_bytes(4, "big") + payload).hex()


def request(command: str, attribute: str, value: str) -> str:
    return '{"command":"' + command + '","attribute":"' + attribute + '","value":' + value + "}"


def entry(name: str, text: str, meaning: dict[str, Any], *, written: bool = True) -> dict[str, Any]:
    return {"name": name, "frame": frame(text), "text": text, "meaning": meaning, "written": written}


REQUESTS = [
    entry("QBER, please", request("get_attribute", "QBER", '""'), {"kind": "get_attribute", "name": "QBER"}),
    entry(
        "an attribute that no device has",
        request("get_attribute", "temperature", '""'),
        {"kind": "get_attribute", "name": "temperature"},
    ),
    entry(
        "keep keys for ten minutes",
        request("set_attribute", "ttl", '"600"'),
        {"kind": "set_attribute", "name": "ttl", "value": "600"},
    ),
    entry(
        "the same with a bare number",
        request("set_attribute", "ttl", "600"),
        {"kind": "set_attribute", "name": "ttl", "value": "600"},
        written=False,
    ),
    entry("one key", request("get_key", "", '""'), {"kind": "get_key"}),
    entry("one key, unused members left out", '{"command":"get_key"}', {"kind": "get_key"}, written=False),
    entry("a key by its ID", request("Get key by ID", "", f'"{A}"'), {"kind": "get_key_by_id", "id": A}),
    entry(
        "an ID in capitals is the same ID",
        request("Get key by ID", "", f'"{A.upper()}"'),
        {"kind": "get_key_by_id", "id": A},
        written=False,
    ),
    entry("three keys", request("Get keys", "", '"3"'), {"kind": "get_keys", "count": 3}),
    entry(
        "as many as 32 bits say", request("Get keys", "", '"4294967295"'), {"kind": "get_keys", "count": 4294967295}
    ),
    entry("delete all", request("Flush keys", "", '""'), {"kind": "flush_keys"}),
    entry("delete two", request("Delete by IDs", "", f'["{A}","{B}"]'), {"kind": "delete_by_ids", "ids": [A, B]}),
]

REPLIES = [
    entry("an attribute", '{"status":"Successful","value":"1234"}', {"kind": "value", "value": "1234"}),
    entry(
        "no such attribute",
        '{"status":"ERROR","message":"Invalid name"}',
        {"kind": "error", "message": "Invalid name"},
    ),
    entry(
        "it cannot be set so",
        '{"status":"ERROR","message":"Invalid name or value"}',
        {"kind": "error", "message": "Invalid name or value"},
    ),
    entry("it is set", '{"status":"Successful"}', {"kind": "done"}),
    entry("a key", KEY_A, {"kind": "key", "key": READ_A}),
    entry("no key", '{"time":0,"ID":"","Key":[]}', {"kind": "key", "key": None}),
    entry(
        "no key, members empty as text", '{"time":"","ID":"","Key":[]}', {"kind": "key", "key": None}, written=False
    ),
    entry("no key, nothing in it", "{}", {"kind": "key", "key": None}, written=False),
    entry("keys, wrapped", "{ [ " + KEY_A + ", " + KEY_B + " ] }", {"kind": "keys", "keys": [READ_A, READ_B]}),
    entry("no keys, wrapped", "{ [  ] }", {"kind": "keys", "keys": []}),
    entry("wrapped without blanks", "{[" + KEY_B + "]}", {"kind": "keys", "keys": [READ_B]}, written=False),
    entry(
        "wrapped over lines, as the manual prints it",
        '{\n[\n  {\n    "time": 1234567891525,\n    "ID": "'
        + B
        + '",\n    "Key": [\n      0,\n      255,\n      1\n    ]\n  }\n]\n}\n',
        {"kind": "keys", "keys": [READ_B]},
        written=False,
    ),
    entry("valid JSON, not wrapped", "[" + KEY_B + "]", {"kind": "keys", "keys": [READ_B]}, written=False),
    entry("deleted", '{"command":"Keys deleted","parameter":"","value":"Done"}', {"kind": "deleted"}),
]


def partner(command: str, value: str) -> str:
    return request(command, "", value)


PARTNER = [
    entry("start", partner("start", '{"ID":"' + A + '"}'), {"kind": "start", "ID": A}),
    entry(
        "start of a device that simulates, with its qubits",
        partner("start", '{"ID":"' + A + '","qbit":[0,3,2,1]}'),
        {"kind": "start", "ID": A},
        written=False,
    ),
    entry(
        "Confronto basi",
        partner("Confronto basi", '{"ID":"' + A + '","index":[5,17,2147483647],"basi":[0,3,2]}'),
        {"kind": "bases", "ID": A, "index": [5, 17, 2147483647], "basi": [0, 3, 2]},
    ),
    entry(
        "Sifted key",
        partner("Sifted key", '{"ID":"' + A + '","confronto":[0,0,1]}'),
        {"kind": "sifted", "ID": A, "confronto": [0, 0, 1]},
    ),
    entry(
        "Calc BER",
        partner("Calc BER", '{"ID":"' + A + '","index":[0,2],"value":[1,0]}'),
        {"kind": "test", "ID": A, "index": [0, 2], "value": [1, 0]},
    ),
    entry(
        "Calc BER under the command that the API page prints for it",
        partner("Sifted key", '{"ID":"' + A + '","index":[0,2],"value":[1,0]}'),
        {"kind": "test", "ID": A, "index": [0, 2], "value": [1, 0]},
        written=False,
    ),
    entry(
        "Valid key",
        partner("Valid key", '{"ID":"' + A + '","BER":0.03125}'),
        {"kind": "valid", "ID": A, "BER": 0.03125},
    ),
    entry(
        "Discard key",
        partner("Discard key", '{"ID":"' + A + '","BER":0.25}'),
        {"kind": "discard", "ID": A, "BER": 0.25},
    ),
    entry(
        "Cascade (ours)",
        partner("Cascade", '{"ID":"' + A + '","pass":1,"ranges":[[0,16],[16,32]]}'),
        {"kind": "ask", "ID": A, "pass": 1, "ranges": [[0, 16], [16, 32]]},
    ),
    entry(
        "Cascade parities (ours)",
        partner("Cascade parities", '{"ID":"' + A + '","parities":[1,0]}'),
        {"kind": "tell", "ID": A, "parities": [1, 0]},
    ),
    entry(
        "Key check (ours)",
        partner("Key check", '{"ID":"' + A + '","crc":3421780262}'),
        {"kind": "check", "ID": A, "crc": 3421780262},
    ),
    entry(
        "Privacy amplification (ours)",
        partner("Privacy amplification", '{"ID":"' + A + '","bits":8,"seed":[165,90]}'),
        {"kind": "amplify", "ID": A, "bits": 8, "seed": [165, 90]},
    ),
]


def bad(name: str, of: str, text: str | bytes) -> dict[str, Any]:
    return {"name": name, "of": of, "frame": frame(text)}


def one_key(time: str = "1", key_id: str = A, key: str = "[1]") -> str:
    return '{"time":' + time + ',"ID":"' + key_id + '","Key":' + key + "}"


def sent(command: str, members: str) -> str:
    return partner(command, '{"ID":"' + A + '",' + members + "}")


REFUSED = [
    {"name": "a frame of no bytes", "of": "frame", "frame": "00000000"},
    {"name": "a frame of one byte too many", "of": "frame", "frame": (8388609).to_bytes(4, "big").hex()},
    {"name": "a frame of 4 GiB", "of": "frame", "frame": "ffffffff"},
    {"name": "an object without its length", "of": "frame", "frame": b'{"status":"Successful"}'.hex()},
    {"name": "an array without its length", "of": "frame", "frame": b"[".hex() + KEY_A.encode().hex()},
    bad("no JSON", "request", "get_key"),
    bad("an array", "request", "[]"),
    bad("a number", "request", "7"),
    bad("nothing in it", "request", "{}"),
    bad("no command", "request", '{"attribute":"QBER","value":""}'),
    bad("a command that is a number", "request", '{"command":7,"attribute":"","value":""}'),
    bad("a command of no letters", "request", request("", "", '""')),
    bad("a command of 65 letters", "request", request("x" * 65, "", '""')),
    bad("a member that requests do not have", "request", '{"command":"get_key","attribute":"","value":"","key":1}'),
    bad("two documents", "request", request("get_key", "", '""') * 2),
    bad("cut off", "request", request("get_key", "", '""')[:-1]),
    bad("not UTF-8", "request", b'{"command":"get_key","attribute":"\xff","value":""}'),
    bad("quotes of Python", "request", "{'command':'get_key','attribute':'','value':''}"),
    bad("a command that nobody has", "request", request("Get all", "", '""')),
    bad("a command in other letters", "request", request("GET_KEY", "", '""')),
    bad("a value that is a list", "request", request("set_attribute", "ttl", '["600"]')),
    bad("a value that is a fraction", "request", request("set_attribute", "ttl", "1.5")),
    bad("an ID that is a number", "request", request("Get key by ID", "", "18446744073709551615")),
    bad("an ID that is the text of one", "request", request("Get key by ID", "", '"18446744073709551615"')),
    bad("an ID with a brace", "request", request("Get key by ID", "", '"{' + A + '}"')),
    bad("no number of keys", "request", request("Get keys", "", '""')),
    bad("a bare number of keys", "request", request("Get keys", "", "3")),
    bad("a negative number of keys", "request", request("Get keys", "", '"-1"')),
    bad("a number of keys of 33 bits", "request", request("Get keys", "", '"4294967296"')),
    bad("a number of keys in Arabic digits", "request", request("Get keys", "", '"٣"')),
    bad("IDs that are one text", "request", request("Delete by IDs", "", f'"{A}"')),
    bad("an ID among them that is none", "request", request("Delete by IDs", "", f'["{A}","x"]')),
    bad("no JSON", "reply", "Successful"),
    bad("nothing but a word", "reply", '"Done"'),
    bad("null", "reply", "null"),
    bad("wrapped twice", "reply", "{ { [ ] } }"),
    bad("an array in an array", "reply", "{ [ [ " + KEY_A + " ] ] }"),
    bad("two arrays in the braces", "reply", "{ [ ], [ ] }"),
    bad("the closing brace is missing", "reply", "{ [ " + KEY_A + " ]"),
    bad("the opening brace is missing", "reply", "[ " + KEY_A + " ] }"),
    bad("something behind the braces", "reply", "{ [ ] } x"),
    bad("a byte of 256", "reply", one_key(key="[256]")),
    bad("a byte of -1", "reply", one_key(key="[-1]")),
    bad("a byte and a half", "reply", one_key(key="[1.5]")),
    bad("a byte that is text", "reply", one_key(key='["36"]')),
    bad("a byte that is true", "reply", one_key(key="[true]")),
    bad("a key that is text", "reply", one_key(key='"JCdL"')),
    bad("an ID without a key", "reply", one_key(key="[]")),
    bad("a key without an ID", "reply", one_key(key_id="")),
    bad("an ID that is no UUID", "reply", one_key(key_id="key-1")),
    bad("a key without its time", "reply", '{"ID":"' + A + '","Key":[1]}'.replace("}", ',"time":""}')),
    bad("a time before 1970", "reply", one_key(time="-1")),
    bad("a time that is text", "reply", one_key(time='"1234567891011"')),
    bad("one ID twice", "reply", "{ [ " + one_key() + "," + one_key(key="[2]") + " ] }"),
    bad("one ID twice, once in capitals", "reply", "{ [ " + one_key() + "," + one_key(key_id=A.upper()) + " ] }"),
    bad("a member that keys do not have", "reply", one_key()[:-1] + ',"size":1}'),
    bad("a status that is none", "reply", '{"status":"OK","value":"1"}'),
    bad("an error without a message", "reply", '{"status":"ERROR"}'),
    bad("successful with a message", "reply", '{"status":"Successful","message":"Invalid name"}'),
    bad("an attribute that is a number", "reply", '{"status":"Successful","value":1234}'),
    bad("a key and a status", "reply", one_key()[:-1] + ',"status":"Successful"}'),
    bad("deleted, but not done", "reply", '{"command":"Keys deleted","parameter":"","value":"Failed"}'),
    bad("done, but not deleted", "reply", '{"command":"Keys flushed","parameter":"","value":"Done"}'),
    bad("start without an ID", "partner", partner("start", "{}")),
    bad("start with an ID that is none", "partner", partner("start", '{"ID":"' + "z" * 36 + '"}')),
    bad("a value that is JSON in a text", "partner", partner("start", '"{\\"ID\\":\\"' + A + '\\"}"')),
    bad("a gate of -1", "partner", sent("Confronto basi", '"index":[-1],"basi":[0]')),
    bad("a gate of 32 bits", "partner", sent("Confronto basi", '"index":[2147483648],"basi":[0]')),
    bad("half a gate", "partner", sent("Confronto basi", '"index":[0.5],"basi":[0]')),
    bad("a setting of 4", "partner", sent("Confronto basi", '"index":[0],"basi":[4]')),
    bad("no settings", "partner", sent("Confronto basi", '"index":[0]')),
    bad("a comparison of 2", "partner", sent("Sifted key", '"confronto":[2]')),
    bad("tested bits without their places", "partner", sent("Calc BER", '"value":[1]')),
    bad(
        "a sifted key that is also a test", "partner", sent("Sifted key", '"confronto":[1],"index":[0],"value":[1]')
    ),
    bad("an error rate above 1", "partner", sent("Valid key", '"BER":1.01')),
    bad("an error rate below 0", "partner", sent("Valid key", '"BER":-0.01')),
    bad("an error rate that is no number", "partner", sent("Valid key", '"BER":NaN')),
    bad("an error rate that is text", "partner", sent("Discard key", '"BER":"0.2"')),
    bad("a member that Valid key does not have", "partner", sent("Valid key", '"BER":0.01,"key":[1]')),
    bad("a range of three", "partner", sent("Cascade", '"pass":0,"ranges":[[0,1,2]]')),
    bad("a parity of 2", "partner", sent("Cascade parities", '"parities":[2]')),
    bad("a check of 33 bits", "partner", sent("Key check", '"crc":4294967296')),
    bad("a seed of no bytes' numbers", "partner", sent("Privacy amplification", '"bits":8,"seed":[256]')),
]


def files() -> dict[str, list[dict[str, Any]]]:
    return {"requests.json": REQUESTS, "replies.json": REPLIES, "partner.json": PARTNER, "refused.json": REFUSED}


if __name__ == "__main__":
    for file, entries in files().items():
        text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
        (Path(__file__).parent / file).write_text(text, encoding="utf-8")
