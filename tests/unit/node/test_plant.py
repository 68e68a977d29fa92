"""The simulated fibre plant: its file, and light that is bent by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.link.device import Watched
from poliqi.link.health import SelfMeasuring
from poliqi.link.simulated import SimulatedReceiver
from poliqi.node.light import PlantLight
from poliqi.node.plant import FibrePlant, SpanState, read_plant, steer, write_plant
from poliqi.node.plantlight import PlantReceiver, bent
from poliqi.ops.config import default_link
from poliqi.optics.parameters import AttackKind

LINK = default_link()
QUICK = replace(LINK, source=replace(LINK.source, clock_hz=1e9))


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    path = tmp_path / "plant.json"
    write_plant(path, {"a-b": SpanState(), "b-c": SpanState()})
    return path


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_steered_is_read(plant: Path) -> None:
    cut = SpanState(cut=True)
    assert steer(plant, "a-b", cut) == SpanState()
    assert steer(plant, "b-c", SpanState(eve="intercept=0.3", extra_loss_db=2.0)) == SpanState()
    assert read_plant(plant) == {"a-b": cut, "b-c": SpanState(eve="intercept=0.3", extra_loss_db=2.0)}
    assert steer(plant, "a-b", SpanState()) == cut


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "plant.json"),
        ('{"spans": {"a-b": {"cutt": true}}}', "cutt"),
        ('{"spans": {"../x": {}}}', "regex"),
        ('{"spans": {"a-b": {"extra_loss_db": 61}}}', "60"),
        ('{"spans": {"a-b": {"eve": "dazzling"}}}', "is not an attack"),
        (" " * (1 << 18) + "{}", "larger than"),
    ],
)
def test_a_file_that_is_none_is_refused(plant: Path, text: str, reason: str) -> None:
    plant.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=reason):
        read_plant(plant)


def test_what_cannot_be_is_refused(plant: Path) -> None:
    with pytest.raises(ConfigError, match="there is none of this name; a-b, b-c"):
        steer(plant, "c-d", SpanState(cut=True))
    with pytest.raises(ConfigError, match="is not an attack"):
        steer(plant, "a-b", SpanState(eve="hope"))
    plant.parent.chmod(0o777)
    with pytest.raises(ConfigError, match="others can write"):
        steer(plant, "a-b", SpanState(cut=True))
    plant.parent.chmod(0o700)


def test_light_over_two_spans_meets_what_happens_to_both(plant: Path) -> None:
    steer(plant, "a-b", SpanState(extra_loss_db=1.5, noise_hz=10.0))
    steer(plant, "b-c", SpanState(extra_loss_db=2.0, eve="pns"))
    assert FibrePlant(plant).look(("a-b", "b-c")) == SpanState(eve="pns", extra_loss_db=3.5, noise_hz=10.0)
    assert FibrePlant(plant).look(("b-c",)).extra_loss_db == 2.0
    assert FibrePlant(plant).look(("nowhere",)) == SpanState()


def test_a_file_that_breaks_changes_nothing(plant: Path) -> None:
    steer(plant, "a-b", SpanState(cut=True))
    fibres = FibrePlant(plant)
    assert fibres.look(("a-b",)).cut
    plant.write_text("{", encoding="utf-8")
    time.sleep(0.15)
    assert fibres.look(("a-b",)).cut
    plant.unlink()
    time.sleep(0.15)
    assert fibres.look(("a-b",)).cut


# ---------------------------------------------------------------- light


def receiver(plant: Path, link: object = QUICK, first_slot: int = 0) -> PlantReceiver:
    made = PlantLight(5, plant, ("a-b",)).receiver(QUICK, first_slot)
    assert isinstance(made, PlantReceiver) and isinstance(made, Watched)
    return made


def test_undisturbed_light_is_that_of_the_seed(plant: Path) -> None:
    seen, plain = receiver(plant, first_slot=17), SimulatedReceiver(QUICK, 5, 17)
    for pulses in (250_000, 1):
        a, b = seen.detect(pulses), plain.detect(pulses)
        assert (a.first_slot, a.pulses) == (b.first_slot, b.pulses)
        assert np.array_equal(a.slots, b.slots) and np.array_equal(a.outcomes, b.outcomes)


def test_light_takes_as_long_as_it_takes(plant: Path) -> None:
    slow = replace(LINK, source=replace(LINK.source, clock_hz=1e6))
    made = PlantLight(5, plant, ("a-b",)).receiver(slow, 0)
    began = time.monotonic()
    made.detect(300_000)
    assert time.monotonic() - began >= 0.29


def test_a_cut_is_seen_at_both_ends_and_light_goes_on_where_it_stood(plant: Path) -> None:
    light = PlantLight(5, plant, ("a-b",))
    bob, alice = receiver(plant), light.transmitter(QUICK)
    assert isinstance(alice, Watched)
    steer(plant, "a-b", SpanState(cut=True))
    eventually(lambda: bob.condition.dark and alice.condition.dark)
    assert "SIMULATED" in bob.condition.dark
    seen: list[np.ndarray] = []
    waiting = threading.Thread(target=lambda: seen.append(bob.detect(200_000).slots))
    waiting.start()
    waiting.join(0.3)
    assert not seen, "no light, no detections"
    steer(plant, "a-b", SpanState())
    waiting.join(10)
    assert np.array_equal(seen[0], SimulatedReceiver(QUICK, 5).detect(200_000).slots)
    assert (bob.condition.dark, bob.condition.changes) == ("", 2)


def test_a_device_that_is_closed_waits_no_longer(plant: Path) -> None:
    steer(plant, "a-b", SpanState(cut=True))
    bob = receiver(plant)
    failed: list[Exception] = []

    def detect() -> None:
        try:
            bob.detect(1000)
        except DataRefused as error:
            failed.append(error)

    waiting = threading.Thread(target=detect)
    waiting.start()
    bob.close()
    waiting.join(10)
    assert "closed" in str(failed[0])


def test_somebody_who_listens_shows_from_the_next_light_on(plant: Path) -> None:
    # both ends' bits of one basis differ in f/2 of the attacked pulses: with f = 1 a quarter of all
    light = PlantLight(5, plant, ("a-b",))
    bob, alice = light.receiver(QUICK, 0), light.transmitter(QUICK)

    def error_rate() -> float:
        seen = bob.detect(2_000_000)
        states = alice.states(seen.slots)
        same = (states >> 1 & 1) == (seen.outcomes >> 1 & 1)
        return float(np.mean((states & 1)[same] != (seen.outcomes & 1)[same]))

    honest = error_rate()
    steer(plant, "a-b", SpanState(eve="intercept=1"))
    time.sleep(0.15)
    assert honest < 0.02
    assert error_rate() == pytest.approx(0.25, abs=0.02)


def test_what_happens_to_a_fibre_stands_in_its_parameters() -> None:
    worse = bent(LINK, SpanState(extra_loss_db=2.0, noise_hz=50.0, eve="pns"))
    assert worse.fibre.connectors_db == pytest.approx(LINK.fibre.connectors_db + 2.0)
    assert worse.detector.dark_rate_hz == pytest.approx(LINK.detector.dark_rate_hz + 50.0)
    assert worse.attack.kind is AttackKind.PHOTON_NUMBER_SPLITTING
    assert bent(LINK, SpanState()) == LINK


# ---------------------------------------------------------------- what the devices say of themselves


def test_devices_over_a_plant_measure_what_somebody_does(plant: Path) -> None:
    light = PlantLight(5, plant, ("a-b",))
    bob, alice = light.receiver(QUICK, 0), light.transmitter(QUICK)
    assert isinstance(bob, SelfMeasuring) and isinstance(alice, SelfMeasuring)
    steer(plant, "a-b", SpanState(eve="blinding"))
    time.sleep(0.15)
    bob.detect(1_000_000)
    health = bob.health()
    assert health.doubles == 0
    assert (health.photocurrent_a or 0.0) > 0.9 * QUICK.instruments.blinded_current_a
    steer(plant, "a-b", SpanState(eve="trojan=1e-6"))
    time.sleep(0.15)
    alice.states(np.array([1_000_000], np.int64))
    # 1e-6 photons a pulse at 1 GHz behind 120 dB: 1e15 photons a second
    assert alice.health().back_light_w == pytest.approx(1.28e-4, rel=0.05)


def test_meddling_with_messages_is_steered_by_span(plant: Path) -> None:
    steer(plant, "a-b", SpanState(tamper=True))
    steer(plant, "b-c", SpanState(replay=True))
    state = FibrePlant(plant).look(("a-b", "b-c"))
    assert (state.tamper, state.replay) == (True, True)
    assert bent(LINK, state) == LINK
