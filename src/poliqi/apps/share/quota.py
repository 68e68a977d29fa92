"""What one sender may have in the inbox unfinished: looked at and promised in one step, before any of it comes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from poliqi.apps.share.inbox import Inbox
from poliqi.apps.share.listing import LINE_BYTES
from poliqi.apps.share.messages import Offer, Refusal, RefusalCode
from poliqi.apps.share.staged import Staged
from poliqi.apps.share.stagedstate import promised_bytes
from poliqi.base.errors import ProtocolError, StoreError
from poliqi.base.ids import SaeId

__all__ = ["Room", "TurnedDown", "reserve"]


class TurnedDown(StoreError):
    """This end takes no more of the transfer, and has told the sender why."""

    def __init__(self, refusal: Refusal, why: str) -> None:
        super().__init__(f"refused: {refusal.code.value}: {why}")
        self.refusal: Final = refusal


def reserve(inbox: Inbox, peer: SaeId, offer: Offer, now_ns: int) -> Staged:
    """The folder of a transfer, held, with all that it will hold promised: what others are offered at the same
    moment is counted against the rest. Raises TurnedDown, StoreError, OSError, ProtocolError.
    """
    rules = inbox.rules
    if offer.list_bytes > offer.entries * LINE_BYTES:
        raise ProtocolError(f"a list of {offer.entries} lines has {offer.list_bytes} bytes: drop the transfer")
    if offer.entries > rules.max_files:
        refusal = Refusal(RefusalCode.TOO_MANY, limit=rules.max_files)
        raise TurnedDown(refusal, f"{offer.entries} files and folders of {peer}")
    folder = inbox.partial_folder(peer, offer.transfer)
    with inbox.promising:
        others = _others(inbox, peer, folder)
        if len(others) >= rules.max_transfers:
            refusal = Refusal(RefusalCode.TOO_MANY, limit=rules.max_transfers)
            raise TurnedDown(refusal, f"{len(others)} unfinished transfers of {peer}")
        staged = Staged(folder, now_ns, offer.clock_ns)
        try:
            if not staged.is_moved:
                staged.promise(offer)
                _check(inbox, peer, staged)
            staged.save()
        except BaseException:
            try:
                if staged.is_new:
                    staged.remove()
            finally:
                staged.close()
            raise
    return staged


class Room:
    """What a transfer that is under way may still take. One thread."""

    def __init__(self, inbox: Inbox, peer: SaeId, staged: Staged) -> None:
        self._inbox: Final = inbox
        self._peer: Final = peer
        self._staged: Final = staged

    def grow(self, extra_bytes: int) -> None:
        """A file is larger than it was listed. Raises TurnedDown where that is beyond the rules, OSError."""
        self.look(extra_bytes)
        state = self._staged.state
        with self._inbox.promising:
            state.grown_bytes += extra_bytes
            try:
                _check(self._inbox, self._peer, self._staged)
            except TurnedDown:
                state.grown_bytes -= extra_bytes
                raise
            if self._inbox.rules.max_bytes is not None:
                self._staged.save()

    def look(self, wanted_bytes: int = 1) -> None:
        """Raises OSError (ENOSPC) where the disk has no more to give than is to be left free."""
        if self._inbox.free_bytes() < wanted_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _others(inbox: Inbox, peer: SaeId, own: Path) -> list[Path]:
    return [folder for folder in inbox.unfinished(peer) if folder != own]


def _check(inbox: Inbox, peer: SaeId, staged: Staged) -> None:
    limit = inbox.rules.max_bytes
    if limit is None:
        return
    others = _others(inbox, peer, staged.folder)
    held = staged.state.promised_bytes + sum(promised_bytes(folder) for folder in others)
    if held > limit:
        refusal = Refusal(RefusalCode.TOO_LARGE, limit=limit)
        raise TurnedDown(refusal, f"{held} bytes in unfinished transfers of {peer}")
