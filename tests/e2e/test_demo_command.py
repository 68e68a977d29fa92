"""`poliqi link demo` as a newcomer runs it: two processes, one key; with Eve, no key; nothing left behind."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from e2e.command_line import TINY, Answer, finish, poliqi, start

from poliqi.edge.keyfile import read_keys

pytestmark = pytest.mark.slow


def summary(answer: Answer) -> dict[str, object]:
    assert answer.code == 0, answer.err
    return answer.lines()[-1]


def test_two_blocks_become_one_key_without_a_home(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    answer = poliqi(
        "link", "demo", "--link", TINY, "--blocks", 2, "--seed", 1, "--keep", kept, "--json", home=False
    )
    told = summary(answer)
    assert (told["blocks"], told["equal"], told["light"], told["epsilon"]) == (2, True, "simulated light", None)
    keys = [[record.key.take() for record in read_keys(kept / f"{end}.keys")[1]] for end in ("alice", "bob")]
    assert keys[0] == keys[1]
    assert 8 * sum(map(len, keys[0])) == told["net_bits"] > 0


def test_people_read_of_simulated_light_on_every_line_of_a_block() -> None:
    answer = poliqi("link", "demo", "--link", TINY, "--blocks", 1, "--seed", 1)
    assert answer.code == 0, answer.err
    [block] = [line for line in answer.out.splitlines() if " block 1 " in line]
    for word in ("QBER", "f ", "leak", "secret", "epsilon if it were real", "simulated light"):
        assert word in block
    assert "equal" in answer.out


def test_intercept_resend_raises_the_error_rate_and_leaves_no_key() -> None:
    answer = poliqi("link", "demo", "--link", TINY, "--blocks", 1, "--seed", 1, "--eve", "intercept=0.2", "--json")
    [block] = [line for line in answer.lines() if line["event"] == "block" and line["role"] == "bob"]
    # e + f/4 (1 - 2e) with e = .005, f = .2; the test basis has some 30000 bits: one sigma is .0013
    assert block["qber_test"] == pytest.approx(0.0545, abs=0.006)
    assert (block["gross_bits"], summary(answer)["net_bits"]) == (0, 0)
    assert block["reason"]


def test_photon_number_splitting_leaves_the_error_rate_and_no_key() -> None:
    answer = poliqi("link", "demo", "--blocks", 1, "--seed", 1, "--sifted-key", 500_000, "--eve", "pns")
    assert answer.code == 0, answer.err
    assert "NO KEY" in answer.out
    assert "no key is the RIGHT answer" in answer.out


def test_a_key_that_the_proof_does_not_pay_for_is_called_not_secure() -> None:
    answer = poliqi("link", "demo", "--link", TINY, "--blocks", 1, "--seed", 1, "--eve", "trojan=1e-6")
    assert answer.code == 0, answer.err
    assert "secret bits gross" in answer.out
    assert answer.out.splitlines()[-1].startswith("NOT SECURE")


def test_interrupt_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    demo = start("link", "demo", "--link", TINY, "--blocks", 100_000, "--keep", kept, "--json")
    assert demo.stdout is not None
    for line in demo.stdout:
        if '"block"' in line:
            break
    children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text(encoding="utf-8").split()
    assert len(children) == 2
    demo.send_signal(signal.SIGINT)
    answer = finish(demo, 30)
    assert answer.code == 130
    time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_reader_that_goes_away_leaves_no_process() -> None:
    demo = start("link", "demo", "--link", TINY, "--blocks", 100_000, "--json")
    assert demo.stdout is not None
    next(line for line in demo.stdout if '"block"' in line)
    children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text(encoding="utf-8").split()
    demo.stdout.close()
    assert demo.wait(30) == 1
    assert demo.stderr is not None
    with demo.stderr as complaints:
        assert "Traceback" not in complaints.read()
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_link_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    answer = poliqi("link", "demo", "--link", tmp_path / "absent.toml")
    assert answer.code == 1
    assert "absent.toml" in answer.err
    assert "Traceback" not in answer.err


def test_unknown_attack_is_refused_before_anything_starts() -> None:
    answer = poliqi("link", "demo", "--eve", "dazzling")
    assert (answer.code, answer.out) == (1, "")
    assert "intercept=FRACTION" in answer.err
