"""What people can have done: who may, whether the thing exists, what it will do, in words before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.city import SpanId
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.scene import Scene
from poliqi.ops.web.source import ActionKind

__all__ = ["ACTIONS", "ActionRow", "Confirmation", "Target", "confirmation"]


class Target(StrEnum):
    """What an action's subject names."""

    SPAN = "span"
    SITE = "site"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class ActionRow:
    """One row of the table of actions. `is_danger` colours its button."""

    permission: Permission
    target: Target
    is_danger: bool = False

    @property
    def is_demo(self) -> bool:
        """Of simulated fibres only."""
        return self.permission is Permission.PLANT


ACTIONS: Final[Mapping[ActionKind, ActionRow]] = {
    ActionKind.CUT: ActionRow(Permission.PLANT, Target.SPAN, is_danger=True),
    ActionKind.MEND: ActionRow(Permission.PLANT, Target.SPAN),
    ActionKind.LISTEN: ActionRow(Permission.PLANT, Target.SPAN, is_danger=True),
    ActionKind.DRAIN: ActionRow(Permission.DRAIN, Target.SITE, is_danger=True),
    ActionKind.UNDRAIN: ActionRow(Permission.DRAIN, Target.SITE),
    ActionKind.ACKNOWLEDGE: ActionRow(Permission.ACKNOWLEDGE, Target.ALARM),
}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The question, what a yes does, and where to go on afterwards."""

    question: str
    what_happens: str
    back: str


def confirmation(scene: Scene, kind: ActionKind, subject: str) -> Confirmation | None:
    """What to ask before an action; None where there is no such subject."""
    name, back = _subject(scene, ACTIONS[kind].target, subject)
    if not name:
        return None
    question = scene.say(f"confirm.{kind}", name=name)
    return Confirmation(question, scene.say(f"confirm.{kind}_does", name=name), back)


def _subject(scene: Scene, target: Target, subject: str) -> tuple[str, str]:
    """Its name for people and the page to go back to; no name where it does not exist."""
    match target:
        case Target.SPAN:
            return (scene.span_name(subject), "/") if SpanId(subject) in scene.view.city.span else ("", "")
        case Target.SITE:
            return (scene.site_name(subject), "/sites") if KmeId(subject) in scene.view.city.site else ("", "")
        case Target.ALARM:
            found = next((a for a in scene.open_alarms if str(a.number) == subject), None)
            return (scene.alarm_title(found), "/alarms") if found else ("", "")
