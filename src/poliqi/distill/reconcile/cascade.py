"""Symmetric Cascade: both parties say the parities of the same ranges, and both find the same errors.

The ranges asked in a round follow from public data alone (parameters and transcript): the xor of the two answers is
the parity of the errors in a range, and both ends run one public state machine on it. Bob flips the errors he finds
in his working copy, so that the xor is the parity of the errors that remain. All frames' answers of a round travel
in one message. docs/spec/cascade.md gives every rule.
"""

from __future__ import annotations

from typing import Final

from poliqi.base.bits import BitString, packed_fault
from poliqi.base.errors import ProtocolError
from poliqi.base.ids import Role
from poliqi.distill.reconcile.cascade_state import CascadeState
from poliqi.distill.reconcile.plan import MAX_FRAME_BITS, TILE_BITS, CascadeParameters
from poliqi.distill.reconcile.protocol import ReconcilerTerms

__all__ = ["Cascade"]


class Cascade:
    """One party's half of a Cascade run; a `Reconciler` whose ends both know the errors."""

    def __init__(
        self, role: Role, bits: BitString, terms: ReconcilerTerms, parameters: CascadeParameters | None = None
    ) -> None:
        """`bits` is the own sifted string. Raises ValueError for terms that make no sense."""
        _check(terms)
        parameters = CascadeParameters() if parameters is None else parameters
        self._round_limit: Final = parameters.round_limit
        self._size: Final = bits.size
        self._frame_bits: Final = terms.frame_bits
        self._state: Final = CascadeState(role, bits, terms, parameters) if bits.size else None
        self._rounds = self._sent = self._asked = 0
        self._message: bytes | None = None
        self._prepare()

    def _prepare(self) -> None:
        state = self._state
        if state is None or not state.asked or self._rounds >= self._round_limit:
            self._asked, self._message = 0, None
        else:
            self._asked, self._message = state.asked, state.said()

    @property
    def done(self) -> bool:
        """True once nothing is left to ask, or the round limit was reached."""
        return self._message is None

    @property
    def both_learn(self) -> bool:
        """True: both ends run the machine that finds the errors."""
        return True

    @property
    def rounds(self) -> int:
        """Rounds completed."""
        return self._rounds

    @property
    def sent_bits(self) -> int:
        """Parities said in the rounds completed so far; `received_bits` is the same number."""
        return self._sent

    @property
    def received_bits(self) -> int:
        """Parities heard."""
        return self._sent

    @property
    def asked_bits(self) -> int:
        """Parities asked in this round; 0 once done."""
        return self._asked

    @property
    def errors(self) -> BitString:
        """Where the two strings are known to differ so far; both ends know it."""
        return BitString.zeros(0) if self._state is None else self._state.errors(self._size)

    def message(self) -> bytes | None:
        """The own parities of this round, packed; None once done."""
        return self._message

    def receive(self, data: bytes | memoryview) -> None:
        """Take the peer's parities of this round and go on to the next.

        Raises ProtocolError for a message of the wrong size, with padding that is not zero, or after the end;
        the state is then unchanged.
        """
        if self._state is None or self._message is None:
            raise ProtocolError(
                f"a Cascade message of {len(data)} bytes came after the last round: nothing is asked"
            )
        fault = packed_fault(data, self._asked)
        if fault is not None:
            raise ProtocolError(f"Cascade round {self._rounds}: {fault}")
        self._state.take(data)
        self._sent += self._asked
        self._rounds += 1
        self._prepare()

    def frame_bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of each frame."""
        step, n = self._frame_bits, self._size
        return [(start, min(start + step, n)) for start in range(0, n, step)]


def _check(terms: ReconcilerTerms) -> None:
    if not 0.0 <= terms.qber <= 1.0:
        raise ValueError(f"an estimated QBER lies in 0 to 1, not {terms.qber}")
    if not 0 <= terms.seed < 1 << 64:
        raise ValueError(f"the seed has 64 bits, not {terms.seed.bit_length()}")
    bits = terms.frame_bits
    if not TILE_BITS <= bits <= MAX_FRAME_BITS or bits % TILE_BITS:
        raise ValueError(f"frame_bits must be a multiple of {TILE_BITS} up to {MAX_FRAME_BITS}, not {bits}")
