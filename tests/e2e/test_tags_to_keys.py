"""Bob's tags in a PTU file that ptufile wrote, Alice's states in ours: two link ends make the same key of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from e2e.command_line import TINY, finish, poliqi, start
from e2e.test_link_commands import free_port, keys, pair_by_hand, run_words

from bench import ptu_files
from poliqi.base.ids import Origin
from poliqi.edge.timetags import write_states
from poliqi.link.timetags.states import StateHeader
from poliqi.ops.config import load_link
from poliqi.optics.states import alice_states
from poliqi.optics.tags import TagClock, synthetic_tags

pytestmark = pytest.mark.slow

PULSES = 500_000
SEED = 12
WINDOW = 1 << 15


def write_files(folder: Path) -> list[tuple[int, int]]:
    """Simulated light as a tagger of another clock sees it, 40 us late, 0.8 ppm off and drifting.

    Returns sifted detections and errors, key and test, of the tags that came into the file.
    """
    link = load_link(TINY)
    tags = synthetic_tags(link, SEED, PULSES, clock=TagClock(40e-6, 8e-7, 1e-9))
    data, kept = ptu_files.written_by_ptufile(tags.times_ps, tags.channels, sync_ps=1000, bin_ps=50)
    assert kept.mean() > 0.8  # its writer takes one tag a sync period: of double clicks, one
    (folder / "bob.ptu").write_bytes(data)
    states = alice_states(link.source, SEED, np.arange(PULSES, dtype=np.int64))
    write_states(folder / "alice.states", StateHeader(Origin.SIMULATED, 1e9, 2), [states])
    mine = kept & (tags.click >= 0)
    read, prepared = tags.channels[mine], states[tags.clicks.slots[tags.click[mine]]]
    sifted = [(prepared >> 1 & 1 == basis) & (read >> 1 == basis) for basis in (0, 1)]
    return [(int(some.sum()), int(((read ^ prepared)[some] & 1).sum())) for some in sifted]


def test_tags_become_the_same_key_at_two_ends(tmp_path: Path) -> None:
    truth = write_files(tmp_path)
    answer = poliqi(
        "link", "open", tmp_path / "bob.ptu", "--alice", tmp_path / "alice.states", "--link", TINY,
        "--window", WINDOW, "--to", tmp_path / "light.events", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["sync"]["clock_error"] == pytest.approx(8e-7, abs=2e-8)
    assert told["sync"]["start_s"] == pytest.approx(40e-6 - 0.5e-9, abs=60e-12)  # half a slot before its light
    for name, (sifted, errors) in zip(("key", "test"), truth, strict=True):
        found = told["qber"][name]
        assert found["sifted"] == pytest.approx(sifted, rel=2e-3)
        assert found["qber"] == pytest.approx(errors / sifted, abs=1e-3)

    pair_by_hand(tmp_path, 256, "--simulated")
    port = free_port()
    running = {}
    for role, meeting in (("bob", "--listen"), ("alice", "--connect")):
        words = run_words(tmp_path, role, meeting, f"127.0.0.1:{port}", "--replay", tmp_path / "light.events")
        running[role] = start(*words, "--allow-simulated", "--blocks", 1, "--json")
    answers = {role: finish(process) for role, process in running.items()}
    assert [answer.code for answer in answers.values()] == [0, 0], answers
    made = keys(tmp_path, "alice")
    assert len(made) == 1
    assert made == keys(tmp_path, "bob")
