"""Every conformance check of record encryptors passes what is sound and finds what is broken."""

from __future__ import annotations

from typing import Any

import pytest
from broken_encryptors import CASES, SOUND, changed

from poliqi.apps.testbench import recordchecks
from poliqi.apps.testbench.checking import run_checks
from poliqi.apps.testbench.ciphers import CIPHERS
from poliqi.apps.testbench.outcome import Verdict
from poliqi.apps.testbench.recordchecks import RECORD_CHECKS
from poliqi.apps.testbench.seams import RecordEncryptor

NAMES = [name for name, _ in RECORD_CHECKS]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordchecks, "_CHURN_BYTES", 32 << 20)
    monkeypatch.setattr(recordchecks, "_GROWTH_BYTES", 8 << 20)
    monkeypatch.setattr(recordchecks, "_PATIENCE_S", 60.0)


def failed(encryptor: Any, *names: str) -> dict[str, str]:
    checks = [check for check in RECORD_CHECKS if not names or check[0] in names]
    findings = run_checks(encryptor, checks)
    return {finding.check: finding.text for finding in findings if finding.verdict is not Verdict.PASSED}


def test_the_sound_one_passes() -> None:
    assert failed(SOUND) == {}


@pytest.mark.parametrize("cipher", CIPHERS, ids=lambda cipher: cipher.name)
def test_what_is_built_in_passes(cipher: RecordEncryptor) -> None:
    assert failed(cipher) == {}


@pytest.mark.parametrize("what", CASES)
def test_each_fault_is_found_by_its_checks_and_by_no_other(what: str) -> None:
    expected, make = CASES[what]
    # the two that look at many records are run where they are expected, and for a sound sample of the others
    names = [name for name in NAMES if name in expected or name not in ("memory", "nonce")]
    assert set(failed(make(), *names)) == expected


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert set(NAMES) == set().union(*(expected for expected, _ in CASES.values()))


def test_a_crash_in_place_of_a_refusal_is_a_failure() -> None:
    found = failed(changed(raises=RuntimeError), "flip", "replay")
    assert found.keys() == {"flip", "replay"}
    assert "RuntimeError was raised" in found["flip"]


def test_key_that_is_said_to_be_gone_and_was_not_asked_for_is_a_failure() -> None:
    assert "asked for no more" in failed(changed(on_exhaustion="cries wolf"), "key exhaustion")["key exhaustion"]


def test_a_record_longer_than_declared_is_a_failure() -> None:
    assert "round trip" in failed(changed(overhead_bytes=16), "round trip")
