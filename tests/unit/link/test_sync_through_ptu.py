"""Tags of the detector model, in PTU files that ptufile wrote and our reader read: each is found its slots.

Alice's slot 0 begins anywhere within 10 ms of where Bob expects it; his clock is off by up to 1 ppm, drifts by up
to 1e-7 a second and wanders by up to a nanosecond. Each file holds a third of a millisecond of bright light.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tag_world import FixedEntropy

from bench import ptu_files
from poliqi.edge.ptu import PtuTags
from poliqi.link.sync.gates import Filters
from poliqi.link.sync.ingest import Ingest
from poliqi.link.sync.recover import SyncSettings, recover
from poliqi.link.timetags.simulated import tagging_of
from poliqi.link.timetags.tags import Tags
from poliqi.optics.parameters import Detector, DetectorKind, Fibre, FrontEnd, LinkParameters, Receiver, Source
from poliqi.optics.states import alice_states
from poliqi.optics.tags import TagClock, slot_time_ps, synthetic_tags

PULSES = 300_000
WINDOW = 1 << 17
LATE_S = 0.01
BIN_PS = 50
FEW = 20
LINK = LinkParameters(
    name="bright",
    source=Source(1e9, (0.5, 0.15), (0.7, 0.3), 0.9, pulse_fwhm_s=30e-12),
    fibre=Fibre(1e3, 0.2),
    receiver=Receiver(0.01, 0.02, FrontEnd.POLARISATION),
    detector=Detector(DetectorKind.SNSPD, 0.5, dark_rate_hz=2000.0, dead_time_s=10e-9, jitter_fwhm_s=50e-12),
)


def read_back(path: Path) -> Tags:
    source = PtuTags(path, tagging_of(LINK))
    parts: list[Tags] = []
    while (tags := source.read()) is not None:
        parts.append(tags)
    source.close()
    return Tags(np.concatenate([t.times_ps for t in parts]), np.concatenate([t.channels for t in parts]))


def sigmas_of(path: Path, seed: int) -> float:
    """By how many standard deviations the sifted errors differ from the truth, once the slots are right."""
    draw = np.random.default_rng(seed)
    clock = TagClock(
        offset_s=float(draw.uniform(0.0, 2e-5)),
        frequency_error=float(draw.uniform(-1e-6, 1e-6)),
        drift_per_s=float(draw.uniform(-1e-7, 1e-7)),
        wander_s=float(draw.uniform(0.0, 1e-9)),
        wander_period_s=float(draw.uniform(1.0, 10.0)),
    )
    stream = synthetic_tags(LINK, seed, PULSES, clock=clock)
    data, kept = ptu_files.written_by_ptufile(stream.times_ps, stream.channels, sync_ps=1000, bin_ps=BIN_PS)
    path.write_bytes(data)
    expected_s = clock.offset_s + float(draw.uniform(-LATE_S, LATE_S))
    settings = SyncSettings(start_ps=round(expected_s * 1e12), uncertainty_s=LATE_S, filters=Filters(dead_s=10e-9))
    states = alice_states(LINK.source, seed, np.arange(PULSES, dtype=np.int64))
    found = recover(read_back(path), tagging_of(LINK), states[:WINDOW], settings)
    for slot in range(WINDOW, PULSES, PULSES // 7):
        at, part = found.line.at(round(slot_time_ps(LINK, clock, slot)))
        assert at == slot
        assert abs(part - 0.5) < 0.06  # bins of 50 ps, rounded down: .025 of a slot
    ingest = Ingest(tagging_of(LINK), settings.filters, FixedEntropy())
    first, last = ingest.take(found.times_ps, found.codes, found.line), ingest.finish()
    slots = np.concatenate([first.slots, last.slots])
    outcomes = np.concatenate([first.outcomes, last.outcomes])
    inside = (slots >= 0) & (slots < PULSES)
    slots, outcomes = slots[inside], outcomes[inside]
    mine = kept & (stream.click >= 0)
    true_states, true_outcomes = states[stream.clicks.slots[stream.click[mine]]], stream.channels[mine]
    assert slots.size > 0.75 * true_outcomes.size  # the dead time after tags that do not count takes the rest
    seen = (states[slots] ^ outcomes) >> 1 & 1 == 0
    true = (true_states ^ true_outcomes) >> 1 & 1 == 0
    wrong, total = int(((states[slots] ^ outcomes)[seen] & 1).sum()), int(seen.sum())
    rate = float(((true_states ^ true_outcomes)[true] & 1).mean())
    return abs(wrong - rate * total) / math.sqrt(rate * (1 - rate) * total)


@pytest.mark.parametrize("seed", range(FEW))
def test_slots_and_errors_come_back_through_a_ptu_file(tmp_path: Path, seed: int) -> None:
    assert sigmas_of(tmp_path / "bob.ptu", seed) < 4.0


@pytest.mark.soak
def test_slots_and_errors_come_back_through_a_hundred_ptu_files(tmp_path: Path) -> None:
    worst = [sigmas_of(tmp_path / "bob.ptu", seed) for seed in range(100)]
    print(f"{len(worst)} of 100 found, worst |z| of the sifted error rate {max(worst):.2f}")
    assert max(worst) < 4.0
