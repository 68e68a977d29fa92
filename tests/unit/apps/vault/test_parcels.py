"""Parcels against values computed elsewhere; whatever is changed in one is noticed by those who should."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from poliqi.apps.vault.parcel import KeyMatrix, Parcel, accepted, parcel_bytes, tagged, tags_change
from poliqi.apps.vault.sharing import split, split_zero
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.keys.onetime import xor_bytes

VECTOR = json.loads((Path(__file__).parents[3] / "vectors/vault/parcel.json").read_text())
SYSTEM = OperatingSystemEntropy()


class Told:
    source = "test"

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = [bytes.fromhex(piece) for piece in pieces]

    def draw(self, count: int) -> bytes:
        return self._pieces.pop(0)


def five(size: int = 100) -> tuple[dict[str, Parcel], KeyMatrix]:
    matrix = KeyMatrix.draw(5, SYSTEM)
    made = tagged(split(os.urandom(size), 3, 5, SYSTEM), matrix)
    return {str(parcel.place): parcel for parcel in made}, matrix


def test_parcels_are_those_of_the_other_implementation():
    secret = bytes.fromhex(VECTOR["secret"])
    shares = split(secret, VECTOR["threshold"], VECTOR["count"], Told(VECTOR["coefficients"]))
    made = tagged(shares, KeyMatrix(VECTOR["count"], bytes.fromhex(VECTOR["matrix"])))
    assert {str(p.place): p.encode().hex() for p in made} == VECTOR["parcels"]
    assert all(len(p.encode()) == parcel_bytes(len(secret), 5) for p in made)


@pytest.mark.parametrize("at", [0, 39, 40, 55])
def test_any_changed_byte_of_share_or_owners_tag_is_seen_by_the_owner(at: int):
    """Of the vector's first parcel: 40 bytes of share, then the owner's tag."""
    matrix = KeyMatrix(5, bytes.fromhex(VECTOR["matrix"]))
    data = bytearray.fromhex(VECTOR["parcels"]["1"])
    assert accepted({"1": Parcel.decode(bytes(data), 1, 5, 40)}, 3, matrix)
    for bit in range(8):
        data[at] ^= 1 << bit
        assert not accepted({"1": Parcel.decode(bytes(data), 1, 5, 40)}, 3, matrix)
        data[at] ^= 1 << bit


def test_all_honest_are_believed_with_and_without_the_owners_keys():
    parcels, matrix = five()
    assert accepted(parcels, 3, matrix) == accepted(parcels, 3, None) == set("12345")


@pytest.mark.parametrize("liars", ["1", "35", "24"])
def test_fewer_liars_than_the_threshold_pass_no_share(liars: str):
    """They also lie about the others: their keys are garbage, so that honest shares lose their votes."""
    parcels, matrix = five()
    for name in liars:
        honest = parcels[name]
        parcels[name] = Parcel(
            honest.place, 5, os.urandom(100), honest.tags, tuple(os.urandom(32) for _ in honest.keys)
        )
    believed = set("12345") - set(liars)
    assert accepted(parcels, 3, matrix) == accepted(parcels, 3, None) == believed


def test_liars_who_know_each_others_keys_pass_no_share():
    """1 and 2 join: 1's false share has a tag that 2 accepts. Two votes are too few for 3 of 5."""
    parcels, matrix = five()
    lie = tagged([os.urandom(100)] * 5, matrix)[0]
    honest = parcels["1"]
    tags = (honest.tags[0], lie.tags[1], *honest.tags[2:])
    parcels["1"] = Parcel(1, 5, lie.share, tags, honest.keys)
    assert accepted(parcels, 3, None) == set("2345")


def test_a_share_under_anothers_number_is_not_believed():
    parcels, _matrix = five()
    two = parcels["2"]
    parcels["2"] = Parcel(4, 5, two.share, two.tags, two.keys)
    assert "2" not in accepted(parcels, 3, None)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 100])
def test_added_changes_make_the_parcels_of_renewed_shares(size: int):
    parcels, old = five(size)
    new = old.masked_anew(SYSTEM)
    changes = tags_change(split_zero(size, 3, 5, SYSTEM), old, new)
    renewed = {
        str(c.place): Parcel.decode(xor_bytes(parcels[str(c.place)].encode(), c.encode()), c.place, 5, size)
        for c in changes
    }
    assert accepted(renewed, 3, new) == accepted(renewed, 3, None) == set("12345")
    assert accepted(renewed, 3, old) == accepted(parcels, 3, new) == set()
    mixed = {**renewed, "1": parcels["1"]}
    assert accepted(mixed, 3, None) == set("2345")


def test_keys_are_not_shown():
    assert "bytes" not in repr(KeyMatrix.draw(5, SYSTEM)) and "share=" not in repr(five()[0]["1"])


@pytest.mark.parametrize("size", [0, 31, 799, 801])
def test_keys_of_another_size_are_refused(size: int):
    with pytest.raises(ValueError, match="no keys for 5 shares"):
        KeyMatrix(5, bytes(size))
