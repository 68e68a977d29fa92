"""What a desk's values are in words: sizes, waits, levels, what a mode means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from poliqi.apps.stream.terms import MODES, Mode, Policy
from poliqi.ops.sae_web.desk import DeskView, Estimate, Neighbour, ReceiptView, Transfer, TransferState
from poliqi.ops.sae_web.trouble import Trouble
from poliqi.ops.web.roles import Role
from poliqi.ops.web.scene import Level
from poliqi.ops.web.speaker import Quantity, Speaker

__all__ = ["Teller", "Told"]

_USUAL: Final = {policy: next(mode for mode in Mode if mode in MODES[policy]) for policy in Policy}
_LEVELS: Final = {
    TransferState.QUEUED: Level.OFF,
    TransferState.WAITING_FOR_KEY: Level.WARN,
    TransferState.WAITING_FOR_SITE: Level.WARN,
    TransferState.SENDING: Level.GOOD,
    TransferState.DONE: Level.GOOD,
    TransferState.FAILED: Level.BAD,
    TransferState.STOPPED: Level.OFF,
}


@dataclass(frozen=True, slots=True)
class Told:
    """An estimate in words; `detail` is an error, in English."""

    level: Level
    text: str
    mode: str
    means: str
    detail: str = ""


class Teller:
    """A view and who speaks of it; templates call it `desk`."""

    def __init__(self, view: DeskView, say: Speaker) -> None:
        self.view: Final = view
        self.say: Final = say

    # ---- figures

    def size(self, count: float | None) -> Quantity:
        """Bytes."""
        return self.say.data(count)

    def lasting(self, seconds: float | None) -> str:
        """How long something takes."""
        if seconds is None or not math.isfinite(seconds):
            return self.say("wait.unknown")
        whole = max(1, math.ceil(seconds))
        if whole < 100:
            return self.say("wait.seconds", n=whole)
        if whole < 6000:
            return self.say("wait.minutes", n=math.ceil(whole / 60))
        if whole < 100 * 3600:
            return self.say("wait.hours", n=math.ceil(whole / 3600))
        return self.say("wait.days", n=math.ceil(whole / 86400))

    def when(self, unix_s: float) -> str:
        return self.say.moment(unix_s, self.view.unix_s)

    def date(self, unix_s: float) -> str:
        """A moment with its whole date, for what is kept."""
        then = datetime.fromtimestamp(unix_s).astimezone()
        month, clock = self.say(f"month.m{then.month}"), then.strftime("%H:%M:%S")
        return self.say("receipt.date", day=then.day, month=month, year=then.year, clock=clock)

    def stamp(self, unix_s: float) -> str:
        return self.say.stamp(unix_s)

    def who(self, name: str) -> str:
        """A person: roles stand for whoever needs no name."""
        return self.say(f"role.{name}") if name in set(Role) else name

    # ---- sites

    def usual_mode(self, neighbour: Neighbour) -> Mode:
        """How files for it are encrypted unless a person asks for more."""
        return _USUAL[neighbour.policy]

    def site_level(self, neighbour: Neighbour) -> Level:
        supply = neighbour.supply
        if supply is None:
            return Level.OFF
        if not supply.is_connected:
            return Level.BAD
        return Level.GOOD if supply.available_bytes else Level.WARN

    def site_word(self, neighbour: Neighbour) -> str:
        if not neighbour.can_be_called:
            return self.say("site.calls_only")
        if neighbour.policy is Policy.PQC:
            return self.say("mode.pqc")
        if neighbour.supply is None:
            return self.say("site.unknown")
        if not neighbour.supply.is_connected:
            return self.say("site.away")
        return self.say("site.key" if neighbour.supply.available_bytes else "site.no_key")

    # ---- before it is sent

    def told(self, estimate: Estimate) -> Told:
        """What a person has to know before sending."""
        mode, means = self.say(f"mode.{estimate.mode}"), self.say(f"mode.{estimate.mode}_why")
        if self.view.is_simulated and estimate.mode is not Mode.PQC:
            means = self.say("mode.simulated_why")
        if estimate.problem:
            text = self.trouble(estimate.trouble) or estimate.problem
            return Told(Level.BAD, text, mode, means, estimate.problem)
        if estimate.mode is Mode.PQC:
            return Told(Level.WARN, self.say("estimate.without"), mode, means)
        needed, available = self.size(estimate.needed_bytes), self.size(estimate.available_bytes)
        if estimate.wait_s is None:
            level, key = Level.BAD, "estimate.unknown"
        elif estimate.wait_s <= 0.0:
            level, key = Level.GOOD, "estimate.now"
        else:
            level, key = Level.WARN, "estimate.later"
        text = self.say(key, needed=needed, available=available, wait=self.lasting(estimate.wait_s))
        return Told(level, text, mode, means)

    def trouble(self, found: Trouble | None) -> str:
        """What went wrong and what to do; nothing where nobody knows the kind."""
        return "" if found is None else self.say(f"trouble.{found}")

    # ---- transfers

    def state_level(self, transfer: Transfer) -> Level:
        return _LEVELS[transfer.state]

    def state_line(self, transfer: Transfer) -> str:
        """How it stands, in one line."""
        if transfer.state is TransferState.WAITING_FOR_KEY and transfer.wait_s is not None:
            return self.say("transfer.key_in", wait=self.lasting(transfer.wait_s))
        if transfer.state is TransferState.SENDING and transfer.left_s is not None:
            return self.say("transfer.left", rate=self.rate(transfer.rate_bps), left=self.lasting(transfer.left_s))
        return ""

    def knowledge(self, receipt: ReceiptView) -> str:
        """Who beside the ends could know a key."""
        return self.say(f"knowledge.{receipt.knowledge.name.lower()}")

    def rate(self, bps: float | None) -> Quantity:
        return self.say.rate(bps)

    def share(self, transfer: Transfer) -> float:
        """How much of it was sent, from 0 to 1."""
        if transfer.size_bytes <= 0:
            return 1.0 if transfer.state is TransferState.DONE else 0.0
        return min(1.0, transfer.sent_bytes / transfer.size_bytes)

    def title(self, names: Sequence[str]) -> str:
        """What is sent, in a line: the first name, and how many more."""
        return names[0] if len(names) == 1 else self.say("files.more", name=names[0], n=len(names) - 1)

    def files(self, count: int) -> str:
        """How many files."""
        return self.say("files.one" if count == 1 else "files.count", n=self.say.count(count))

    def found(self, transfer: str) -> Transfer | None:
        return next((t for t in self.view.transfers if t.id == transfer), None)

    def receipt(self, receipt: str) -> ReceiptView | None:
        return next((r for r in self.view.receipts if r.id == receipt), None)
