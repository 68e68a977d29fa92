"""Links of entangled pairs for tests."""

from __future__ import annotations

from typing import Any

from optical_links import make_link

from poliqi.optics.parameters import (
    Block,
    Detector,
    DetectorKind,
    Fibre,
    LinkParameters,
    Pairs,
    Receiver,
    Source,
)
from poliqi.proof import ProofName

PAIRED = LinkParameters(
    name="pairs",
    source=Source(1e9, (0.05,), (1.0,), 0.7),
    fibre=Fibre(10e3, 0.2),
    receiver=Receiver(0.01, 0.02),
    detector=Detector(DetectorKind.SNSPD, 0.7, dark_rate_hz=1e3),
    block=Block(sifted_key=100_000, proof=ProofName.BBM92, epsilon_sec=1e-9),
    pairs=Pairs(visibility_key=0.98, visibility_test=0.97),
)


def pair_link(**changes: Any) -> LinkParameters:
    """`PAIRED` with changes written as `detector__efficiency=0.2`."""
    return make_link(PAIRED, **changes)
