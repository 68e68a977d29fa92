"""The dashboard of a city: pages, live patches and JSON for people, made from plain values."""

from __future__ import annotations

from poliqi.ops.web.application import Dashboard, dashboard
from poliqi.ops.web.roles import Role
from poliqi.ops.web.settings import DashboardSettings, TokenEntry, new_token, read_tokens
from poliqi.ops.web.source import Action, ActionKind, CitySource, Fault

__all__ = [
    "Action",
    "ActionKind",
    "CitySource",
    "Dashboard",
    "DashboardSettings",
    "Fault",
    "Role",
    "TokenEntry",
    "dashboard",
    "new_token",
    "read_tokens",
]
