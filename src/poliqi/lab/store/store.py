"""The store of a laboratory: one folder, a tenant for the organisation and one for each of its guests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.durable import write_new
from poliqi.edge.folder import check_private, make_private_folder, sync_folder
from poliqi.lab.store.naming import check_tenant, new_id, tenant_of
from poliqi.lab.store.settings import FILE_NAME, LabSettings, draft_of, read_settings
from poliqi.lab.store.tenant import TenantStore

__all__ = ["LabStore"]

_TENANTS: Final = "tenants"
_FACILITY: Final = "facility.sqlite"


class LabStore:
    """An open store; `settings` are those of its lab.toml."""

    def __init__(self, root: Path, settings: LabSettings) -> None:
        self.root: Final = root
        self.settings: Final = settings

    @classmethod
    def create(cls, root: Path, organisation: str, tenant: str = "") -> LabStore:
        """A new store with the organisation's own tenant, whole or not at all, also in the folder of a facility.

        Raises ConfigError, StoreError.
        """
        draft = draft_of(organisation, tenant or tenant_of(organisation))
        has_facility = root.is_dir() and (root / _FACILITY).is_file()
        if root.exists() and not (
            root.is_dir() and all(place.name.startswith(_FACILITY) for place in root.iterdir())
        ):
            raise ConfigError(f"{root} stands already and is not empty; name a folder that is still to be made")
        root = root.absolute()
        partial = root.with_name(f".{root.name[:200]}.{new_id()}.partial")
        try:
            make_private_folder(partial)
            make_private_folder(partial / _TENANTS)
            write_new(partial / FILE_NAME, draft, 0o600)
            made = cls.open(partial)
            made.add_tenant(made.settings.tenant)
            if has_facility:
                check_private(root)
                for name in (_TENANTS, FILE_NAME):  # with its settings it is a store
                    (partial / name).rename(root / name)
                sync_folder(root)
            else:
                partial.replace(root)
            sync_folder(root.parent)
        except OSError as error:
            raise StoreError(f"{root}: cannot be made: {error.strerror}; name another folder") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return cls.open(root)

    @classmethod
    def open(cls, root: Path) -> LabStore:
        """Raises ConfigError where `root` holds none, StoreError where it is open to others."""
        if not (root / FILE_NAME).is_file():
            raise ConfigError(
                f"{root} holds no store of a laboratory; make one with"
                f" `poliqi lab store init {root} --organisation NAME`"
            )
        check_private(root)
        return cls(root, read_settings(root / FILE_NAME))

    def tenants(self) -> list[str]:
        """Names, sorted."""
        try:
            names = [place.name for place in (self.root / _TENANTS).iterdir() if place.is_dir()]
        except OSError as error:
            raise StoreError(f"{self.root / _TENANTS}: cannot be read: {error.strerror}") from error
        return sorted(name for name in names if not name.startswith("."))

    def add_tenant(self, name: str) -> None:
        """Make room for an organisation. Raises ConfigError where it has some, StoreError."""
        folder = self.root / _TENANTS / check_tenant(name)
        if folder.exists():
            raise ConfigError(f"tenant {name!r} stands already")
        draft = folder.with_name(f".{name}.{new_id()}")
        TenantStore(draft, name, self.settings.limits, create=True).close()
        try:
            draft.rename(folder)
            sync_folder(folder.parent)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made: {error.strerror}") from error

    def tenant(self, name: str = "") -> TenantStore:
        """What an organisation holds; without a name, the owner of the store. Raises ConfigError, StoreError."""
        name = check_tenant(name or self.settings.tenant)
        folder = self.root / _TENANTS / name
        if not folder.is_dir():
            raise ConfigError(
                f"tenant {name!r} is unknown here; `poliqi lab store tenant add {name}` makes room for it"
            )
        return TenantStore(folder, name, self.settings.limits)
