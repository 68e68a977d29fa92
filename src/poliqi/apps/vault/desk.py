"""An owner's desk, made from the settings of its application: for commands and pages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from poliqi.apps.dial import dialling
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import SaeSettings
from poliqi.apps.vault.catalogue import Catalogue
from poliqi.apps.vault.keepers import Keepers, Wait
from poliqi.apps.vault.owner import Owner, Progress
from poliqi.apps.vault.service import open_shelf
from poliqi.base.secret import Entropy
from poliqi.edge.folder import lock_folder, make_private_folder
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["open_owner", "patient"]


@contextmanager
def open_owner(
    settings: SaeSettings, keys: KeySource, entropy: Entropy, wait: Wait, progress: Progress | None = None
) -> Generator[Owner]:
    """The owner, alone on its catalogue. Raises StoreError where another command is at work, ConfigError."""
    folder = settings.state / "vault" / "catalogue"
    make_private_folder(folder)
    handle = lock_folder(folder, "another command works on this vault; wait until it has ended")
    try:
        keepers = Keepers(settings, keys, dialling(settings, keys), lambda: open_shelf(settings, entropy), wait)
        owner = Owner(Catalogue(folder, entropy, time.time), keepers, entropy, progress)
        try:
            yield owner
        finally:
            owner.close()
    finally:
        os.close(handle)


def patient(most_s: float, say: Callable[[str], None]) -> Wait:
    """Waits for key as often as it takes, up to `most_s` seconds in a row; 0: not at all."""
    since: list[float] = []

    def wait(error: KeysNotReady) -> None:
        now = time.monotonic()
        if not since or now - since[-1] > 2 * 60.0:
            since[:] = [now]
        if now - since[0] + (error.retry_s or 1.0) > most_s:
            raise error
        pause_s = min(max(error.retry_s or 1.0, 0.2), 30.0)
        say(f"{error}; again in {pause_s:.0f} s")
        time.sleep(pause_s)
        since.append(time.monotonic())

    return wait
