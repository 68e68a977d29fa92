"""The seam between the rotation of keys and what uses them: one `Software` for each kind of program."""

from __future__ import annotations

from typing import Final, Protocol

from poliqi.base.secret import SecretBytes

__all__ = ["KEY_BYTES", "PROOF_S", "Software"]

KEY_BYTES: Final = 32
"""The size of every key that is rotated."""

PROOF_S: Final = 12.0
"""How long `Software.use` waits for a session; WireGuard tries a lost handshake again after 5 s."""


class Software(Protocol):
    """A program at one end of a tunnel. Calls come one at a time.

    Every call raises ConfigError where the program, or what was set, is not there, and LinkDown where the program
    does not do in time what it was told.
    """

    @property
    def kind(self) -> str:
        """The word for it in the protocol; the same at both ends."""
        ...

    def can_start(self) -> bool:
        """True where this end can begin a session with the other."""
        ...

    def open(self) -> tuple[str, ...]:
        """Look whether all is there, and shut it; what its owner should know."""
        ...

    def hold(self, key_id: str, secret: SecretBytes) -> None:
        """Be ready for sessions of this key. Sessions that are there go on. Uses `secret` up."""
        ...

    def use(self, key_id: str, *, is_starter: bool) -> None:
        """Return when a session of this key was begun after `hold`. The starter begins it."""
        ...

    def retire(self, key_id: str) -> None:
        """Both ends use this key: forget every other."""
        ...

    def shut(self) -> None:
        """Forget every key: no session can begin, at the latest from now on."""
        ...

    def close(self) -> None:
        """Let go of files and threads."""
        ...
