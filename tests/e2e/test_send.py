"""`poliqi send` and `poliqi receive` between the applications of two real sites."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.command_line import poliqi, start
from live_saes import LiveSae, live_saes
from live_sites import live_city
from transfer_rig import content

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def saes() -> Iterator[dict[str, LiveSae]]:
    """Applications leonardo1 and bovisa1, with about 32 KiB of key each way."""
    with live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]) as city:
        city.block("bovisa-leonardo", 1, 1 << 16)
        with live_saes(city) as made:
            yield made


def arrived(saes: dict[str, LiveSae]) -> Path:
    return saes["bovisa"].inbox / saes["leonardo"].name


def test_a_folder_goes_from_one_site_to_the_other(saes: dict[str, LiveSae], tmp_path: Path) -> None:
    root = tmp_path / "results"
    (root / "empty").mkdir(parents=True)
    (root / "zero").touch()
    (root / "one").write_bytes(b"1")
    (root / "big").write_bytes(os.urandom(3_000_000))
    sent = poliqi("send", root, "Bovisa", "--sae", saes["leonardo"].toml, "--json")
    assert sent.code == 0, sent.err
    receipt = json.loads(sent.out)
    assert (receipt["files"], receipt["folders"], receipt["size_bytes"]) == (3, 2, 3_000_001)
    assert receipt["simulated"] is True
    assert (receipt["sender"], receipt["receiver"]) == (saes["leonardo"].name, saes["bovisa"].name)
    assert content(arrived(saes) / "results") == content(root)
    listed = poliqi("receive", "--sae", saes["bovisa"].toml, "--json")
    assert [line["name"] for line in listed.lines()].count("results") == 1
    for place, files in (("leonardo", root), ("bovisa", arrived(saes) / "results")):
        checked = poliqi("receive", "--verify", receipt["file"], "--files", files, "--sae", saes[place].toml)
        assert checked.code == 0, checked.err
        assert "all files" in checked.out
        assert "SIMULATED" in checked.out


def test_ctrl_c_and_the_same_command_again(saes: dict[str, LiveSae], tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(1 << 20) * 256)
    sending = start("send", path, "Bovisa", "--sae", saes["leonardo"].toml)
    partial = saes["bovisa"].inbox / ".partial"
    end = time.monotonic() + 60
    while not any(file.stat().st_size > 1 << 22 for file in partial.glob("*/*/tree/big")):
        assert sending.poll() is None and time.monotonic() < end, sending.stderr and sending.stderr.read()
        time.sleep(0.002)
    receiver = saes["bovisa"].process
    assert receiver is not None
    receiver.send_signal(signal.SIGSTOP)  # a fast machine would have sent the rest before it heard the Ctrl-C
    try:
        sending.send_signal(signal.SIGINT)
        _, error = sending.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        sending.kill()
        raise
    finally:
        receiver.send_signal(signal.SIGCONT)
    assert sending.returncode == 130, error
    again = poliqi("send", path, "Bovisa", "--sae", saes["leonardo"].toml, "--json")
    assert again.code == 0, again.err
    assert len(json.loads(again.out)["streams"]) == 2
    assert (arrived(saes) / "big").read_bytes() == path.read_bytes()


def test_the_receiver_is_killed_and_started_again(saes: dict[str, LiveSae], tmp_path: Path) -> None:
    path = tmp_path / "killed"
    path.write_bytes(os.urandom(1 << 20) * 256)
    sending = start("send", path, "Bovisa", "--sae", saes["leonardo"].toml, "--json")
    partial, end = saes["bovisa"].inbox / ".partial", time.monotonic() + 60
    while not any(file.stat().st_size > 1 << 22 for file in partial.glob("*/*/tree/killed")):
        assert sending.poll() is None and time.monotonic() < end
        time.sleep(0.002)
    saes["bovisa"].kill()
    saes["bovisa"].start()
    out, error = sending.communicate(timeout=90)
    assert sending.returncode == 0, error
    keys = [key for stream in json.loads(out)["streams"] for key in stream["key_ids"]]
    assert len(set(keys)) == len(keys) >= 2
    assert (arrived(saes) / "killed").read_bytes() == path.read_bytes()


def test_errors_are_one_line(saes: dict[str, LiveSae], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    for words, expected in (
        ((tmp_path / "a", "Nowhere"), "is no peer"),
        ((tmp_path / "missing", "Bovisa"), "No such file"),
    ):
        failed = poliqi("send", *words, "--sae", saes["leonardo"].toml)
        assert failed.code == 1
        assert expected in failed.err
        assert "Traceback" not in failed.err
