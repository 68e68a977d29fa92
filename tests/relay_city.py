"""Sites that relay: orders, pads from a counter, and a walk of one share along its path."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from poliqi.base.ids import KmeId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.relay import add_hop, check_parcel, forward, open_parcel, pad_bytes, send_share
from poliqi.keys.relay_messages import (
    VERSION,
    HopGrade,
    PadRange,
    RelayOrder,
    RelayParcel,
    Scheme,
    decode_relay,
    encode_relay,
)

__all__ = ["FixedEntropy", "Walk", "block_of", "hop_key", "make_order", "pads_for", "photons", "stretch"]


class FixedEntropy:
    """Gives out what a test chose, in order."""

    source = "chosen by a test"

    def __init__(self, *draws: bytes) -> None:
        self.draws = list(draws)

    def draw(self, count: int) -> bytes:
        data = self.draws.pop(0)
        assert len(data) == count
        return data


def stretch(label: str, size: int) -> bytes:
    """Bytes that look random, from a label."""
    return hashlib.shake_128(label.encode()).digest(size)


def block_of(label: str) -> bytes:
    return stretch(label, 16)


def photons(epsilon: float | None = 1e-10, origin: KeyOrigin = KeyOrigin.PHOTONS, proof: str = "proof") -> Grade:
    """The grade of a pad from a fibre."""
    return Grade(origin, proof, epsilon, ((KmeId("one end"), KmeId("other end")),))


def make_order(
    *paths: str, scheme: Scheme = Scheme.SINGLE, threshold: int = 1, size: int = 1024, name: str = "block"
) -> RelayOrder:
    """Paths are written as letters, one a site: "ACB"."""
    chains = tuple(tuple(path) for path in paths)
    ends = chains[0][0], chains[0][-1]
    return RelayOrder(VERSION, block_of(name), "A~B", *ends, scheme, threshold, chains, size)


def pads_for(order: RelayOrder, label: str, size: int | None = None) -> tuple[PadRange, ...]:
    """Two ranges of one segment."""
    size = pad_bytes(order) if size is None else size
    first = size // 3
    return PadRange(block_of(label), 0, 32, first), PadRange(block_of(label), 1, 32, size - first)


def hop_key(order: RelayOrder, share: int, hop: int) -> SecretBytes:
    """What both ends of a hop take out of their pool for one share."""
    return SecretBytes(stretch(f"{order.block.hex()} {share} {hop}", pad_bytes(order)))


class Walk:
    """One share from end to end. `seen` is what each site on the path held in its hands, by its name."""

    def __init__(self, order: RelayOrder, share: int, grades: list[Grade] | None = None) -> None:
        self.order, self.share = order, share
        self.path = [KmeId(site) for site in order.paths[share - 1]]
        self.grades = grades or [photons()] * (len(self.path) - 1)
        self.seen: dict[str, bytes] = {}
        self.parcels: list[RelayParcel] = []

    def go(
        self, value: SecretBytes, meddle: Callable[[str, bytes], bytes] = lambda _site, data: data
    ) -> tuple[SecretBytes, HopGrade]:
        """The share and the grade of its way as the destination has them; `meddle` is a relay that lies."""
        order, share = self.order, self.share
        onward = send_share(order, share, value, pads_for(order, "hop 1"), hop_key(order, share, 1))
        for hop in range(1, len(self.path)):
            here, sender = self.path[hop], self.path[hop - 1]
            assert onward.site == here
            parcel = decode_relay(encode_relay(onward.parcel))
            assert isinstance(parcel, RelayParcel)
            self.parcels.append(parcel)
            check_parcel(parcel, here, sender, lambda _order: True)
            value = open_parcel(parcel, hop_key(order, share, hop))
            self.seen[here] = bytes(value.view())
            if hop == len(self.path) - 1:
                return value, add_hop(parcel.behind, self.grades[hop - 1])
            sent = SecretBytes(meddle(here, value.take()))
            next_key = hop_key(order, share, hop + 1)
            onward = forward(parcel, sent, self.grades[hop - 1], pads_for(order, f"hop {hop + 1}"), next_key)
        raise AssertionError("a path has a hop at least")
