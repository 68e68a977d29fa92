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
    LAB_USER = "lab-user"
    """Somebody of a laboratory, or of a company that it serves: sees its pages for their tenant, nothing else."""


class Permission(StrEnum):
    """What a route asks for."""

    ENTER = "enter"
    """Be logged in, and log out."""
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
    LAB = "lab"
    """See the datasets, bookings and invoices of one's own tenant on a laboratory's pages."""
    LAB_WORK = "lab-work"
    """Send datasets of one's own tenant, and book instruments for it."""
    LAB_BOOKS = "lab-books"
    """See what all tenants used and owe: the month report of a laboratory."""


_ENTER: Final = frozenset({Permission.ENTER})
MAY: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.VIEWER: _ENTER | {Permission.READ, Permission.LAB},
    Role.OPERATOR: _ENTER
    | {
        Permission.READ,
        Permission.ACKNOWLEDGE,
        Permission.DRAIN,
        Permission.PLANT,
        Permission.SEND,
        Permission.OPEN,
        Permission.LAB,
        Permission.LAB_WORK,
        Permission.LAB_BOOKS,
    },
    Role.SECURITY_OFFICER: _ENTER | {Permission.READ, Permission.ACKNOWLEDGE, Permission.ACCESS},
    Role.LAB_USER: _ENTER | {Permission.LAB, Permission.LAB_WORK},
}
"""Who watches the operators cannot operate: the officer reads the list of actions and adds none to the network."""
