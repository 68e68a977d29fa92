"""Messages as people read them: on a terminal that nobody's words can take over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from poliqi.apps.messenger.mailbox import Direction, Message, State

__all__ = ["message_lines", "message_record", "plain"]


def plain(text: str) -> str:
    """The text without anything that moves a cursor or hides words; what was there instead shows as U+FFFD."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def message_record(message: Message) -> dict[str, Any]:
    """As --json prints it."""
    note = message.note
    return {
        "number": message.number,
        "direction": message.direction,
        "peer": message.peer,
        "state": message.state,
        "time": message.at_s,
        "done": message.done_s,
        "written": message.written_s,
        "text": message.text,
        "why": message.why,
        "knowledge": None if note is None else note.knowledge.value,
        "paths_needed": None if note is None else note.paths_needed,
        "hybrid": None if note is None else note.is_hybrid,
        "epsilon": None if note is None else note.epsilon,
        "simulated": None if note is None else note.is_simulated,
        "key_bytes": None if note is None else note.key_bytes,
    }


def message_lines(message: Message, place: str) -> list[str]:
    """When, who, what; below it who could know the pad."""
    when = datetime.fromtimestamp(message.at_s).astimezone().strftime("%m-%d %H:%M:%S")
    who = "me" if message.direction is Direction.SENT else place
    text = "(burnt)" if message.text is None else plain(message.text)
    first, *more = text.split("\n")
    lines = [f"{when} {who}: {first}", *(f"    {line}" for line in more)]
    if message.state is State.WAITING:
        lines.append(f"    waits{': ' + plain(message.why) if message.why else ''}")
    elif message.note is not None:
        lines.append(f"    pad: {plain(message.note.text)}")
    return lines
