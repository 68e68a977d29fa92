"""Trusted-node relay: what the origin, each relay and the destination do with one share on one path.

Pure functions: whoever calls them takes key out of pools, once, and carries messages. The rules of the way are
checked at every site; what the ends forbid ("never through X", one relay on two paths) the ends check themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import msgspec

from poliqi.base.errors import DataRefused, ProtocolError
from poliqi.base.ids import KmeId
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.keys.grade import Grade, weakest
from poliqi.keys.onetime import MAC_KEY_BYTES, open_sealed, seal
from poliqi.keys.relay_messages import (
    HopGrade,
    PadRange,
    RelayOrder,
    RelayParcel,
    Scheme,
    bound_context,
    hop_grade,
    path_of,
    total_bytes,
)
from poliqi.keys.shares import split_shamir, split_xor

__all__ = [
    "Onward",
    "add_hop",
    "block_grade",
    "check_order",
    "check_parcel",
    "forward",
    "joint_grade",
    "open_parcel",
    "pad_bytes",
    "plan_shares",
    "send_share",
]

_NOBODY: Final[frozenset[KmeId]] = frozenset()


class Onward(NamedTuple):
    """A parcel and the site that it goes to."""

    site: KmeId
    parcel: RelayParcel


def pad_bytes(order: RelayOrder) -> int:
    """Key that one hop of one path costs: a tag's key and a pad."""
    return MAC_KEY_BYTES + order.size


def check_order(order: RelayOrder, forbidden: frozenset[KmeId] = _NOBODY) -> None:
    """What both ends ask of an order. Raises DataRefused with the rule that it breaks."""
    name, paths, count = order.block.hex(), order.paths, len(order.paths)
    if order.origin == order.destination:
        raise DataRefused(f"relay order {name} begins and ends at {order.origin}: name two sites")
    if any((path[0], path[-1]) != (order.origin, order.destination) for path in paths):
        raise DataRefused(f"a path of relay order {name} does not lead from {order.origin} to {order.destination}")
    if any(len(set(path)) < len(path) for path in paths):
        raise DataRefused(f"a path of relay order {name} meets a site twice: leave out the loop")
    relays = [site for path in paths for site in path[1:-1]]
    if len(set(relays)) < len(relays) or len(set(paths)) < count:
        raise DataRefused(f"paths of relay order {name} share a site: they must be disjoint between their ends")
    refused = forbidden.intersection(KmeId(site) for site in relays)
    if refused:
        raise DataRefused(f"relay order {name} leads through {', '.join(sorted(refused))}, which is forbidden here")
    allowed = {
        Scheme.SINGLE: count == 1 == order.threshold,
        Scheme.XOR: count >= 2 and order.threshold == count,
        Scheme.SHAMIR: order.threshold >= 2 and order.threshold <= count < 2 * order.threshold,
    }
    if not allowed[order.scheme]:
        message = f"relay order {name}: scheme {order.scheme} does not fit {order.threshold} of {count} paths"
        raise DataRefused(f"{message} (single: 1 of 1; xor: all of 2 or more; shamir: more than half)")


def plan_shares(order: RelayOrder, secret: SecretBytes, entropy: Entropy) -> list[SecretBytes]:
    """One share for each path. Raises DataRefused as `check_order`, ValueError for a secret of another size."""
    check_order(order)
    if len(secret) != order.size:
        raise ValueError(f"relay order {order.block.hex()} is for {order.size} bytes, the secret has {len(secret)}")
    data = bytes(secret.view())
    match order.scheme:
        case Scheme.SINGLE:
            shares = [data]
        case Scheme.XOR:
            shares = split_xor(data, len(order.paths), entropy)
        case Scheme.SHAMIR:
            shares = split_shamir(data, order.threshold, len(order.paths), entropy)
    return [SecretBytes(share) for share in shares]


def send_share(
    order: RelayOrder, share: int, value: SecretBytes, pads: tuple[PadRange, ...], key: SecretBytes
) -> Onward:
    """The origin's parcel of share number `share`; `key` are the bytes of `pads`, and is wiped."""
    return _wrap(RelayParcel(order, share, 1, pads, None, b"", b""), value, key)


def check_parcel(parcel: RelayParcel, here: KmeId, sender: KmeId, permits: Callable[[RelayOrder], bool]) -> None:
    """Before any key is spent on a parcel: it is on its way, this is the next site, and may carry it.

    Raises ProtocolError for a parcel that does not belong here, DataRefused where this site's own rules say no.
    """
    order, path = parcel.order, path_of(parcel.order, parcel.share)
    name = f"share {parcel.share} of relay order {order.block.hex()}"
    try:
        check_order(order)
    except DataRefused as error:
        raise ProtocolError(str(error)) from None
    if parcel.hop >= len(path) or path[parcel.hop] != here:
        raise ProtocolError(f"{name} is not for {here} at hop {parcel.hop} of {len(path) - 1}")
    if path[parcel.hop - 1] != sender:
        raise ProtocolError(f"{name} came to {here} from {sender}, its path says {path[parcel.hop - 1]}")
    if len(parcel.cipher) != order.size or total_bytes(parcel.pads) != pad_bytes(order):
        raise ProtocolError(
            f"{name}: {len(parcel.cipher)} bytes under {total_bytes(parcel.pads)} of key; "
            f"the order says {order.size} under {pad_bytes(order)}"
        )
    if (parcel.behind is None) != (parcel.hop == 1):
        raise ProtocolError(f"{name}: the grade of the hops behind hop {parcel.hop} is missing or one too many")
    if not permits(order):
        raise DataRefused(f"{here} does not carry relay order {order.block.hex()} for pool {order.pool}")


def open_parcel(parcel: RelayParcel, key: SecretBytes) -> SecretBytes:
    """The share; `key` are the bytes of `parcel.pads`, and is wiped. Raises AuthenticationError."""
    view = key.view()
    try:
        pad, mac_key = view[MAC_KEY_BYTES:], view[:MAC_KEY_BYTES]
        return open_sealed(parcel.cipher, parcel.tag, pad, mac_key, bound_context(parcel))
    finally:
        key.close()


def add_hop(behind: HopGrade | None, pad: Grade) -> HopGrade:
    """The grade of the hops behind and of one more, by the grade of the pad that its receiver used.

    Raises ValueError where that pad itself came by relay.
    """
    hop = hop_grade(pad)
    return hop if behind is None else hop_grade(joint_grade([behind, hop], (), 1))


def block_grade(order: RelayOrder, behind: HopGrade) -> Grade:
    """The grade of the order's block at both ends; `behind` covers all hops of the shares that gave it."""
    paths = tuple(path_of(order, share) for share in range(1, len(order.paths) + 1))
    return joint_grade([behind], paths, order.threshold)


def joint_grade(parts: Sequence[HopGrade], paths: tuple[tuple[KmeId, ...], ...], threshold: int) -> Grade:
    """The grade of what needed all of `parts`: the weakest words, epsilons added, no combiner."""
    joint = weakest(Grade(p.origin, p.proof, p.epsilon, (), 1, p.authenticity) for p in parts)
    proofs = dict.fromkeys(word for part in parts for word in part.proof.split(" + ") if word)
    epsilon = None if joint.epsilon is None else min(1.0, joint.epsilon)
    return replace(joint, proof=" + ".join(proofs), epsilon=epsilon, paths=paths, threshold=threshold)


def forward(
    parcel: RelayParcel, value: SecretBytes, received: Grade, pads: tuple[PadRange, ...], key: SecretBytes
) -> Onward:
    """A relay's parcel for the next site, once `check_parcel` and `open_parcel` let this one in.

    `received` is the grade of the pad it came under; `pads` and `key` are of the next hop, and `key` is wiped.
    """
    order = parcel.order
    if parcel.hop + 1 >= len(order.paths[parcel.share - 1]):
        raise ValueError(f"share {parcel.share} of relay order {order.block.hex()} has arrived: gather it")
    behind = add_hop(parcel.behind, received)
    return _wrap(RelayParcel(order, parcel.share, parcel.hop + 1, pads, behind, b"", b""), value, key)


def _wrap(blank: RelayParcel, value: SecretBytes, key: SecretBytes) -> Onward:
    order = blank.order
    if not len(key) == total_bytes(blank.pads) == pad_bytes(order):
        raise ValueError(
            f"a hop of relay order {order.block.hex()} takes {pad_bytes(order)} bytes of key, not {len(key)}"
        )
    view = key.view()
    pad, mac_key = view[MAC_KEY_BYTES:], view[:MAC_KEY_BYTES]
    cipher, tag = seal(value.view(), pad, mac_key, bound_context(blank))
    key.close()
    site = path_of(order, blank.share)[blank.hop]
    return Onward(site, msgspec.structs.replace(blank, cipher=cipher, tag=tag))
