"""Two ends of a link with the worked driver of a board: the same key, of the origin that the board says."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

import pytest
from e2e.command_line import TINY, finish, poliqi, start
from live_sites import free_ports

from poliqi.edge.keyfile import read_keys
from poliqi.ops.config import load_link

DEVICES = Path(__file__).resolve().parents[2] / "examples/devices"

pytestmark = pytest.mark.slow


def test_two_boards_make_one_key(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("device_emulators", DEVICES / "emulators.py")
    assert spec is not None and spec.loader is not None
    emulators = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(emulators)
    assert poliqi("link", "pair", "new", "--link", "trial", "-o", tmp_path / "pair").code == 0
    for role, more in (("alice", ["--keep"]), ("bob", [])):
        words = ["--role", role, "--state", tmp_path / role, "--simulated", *more]
        assert poliqi("link", "pair", "install", tmp_path / "pair", *words).code == 0
    (port,) = free_ports(1)
    with emulators.Server(emulators.BoardEmulator(load_link(TINY)).answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        (tmp_path / "board.toml").write_text(f'address = "{server.address}"\nemulator = true\n')
        driver = ["--device", DEVICES / "spad_board.py", "--device-options", tmp_path / "board.toml"]

        def command(role: str, way: str) -> list[object]:
            ends = ["--state", tmp_path / role, "--key", tmp_path / f"{role}.keys", way, f"127.0.0.1:{port}"]
            return ["link", "run", TINY, "--role", role, *ends, *driver, "--blocks", "2"]

        try:
            refused = poliqi(*command("bob", "--listen"))
            assert refused.code == 1
            assert "add --allow-simulated" in refused.err
            bob = start(*command("bob", "--listen"), "--allow-simulated")
            alice = start(*command("alice", "--connect"), "--allow-simulated")
            try:
                for end in (finish(alice, 40), finish(bob, 20)):
                    assert end.code == 0, end.err + end.out
            finally:
                for process in (alice, bob):
                    process.kill()
                    process.communicate()
        finally:
            server.shutdown()
            thread.join()
    keys = {role: list(read_keys(tmp_path / f"{role}.keys")[1]) for role in ("alice", "bob")}
    assert [record.key.take() for record in keys["alice"]] == [record.key.take() for record in keys["bob"]]
    assert {record.origin.value for record in keys["alice"]} == {"simulated"}
    assert len(keys["alice"]) == 2
