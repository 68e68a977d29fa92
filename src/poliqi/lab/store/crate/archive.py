"""Crates as one ZIP file: written as it is read, unpacked within limits and never outside its folder."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, Final

from poliqi.apps.share.tree import Tree
from poliqi.base.errors import DataRefused, StoreError
from poliqi.edge.wholefile import whole_file
from poliqi.lab.store.crate.build import Built
from poliqi.lab.store.crate.paths import METADATA, local_path
from poliqi.lab.store.crate.write import metadata_of
from poliqi.lab.store.intake import Progress
from poliqi.lab.store.naming import check_path
from poliqi.lab.store.settings import Limits
from poliqi.lab.store.tenant import TenantStore

__all__ = ["is_archive", "unpack", "write_archive"]

_BLOCK: Final = 1 << 20
_RATIO_MOST: Final = 200
"""Bytes that come out for a byte of the archive: deflate itself reaches 1,032."""
_FREE_BYTES: Final = 64 << 20
"""Not held against the ratio: small files of one letter compress well."""
_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_BEFORE_END: Final = _END64.size + _LOCATOR.size
_PACKED: Final = frozenset(
    {".gz", ".h5", ".hdf5", ".nxs", ".cbf", ".zip", ".png", ".jpg", ".xz", ".zst", ".brml", ".rasx"}
)
_BAD_ARCHIVE: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError)


def is_archive(path: Path) -> bool:
    """True for a file that begins as a ZIP does."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def write_archive(tenant: TenantStore, built: Built, path: Path, progress: Progress) -> None:
    """A new ZIP file, whole or not at all; each file is held against its hash while it is read.

    Raises ConfigError where `path` stands, DataRefused for what was changed in the store, StoreError.
    """
    from blake3 import blake3

    done = 0
    with whole_file(path) as out, zipfile.ZipFile(out, "w", allowZip64=True) as archive:
        for file in built.dataset.files:
            hasher = blake3()
            with (
                tenant.file_path(file).open("rb") as source,
                archive.open(_entry(file.path), "w", force_zip64=True) as to,
            ):
                while block := source.read(_BLOCK):
                    hasher.update(block)
                    to.write(block)
                    done += len(block)
                    progress(done, built.size_bytes)
            if hasher.hexdigest() != file.blake3:
                raise DataRefused(f"{file.path!r} was changed in the store; nothing was written")
        for one in built.enclosed:
            archive.writestr(_entry(one.path), one.data)
        archive.writestr(_entry(METADATA), metadata_of(built))


def _entry(path: str) -> zipfile.ZipInfo:
    """The same for the same path: no time of day, no owner. What is packed already is stored as it is."""
    info = zipfile.ZipInfo(path)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    is_packed = os.path.splitext(path)[1].lower() in _PACKED  # noqa: PTH122  # a path of a dataset is text
    info.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
    return info


def unpack(path: Path, folder: Path, limits: Limits) -> None:
    """Everything below the crate's root into `folder`, which is empty.

    Raises DataRefused: no ZIP, a path that escapes, a symlink, two of one path, more than `limits` allow, or
    more out of it than a crate would have; StoreError where the disk does not take it.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            _check_directory(file, size, limits)
            with zipfile.ZipFile(file) as archive:
                _unpack(archive, folder, limits, _RATIO_MOST * size + _FREE_BYTES)
    except _BAD_ARCHIVE as error:
        raise DataRefused(f"{path.name}: is no ZIP file that can be read: {error}") from None
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}; make room and try again") from error


def _check_directory(file: BinaryIO, size: int, limits: Limits) -> None:
    """Refuse a directory of more entries than a dataset may have files, before all of it is read into memory."""
    file.seek(max(0, size - _BEFORE_END - _END.size - 0xFFFF))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise DataRefused("is no ZIP file: it has no directory")
    length = _END.unpack_from(tail, at)[5]
    before = tail[max(0, at - _BEFORE_END) : at].rjust(_BEFORE_END, b"\0")
    locator, _, place, _ = _LOCATOR.unpack_from(before, _END64.size)
    if locator == b"PK\x06\x07":  # whatever the classic record says, the one of ZIP64 counts then
        record, *_, length, _ = _END64.unpack_from(before)
        if record != b"PK\x06\x06" or place != size - len(tail) + at - _BEFORE_END:
            raise DataRefused("its ZIP64 directory does not stand where every program looks for it; pack it anew")
    if length > 400 * limits.dataset_files + (1 << 16):
        raise DataRefused(f"its directory has {length:,} bytes: more than {limits.dataset_files:,} files need")
    file.seek(0)


def _unpack(archive: zipfile.ZipFile, folder: Path, limits: Limits, most: int) -> None:
    wanted = _wanted(archive, limits)
    left = min(most, limits.dataset_bytes)
    tree, made = Tree(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)), set[str]()
    try:
        for path, info in sorted(wanted.items()):
            names = check_path(path)
            for depth in range(1, len(names)):
                above = "/".join(names[:depth])
                if above not in made:
                    tree.make_folder(names[:depth])
                    made.add(above)
            with archive.open(info) as source, os.fdopen(tree.new_file(names, 0o600), "wb") as to:
                while block := source.read(_BLOCK):
                    left -= len(block)
                    if left < 0:
                        raise DataRefused("more comes out of it than a crate would have: a bomb, or pack it less")
                    to.write(block)
    finally:
        tree.close()


def _wanted(archive: zipfile.ZipFile, limits: Limits) -> dict[str, zipfile.ZipInfo]:
    """Files by their path below the crate's root: the archive itself, or the one folder in it."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > limits.dataset_files + 1000:
        raise DataRefused(f"{len(infos):,} files, limits.dataset_files allows {limits.dataset_files:,}")
    names = [info.filename for info in infos]
    root = (
        "" if METADATA in names else next((n[: -len(METADATA)] for n in names if n.endswith("/" + METADATA)), None)
    )
    if root is None or root.count("/") > 1:
        raise DataRefused(f"holds no {METADATA} at its top: it is no RO-Crate")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if not info.filename.startswith(root):
            raise DataRefused(f"{info.filename[:200]!r} stands beside the crate; pack the crate alone")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise DataRefused(f"{info.filename[:200]!r} is a symlink or a device")
        if info.flag_bits & 1:
            raise DataRefused(f"{info.filename[:200]!r} is encrypted: unpack it, and import the folder")
        path = _plain(info.filename[len(root) :])
        if path in found:
            raise DataRefused(f"{path[:200]!r} stands in it twice")
        found[path] = info
    return found


def _plain(name: str) -> str:
    """A name of an archive as a path of a dataset; names in archives know no % and no schemes."""
    from urllib.parse import quote

    if name.startswith("/") or "\\" in name:
        raise DataRefused(f"{name[:200]!r} leads out of the crate")
    return local_path(quote(name))
