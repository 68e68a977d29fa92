"""The datasets that an application offers: sealed content, who may have it, and an audit in a hash chain.

```
state/datasets/ID/content        the sealed container; anybody may have it without learning more than its length
state/datasets/ID/record         MessagePack of `Dataset`; the dataset's key in it is sealed under the local key
state/datasets/audit.jsonl       who published, granted, revoked, asked, got; never a key
```

A record is replaced as a whole, so a crash leaves the one or the other. A folder without a record is no dataset.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, cast

import msgspec

from poliqi.apps.atrest import LocalSeal
from poliqi.apps.datasets.audit import AuditFile
from poliqi.apps.datasets.container import SealedWriter
from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.edge.durable import replace_file
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.folder import make_private_folder, sync_folder

__all__ = ["KEY_BYTES", "Dataset", "Shelf", "is_dataset_id"]

KEY_BYTES: Final = 32
_RECORD_BYTES: Final = 1 << 20
_NAME_MOST: Final = 200
_RECIPIENTS_MOST: Final = 1000
_BUFFER: Final = 1 << 20

Progress = Callable[[int], None]


class Recipient(msgspec.Struct, frozen=True):
    """One who may have it. Times are Unix seconds; `fetched` counts whole fetches."""

    sae: SaeId
    granted_s: float
    revoked_s: float | None = None
    fetched: int = 0


class Dataset(msgspec.Struct, frozen=True):
    """What is known of a dataset. `digest` is SHA-256 of the container; sizes in bytes."""

    id: str
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=_NAME_MOST)]
    made_s: float
    files: int
    plain_bytes: int
    sealed_bytes: int
    digest: str
    sealed_key: bytes
    recipients: tuple[Recipient, ...] = ()

    def recipient(self, sae: str) -> Recipient | None:
        """Who was ever granted it."""
        return next((r for r in self.recipients if r.sae == sae), None)

    def is_open_to(self, sae: str) -> bool:
        """May this application have it now?"""
        found = self.recipient(sae)
        return found is not None and found.revoked_s is None


def is_dataset_id(text: str) -> bool:
    """True for 32 hexadecimal digits in lower case: nothing that leads out of a folder."""
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)


class Shelf:
    """The datasets of one application. Several processes may use it at once: changes hold a lock."""

    def __init__(
        self, state: Path, seal: LocalSeal, entropy: Entropy, wall: Callable[[], float] = time.time
    ) -> None:
        self._folder: Final = state / "datasets"
        self._seal: Final = seal
        self._entropy: Final = entropy
        self._wall: Final = wall
        self._audit: Final = AuditFile(self._folder / "audit.jsonl", wall)
        make_private_folder(self._folder)

    @classmethod
    def of(cls, state: Path) -> Shelf:
        """That of an application's folder, with the operating system's randomness."""
        entropy = OperatingSystemEntropy()
        make_private_folder(state)
        return cls(state, LocalSeal.of_folder(state, entropy), entropy)

    # ---- the owner's side

    def publish(
        self, paths: Sequence[Path], name: str, to: Sequence[SaeId], progress: Progress | None = None
    ) -> Dataset:
        """Seal files and folders as one dataset for these recipients. Raises ConfigError, StoreError."""
        if not 1 <= len(name) <= _NAME_MOST or not name.isprintable() or "/" in name or name.startswith("."):
            raise ConfigError(
                f"dataset {name[:60]!r}: a name has 1 to {_NAME_MOST} printable characters, no / in it"
            )
        dataset_id = self._entropy.draw(16).hex()
        folder = self._folder / dataset_id
        folder.mkdir(mode=0o700)
        key = SecretBytes(self._entropy.draw(KEY_BYTES))
        try:
            with (folder / "content").open("xb") as out:
                files, plain = _pack(paths, cast(BinaryIO, out), key, bytes.fromhex(dataset_id), progress)
                out.flush()
                os.fsync(out.fileno())
            with (folder / "content").open("rb") as done:
                digest = hashlib.file_digest(done, "sha256").hexdigest()
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise StoreError(f"{error.filename or 'dataset'}: {error.strerror}; nothing was published") from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        made = Dataset(
            id=dataset_id,
            name=name,
            made_s=self._wall(),
            files=files,
            plain_bytes=plain,
            sealed_bytes=(folder / "content").stat().st_size,
            digest=digest,
            sealed_key=self._seal.seal(key.view(), f"dataset {dataset_id}".encode()),
        )
        key.close()
        with self._locked():
            self._write(made)
            self._audit.note(
                "published", {"id": dataset_id, "name": name, "sha256": digest, "bytes": made.sealed_bytes}
            )
        for sae in to:
            made = self.grant(dataset_id, sae)
        return made

    def grant(self, dataset_id: str, sae: SaeId) -> Dataset:
        """Let an application have it, from now on. Raises ConfigError."""
        with self._locked():
            dataset = self.get(dataset_id)
            others = tuple(r for r in dataset.recipients if r.sae != sae)
            if len(others) >= _RECIPIENTS_MOST:
                raise ConfigError(f"dataset {dataset.name!r}: {_RECIPIENTS_MOST} recipients are the most")
            before = dataset.recipient(sae)
            fetched = 0 if before is None else before.fetched
            new = Recipient(sae, self._wall(), None, fetched)
            return self._change(dataset, (*others, new), "granted", {"to": sae})

    def revoke(self, dataset_id: str, sae: SaeId) -> Dataset:
        """Let it have no more of it. What it has fetched already, it has. Raises ConfigError."""
        with self._locked():
            dataset = self.get(dataset_id)
            before = dataset.recipient(sae)
            if before is None or before.revoked_s is not None:
                raise ConfigError(f"dataset {dataset.name!r}: {sae} may not have it anyway; `poliqi share list`")
            others = tuple(r for r in dataset.recipients if r.sae != sae)
            ended = msgspec.structs.replace(before, revoked_s=self._wall())
            return self._change(dataset, (*others, ended), "revoked", {"from": sae, "fetched": before.fetched})

    def remove(self, dataset_id: str) -> None:
        """Destroy its key, then its content. Raises ConfigError."""
        with self._locked():
            dataset = self.get(dataset_id)
            (self._folder / dataset_id / "record").unlink()
            sync_folder(self._folder / dataset_id)
            self._audit.note("removed", {"id": dataset_id, "name": dataset.name})
        shutil.rmtree(self._folder / dataset_id, ignore_errors=True)

    def all(self) -> list[Dataset]:
        """Every dataset, the latest first."""
        found: list[Dataset] = []
        for path in self._folder.iterdir():
            if is_dataset_id(path.name):
                with suppress(ConfigError):
                    found.append(self.get(path.name))
        return sorted(found, key=lambda d: -d.made_s)

    def find(self, name: str) -> Dataset:
        """By id, its beginning (at least 6 digits) or name. Raises ConfigError where none or several fit."""
        fitting = [d for d in self.all() if d.name == name or (len(name) >= 6 and d.id.startswith(name))]
        if len(fitting) != 1:
            what = "no dataset is" if not fitting else f"{len(fitting)} datasets are"
            raise ConfigError(f"{name[:60]!r}: {what} called so; `poliqi share list` shows their ids")
        return fitting[0]

    def get(self, dataset_id: str) -> Dataset:
        """Raises ConfigError where it is not there."""
        try:
            if not is_dataset_id(dataset_id):
                raise FileNotFoundError
            data = (self._folder / dataset_id / "record").read_bytes()
            return msgspec.msgpack.decode(data[:_RECORD_BYTES], type=Dataset)
        except FileNotFoundError:
            raise ConfigError(f"dataset {dataset_id[:40]!r} is not there; `poliqi share list`") from None
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(f"dataset {dataset_id}: its record cannot be read: {error}") from error

    # ---- what the service needs

    def content(self, dataset: Dataset) -> BinaryIO:
        """The sealed container. Raises StoreError."""
        try:
            return (self._folder / dataset.id / "content").open("rb")
        except OSError as error:
            raise StoreError(f"dataset {dataset.name!r}: {error.strerror}") from error

    def key(self, dataset: Dataset) -> SecretBytes:
        """The dataset's key, to be wrapped. Raises DataRefused."""
        return self._seal.open(dataset.sealed_key, f"dataset {dataset.id}".encode())

    def fetched(self, dataset_id: str, sae: SaeId) -> None:
        """A recipient has all of it."""
        with self._locked():
            dataset = self.get(dataset_id)
            before = dataset.recipient(sae)
            if before is not None:
                others = tuple(r for r in dataset.recipients if r.sae != sae)
                more = msgspec.structs.replace(before, fetched=before.fetched + 1)
                self._write(msgspec.structs.replace(dataset, recipients=(*others, more)))

    def note(self, event: str, detail: dict[str, object]) -> None:
        """A line of the audit."""
        with self._locked():
            self._audit.note(event, detail)

    def audit(self) -> Iterator[dict[str, Any]]:
        """Every line of the audit, verified. Raises DataRefused at the first that does not continue the chain."""
        return self._audit.lines()

    # ---- files

    def _change(
        self, dataset: Dataset, recipients: tuple[Recipient, ...], event: str, detail: dict[str, object]
    ) -> Dataset:
        changed = msgspec.structs.replace(dataset, recipients=recipients)
        self._write(changed)
        self._audit.note(event, {"id": dataset.id, "name": dataset.name, **detail})
        return changed

    def _write(self, dataset: Dataset) -> None:
        replace_file(self._folder / dataset.id / "record", msgspec.msgpack.encode(dataset))

    @contextmanager
    def _locked(self) -> Generator[None]:
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


class _Counted:
    """A writer that counts what passes."""

    def __init__(self, inner: SealedWriter, progress: Progress | None) -> None:
        self._inner: Final = inner
        self._progress: Final = progress
        self.count = 0

    def write(self, data: bytes) -> int:
        self._inner.write(data)
        self.count += len(data)
        if self._progress is not None:
            self._progress(self.count)
        return len(data)


def _pack(
    paths: Sequence[Path], out: BinaryIO, key: SecretBytes, name: bytes, progress: Progress | None
) -> tuple[int, int]:
    """A POSIX tar of plain files and folders, sealed; how many files, how many bytes in them."""
    files = size = 0

    def only_plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        nonlocal files, size
        if not (member.isreg() or member.isdir()):
            raise ConfigError(f"{member.name}: is neither a file nor a folder; leave it out")
        files += member.isreg()
        size += member.size
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with SealedWriter(out, key.view(), name) as sealed:
        counted = _Counted(sealed, progress)
        with tarfile.open(
            mode="w|", fileobj=cast(BinaryIO, counted), bufsize=_BUFFER, format=tarfile.PAX_FORMAT
        ) as tar:
            for path in paths:
                tar.add(path, arcname=path.resolve().name, filter=only_plain)
        return files, size
