"""A whole conformance run: one check after the other, in a process that is ended where a check is not answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from poliqi.apps.testbench.hosting import Child, ChildLost
from poliqi.apps.testbench.outcome import Finding, Verdict
from poliqi.base.errors import ConfigError
from poliqi.node.drivercheck.dialogue import Answer, Candidate, DriverKind, Load, Look

__all__ = ["Trial", "try_driver"]

_START_S: Final = 60.0
_MOST_LOST: Final = 2


@dataclass(slots=True)
class Trial:
    """What was found."""

    kind: DriverKind
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed."""
        return [finding.check for finding in self.findings if finding.verdict is Verdict.FAILED]


def try_driver(candidate: Candidate, limit_s: float, say: Callable[[str], None]) -> Trial:
    """Load a driver and look at it; each check has `limit_s`. Raises ConfigError where it cannot be loaded.

    After a check in which the process was lost the next one begins in a fresh process; after two the rest is left.
    """
    child, loaded = _loaded(candidate)
    try:
        assert loaded.kind is not None
        trial = Trial(loaded.kind)
        lost_in: list[str] = []
        for check in loaded.checks:
            if len(lost_in) == _MOST_LOST:
                text = f"not tried: the driver was lost in {' and in '.join(map(repr, lost_in))}"
                trial.findings.append(Finding(check, Verdict.NOT_SEEN, text))
                continue
            say(check)
            try:
                answer = child.ask(Look(check), limit_s)
            except ChildLost as lost:
                trial.findings.append(Finding(check, Verdict.FAILED, str(lost)))
                lost_in.append(check)
                child, _ = _loaded(candidate)
                continue
            text = answer.error or "it answered nothing"
            trial.findings.append(answer.finding or Finding(check, Verdict.FAILED, text))
            trial.figures |= answer.figures
        return trial
    finally:
        child.close()


def _loaded(candidate: Candidate) -> tuple[Child[Answer], Answer]:
    child = Child("poliqi.node.drivercheck.child", Answer)
    try:
        answer = child.ask(Load(candidate), _START_S)
        if answer.error is not None or not answer.checks:
            raise ConfigError(
                (answer.error or "neither end of it is to be looked at").removeprefix("ConfigError: ")
            )
    except ChildLost as lost:
        child.close()
        raise ConfigError(f"{candidate.device}: {lost}") from None
    except BaseException:
        child.close()
        raise
    return child, answer
