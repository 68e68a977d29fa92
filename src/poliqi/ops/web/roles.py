"""Who may do what on the dashboard and on applications' pages: one table, read by every route."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

__all__ = ["MAY", "Permission", "Role"]


class Role(StrEnum):
    """What a person at the dashboard is. Everybody has exactly one."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    SECURITY_OFFICER = "security-officer"


class Permission(StrEnum):
    """What a route asks for."""

    READ = "read"
    ACKNOWLEDGE = "acknowledge"
    DRAIN = "drain"
    PLANT = "plant"
    """Cut, mend and tap simulated fibres; a real city has no such route."""
    ACCESS = "access"
    """See who is logged in and what was done, and log others out."""
    SEND = "send"
    """Send files from an application's pages."""
    OPEN = "open"
    """Take files out of an application's inbox."""


MAY: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.OPERATOR: frozenset(
        {
            Permission.READ,
            Permission.ACKNOWLEDGE,
            Permission.DRAIN,
            Permission.PLANT,
            Permission.SEND,
            Permission.OPEN,
        }
    ),
    Role.SECURITY_OFFICER: frozenset({Permission.READ, Permission.ACKNOWLEDGE, Permission.ACCESS}),
}
"""Who watches the operators cannot operate: the officer reads the list of actions and adds none to the network."""
