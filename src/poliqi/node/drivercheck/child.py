"""The process in which a driver is tried: `python -m poliqi.node.drivercheck.child`."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Final

from poliqi.apps.testbench.checking import Check, run_checks
from poliqi.apps.testbench.hosting import serve
from poliqi.base.jit import load_compiler
from poliqi.edge.driverfile import light_driver
from poliqi.edge.pythonfile import load_file
from poliqi.edge.sources.catalogue import device_names, opener_of
from poliqi.node.drivercheck.alicechecks import ALICE_CHECKS, PAIR_CHECKS
from poliqi.node.drivercheck.bobchecks import BOB_CHECKS
from poliqi.node.drivercheck.dialogue import Answer, Candidate, DriverKind, Load, Look
from poliqi.node.drivercheck.keychecks import KEY_CHECKS, PEER_CHECKS, KeyBench
from poliqi.node.drivercheck.lightbench import LightBench

__all__ = ["Desk", "main"]


class Desk:
    """One driver, loaded; each look is answered by itself."""

    def __init__(self) -> None:
        self._bench: Any = None
        self._checks: dict[str, Check[Any]] = {}

    def answer(self, request: Load | Look) -> Answer:
        """Do what is asked; an error of the driver is an answer."""
        try:
            return self._load(request.candidate) if isinstance(request, Load) else self._look(request.check)
        except Exception as error:  # code of others: whatever it raises is what was found
            return Answer(error=f"{type(error).__name__}: {error}"[:1000])

    def _load(self, c: Candidate) -> Answer:
        load_compiler()  # before a thread of a check could import it
        base = Path(c.base)
        kind = _kind_of(c.device, base)
        if kind is DriverKind.KEYS:
            peer = None if c.peer_options is None else opener_of(c.device, c.peer_options, base)
            self._bench = KeyBench(opener_of(c.device, c.options, base), peer)
            found: tuple[Check[Any], ...] = KEY_CHECKS + (() if peer is None else PEER_CHECKS)
        else:
            driver = light_driver(c.device, c.options, base)
            link = pickle.loads(bytes.fromhex(c.link))  # noqa: S301  # our own parent wrote it
            bench = LightBench(driver, link, c.seconds, c.first_slot, alice=c.is_alice, bob=c.is_bob)
            self._bench, found = bench, (BOB_CHECKS if bench.has_bob else ())
            if bench.has_alice:
                found += ALICE_CHECKS + (PAIR_CHECKS if bench.has_bob else ())
        self._checks = {check[0]: check for check in found}
        return Answer(kind=kind, checks=tuple(self._checks))

    def _look(self, check: str) -> Answer:
        (finding,) = run_checks(self._bench, [self._checks[check]])
        return Answer(finding=finding, figures=dict(self._bench.figures))


_KEY_FUNCTION: Final = "open_device"


def _kind_of(device: str, base: Path) -> DriverKind:
    """By the functions that a file has, or the group that has the name. Raises ConfigError."""
    if device.endswith(".py"):
        is_keys = hasattr(load_file(base / device, "device"), _KEY_FUNCTION)
    else:
        is_keys = device in device_names()
    return DriverKind.KEYS if is_keys else DriverKind.LIGHT


def main() -> None:
    """Answer until standard input ends."""
    serve(Load | Look, Desk().answer)


if __name__ == "__main__":
    main()
