"""Which light an end of a link works with, and the device that stands for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from poliqi.base.ids import Origin
from poliqi.edge.driverfile import LightDriver
from poliqi.edge.framing import FrameStream
from poliqi.link.device import Receiver, Transmitter
from poliqi.node.plantlight import PlantLight
from poliqi.optics.parameters import LinkParameters

__all__ = ["DeviceLight", "LightChoice", "ReplayedLight", "SimulatedLight", "connection"]


@dataclass(frozen=True, slots=True)
class SimulatedLight:
    """Both ends compute the same light from one seed; whoever knows the seed knows the key."""

    seed: int

    @property
    def origin(self) -> Origin:
        return Origin.SIMULATED

    def transmitter(self, link: LinkParameters) -> Transmitter:
        from poliqi.link.simulated import SimulatedTransmitter

        return SimulatedTransmitter(link, self.seed)

    def receiver(self, link: LinkParameters, first_slot: int) -> Receiver:
        """Bob's device; slots below `first_slot` were used by earlier runs of this pairing."""
        from poliqi.link.simulated import SimulatedReceiver

        return SimulatedReceiver(link, self.seed, first_slot)


@dataclass(frozen=True, slots=True)
class ReplayedLight:
    """Both ends read one recording."""

    path: Path

    @property
    def origin(self) -> Origin:
        return Origin.REPLAY

    def transmitter(self, link: LinkParameters) -> Transmitter:  # noqa: ARG002 (the recording knows)
        from poliqi.edge.recordings import open_recording
        from poliqi.link.recording import ReplayTransmitter

        return ReplayTransmitter(open_recording(self.path))

    def receiver(self, link: LinkParameters, first_slot: int) -> Receiver:  # noqa: ARG002 (the recording knows)
        """Bob's device; slots below `first_slot` were used by earlier runs of this pairing."""
        from poliqi.edge.recordings import open_recording
        from poliqi.link.recording import ReplayReceiver

        return ReplayReceiver(open_recording(self.path), first_slot)


@dataclass(frozen=True, slots=True)
class DeviceLight:
    """A driver's light, of the origin that the driver says."""

    driver: LightDriver

    @property
    def origin(self) -> Origin:
        return self.driver.origin

    def transmitter(self, link: LinkParameters) -> Transmitter:
        return self.driver.transmitter(link)

    def receiver(self, link: LinkParameters, first_slot: int) -> Receiver:
        """Bob's device; slots below `first_slot` were used by earlier runs of this pairing."""
        return self.driver.receiver(link, first_slot)


LightChoice = SimulatedLight | ReplayedLight | PlantLight | DeviceLight


def connection(light: LightChoice, stream: FrameStream) -> FrameStream:
    """The connection of the two ends: as it is, but for a demonstration's, on which somebody may stand."""
    return light.meddled(stream) if isinstance(light, PlantLight) else stream
