"""A folder of the inbox held against the receipt that was given for it, so that nothing is removed unread.

Names in the inbox serve again once they are free: that a receipt names a folder does not make it the receipt's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from poliqi.apps.share.receipt import Receipt
from poliqi.apps.share.verify import check_manifest, differing_files, read_manifest
from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate.paths import METADATA
from poliqi.lab.store.records import Action
from poliqi.lab.store.tenant import TenantStore

__all__ = ["check_arrived", "check_stands", "hold", "remove_arrived"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def hold(folder: Path) -> Generator[None]:
    """Keep other processes from taking it in meanwhile. Raises DataRefused where one does, OSError."""
    handle = os.open(folder, _FOLDER)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataRefused("another process is taking it in") from None
        if not os.path.samestat(os.fstat(handle), folder.lstat()):
            raise DataRefused("another process has just taken it in; what is there now is taken in after it")
        yield
    finally:
        os.close(handle)


def check_arrived(folder: Path, receipt: Receipt, signed: Path, *, is_rest: bool) -> None:
    """Read all of it: every file and folder is the one that the receipt's manifest lists, and there is no other.

    `signed` is the receipt's file; the manifest is beside it. Of a rest, files may be missing. Raises DataRefused.
    """
    manifest = signed.with_suffix(".manifest")
    try:
        check_manifest(manifest, receipt)
        listed = {"/".join(entry.names[1:]) for entry, _ in read_manifest(manifest)}
        found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
        differing = ["/".join(path.split("/")[1:]) for path in differing_files(manifest, folder)]
    except OSError as error:
        raise DataRefused(f"it cannot be held against its manifest ({manifest}): {error.strerror}") from error
    wrong = sorted(found - listed) + [path for path in differing if not is_rest or path in found]
    if wrong:
        raise DataRefused(
            f"{wrong[0][:200]!r} is not what transfer {receipt.transfer} brought: it is of another transfer, or "
            "was changed here; it stays in the inbox"
        )


def check_stands(tenant: TenantStore, standing: Action, receipt: Receipt) -> None:
    """Raises DataRefused unless the dataset of `standing` came with this receipt's manifest, and is undamaged."""
    facts = msgspec.json.decode(standing.facts_json, type=dict[str, object])
    if facts.get("manifest_sha256") != receipt.manifest_sha256:
        raise DataRefused(
            f"transfer {receipt.transfer} brought dataset {standing.dataset} already, and this is another; it "
            "stays in the inbox"
        )
    if problems := tenant.verify(standing.dataset):
        raise DataRefused(f"dataset {standing.dataset}, which it became, is damaged: {problems[0]}; it stays here")


def remove_arrived(folder: Path) -> None:
    """The metadata last: what a crash leaves is still a crate, and is removed at the next start. Raises OSError."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name != METADATA:
                os.unlink(entry.path)  # noqa: PTH108  # as scandir gives it
    shutil.rmtree(folder)
