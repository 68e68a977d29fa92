"""Parity to the end: every relay sends the sum of its two link keys straight to the destination.

K_i is the key of the hop from site i - 1 to site i. Relay i tells K_i + K_{i+1}; the destination adds all of these
to the last hop's key and has K_1, which the origin holds. One round trip instead of one after another, and all sums
together tell nothing about K_1 to somebody who knows none of the keys. An adversary who changes a sum changes
the key, so the grade says "computational" unless relay and destination share one-time MAC keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from poliqi.base.errors import AuthenticationError, DataRefused, ProtocolError
from poliqi.base.ids import KmeId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Authenticity, Grade
from poliqi.keys.onetime import MAC_KEY_BYTES, xor_bytes
from poliqi.keys.relay import add_hop, check_order, joint_grade
from poliqi.keys.relay_messages import (
    HopGrade,
    PadRange,
    Parity,
    RelayOrder,
    Scheme,
    bound_context,
    hop_grade,
    path_of,
    total_bytes,
)
from poliqi.keys.shares import join_xor

__all__ = ["check_parity", "make_parity", "recover"]


def make_parity(
    order: RelayOrder,
    share: int,
    place: int,
    into: tuple[tuple[PadRange, ...], SecretBytes, Grade],
    out: tuple[tuple[PadRange, ...], SecretBytes],
    mac: tuple[tuple[PadRange, ...], SecretBytes] | None = None,
) -> Parity:
    """Relay number `place`'s message; `into` and `out` are ranges and key of the two hops. All keys are wiped."""
    (into_pads, key_in, grade), (out_pads, key_out) = into, out
    parity = xor_bytes(key_in.view(), key_out.view())
    key_in.close()
    key_out.close()
    message = Parity(order, share, place, into_pads, out_pads, hop_grade(grade), parity, mac[0] if mac else (), b"")
    _check_sizes(message)
    if mac is None:
        return message
    return msgspec.structs.replace(message, tag=_mac(message, mac[1]).finalize())


def check_parity(parity: Parity, sender: KmeId, mac_key: SecretBytes | None) -> None:
    """That it is in order and, where it names a MAC key, the tag, whose key is wiped.

    Raises ProtocolError, AuthenticationError where the tag is wrong.
    """
    path = path_of(parity.order, parity.share)
    try:
        check_order(parity.order)
    except DataRefused as error:
        raise ProtocolError(str(error)) from None
    if parity.order.scheme is Scheme.SHAMIR:
        raise ProtocolError("a parity ends in a key that nobody chose: only schemes single and xor can use it")
    if parity.place >= len(path) - 1 or path[parity.place] != sender:
        raise ProtocolError(f"a parity for place {parity.place} of a path of {len(path)} sites came from {sender}")
    _check_sizes(parity)
    if bool(parity.mac_key) != (mac_key is not None) or bool(parity.mac_key) != bool(parity.tag):
        raise ProtocolError(f"a parity from {sender} has a tag without a key, or a key without a tag")
    if mac_key is not None:
        try:
            _mac(parity, mac_key).verify(parity.tag)
        except InvalidSignature:
            raise AuthenticationError(f"the one-time tag of a parity from {sender} is wrong: drop it") from None


def recover(
    parities: Sequence[Parity], pads: tuple[PadRange, ...], key: SecretBytes, last: Grade
) -> tuple[SecretBytes, HopGrade]:
    """The first hop's key, which is the share, and the grade of the whole path.

    `parities` are all of one path, each checked; `pads`, `key` (wiped) and `last` are of the destination's own hop.
    Raises DataRefused where one is missing or two do not join.
    """
    if not parities:
        raise DataRefused("no parities: on a path without relays the key of its only hop is the share")
    chain = sorted(parities, key=lambda parity: parity.place)
    order, share = chain[0].order, chain[0].share
    places = [parity.place for parity in chain]
    if any((p.order, p.share) != (order, share) for p in chain) or places != [
        *range(1, len(path_of(order, share)) - 1)
    ]:
        raise DataRefused(f"parities {places} of relay order {order.block.hex()} are not those of one path")
    entries = [parity.into for parity in chain[1:]] + [pads]
    if [parity.out for parity in chain] != entries or len(key) != order.size:
        raise DataRefused(f"parities of relay order {order.block.hex()} name other key than their neighbours")
    value = SecretBytes(join_xor([key.view(), *(parity.parity for parity in chain)]))
    key.close()
    behind = joint_grade([parity.incoming for parity in chain], (), 1)
    grade = add_hop(hop_grade(behind), last)
    if any(not parity.tag for parity in chain):
        grade = msgspec.structs.replace(grade, authenticity=Authenticity.COMPUTATIONAL)
    return value, grade


def _check_sizes(parity: Parity) -> None:
    sizes = {len(parity.parity), total_bytes(parity.into), total_bytes(parity.out), parity.order.size}
    if len(sizes) > 1 or (parity.mac_key and total_bytes(parity.mac_key) != MAC_KEY_BYTES):
        raise ProtocolError(
            f"a parity of relay order {parity.order.block.hex()} has parts of {sorted(sizes)} bytes"
        )


def _mac(parity: Parity, key: SecretBytes) -> Poly1305:
    mac = Poly1305(key.take())
    context = bound_context(parity)
    mac.update(b"poliqi parity\x00" + len(context).to_bytes(4, "big") + context)
    mac.update(parity.parity)
    return mac
