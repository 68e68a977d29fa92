"""The two arms of a link of entangled pairs: from the source to Alice, and from the source to Bob.

Each arm is a link of its own, with the pairs' mean number of photons at its input, one part of the fibre, and the
receiver and the detectors at its end, so that all that is known of loss, noise and timing of a link holds for it.
"""

from __future__ import annotations

from dataclasses import replace

from poliqi.optics.parameters import Attack, Block, ClassicalChannel, Direction, Fibre, LinkParameters

__all__ = ["alice_arm", "bob_arm"]


def bob_arm(link: LinkParameters) -> LinkParameters:
    """From the source to Bob, with whoever stands on his fibre; the link itself where it is no link of pairs."""
    if link.pairs is None:
        return link
    place = link.pairs.place
    return replace(
        link,
        pairs=None,
        block=Block(),
        fibre=_part(link.fibre, 1.0 - place),
        classical_channels=_channels(link, 1.0 - place),
    )


def alice_arm(link: LinkParameters) -> LinkParameters:
    """From the source of a link of pairs to Alice; nobody stands on her fibre."""
    pairs = link.pairs
    if pairs is None:
        raise ValueError("Alice has no arm: this is no link of pairs")
    own = link.receiver if pairs.receiver is None else pairs.receiver
    turned = tuple(replace(c, direction=_turned(c.direction)) for c in link.classical_channels)
    return replace(
        link,
        pairs=None,
        block=Block(),
        attack=Attack(),
        fibre=_part(link.fibre, pairs.place),
        classical_channels=_channels(replace(link, classical_channels=turned), pairs.place),
        receiver=replace(own, key_basis=None),
        detector=link.detector if pairs.detector is None else pairs.detector,
    )


def _part(fibre: Fibre, share: float) -> Fibre:
    return replace(
        fibre,
        length_m=fibre.length_m * share,
        connectors_db=fibre.connectors_db * share,
        mux_db=fibre.mux_db * share,
        switch_db=fibre.switch_db * share,
    )


def _channels(link: LinkParameters, share: float) -> tuple[ClassicalChannel, ...]:
    """Classical channels as this part of the fibre has them: one that runs with the pairs' light comes from the far
    end of the other part, weaker by that part's attenuation; Raman light made there is filtered out at the source.
    """
    if share == 0.0:
        return ()
    lost_db = link.fibre.attenuation_db_per_km * link.fibre.length_m / 1e3 * (1.0 - share)
    return tuple(
        replace(c, launch_dbm=max(c.launch_dbm - lost_db, -100.0)) if c.direction is Direction.FORWARD else c
        for c in link.classical_channels
    )


def _turned(direction: Direction) -> Direction:
    return Direction.BACKWARD if direction is Direction.FORWARD else Direction.FORWARD
