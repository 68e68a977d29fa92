"""The published session vectors: replayed byte for byte, and checked by plain definitions written here."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from two_parties import Disk, wire

from poliqi.base.ids import Role
from poliqi.distill.contract import Contract
from poliqi.distill.messages import decode_message
from poliqi.link.device import Detections

FOLDER = Path(__file__).resolve().parents[2] / "vectors/session"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
POLY = (1 << 128) | (1 << 127) | (1 << 126) | (1 << 121) | 1


class OtherPath(Exception):
    """The run asks for randomness that the recorded run did not ask for."""


class Replayed:
    source = "test"

    def __init__(self, draws: list[str]) -> None:
        self._draws = [base64.b64decode(d) for d in draws]

    def draw(self, count: int) -> bytes:
        given = self._draws.pop(0) if self._draws else b""
        if len(given) != count:
            raise OtherPath
        return given


def vector(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


def replay(v: dict, tamper=None):
    contract = msgspec.convert(v["contract"], Contract)
    slots = np.frombuffer(base64.b64decode(v["slots"]), "<u4").astype(np.int64)
    seen = Detections(
        v["first_slot"], contract.pulses, slots, np.frombuffer(base64.b64decode(v["outcomes"]), np.uint8)
    )
    states = np.frombuffer(base64.b64decode(v["states"]), np.uint8)

    class Light:
        first_slot = 0

        def detect(self, _pulses: int) -> Detections:
            return seen

        def prepared(self, _slots: np.ndarray) -> np.ndarray:
            return states

    disks = tuple(Disk(r, {k: bytearray(base64.b64decode(w)) for k, w in by_role(v["lanes"])}) for r in Role)
    run = wire(contract, disks, tamper=tamper)
    run.light = Light()
    for role, disk in zip(Role, disks, strict=True):
        given = contract if role is Role.ALICE else None
        run.sessions[role] = disk.session(contract=given, entropy=Replayed(v["entropy"][role]))
    return run.run()


def by_role(table: dict) -> list[tuple[Role, str]]:
    return [(Role(name), value) for name, value in table.items()]


@pytest.mark.parametrize("name", NAMES)
def test_the_transcript_is_reproduced_byte_for_byte(name: str) -> None:
    v = vector(name)
    run = replay(v)
    assert [[s.value, base64.b64encode(f).decode()] for s, f in run.sent] == v["frames"]
    for role in Role:
        key = run.disks[role].keys.get(1)
        assert (None if key is None else key.hex()) == v["result"]["key"]
        reasons = [a.reason for a in run.aborts(role)]
        assert reasons == ([] if v["result"]["refused"] is None else [v["result"]["refused"]])


def polyval(key: bytes, data: bytes) -> int:
    """RFC 8452, with a table of x^-128 multiples of the key's bits: plain integers."""
    h = int.from_bytes(key, "little")
    for _ in range(128):
        h = (h ^ POLY if h & 1 else h) >> 1  # h x^-128
    shifted = [h]
    for _ in range(127):
        h <<= 1
        shifted.append(h ^ POLY if h >> 128 else h)
        h = shifted[-1]
    state = 0
    for i in range(0, len(data), 16):
        state ^= int.from_bytes(data[i : i + 16], "little")
        product, bit = 0, 0
        while state:
            if state & 1:
                product ^= shifted[bit]
            state >>= 1
            bit += 1
        state = product
    return state


def part(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + bytes(8) + data + bytes(-len(data) % 16)


@pytest.mark.parametrize("name", NAMES)
def test_every_tag_follows_the_specification(name: str) -> None:
    v = vector(name)
    frames = [(Role(s), base64.b64decode(f)) for s, f in v["frames"]]
    lanes = dict(by_role(v["lanes"]))
    link = v["contract"]["link_id"].encode()
    nonces = {s: decode_message(f).nonce for s, f in frames if f[1] == 0}
    contract = msgspec.msgpack.encode(msgspec.convert(v["contract"], Contract))
    block = b"block" + nonces[Role.ALICE] + nonces[Role.BOB] + (1).to_bytes(8, "little") + contract
    transcript = {role: part(b"hello" + link) for role in Role}
    hash_key = dict.fromkeys(Role, 0)
    expected = dict.fromkeys(Role, 0)
    tags = 0
    for sender, frame in frames:
        if frame[1] == 2:
            transcript = {role: part(block) for role in Role}
            hash_key = dict(expected)
        if frame[1] == 1:
            value = decode_message(frame).value
            index = int.from_bytes(value[:8], "little")
            expected[sender] = max(expected[sender], hash_key[sender] + 1)
            assert index == expected[sender]
            pad = base64.b64decode(lanes[sender])
            text = transcript[sender] + (8 * len(transcript[sender])).to_bytes(8, "little") + bytes(8)
            word = int.from_bytes(pad[16 * index : 16 * index + 16], "little")
            key = pad[16 * hash_key[sender] : 16 * hash_key[sender] + 16]
            assert value[8:] == (polyval(key, text) ^ word).to_bytes(16, "little")
            tags += 1
            expected[sender] += 1
        else:
            transcript[sender] += part(frame)
    assert tags == (7 if v["result"]["key"] else 4)


def test_the_accepted_key_is_the_modified_toeplitz_hash_of_alices_string() -> None:
    v = vector("accepted")
    frames = [(Role(s), base64.b64decode(f)) for s, f in v["frames"]]
    outcomes = np.frombuffer(base64.b64decode(v["outcomes"]), np.uint8)
    states = np.frombuffer(base64.b64decode(v["states"]), np.uint8)
    x = (states & 1)[(outcomes & 2 == 0) & (states & 2 == 0)]
    seed = decode_message(next(f for _, f in frames if f[1] == 10)).seed
    length, n = v["contract"]["length"], len(x)
    s = np.unpackbits(np.frombuffer(seed, np.uint8), count=n - 1, bitorder="little")
    tail = x[length:][::-1].astype(np.int64)
    y = np.array([(int(x[i]) + int(s[i : i + n - length] @ tail)) % 2 for i in range(length)])
    secret = np.packbits(y.astype(np.uint8), bitorder="little").tobytes()
    refilled = sum(v["result"]["lanes_after"].values()) - 2 * 16 * 64
    net = 8 * ((length - 8 * refilled) // 8) // 8
    assert secret[refilled : refilled + net].hex() == v["result"]["key"]


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_bit_in_any_kind_of_message_gives_no_key(name: str) -> None:
    v = vector(name)
    first = {}
    for at, (sender, frame) in enumerate(v["frames"]):
        first.setdefault((sender, base64.b64decode(frame)[1]), at)
    for at in first.values():

        def flip(_sender: Role, count: int, frame: bytes, at=at) -> list[bytes]:
            return [frame[:-1] + bytes([frame[-1] ^ 1])] if count == at else [frame]

        try:
            run = replay(v, flip)
        except OtherPath:
            continue  # the next draw would be the point of frame tags or the like: no key was made before it
        assert not run.disks[Role.BOB].keys
