"""How long a gateway waits before it tries again."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Delay", "Pace"]


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds to wait after a failure, doubling from the first to the most; that an idle stream stays open; that an
    answer may take beside the time for the bytes; that a machine which failed is left alone.
    """

    first_s: float = 1.0
    most_s: float = 60.0
    idle_s: float = 30.0
    answer_s: float = 600.0
    rest_s: float = 2.0


@dataclass
class Delay:
    """A wait that doubles from failure to failure. Times are those of a monotonic clock."""

    pace: Pace
    wait_s: float = 0.0
    until_s: float = 0.0

    def failed(self, now_s: float, at_least_s: float = 0.0) -> None:
        """Wait again; at least so long, as far as the most allows. Failures in the meantime count once."""
        if now_s < self.until_s:
            return
        self.wait_s = min(2 * self.wait_s, self.pace.most_s) if self.wait_s else self.pace.first_s
        self.until_s = now_s + max(self.wait_s, min(at_least_s, self.pace.most_s))

    def worked(self) -> None:
        """The next failure is a first one."""
        self.wait_s = self.until_s = 0.0
