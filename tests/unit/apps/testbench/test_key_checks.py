"""Every conformance check of key sources passes what is sound and finds what is broken."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from poliqi.apps.keysource import Key, KeySource, Supply
from poliqi.apps.testbench.checking import run_checks
from poliqi.apps.testbench.keychecks import KEY_CHECKS
from poliqi.apps.testbench.outcome import Verdict
from poliqi.apps.testbench.seams import KeyPair
from poliqi.apps.testbench.trialkeys import DerivedPlaces, TrialKeys
from poliqi.base.errors import DataRefused
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes

ONE, OTHER = SaeId("one"), SaeId("other")


class Through:
    """A key source that hands everything on; the broken ones change one thing."""

    def __init__(self, inner: KeySource) -> None:
        self.inner = inner

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        return self.inner.fresh(peer, number, size_bytes)

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        return self.inner.named(peer, key_ids)

    def supply(self, peer: SaeId) -> Supply:
        return self.inner.supply(peer)

    def close(self) -> None:
        self.inner.close()


class OtherBits(Through):
    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        keys = self.inner.named(peer, key_ids)
        return [replace(key, value=SecretBytes(bytes(len(key.value)))) for key in keys]


class OtherOrder(Through):
    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        return sorted(self.inner.named(peer, key_ids), key=lambda key: key.key_id)


class GivesTwice(Through):
    """A fresh slave each time: it has forgotten what was given."""

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        assert isinstance(self.inner, TrialKeys)
        self.inner._given.clear()
        return self.inner.named(peer, key_ids)


class InventsKeys(Through):
    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        try:
            return self.inner.named(peer, key_ids)
        except DataRefused:
            if any(key_id.startswith("00000000-0000-4") for key_id in key_ids):
                return [Key(key_id, SecretBytes(os.urandom(32)), {}) for key_id in key_ids]
            raise


class UsesUp(Through):
    """A question that is refused has used up the keys in it that were there."""

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        return [self.inner.named(peer, [key_id])[0] for key_id in key_ids]


class LongerKeys(Through):
    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        most = self.supply(peer).most_bytes
        return self.inner.fresh(peer, number, min(size_bytes, most))


class SameKeys(Through):
    """The same key each time; the slave takes it for new."""

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        keys = self.inner.fresh(peer, number, size_bytes)
        value = bytes(size_bytes)
        return [replace(key, value=SecretBytes(value)) for key in keys]


class SameNames(Through):
    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        self.inner.fresh(peer, number, size_bytes)
        return [Key(str(uuid.UUID(int=7)), SecretBytes(os.urandom(size_bytes)), {}) for _ in range(number)]


class Endless(Through):
    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        assert isinstance(self.inner, TrialKeys)
        self.inner._stock_bytes += number * size_bytes
        return self.inner.fresh(peer, number, size_bytes)


class Places:
    name = "tried"
    description = "tried"

    def __init__(
        self, master: Callable[[Any], Any] = Through, slave: Callable[[Any], Any] = Through, stock: int = 512 << 10
    ) -> None:
        self.master, self.slave, self.stock = master, slave, stock

    @contextmanager
    def open_pair(self) -> Generator[KeyPair]:
        key = os.urandom(32)
        master, slave = TrialKeys(key, ONE, self.stock), TrialKeys(key, OTHER, self.stock)
        yield KeyPair(self.master(master), ONE, self.slave(slave), OTHER)


def verdicts(places: Any) -> dict[str, Verdict]:
    return {finding.check: finding.verdict for finding in run_checks(places, KEY_CHECKS)}


CASES: dict[str, tuple[str, Places]] = {
    "other bits": ("both ends", Places(slave=OtherBits)),
    "other order": ("both ends", Places(slave=OtherOrder)),
    "given twice": ("single delivery", Places(slave=GivesTwice)),
    "invented": ("unknown name", Places(slave=InventsKeys)),
    "used up by a refusal": ("unknown name", Places(slave=UsesUp)),
    "beyond its own limits": ("sizes", Places(master=LongerKeys)),
    "the same bits": ("no repetition", Places(master=SameKeys)),
    "the same names": ("no repetition", Places(master=SameNames)),
    "no end": ("exhaustion", Places(master=Endless)),
}


@pytest.mark.parametrize("what", CASES)
def test_each_fault_is_found(what: str) -> None:
    check, places = CASES[what]
    assert verdicts(places)[check] is Verdict.FAILED


@pytest.mark.parametrize("what", ["given twice", "used up by a refusal", "beyond its own limits", "no end"])
def test_a_fault_is_found_by_no_other_check(what: str) -> None:
    check, places = CASES[what]
    assert [name for name, verdict in verdicts(places).items() if verdict is Verdict.FAILED] == [check]


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {name for name, _ in KEY_CHECKS} == {check for check, _ in CASES.values()}


def test_the_keys_of_a_trial_pass() -> None:
    assert set(verdicts(DerivedPlaces()).values()) == {Verdict.PASSED}


def test_an_end_that_is_too_far_is_not_seen() -> None:
    assert verdicts(Places(stock=1 << 40))["exhaustion"] is Verdict.NOT_SEEN
