"""The inbox of an application whose laboratory takes in what arrives (`[lab] take_in`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from poliqi.apps.keysource import KeySource
from poliqi.apps.service import Service
from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import PoliqiError
from poliqi.lab.store.arriving import Arriving, TakingIn
from poliqi.lab.store.sending import enter_missed
from poliqi.lab.store.store import LabStore
from poliqi.ops.lab_toml import LabRules, read_lab

__all__ = ["lab_arriving", "with_lab"]


def lab_arriving(settings: SaeSettings, keys: KeySource, tell: Callable[..., None]) -> Arriving | None:
    """Takes in what it is told of; None where the file does not ask for it. Raises ConfigError, StoreError.

    Receipts of what was sent when the service last ended are entered first, whether it takes in or not.
    """
    rules = read_lab(settings)
    if rules is None:
        return None
    _enter_missed(settings, rules, tell)
    if not rules.take_in:
        return None
    arriving = Arriving(settings, keys, _taking_in(rules), tell)
    arriving.start()
    return arriving


def _enter_missed(settings: SaeSettings, rules: LabRules, tell: Callable[..., None]) -> None:
    try:
        for action in enter_missed(LabStore.open(rules.store), settings):
            text = f"receipt {action.key} had not been entered; it is in the provenance of dataset {action.dataset}"
            tell("lab-receipt-entered", text, dataset=action.dataset, transfer=action.key)
    except (PoliqiError, OSError) as error:
        tell("lab-receipts-left", f"receipts may be missing in provenance: {error}", level="warning")


def with_lab(inbox: Service, arriving: Arriving | None) -> Service:
    """The inbox, with what takes in from it."""
    return inbox if arriving is None else _LabInbox(inbox, arriving)


def _taking_in(rules: LabRules) -> TakingIn:
    return TakingIn(rules.store, rules.tenant or "", rules.forward)


class _LabInbox:
    def __init__(self, inbox: Service, arriving: Arriving) -> None:
        self._inbox: Final = inbox
        self._arriving: Final = arriving

    @property
    def purpose(self) -> str:
        return self._inbox.purpose

    def serve(self, channel: Channel) -> None:
        self._inbox.serve(channel)

    def change(self, settings: SaeSettings) -> None:
        self._inbox.change(settings)
        rules = read_lab(settings)
        self._arriving.change(settings, None if rules is None else _taking_in(rules))

    def close(self) -> None:
        self._inbox.close()
        self._arriving.close()
