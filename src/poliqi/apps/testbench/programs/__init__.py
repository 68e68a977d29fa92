"""Installed programs to compare with, each by its best settings and with keys of the trial alone."""

from __future__ import annotations

from typing import Final

from poliqi.apps.testbench.programs.filters import AGE, OPENSSL_ENC
from poliqi.apps.testbench.programs.secureshell import SecureShell
from poliqi.apps.testbench.programs.stunnel import Stunnel
from poliqi.apps.testbench.programs.wireguard import WireGuard
from poliqi.apps.testbench.seams import StreamEncryptor

__all__ = ["PROGRAMS"]

PROGRAMS: Final[tuple[StreamEncryptor, ...]] = (Stunnel(), WireGuard(), SecureShell(), AGE, OPENSSL_ENC)
