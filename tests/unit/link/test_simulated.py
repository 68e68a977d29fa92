from dataclasses import replace

import numpy as np
import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.base.ids import Origin
from poliqi.edge.recordings import open_recording, write_recording
from poliqi.link.device import MAX_SLOT, check_detections
from poliqi.link.recording import ReplayReceiver, ReplayTransmitter
from poliqi.link.simulated import SimulatedReceiver, SimulatedTransmitter, record, simulated_light
from poliqi.optics.attack import parse_attack
from poliqi.optics.parameters import (
    Attack,
    AttackKind,
    Detector,
    DetectorKind,
    Fibre,
    LinkParameters,
    Receiver,
    Source,
)

PULSES = 300_000
LINK = LinkParameters(
    name="bench",
    source=Source(clock_hz=1e9, intensities=(0.5, 0.1), probabilities=(0.7, 0.3), key_basis=0.9),
    fibre=Fibre(length_m=10e3),
    receiver=Receiver(error_key=0.01, error_test=0.02),
    detector=Detector(kind=DetectorKind.SNSPD, efficiency=0.8, dark_rate_hz=100.0, dead_time_s=20e-9),
)
PERFECT = replace(
    LINK,
    fibre=Fibre(length_m=0.0),
    receiver=Receiver(error_key=0.0, error_test=0.0),
    detector=Detector(kind=DetectorKind.SNSPD, efficiency=1.0),
)
GATED = replace(
    LINK,
    source=replace(LINK.source, intensities=(0.5, 0.1, 0.0), probabilities=(0.6, 0.3, 0.1)),
    detector=Detector(
        kind=DetectorKind.GATED_APD,
        efficiency=0.2,
        dark_per_gate=1e-4,
        dead_time_s=30e-9,
        afterpulse=0.05,
        afterpulse_time_s=50e-9,
    ),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made.poliqi-events"


def test_simulated_light_says_what_it_is():
    assert SimulatedTransmitter(LINK, 1).origin is Origin.SIMULATED
    assert SimulatedReceiver(LINK, 1).origin is Origin.SIMULATED
    light = simulated_light(LINK, 1)
    assert light.origin is Origin.SIMULATED
    assert (light.link.seed, light.link.eve) == (1, None)


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (parse_attack("intercept=0.2"), "intercept=0.2"),
        (parse_attack("intercept-key=0.2"), "intercept-key=0.2"),
        (parse_attack("pns"), "pns"),
        (Attack(AttackKind.PHOTON_NUMBER_SPLITTING, fraction=0.5), "pns=0.5"),
        (Attack(AttackKind.INTERCEPT_RESEND, fraction=0.5, key_basis=0.7), "intercept=0.5, key basis 0.7"),
    ],
    ids=str,
)
def test_an_attack_on_the_light_is_named(attack, named):
    assert simulated_light(replace(LINK, attack=attack), 1).link.eve == named


@pytest.mark.parametrize("link", [LINK, GATED], ids=["free running", "gated with afterpulses"])
def test_a_recording_replays_the_simulated_devices_bit_for_bit(path, link):
    write_recording(path, simulated_light(link, 42), record(link, 42, PULSES))
    recording = open_recording(path)
    simulated, replayed = SimulatedReceiver(link, 42), ReplayReceiver(recording)
    alice, alice_replayed = SimulatedTransmitter(link, 42), ReplayTransmitter(recording)
    for pulses in (1, PULSES // 3, PULSES // 2, PULSES - 1 - PULSES // 3 - PULSES // 2):
        wanted, got = simulated.detect(pulses), replayed.detect(pulses)
        check_detections(wanted)
        assert (got.first_slot, got.pulses) == (wanted.first_slot, wanted.pulses)
        assert np.array_equal(got.slots, wanted.slots)
        assert np.array_equal(got.outcomes, wanted.outcomes)
        assert np.array_equal(alice_replayed.states(got.slots), alice.states(wanted.slots))
    assert replayed.pulses_left == 0
    assert recording.slots.size > 1000


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    files = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / name
        write_recording(path, simulated_light(LINK, seed), record(LINK, seed, PULSES))
        files.append(path.read_bytes())
    assert files[0] == files[1]
    assert files[0][256:] != files[2][256:]


def test_a_recording_made_in_other_stretches_is_the_same(tmp_path):
    def in_stretches(step):
        transmitter, receiver = SimulatedTransmitter(LINK, 3), SimulatedReceiver(LINK, 3)
        for start in range(0, PULSES, step):
            detections = receiver.detect(min(step, PULSES - start))
            yield detections, transmitter.states(detections.slots)

    light = simulated_light(LINK, 3)
    write_recording(tmp_path / "a", light, record(LINK, 3, PULSES))
    write_recording(tmp_path / "b", light, in_stretches(7_919))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def errors(link, pulses=PULSES):
    """Share of unequal bits where the bases agree, by basis, from the columns alone."""
    slots = SimulatedReceiver(link, 9).detect(pulses)
    states = SimulatedTransmitter(link, 9).states(slots.slots)
    same = (states >> 1 & 1) == slots.outcomes >> 1
    wrong = (states ^ slots.outcomes) & 1
    return [float(wrong[same & (states >> 1 & 1 == basis)].mean()) for basis in (0, 1)]


def test_without_noise_both_ends_agree_on_every_matching_slot():
    assert errors(PERFECT) == [0.0, 0.0]


def test_an_eve_who_measures_everything_leaves_a_quarter_of_errors():
    attacked = replace(PERFECT, attack=parse_attack("intercept=1.0"))
    key, test = errors(attacked)
    # binomial, about 100000 and 1000 matching slots: five standard deviations
    assert abs(key - 0.25) < 0.01
    assert abs(test - 0.25) < 0.07


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_a_seed_out_of_range_is_refused(seed):
    for make in (SimulatedTransmitter, SimulatedReceiver, simulated_light):
        with pytest.raises(ConfigError, match="seed"):
            make(LINK, seed)


@pytest.mark.parametrize("slots", [[-1], [3, MAX_SLOT]])
def test_states_of_impossible_slots_are_refused(slots):
    with pytest.raises(DataRefused, match="must be 0 to"):
        SimulatedTransmitter(LINK, 1).states(np.array(slots, np.int64))


@pytest.mark.parametrize("pulses", [0, -5, MAX_SLOT + 1])
def test_an_impossible_number_of_pulses_is_refused(pulses):
    with pytest.raises(DataRefused, match="pulses asked"):
        SimulatedReceiver(LINK, 1).detect(pulses)


def test_asking_for_no_states_gives_none():
    assert SimulatedTransmitter(LINK, 1).states(np.zeros(0, np.int64)).size == 0
