"""Pairing and running a link by hand, as two operators would, and what they are told when they slip."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from e2e.command_line import TINY, Answer, finish, start

from poliqi.base.errors import PoliqiError
from poliqi.base.ids import Role
from poliqi.edge.keyfile import read_keys
from poliqi.edge.pairing import link_status
from poliqi.ops.cli import cli


def quick(*words: object) -> Answer:
    """A command that needs no process of its own."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    failed = isinstance(result.exception, PoliqiError)
    assert failed or result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Answer(
        1 if failed else result.exit_code, result.stdout, str(result.exception) if failed else result.stderr
    )


@pytest.fixture
def paired(tmp_path: Path) -> Path:
    """Two states, made by the commands."""
    pair_by_hand(tmp_path)
    return tmp_path


def pair_by_hand(folder: Path, words: int = 256, *more: str) -> None:
    assert quick("link", "pair", "new", "--link", "east-west", "-o", folder / "pair", "--words", words).code == 0
    for role, keep in (("alice", ["--keep"]), ("bob", [])):
        answer = quick(
            "link", "pair", "install", folder / "pair", "--role", role, "--state", folder / role, *keep, *more
        )
        assert answer.code == 0, answer.err


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def run_words(folder: Path, role: str, *more: object) -> list[object]:
    return ["link", "run", TINY, "--role", role, "--state", folder / role, "--key", folder / f"{role}.keys", *more]


def run_both(folder: Path, *more: object, listener: str = "bob") -> dict[str, Answer]:
    port = free_port()
    running = {}
    for role in ("bob", "alice"):
        meeting = ("--listen" if role == listener else "--connect", f"127.0.0.1:{port}")
        words = run_words(folder, role, *meeting, "--seed", 7, "--allow-simulated", "--json", *more)
        running[role] = start(*words)
    return {role: finish(process) for role, process in running.items()}


def keys(folder: Path, role: str) -> list[bytes]:
    return [record.key.take() for record in read_keys(folder / f"{role}.keys")[1]]


# ---------------------------------------------------------------- two ends that do as they should


@pytest.mark.slow
def test_pair_by_hand_and_run(tmp_path: Path) -> None:
    pair_by_hand(tmp_path, 256, "--simulated")
    answers = run_both(tmp_path, "--blocks", 2)
    assert [answer.code for answer in answers.values()] == [0, 0], answers
    assert len(keys(tmp_path, "alice")) == 2
    assert keys(tmp_path, "alice") == keys(tmp_path, "bob")
    assert link_status(tmp_path / "bob").blocks == 2


@pytest.mark.slow
def test_pair_by_public_keys_and_run(tmp_path: Path) -> None:
    for role in Role:
        assert (
            quick("link", "pair", "identity", "--state", tmp_path / role, "-o", tmp_path / f"{role}.pub").code == 0
        )
    for role in Role:
        words = ("--link", "east-west", "--role", role, "--state", tmp_path / role, "--simulated", "--words", 16)
        assert quick("link", "pair", "trust", tmp_path / f"{role.peer}.pub", *words).code == 0
    answers = run_both(tmp_path, "--blocks", 3, listener="alice")
    assert [answer.code for answer in answers.values()] == [0, 0], answers
    assert keys(tmp_path, "alice") == keys(tmp_path, "bob")
    assert all(link_status(tmp_path / role).has_pads for role in Role)


@pytest.mark.slow
def test_link_without_key_stops_below_its_reserve(tmp_path: Path) -> None:
    pair_by_hand(tmp_path, 20, "--simulated")
    answers = run_both(tmp_path, "--eve", "intercept=0.5")
    assert answers["bob"].code == 1
    assert "reserve 5: stopped" in answers["bob"].err
    assert "pair the link again" in answers["bob"].err
    assert 0 < min(link_status(tmp_path / "bob").words_left.values()) < 8


@pytest.mark.slow
def test_blocks_without_key_are_tried_less_and_less_often(tmp_path: Path) -> None:
    pair_by_hand(tmp_path, 64, "--simulated")
    port = free_port()
    running = {}
    for role, meeting in (("bob", "--listen"), ("alice", "--connect")):
        words = run_words(tmp_path, role, meeting, f"127.0.0.1:{port}", "--seed", 7, "--allow-simulated", "--json")
        running[role] = start(*words, "--eve", "intercept=0.5")
    out = running["bob"].stdout
    assert out is not None
    records: list[dict[str, Any]] = []
    for line in out:
        record = json.loads(line)
        records.append(record)
        if sum(r["event"] == "waiting" for r in records) == 2:
            break
    for process in running.values():
        process.send_signal(signal.SIGTERM)
        finish(process, 30)
    waits = [r for r in records if r["event"] == "waiting"]
    assert [r["retry_s"] for r in waits] == [0.25, 0.5]
    assert "3 blocks in a row gave no key" in waits[0]["text"]
    assert sum(r["event"] == "block" for r in records) == 4


@pytest.mark.slow
def test_sigterm_drains(tmp_path: Path) -> None:
    pair_by_hand(tmp_path, 256, "--simulated")
    port = free_port()
    running = {}
    for role, meeting in (("bob", "--listen"), ("alice", "--connect")):
        words = run_words(tmp_path, role, meeting, f"127.0.0.1:{port}", "--seed", 7, "--allow-simulated", "--json")
        running[role] = start(*words)
    out = running["bob"].stdout
    assert out is not None
    next(line for line in out if '"block"' in line)
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    assert [finish(process, 30).code for process in running.values()] == [0, 0]
    assert keys(tmp_path, "alice") == keys(tmp_path, "bob") != []


@pytest.mark.slow
def test_state_cannot_be_shared_by_two_processes(tmp_path: Path) -> None:
    pair_by_hand(tmp_path, 256, "--simulated")
    meeting = ("--listen", "127.0.0.1:0", "--seed", 7, "--allow-simulated", "--json")
    first = start(*run_words(tmp_path, "bob", *meeting))
    assert first.stdout is not None
    assert '"listening"' in first.stdout.readline()
    second = quick(*run_words(tmp_path, "bob", *meeting))
    first.send_signal(signal.SIGTERM)
    finish(first, 30)
    assert (second.code, "in use by another process" in second.err) == (1, True)


# ---------------------------------------------------------------- what is refused, and how


def run_refused(folder: Path, role: str, *more: object) -> str:
    answer = quick(*run_words(folder, role, "--connect", "127.0.0.1:1", *more))
    assert answer.code == 1
    return answer.err


def test_unpaired_link_does_not_start(tmp_path: Path) -> None:
    assert "poliqi link pair" in run_refused(tmp_path, "alice", "--seed", 1, "--allow-simulated")


def test_simulated_light_wants_to_be_allowed(paired: Path) -> None:
    assert "--allow-simulated" in run_refused(paired, "alice", "--seed", 1)


def test_simulated_light_wants_a_state_made_for_it(paired: Path) -> None:
    assert "made for real photons" in run_refused(paired, "alice", "--seed", 1, "--allow-simulated")


def test_light_has_to_be_named(paired: Path) -> None:
    assert "--seed, --replay and --device" in run_refused(paired, "alice")


def test_state_of_the_other_role_is_refused(paired: Path) -> None:
    words = run_words(paired, "alice", "--connect", "127.0.0.1:1", "--seed", 1, "--allow-simulated")
    words[words.index(paired / "alice")] = paired / "bob"
    assert "is bob's; start it with --role bob" in quick(*words).err


@pytest.mark.parametrize("address", ["9000", "host:", "host:99999", "a b:9", "::1:9"])
def test_address_is_checked(paired: Path, address: str) -> None:
    words = run_words(paired, "alice", "--connect", address, "--seed", 1, "--allow-simulated")
    assert "write HOST:PORT" in quick(*words).err


def test_pair_file_is_installed_once(paired: Path) -> None:
    assert not (paired / "pair").exists()
    quick("link", "pair", "new", "--link", "east-west", "-o", paired / "again")
    answer = quick("link", "pair", "install", paired / "again", "--role", "alice", "--state", paired / "alice")
    assert "never overwritten" in answer.err


def test_help_says_why_a_pair_file_is_not_used_again() -> None:
    assert "a second time" in quick("link", "pair", "install", "--help").out


def test_status_for_people_and_programs(paired: Path) -> None:
    told = quick("link", "status", "--state", paired / "alice", "--json").lines()[0]
    assert told["pad_words_left"] == {"alice": 256, "bob": 256}
    assert told["pair_id"] in quick("link", "status", "--state", paired / "bob").out


def test_no_command_takes_a_secret_as_a_word() -> None:
    for name in ("new", "install", "identity", "trust"):
        assert not {"--secret", "--pad", "--password"} & set(quick("link", "pair", name, "--help").out.split())


def test_nobody_waits_for_a_peer_that_is_not_there(tmp_path: Path) -> None:
    pair_by_hand(tmp_path, 256, "--simulated")
    alone = start(
        *run_words(tmp_path, "alice", "--connect", "127.0.0.1:1", "--seed", 1, "--allow-simulated", "--json")
    )
    assert alone.stdout is not None
    next(line for line in alone.stdout if '"link-down"' in line)
    began = time.monotonic()
    alone.send_signal(signal.SIGTERM)
    assert finish(alone, 30).code == 0
    assert time.monotonic() - began < 10
