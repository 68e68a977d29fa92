"""What one end brings to a session: what its disk remembers of the link, and what it will agree to."""

from __future__ import annotations

from dataclasses import dataclass

from poliqi.base.errors import KeyExhausted
from poliqi.base.ids import BlockNumber, LeakModel, Origin
from poliqi.distill.authenticate import WORDS_PER_BLOCK
from poliqi.distill.contract import Contract
from poliqi.distill.outcome import HoldPending
from poliqi.proof import ProofName

__all__ = ["History", "Policy"]


@dataclass(frozen=True, slots=True)
class History:
    """What the state on disk says of a link.

    Block numbers below `next_block` and slots below `next_slot` are used; `last_confirmed` is 0 before the
    first; `pending` is Bob's, at most one; `epsilon` is the sum of `own_epsilon` over the confirmed blocks.
    """

    next_block: BlockNumber
    next_slot: int
    last_confirmed: BlockNumber
    epsilon: float
    pending: HoldPending | None


@dataclass(frozen=True, slots=True)
class Policy:
    """What this end accepts in a contract; nothing outside it is ever agreed to.

    `intensities` and `probabilities` are those of this end's own description of the link (None: any), because
    the proof rests on them and this end cannot measure them.
    """

    origins: frozenset[Origin] = frozenset({Origin.PHOTONS})
    leak_models: frozenset[LeakModel] = frozenset({LeakModel.BOTH_DIRECTIONS})
    proofs: frozenset[ProofName] = frozenset({ProofName.WIESEMANN})
    intensities: tuple[float, ...] | None = None
    probabilities: tuple[float, ...] | None = None
    least_uncertainty: float = 0.0
    largest_epsilon_sec: float = 1e-9
    largest_epsilon_cor: float = 1e-9
    most_pulses: int = 1 << 40
    most_detections: int = 1 << 28
    reserve_words: int = 8

    def refusal(self, contract: Contract) -> str | None:
        """Why this policy refuses `contract`, or None."""
        c = contract
        checks: tuple[tuple[str, object, bool, object], ...] = (
            ("origin", c.origin, c.origin in self.origins, sorted(self.origins)),
            ("leak model", c.leak_model, c.leak_model in self.leak_models, sorted(self.leak_models)),
            ("proof", c.proof, c.proof in self.proofs, sorted(self.proofs)),
            ("intensities", c.intensities, self.intensities in (None, c.intensities), self.intensities),
            ("probabilities", c.probabilities, self.probabilities in (None, c.probabilities), self.probabilities),
            (
                "intensity uncertainty",
                c.intensity_uncertainty,
                c.intensity_uncertainty >= self.least_uncertainty,
                f"at least {self.least_uncertainty:g}",
            ),
            ("epsilon_sec", c.epsilon_sec, c.epsilon_sec <= self.largest_epsilon_sec, self.largest_epsilon_sec),
            ("epsilon_cor", c.epsilon_cor, c.epsilon_cor <= self.largest_epsilon_cor, self.largest_epsilon_cor),
            ("pulses", c.pulses, c.pulses <= self.most_pulses, self.most_pulses),
            ("max_detections", c.max_detections, c.max_detections <= self.most_detections, self.most_detections),
        )
        for name, value, fits, allowed in checks:
            if not fits:
                return f"{name} {value} is not allowed; policy allows {allowed}"
        return None

    def check_reserve(self, words_left: int | None) -> None:
        """Refuse to begin anything on a pad below the reserve (KeyExhausted); None: tags cost no pad."""
        if words_left is not None and words_left < WORDS_PER_BLOCK + self.reserve_words:
            raise KeyExhausted(
                f"{words_left} pad words are left, the reserve is {self.reserve_words}: pair the link again"
            )
