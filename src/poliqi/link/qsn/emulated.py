"""One end of an emulated QSN-d-1, put together: its light, its key-making, its store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.base.secret import Entropy
from poliqi.link.qsn.alice import Alice
from poliqi.link.qsn.attributes import Attributes
from poliqi.link.qsn.bob import Bob
from poliqi.link.qsn.device import Device
from poliqi.link.qsn.light import LightSettings, SimulatedLight
from poliqi.link.qsn.store import KeyStore

__all__ = ["Emulated", "Role", "emulated"]


class Role(StrEnum):
    """Which of the two ends."""

    ALICE = "alice"
    BOB = "bob"


@dataclass(frozen=True, slots=True)
class Emulated:
    """`seed` and `light.batch` have to be the same at both ends; `pause_s` is Alice's, between keys.

    `keeps_delivered`: a key that was given out stays in the store. `wrong_check`: Bob's CRC is off by one.
    """

    seed: int
    light: LightSettings = field(default_factory=LightSettings)
    samples: int = 2_048
    ttl_s: int = 3_600
    pause_s: float = 1.0
    keeps_delivered: bool = False
    wrong_check: bool = False


def emulated(role: Role, chosen: Emulated, entropy: Entropy, epoch_ms: float) -> Device:
    """That end. `epoch_ms` is the wall clock's, in milliseconds since 1970, when the caller's own stood at zero.

    Raises ConfigError where a figure is out of range.
    """
    light, attributes = SimulatedLight(chosen.seed), Attributes()
    for name, value in (
        ("samples", chosen.samples),
        ("ttl", chosen.ttl_s),
        ("channel_att", round(chosen.light.attenuation_db)),
    ):
        if attributes.set(name, str(value)) is None:
            raise ConfigError(f"{name}: {value} is not allowed; samples is a power of two from 256 to 32768")
    match role:
        case Role.ALICE:
            maker = Alice(light, chosen.light.batch, entropy, chosen.pause_s)
        case Role.BOB:
            maker = Bob(
                light,
                lambda: replace(chosen.light, attenuation_db=float(attributes.channel_att_db)),
                lambda: attributes.samples,
                np.random.default_rng(chosen.seed),
                wrong_check=int(chosen.wrong_check),
            )
        case _:
            assert_never(role)
    return Device(maker, KeyStore(keeps=chosen.keeps_delivered), attributes, epoch_ms)
