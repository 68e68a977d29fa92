"""The bench over what is installed: each program is found right where it claims to be, and is measured."""

from __future__ import annotations

import pytest

from poliqi.apps.testbench.catalogue import places
from poliqi.apps.testbench.outcome import Verdict
from poliqi.apps.testbench.programs import PROGRAMS
from poliqi.apps.testbench.programs.filters import bech32
from poliqi.apps.testbench.trials import Plan, run_trials

QUICK = Plan(seconds=0.1, rounds=1)
# what each is known to leave to those who use it
LEFT_OUT = {
    "stunnel": {"truncation"},
    "ssh": {"flip", "truncation"},
    "age": {"replay"},
    "openssl enc": {"flip", "truncation", "wrong key", "replay"},
    "wireguard-go": set[str](),
}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_an_installed_program_is_compared(program: object) -> None:
    name = getattr(program, "name", "")
    place = next(place for place in places() if place.name == name)
    [trial] = run_trials([place], QUICK, lambda _: None)
    if trial.skipped is not None:
        pytest.skip(trial.skipped)
    assert {finding.check: finding.text for finding in trial.findings if finding.verdict is Verdict.FAILED} == {}
    assert set(trial.not_promised) == LEFT_OUT[name]
    assert trial.streams[0].gbps > 0.0
    assert trial.streams[0].cpu_ns_per_byte >= 0.0
    assert (trial.streams[0].p50_s is None) == (name in ("age", "openssl enc"))


def test_keys_of_age_are_written_as_bip_173_says() -> None:
    # BIP 173, test vectors: "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw" is the 32 values 0 to 31
    values = [format(value, "05b") for value in range(32)]
    data = bytes(int("".join(values)[at : at + 8], 2) for at in range(0, 160, 8))
    assert bech32("abcdef", data) == "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"
