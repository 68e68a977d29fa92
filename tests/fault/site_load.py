"""Applications that order keys at one site and fetch them at another, whatever happens to the sites."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import ssl
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from fault.key_ledger import Log, seen
from live_sites import LiveSite

ANSWER_S = 20.0
BACKLOG_MOST = 300
"""Nothing more is ordered while so many keys wait to be fetched."""
SIZES_BITS = (64, 128, 256, 256, 256, 512, 1024)


class UnsentError(Exception):
    """The request did not leave: it had no effect."""


class BrokenError(Exception):
    """The request left, its answer did not come: nobody knows what happened."""


class Application:
    """One SAE with its certificate and one kept-alive connection to its site; writes all it gets into a log."""

    def __init__(self, site: LiveSite, sae: str, folder: Path) -> None:
        self.site, self.sae = site, sae
        self.log = Log(folder / f"sae-{sae}-{site.folder.name}.jsonl")
        self.port = site.https
        self._tls = ssl.create_default_context(cafile=str(site.ca))
        self._tls.load_cert_chain(*site.credentials(sae))
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._busy = asyncio.Lock()

    async def _request(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost:{self.port}\r\nContent-Length: {len(data)}\r\n"
        if self._streams is None:
            try:
                opening = asyncio.open_connection(
                    "127.0.0.1", self.port, ssl=self._tls, server_hostname="localhost"
                )
                self._streams = await asyncio.wait_for(opening, ANSWER_S)
            except (OSError, TimeoutError) as error:
                raise UnsentError from error
        reader, writer = self._streams
        try:
            writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
            async with asyncio.timeout(ANSWER_S):
                lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                size = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
                content = await reader.readexactly(size)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.hang_up()
            raise BrokenError from error
        if b"connection: close" in lines:
            self.hang_up()
        return int(lines[0].split()[1]), json.loads(content)

    def hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def close(self) -> None:
        if self._streams is not None:
            writer = self._streams[1]
            self.hang_up()
            with suppress(OSError):
                await writer.wait_closed()
        self.log.close()

    async def _ask(
        self, did: str, method: str, path: str, body: dict[str, Any] | None, ids: list[str]
    ) -> tuple[str, list[str]]:
        """The outcome in a word and the ids of the keys that came; both are in the log first."""
        async with self._busy:
            said: dict[str, Any] = {"did": did, "sae": self.sae, "site": self.site.name, "began": time.monotonic()}
            try:
                status, answer = await self._request(method, path, body)
            except UnsentError:
                self.log.write(**said, outcome="unsent", ids=ids, message="")
                return "unsent", []
            except BrokenError:
                self.log.write(**said, outcome="broken", ids=ids, message="")
                return "broken", []
            if status != 200:
                self.log.write(**said, outcome=str(status), ids=ids, message=answer.get("message", ""))
                return str(status), []
            got = [k["key_ID"] for k in answer["keys"]]
            values = [seen(base64.b64decode(k["key"])) for k in answer["keys"]]
            self.log.write(**said, outcome="ok", ids=got, values=values)
            return "ok", got

    async def order(self, slave: str, number: int, size_bits: int) -> tuple[str, list[str]]:
        path = f"/api/v1/keys/{slave}/enc_keys"
        if number % 2:
            return await self._ask("order", "GET", f"{path}?number={number}&size={size_bits}", None, [])
        return await self._ask("order", "POST", path, {"number": number, "size": size_bits}, [])

    async def fetch(self, master: str, ids: list[str]) -> tuple[str, list[str]]:
        path = f"/api/v1/keys/{master}/dec_keys"
        if len(ids) == 1:
            return await self._ask("fetch", "GET", f"{path}?key_ID={ids[0]}", None, ids)
        return await self._ask("fetch", "POST", path, {"key_IDs": [{"key_ID": i} for i in ids]}, ids)


class Traffic:
    """One master orders, one slave fetches. What was refused waits in `waiting`, what is unsure in `unsure`."""

    def __init__(self, master: Application, slave: Application, seed: str, pause_s: float) -> None:
        self.master, self.slave = master, slave
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self.waiting: deque[str] = deque()
        self.refused: set[str] = set()
        """Keys of `waiting` that were refused with 503 and not yet got."""
        self.unsure: deque[str] = deque()
        self.ordered_bytes = self.fetched = 0
        self.stopping = self.ordering = False

    async def order_keys(self) -> None:
        self.ordering = True
        while not self.stopping:
            if len(self.waiting) + len(self.unsure) > BACKLOG_MOST:
                await asyncio.sleep(0.1)
                continue
            number, size = self._random.choice((1, 1, 2, 5, 8, 32)), self._random.choice(SIZES_BITS)
            outcome, ids = await self.master.order(self.slave.sae, number, size)
            if outcome == "ok":
                self._random.shuffle(ids)
                self.waiting.extend(ids)
                self.ordered_bytes += number * size // 8
            await asyncio.sleep(self._pause_s if outcome == "ok" else 0.1)
        self.ordering = False

    async def fetch_keys(self) -> None:
        """Until told to stop, and then until nothing is left to fetch."""
        while not self.stopping or self.ordering or self.waiting or self.unsure:
            if self.unsure:
                await self._retry_unsure()
            elif self.waiting:
                count = min(len(self.waiting), self._random.choice((1, 1, 3, 16, 32)))
                await self._fetch([self.waiting.popleft() for _ in range(count)])
            await asyncio.sleep(self._pause_s)

    async def _fetch(self, ids: list[str]) -> None:
        outcome, got = await self.slave.fetch(self.master.sae, ids)
        self.fetched += len(got)
        if outcome == "broken":
            self.unsure.extend(ids)
        elif outcome == "400" and len(ids) > 1:
            for one in ids:  # a batch is refused whole: find out which
                await self._fetch([one])
        elif outcome in ("503", "unsent"):
            self.waiting.extendleft(reversed(ids))
            if outcome == "503":
                self.refused.update(ids)
            await asyncio.sleep(0.1)
            return
        self.refused.difference_update(ids)

    async def _retry_unsure(self) -> None:
        """Ask once more for a key whose answer did not come: it may be gone, it must not come twice."""
        key_id = self.unsure.popleft()
        outcome, _ = await self.slave.fetch(self.master.sae, [key_id])
        if outcome in ("broken", "503", "unsent"):
            self.unsure.append(key_id)
            await asyncio.sleep(0.1)
