"""How checks are run: each by itself, so that one that raises is a finding and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, TypeVar

from poliqi.apps.testbench.outcome import Finding, Verdict

__all__ = ["Check", "NotSeen", "Wrong", "run_checks"]

_TEXT_MOST: Final = 300
T = TypeVar("T")

Check: TypeAlias = tuple[str, Callable[[T], str]]
"""Its name, and what looks; it gives a remark or "", or raises Wrong or NotSeen."""


class Wrong(Exception):
    """The candidate does not do what the check asks."""


class NotSeen(Exception):
    """It cannot be looked at here."""


def run_checks(candidate: T, checks: Iterable[Check[T]]) -> list[Finding]:
    """One finding for each check, in their order."""
    return [_run(candidate, name, look) for name, look in checks]


def _run(candidate: T, name: str, look: Callable[[T], str]) -> Finding:
    try:
        return Finding(name, Verdict.PASSED, look(candidate)[:_TEXT_MOST])
    except Wrong as wrong:
        return Finding(name, Verdict.FAILED, str(wrong)[:_TEXT_MOST])
    except NotSeen as reason:
        return Finding(name, Verdict.NOT_SEEN, str(reason)[:_TEXT_MOST])
    except Exception as error:  # the candidate is code of others: whatever it raises is what was found
        text = f"{type(error).__name__} was raised: {error}"
        return Finding(name, Verdict.FAILED, text[:_TEXT_MOST])
