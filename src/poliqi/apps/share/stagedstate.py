"""What is written down of a transfer that is under way, beside its list, facts and files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from poliqi.apps.share.facts import RECORD_BYTES
from poliqi.apps.share.receipt import KeyUse, total
from poliqi.apps.stream.terms import Mode

__all__ = ["StagedState", "promised_bytes", "read_state"]

_STATE_BYTES: Final = 1 << 20


class StagedState(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of a transfer beside its files. `placed`: its name in the inbox, once it is to move there.

    Bytes: of all files as listed, of the list, of files beyond what is listed, of another list that is to come.
    """

    begun_ns: int
    skew_ns: int
    boot: str
    list_sha256: str = ""
    entries: int = 0
    size_bytes: int = 0
    list_bytes: int = 0
    grown_bytes: int = 0
    coming_bytes: int = 0
    placed: str | None = None
    streams: list[KeyUse] = msgspec.field(default_factory=list[KeyUse])
    earlier_streams: int = 0
    """Those that are no longer in `streams`; what they were counts for the receipt all the same."""
    earlier_modes: list[Mode] = msgspec.field(default_factory=list[Mode])
    earlier_epsilon: float | str = 0.0
    earlier_simulated: bool = False

    def forget(self, use: KeyUse) -> None:
        """Count a stream among the earlier ones."""
        self.earlier_streams += 1
        self.earlier_modes = sorted({*self.earlier_modes, use.mode})
        self.earlier_epsilon = total([self.earlier_epsilon, use.epsilon])
        self.earlier_simulated = self.earlier_simulated or use.simulated

    @property
    def promised_bytes(self) -> int:
        """The most that the transfer may hold on the disk, its list and what is known of each entry included."""
        return (
            self.size_bytes + self.grown_bytes + self.list_bytes + self.entries * RECORD_BYTES + self.coming_bytes
        )


def read_state(folder: Path) -> StagedState | None:
    """None where there is none that can be read. Raises OSError."""
    try:
        data = (folder / "state").read_bytes()
        return msgspec.json.decode(data[:_STATE_BYTES], type=StagedState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def promised_bytes(folder: Path) -> int:
    """The most that an unfinished transfer may hold."""
    state = read_state(folder)
    return 0 if state is None else state.promised_bytes
