"""The conformance run: drivers that are right pass, each broken one is found by the check that is for it."""

from __future__ import annotations

import importlib.util
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from poliqi.apps.testbench.outcome import Finding, Verdict
from poliqi.base.errors import ConfigError
from poliqi.node.drivercheck import bobchecks, keychecks
from poliqi.node.drivercheck.child import Desk
from poliqi.node.drivercheck.dialogue import Candidate, DriverKind, Load, Look
from poliqi.node.drivercheck.trial import try_driver
from poliqi.ops.config import default_link

EXAMPLES = Path(__file__).resolve().parents[4] / "examples/devices"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LIGHT_FAULTS: dict[str, str] = example("broken_light").FAULTS
KEY_FAULTS: dict[str, str] = example("broken_keys").FAULTS


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bobchecks, "_ENDS_S", 0.6)
    monkeypatch.setattr(keychecks, "_LATE_S", 0.6)
    monkeypatch.setattr(keychecks, "_WAIT_S", 0.3)


def candidate(device: str, options: dict[str, Any], peer: dict[str, Any] | None = None) -> Candidate:
    return Candidate(
        device=device,
        base=str(EXAMPLES),
        options=options,
        peer_options=peer,
        link=pickle.dumps(default_link()).hex(),
        seconds=0.001,
        first_slot=0,
    )


def looked_at(tried: Candidate, *checks: str) -> list[Finding]:
    """What these checks find, all of them where none is named; in this process."""
    desk = Desk()
    loaded = desk.answer(Load(tried))
    assert loaded.error is None, loaded.error
    found = [desk.answer(Look(check)).finding for check in checks or loaded.checks]
    assert None not in found
    return found  # type: ignore[return-value]


def failed(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.text for finding in findings if finding.verdict is Verdict.FAILED}


@pytest.mark.parametrize("fault", [fault for fault in LIGHT_FAULTS if fault not in ("hangs", "crashes")])
def test_a_broken_driver_of_light_is_found_by_the_check_that_is_for_it(fault: str) -> None:
    [finding] = looked_at(candidate("broken_light.py", {"fault": fault}), LIGHT_FAULTS[fault])
    assert finding.verdict is Verdict.FAILED, finding


@pytest.mark.parametrize("fault", [fault for fault in KEY_FAULTS if "ever" not in fault])
def test_a_broken_key_device_is_found_by_the_check_that_is_for_it(fault: str) -> None:
    options = {"fault": fault, "place": "here"}
    tried = candidate("broken_keys.py", options, options | {"place": "there"})
    [finding] = looked_at(tried, KEY_FAULTS[fault])
    assert finding.verdict is Verdict.FAILED, finding


def test_a_driver_of_light_without_a_fault_passes() -> None:
    findings = looked_at(candidate("broken_light.py", {"fault": "none"}))
    assert not failed(findings)
    assert {finding.verdict for finding in findings} == {Verdict.PASSED}
    assert len(findings) == 12


def test_a_key_device_without_a_fault_passes() -> None:
    options = {"fault": "none"}
    findings = looked_at(candidate("broken_keys.py", options, options))
    assert not failed(findings)
    assert len(findings) == 7


def test_what_makes_two_ends_disagree_is_named() -> None:
    for fault, words in (("bits turned round", "turned round"), ("slots off by one", "+1 off")):
        [finding] = looked_at(candidate("broken_light.py", {"fault": fault}), "both: agreement")
        assert words in finding.text


def test_a_driver_that_crashes_has_failed() -> None:
    tried = msgspec.structs.replace(candidate("broken_light.py", {"fault": "crashes"}), is_bob=True, is_alice=False)
    trial = try_driver(tried, 30.0, lambda _: None)
    assert trial.failed == ["bob: slots", "bob: refusals"]
    assert "ended by signal SIGSEGV" in trial.findings[0].text
    assert "lost in 'bob: slots' and in 'bob: refusals'" in trial.findings[-1].text


def test_after_a_check_that_hangs_the_others_go_on() -> None:
    said: list[str] = []
    trial = try_driver(candidate("broken_keys.py", {"fault": "waits for ever"}), 1.5, said.append)
    assert said == ["description", "fresh", "unknown name", "timeouts"]
    assert "no answer within 1.5 s" in failed(trial.findings)["unknown name"]
    assert {"description", "fresh"}.isdisjoint(trial.failed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither open_transmitter"),
        ("raise RuntimeError('no board')", "RuntimeError: no board"),
        ("def open_device(options): return 1\n", ""),
    ],
)
def test_what_is_no_driver_is_said(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    answer = Desk().answer(Load(candidate(str(tmp_path / "mine.py"), {})))
    if words:
        assert answer.error is not None and words in answer.error
    else:
        assert answer.kind is DriverKind.KEYS


def test_a_name_that_nobody_has_is_said() -> None:
    answer = Desk().answer(Load(candidate("no-such-driver", {})))
    assert answer.error is not None and "any FILE.py" in answer.error
    with pytest.raises(ConfigError, match="there is no Python file"):
        try_driver(candidate("missing.py", {}), 5.0, lambda _: None)


@pytest.fixture
def board() -> Iterator[str]:
    emulators = example("emulators")
    with emulators.Server(emulators.BoardEmulator(default_link()).answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


@pytest.fixture
def box() -> Iterator[str]:
    emulators = example("emulators")
    with emulators.Server(emulators.BoxEmulator().answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


def test_the_worked_driver_of_a_board_passes(board: str) -> None:
    trial = try_driver(candidate("spad_board.py", {"address": board, "emulator": True}), 60.0, lambda _: None)
    assert {finding.verdict for finding in trial.findings} == {Verdict.PASSED}, failed(trial.findings)
    assert trial.figures["qber_key"] < 0.03
    # the same board, not said to be an emulator
    trial = try_driver(candidate("spad_board.py", {"address": board}), 60.0, lambda _: None)
    assert len(trial.failed) == len(trial.findings)
    assert "its light is 'simulated', and its file says 'photons'" in trial.findings[0].text


def test_the_worked_driver_of_a_key_box_passes(box: str) -> None:
    options = {"address": box}
    trial = try_driver(candidate("key_box.py", options, options), 60.0, lambda _: None)
    assert {finding.verdict for finding in trial.findings} == {Verdict.PASSED}, failed(trial.findings)


def test_an_emulated_board_answers_with_no_more_clicks_than_a_line_holds() -> None:
    """A check waits for ten seconds of light, 1e8 clicks, and hangs up: the emulator must not gather them."""
    board = example("emulators").BoardEmulator(default_link())
    board.began -= 1.0  # this light went by already
    assert board.answer("GATHER", "0,300000000").startswith("ERR more than 2000000 clicks")


@pytest.mark.parametrize(("name", "most"), [("spad_board", 120), ("key_box", 80)])
def test_a_worked_driver_is_short(name: str, most: int) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= most
