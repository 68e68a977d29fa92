"""The recipient's end of "dataset 1": what is there, and having it, resumed where it stopped.

What arrives is the sealed container; it is opened only when all of it is there and its digest fits. The dataset's
key is in memory alone: a fetch that is resumed has it wrapped anew, by a fresh quantum key.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from poliqi.apps.datasets.container import SealedReader
from poliqi.apps.datasets.service import RECEIPT_USE, WRAP_BYTES, receipt_bytes, wrap_context
from poliqi.apps.datasets.wire import Ask, Done, Entry, Listing, Offer, Refusal, expect, say
from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import SaeSettings
from poliqi.apps.share.kernel import rename_new, sync_all
from poliqi.apps.share.names import name_problem, numbered, peer_folder
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import DataRefused, ProtocolError, StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge.folder import make_private_folder
from poliqi.keys.onetime import MAC_KEY_BYTES, open_sealed

__all__ = ["Fetched", "fetch_dataset", "list_datasets"]

_BUFFER: Final = 1 << 20
_HEADER_MOST: Final = 1 << 16
_HEADERS: Final = (
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A dataset that is here: where, and by which key its own key came."""

    id: str
    name: str
    folder: Path
    sealed_bytes: int
    digest: str
    key_id: str
    grade: KeyGrade


def list_datasets(channel: Channel) -> tuple[Entry, ...]:
    """What the owner offers to this application. Raises what a channel raises."""
    say(channel, Ask())
    found = expect(channel, Listing)
    if isinstance(found, Refusal):
        raise DataRefused(f"{channel.peer}: {found.reason}")
    channel.finish()
    return found.entries


def fetch_dataset(
    channel: Channel, settings: SaeSettings, keys: KeySource, dataset_id: str, progress: Progress | None = None
) -> Fetched:
    """Have a dataset, in inbox/OWNER/NAME. Raises DataRefused, StoreError, and what a channel raises.

    What has arrived stays when the stream is cut; the next call goes on from there.
    """
    partial = settings.inbox / ".datasets" / f"{channel.peer.encode().hex()}.{dataset_id}"
    make_private_folder(partial.parent)
    with _alone(partial):
        return _fetch(channel, settings, keys, dataset_id, partial, progress)


def _fetch(
    channel: Channel,
    settings: SaeSettings,
    keys: KeySource,
    dataset_id: str,
    partial: Path,
    progress: Progress | None,
) -> Fetched:
    start = partial.stat().st_size if partial.exists() else 0
    say(channel, Ask(dataset_id, start))
    offer = expect(channel, Offer)
    if isinstance(offer, Refusal):
        raise DataRefused(f"{channel.peer}: {offer.reason}")
    if offer.id != dataset_id or start > offer.sealed_bytes:
        raise ProtocolError(f"{channel.peer}: offers another dataset than {dataset_id}: drop it")
    problem = name_problem(offer.name)
    if problem is not None or offer.name.startswith("."):
        raise DataRefused(f"{channel.peer}: offers a dataset whose name {problem or 'is hidden'}: drop it")
    _check_room(settings.inbox, 2 * offer.sealed_bytes - start, offer.name)
    key, grade = _unwrap(offer, channel, settings, keys)
    try:
        _receive(channel, partial, offer, start, progress)
        folder = _open(partial, key, offer, settings.inbox / peer_folder(channel.peer))
    finally:
        key.close()
    signed = receipt_bytes(offer.id, offer.digest, channel.peer, settings.sae, offer.key_id)
    say(channel, Done(settings.identity.sign(signed, RECEIPT_USE)))
    channel.finish()
    partial.unlink(missing_ok=True)
    return Fetched(offer.id, offer.name, folder, offer.sealed_bytes, offer.digest, offer.key_id, grade)


@contextmanager
def _alone(partial: Path) -> Generator[None]:
    """One fetch of a dataset at a time. Raises StoreError where another process is at it."""
    handle = os.open(partial.with_name(f"{partial.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError("this dataset is being fetched already: wait for it") from error
    try:
        yield
    finally:
        os.close(handle)


def _check_room(folder: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(f"{name!r}: takes {needed} bytes to fetch and open, {folder} has {free}: free space first")


def _unwrap(offer: Offer, channel: Channel, settings: SaeSettings, keys: KeySource) -> tuple[SecretBytes, KeyGrade]:
    """The dataset's key. Its quantum key is held to the peer's rule here, too."""
    [quantum] = keys.named(channel.peer, [offer.key_id])
    grade = KeyGrade.read(quantum.grade)
    refused = settings.peers[channel.peer].rule.demand.judge(grade)
    if refused is not None:
        quantum.value.close()
        raise DataRefused(f"{channel.peer}: the key that wraps {offer.name!r} is refused: {refused}")
    if len(quantum.value) != WRAP_BYTES:
        quantum.value.close()
        raise DataRefused(f"{channel.peer}: names a key of another size for {offer.name!r}: drop it, fetch again")
    bits = memoryview(quantum.value.take())
    context = wrap_context(offer.id, channel.peer, settings.sae, offer.key_id)
    return open_sealed(offer.cipher, offer.tag, bits[MAC_KEY_BYTES:], bits[:MAC_KEY_BYTES], context), grade


def _receive(channel: Channel, partial: Path, offer: Offer, start: int, progress: Progress | None) -> None:
    have = start
    try:
        with partial.open("ab") as out:
            while have < offer.sealed_bytes:
                data = channel.receive()
                if data is None or len(data) > offer.sealed_bytes - have:
                    raise ProtocolError(f"{channel.peer}: sends another length than it said for {offer.name!r}")
                out.write(data)
                have += len(data)
                if progress is not None:
                    progress(have, offer.sealed_bytes)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise StoreError(
            f"{offer.name!r}: {error.strerror} after {have} of {offer.sealed_bytes} bytes; free space, fetch again"
        ) from error


def _open(partial: Path, key: SecretBytes, offer: Offer, owner: Path) -> Path:
    """Unpack into a folder of its own, moved to its place when all is there."""
    with partial.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != offer.digest:
            partial.unlink()
            raise DataRefused(f"{offer.name!r} is not what its owner sealed: it is dropped, fetch it again")
    make_private_folder(owner)
    stage = partial.with_name(f"{partial.name}.open")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(mode=0o700)
    try:
        with partial.open("rb") as sealed, SealedReader(sealed, key.view(), bytes.fromhex(offer.id)) as plain:
            source = cast(BinaryIO, plain)
            with tarfile.open(mode="r|", fileobj=source, bufsize=_BUFFER, tarinfo=_Member) as tar:
                tar.extractall(stage, filter=_only_plain)  # noqa: S202  # the filter refuses all but plain files
            while plain.read(_BUFFER):
                pass
    except (tarfile.TarError, OSError, RecursionError) as error:
        shutil.rmtree(stage, ignore_errors=True)
        raise DataRefused(f"{offer.name!r} cannot be unpacked: {error}") from error
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    return _into_place(stage, owner, offer.name)


class _Member(tarfile.TarInfo):
    """A member whose header is bounded: tarfile holds long names and PAX headers in memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        """As TarInfo. Raises TarError."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_SPARSE):
            raise tarfile.TarError("a header for all that follows, or of a sparse file: no dataset has one")
        if found.type in _HEADERS and found.size > _HEADER_MOST:
            raise tarfile.TarError(f"a header of {found.size} bytes; at most {_HEADER_MOST} are taken")
        return found


def _only_plain(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """Files and folders; the filter of PEP 706 refuses names that lead out."""
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise tarfile.FilterError(f"{member.name[:80]!r} is neither a plain file nor a folder")
    return tarfile.data_filter(member, path)


def _into_place(stage: Path, owner: Path, name: str) -> Path:
    """Move what is whole to the dataset's name, or "name (2)" where that is taken, in one step; durable before."""
    inside, number = os.open(owner, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC), 1
    try:
        sync_all(inside)
        while True:
            new = numbered(name, number, is_folder=True)
            try:
                rename_new(str(stage), inside, new, inside)
            except FileExistsError:
                number += 1
                continue
            os.fsync(inside)
            return owner / new
    finally:
        os.close(inside)
