"""A desk that only takes blocks, for tests of whatever brings them to a site."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from poliqi.base.ids import KmeId, LinkId
from poliqi.edge.desk import KeyDesk
from poliqi.keys.grade import Grade
from poliqi.keys.requests import Accepted, Block, Outcome, Refused


class IngestDesk:
    """Keeps what it accepts by (pool, name); `refusal`, `error` and `gate` make it refuse, fail or wait."""

    def __init__(self, kme_id: str = "leonardo") -> None:
        self.kme_id = KmeId(kme_id)
        self.held: dict[tuple[LinkId, bytes], tuple[bytes, Grade]] = {}
        self.calls: list[bytes] = []
        self.refusal: Refused | None = None
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def ingest(self, block: Block) -> Outcome:
        self.calls.append(block.name)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.refusal is not None:
            return self.refusal
        self.held.setdefault((block.pool, block.name), (block.key.take(), block.grade))
        return Accepted()

    @property
    def desk(self) -> KeyDesk:
        return cast("KeyDesk", self)

    def keys(self) -> list[bytes]:
        return [key for _, (key, _) in sorted(self.held.items())]


@contextmanager
def short_folder() -> Iterator[Path]:
    """A private folder whose path leaves room for a socket's name (a path of at most 107 bytes)."""
    with TemporaryDirectory(prefix="pq-") as name:
        made = Path(name)
        made.chmod(0o700)
        yield made
