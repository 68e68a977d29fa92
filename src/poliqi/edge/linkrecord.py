"""What a state says of its link, as values: how it was paired, where it stands, whom it trusts."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.ids import BlockNumber, LinkId, Origin, Role
from poliqi.distill.authenticate import WORDS_PER_BLOCK
from poliqi.edge.statefile import StateFile

__all__ = ["LinkRecord", "LinkStatus", "read_link", "read_signing_keys", "read_status"]


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """How a link was paired; fixed for the life of its state.

    `light` is PHOTONS or SIMULATED; a replay counts as simulated. `bootstrap` says how the first trust
    came. `reserve` and `capacity` are words of 16 bytes in each lane.
    """

    link_id: LinkId
    role: Role
    light: Origin
    bootstrap: str
    pair_id: str
    reserve: int
    capacity: int

    def check_origin(self, origin: Origin) -> None:
        """Refuse light of the wrong kind: simulated keys never mix with real ones (ConfigError)."""
        real = origin is Origin.PHOTONS
        if real != (self.light is Origin.PHOTONS):
            made, wanted = ("simulated light", "real photons") if real else ("real photons", "simulated light")
            raise ConfigError(
                f"link {self.link_id}: its state was made for {made} and cannot be used with {wanted}; "
                "pair both ends again into new --state folders, with --simulated for simulated light only"
            )


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """Figures of a state, none of them secret. `words_left` and `used_words` count per lane.

    `destination` is where the oldest undelivered block is bound to go: a key file's path, or `site:` and a name.
    `epsilon` holds for all keys of the link together: it is the last block's, whose ledger counts every
    earlier block as a possible source of its pads. None where the light is not real.
    """

    link: LinkRecord
    words_left: dict[Role, int]
    used_words: dict[Role, int]
    next_block: BlockNumber
    next_slot: int
    last_confirmed: BlockNumber
    pending: BlockNumber
    undelivered: int
    undelivered_bytes: int
    destination: str | None
    blocks: int
    key_bits: int
    own_epsilons: float
    epsilon: float | None

    @property
    def has_pads(self) -> bool:
        """Whether both lanes were ever filled; not so on a link paired by public keys before its first block."""
        return all(
            left + used > 0 for left, used in zip(self.words_left.values(), self.used_words.values(), strict=True)
        )

    @property
    def below_reserve(self) -> bool:
        """Whether the pad is too short to begin another block."""
        return self.has_pads and min(self.words_left.values()) < self.link.reserve + WORDS_PER_BLOCK


def read_link(state: StateFile) -> LinkRecord:
    """The pairing of an open state. Raises ConfigError where the ends do not trust each other yet."""
    rows = state.run("SELECT link_id, role, light, bootstrap, pair_id, reserve, capacity FROM link")
    if not rows:
        raise ConfigError(
            f"state {state.folder} is not paired yet: run `poliqi link pair trust` with the peer's key"
        )
    name, role, light, bootstrap, pair_id, reserve, capacity = rows[0]
    try:
        return LinkRecord(LinkId(name), Role(role), Origin(light), bootstrap, pair_id, reserve, capacity)
    except ValueError as error:
        raise StoreError(f"state {state.path} is damaged: {error}; pair the link again") from error


def read_status(state: StateFile) -> LinkStatus:
    """The figures of an open state."""
    link = read_link(state)
    [row] = state.run(
        "SELECT next_block, next_slot, last_confirmed, blocks, key_bits, own_epsilons, epsilon FROM link"
    )
    next_block, next_slot, last_confirmed, blocks, key_bits, own_epsilons, epsilon = row
    lanes = dict.fromkeys(Role, (0, 0))
    lanes |= {Role(s): (n, e) for s, n, e in state.run("SELECT sender, next_word, end_word FROM lane")}
    [(pending,)] = state.run("SELECT coalesce(max(number), 0) FROM pending")
    [(undelivered, undelivered_bytes)] = state.run(
        "SELECT count(*), coalesce(sum(length(secret)), 0) FROM confirmed"
    )
    bound = state.run("SELECT destination FROM confirmed ORDER BY number LIMIT 1")
    return LinkStatus(
        link=link,
        words_left={role: max(end - begin, 0) for role, (begin, end) in lanes.items()},
        used_words={role: min(begin, end) for role, (begin, end) in lanes.items()},
        next_block=BlockNumber(next_block),
        next_slot=next_slot,
        last_confirmed=BlockNumber(last_confirmed),
        pending=BlockNumber(pending),
        undelivered=undelivered,
        undelivered_bytes=undelivered_bytes,
        destination=bound[0][0] if bound else None,
        blocks=blocks,
        key_bits=key_bits,
        own_epsilons=own_epsilons,
        epsilon=epsilon,
    )


def read_signing_keys(state: StateFile) -> tuple[MLDSA65PrivateKey, MLDSA65PublicKey | None]:
    """This end's ML-DSA-65 key and its peer's, where it has been trusted. Raises ConfigError."""
    rows = state.run("SELECT seed, peer FROM identity")
    if not rows:
        raise ConfigError(f"state {state.folder} has no ML-DSA-65 key: it was paired by a file")
    seed, peer = rows[0]
    try:
        private = MLDSA65PrivateKey.from_seed_bytes(seed)
        return private, None if peer is None else MLDSA65PublicKey.from_public_bytes(peer)
    except ValueError as error:
        raise StoreError(f"state {state.folder}: its ML-DSA-65 keys are damaged; pair the link again") from error
