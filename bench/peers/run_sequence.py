"""Runs in the environment of SeQUeNCe: BB84 with polarisation, one intensity, photon by photon, event by event.

Prints JSON: pulses, wall and CPU seconds, sifted bits. It sends whole key requests, so the number of pulses is that
of the request; no decoy, no finite key. The channel is short and lossy (7 dB) so that little time passes in it.
"""

from __future__ import annotations

import json
import sys
import time

from sequence.components.optical_channel import ClassicalChannel, QuantumChannel
from sequence.kernel.timeline import Timeline
from sequence.qkd.BB84 import pair_bb84_protocols
from sequence.topology.node import QKDNode
from sequence.utils.encoding import polarization

CLOCK_HZ, MEAN_PHOTONS = 1e9, 0.5


class Parent:
    """What receives the keys."""

    def __init__(self) -> None:
        self.keys: list[int] = []

    def pop(self, info: int) -> None:
        self.keys.append(info)


pulses = int(float(sys.argv[1]))
timeline = Timeline(10**12)
timeline.show_progress = False
ends = [QKDNode(name, timeline, encoding=polarization, stack_size=1) for name in ("alice", "bob")]
for seed, node in enumerate(ends):
    node.set_seed(seed)
pair_bb84_protocols(ends[0].protocol_stack[0], ends[1].protocol_stack[0])
for here, there in ((ends[0], ends[1]), (ends[1], ends[0])):
    classical = ClassicalChannel(f"cc {here.name}", timeline, distance=10)
    classical.set_ends(here, there.name)
    quantum = QuantumChannel(f"qc {here.name}", timeline, distance=10, attenuation=0.7, polarization_fidelity=0.99)
    quantum.set_ends(here, there.name)
ends[0].update_lightsource_params("frequency", CLOCK_HZ)
ends[0].update_lightsource_params("mean_photon_num", MEAN_PHOTONS)
for index in (0, 1):
    for name, value in (("efficiency", 0.5), ("dark_count", 100), ("time_resolution", 10), ("count_rate", 5e7)):
        ends[1].update_detector_params(index, name, value)
parent = Parent()
ends[0].protocol_stack[0].upper_protocols.append(parent)
ends[1].protocol_stack[0].upper_protocols.append(parent)
timeline.init()
source = ends[0].components["alice.lightsource"]
emit, emitted = source.emit, []


def counted(states: list[object]) -> None:
    emitted.append(len(states))
    emit(states)


source.emit = counted
# a request of n bits makes it send trains of n / mean photons pulses until the key or the time is full: two of them
key_length = int(pulses / 2 * MEAN_PHOTONS)
ends[0].protocol_stack[0].push(key_length, 1, run_time=0.8 * pulses / CLOCK_HZ * 1e12)
started, spent = time.perf_counter(), time.process_time()
timeline.run()
wall, cpu = time.perf_counter() - started, time.process_time() - spent
sifted = len(ends[1].protocol_stack[0].key_bits or [])
print(json.dumps({"pulses": sum(emitted), "wall_s": wall, "cpu_s": cpu, "sifted": sifted}))
