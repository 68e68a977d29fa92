"""What a controller is told unasked: trees of a node, one after the other, turned into notifications (ETSI 015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from poliqi.control.etsi015 import (
    AppStatus,
    InterfaceStatus,
    LinkStatus,
    NodeStatus,
    Performance,
    QkdApp,
    QkdInterface,
    QkdLink,
    QkdNode,
)

__all__ = ["NodeNews", "Notification"]

_CHANGE: Final = 0.2
"""A rate that moved by less than this share of what was told is no news."""
_NO_APP: Final = ("app_status", "app_statistics")
_OVER: Final = (NodeStatus.DOWN, NodeStatus.FAILURE, NodeStatus.OUT)


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification of the module: its name and its one container, as JSON."""

    name: str
    content: dict[str, Any]


class NodeNews:
    """Compares each tree with what was told before. The first one tells nothing."""

    def __init__(self, node: QkdNode) -> None:
        self._node = node
        self._told: Final[dict[str, Performance]] = {}
        self._overloaded: Final[set[str]] = set()
        for link in node.qkd_links.qkd_link:
            self._told[link.qkdl_id] = link.qkdl_performance

    def heed(self, node: QkdNode) -> list[Notification]:
        """What is new in this tree."""
        before, self._node = self._node, node
        return [
            *self._applications(before, node),
            *_interfaces(before, node),
            *self._links(before, node),
        ]

    @staticmethod
    def _applications(before: QkdNode, after: QkdNode) -> list[Notification]:
        news: list[Notification] = []
        old = {app.app_id: app for app in before.qkd_applications.qkd_app}
        new = {app.app_id: app for app in after.qkd_applications.qkd_app}
        is_over = after.qkdn_status in _OVER
        was_over = before.qkdn_status in _OVER
        for name, app in new.items():
            known = old.get(name)
            can = app.app_status is AppStatus.ON and not is_over
            could = known is not None and known.app_status is AppStatus.ON and not was_over
            if known is None or (can and not could):
                news.append(Notification("qkdn_application_new", {"qkd_application": _words(app)}))
            elif known.app_qos != app.app_qos:
                content = {"app_id": name, "app_qos": msgspec.to_builtins(app.app_qos)}
                news.append(Notification("qkdn_application_qos_update", {"qkd_application": content}))
            if could and not can:
                news.append(_disconnected(name))
        return news + [_disconnected(name) for name in old if name not in new]

    def _links(self, before: QkdNode, after: QkdNode) -> list[Notification]:
        news: list[Notification] = []
        old = {link.qkdl_id: link for link in before.qkd_links.qkd_link}
        new = {link.qkdl_id: link for link in after.qkd_links.qkd_link}
        for name, link in new.items():
            known = old.get(name)
            if known is not None and _makes(known) and not _makes(link):
                news.append(_down(name))
            if self._is_overloaded(link):
                news.append(Notification("qkdn_link_overloaded", {"qkd_link": _rates(link)}))
            told = self._told.get(name)
            if told is None or _moved(told, link.qkdl_performance):
                self._told[name] = link.qkdl_performance
                news.append(Notification("qkdn_link_perf_update", {"qkd_link": _rates(link)}))
        for name, link in old.items():
            if name not in new:
                self._told.pop(name, None)
                self._overloaded.discard(name)
                if _makes(link):
                    news.append(_down(name))
        return news

    def _is_overloaded(self, link: QkdLink) -> bool:
        """True once each time that more is taken from a link than it makes."""
        rates, name = link.qkdl_performance, link.qkdl_id
        if not _makes(link) or rates.expected_consumption < (1.0 - _CHANGE) * rates.skr:
            self._overloaded.discard(name)
        elif rates.expected_consumption > rates.skr and name not in self._overloaded:
            self._overloaded.add(name)
            return True
        return False


def _interfaces(before: QkdNode, after: QkdNode) -> list[Notification]:
    news: list[Notification] = []
    old = {each.qkdi_id: each for each in before.qkd_interfaces.qkd_interface}
    new = {each.qkdi_id: each for each in after.qkd_interfaces.qkd_interface}
    for number, each in new.items():
        known = old.get(number)
        if known is None or (_failed(known) and not _failed(each)):
            content = msgspec.to_builtins(msgspec.structs.replace(each, qkdi_status=msgspec.UNSET))
            news.append(Notification("qkdn_interface_new", {"qkd_interface": content}))
        elif _failed(each) and not _failed(known):
            news.append(Notification("qkdn_interface_down", {"qkd_interface": {"qkdi_id": number}}))
    gone = [number for number in old if number not in new]
    return news + [Notification("qkdn_interface_out", {"qkd_interface": {"qkdi_id": number}}) for number in gone]


def _failed(interface: QkdInterface) -> bool:
    return interface.qkdi_status is InterfaceStatus.FAILED


def _makes(link: QkdLink) -> bool:
    return link.qkdl_status is LinkStatus.ACTIVE


def _down(name: str) -> Notification:
    return Notification("qkdn_link_down", {"qkd_link": {"qkdl_id": name}})


def _disconnected(name: str) -> Notification:
    return Notification("qkdn_application_disconnected", {"qkd_application": {"app_id": name}})


def _words(app: QkdApp) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.to_builtins(app)
    return {name: value for name, value in content.items() if name not in _NO_APP}


def _rates(link: QkdLink) -> dict[str, Any]:
    rates = msgspec.structs.replace(link.qkdl_performance, phys_perf=msgspec.UNSET)
    return {"qkdl_id": link.qkdl_id, "performance": msgspec.to_builtins(rates)}


def _moved(told: Performance, now: Performance) -> bool:
    pairs = ((told.skr, now.skr), (told.eskr, now.eskr), (told.expected_consumption, now.expected_consumption))
    return any(abs(new - old) > _CHANGE * max(old, 1) for old, new in pairs)
