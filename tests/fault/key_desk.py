"""Played keys behind a socket, for applications that are processes of their own, and can be killed."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.played_keys import PlayedSite
from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import Key, Supply
from poliqi.base.errors import DataRefused, LinkDown
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes


class KeyDesk:
    """Hands out the keys of one PlayedSite over a Unix socket: a JSON line asks, a JSON line answers."""

    def __init__(self, path: Path, site: PlayedSite) -> None:
        self.site = site
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # whoever asks may be killed at any moment
        with suppress(OSError), connection, connection.makefile("rwb") as lines:
            for line in lines:
                asked = json.loads(line)
                keys = self.site.keys(asked["sae"])
                try:
                    found = getattr(keys, asked["call"])(SaeId(asked["peer"]), *asked["arguments"])
                    answer: Any = [
                        [k.key_id, base64.b64encode(k.value.view()).decode(), dict(k.grade)] for k in found
                    ]
                except DataRefused as error:
                    answer = str(error)
                lines.write(json.dumps(answer).encode() + b"\n")
                lines.flush()

    def close(self) -> None:
        self._listener.close()


class DeskKeys:
    """The other end (poliqi.apps.keysource.KeySource)."""

    def __init__(self, path: str, sae: str) -> None:
        self._sae = sae
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._lines = self._socket.makefile("rwb")

    def _ask(self, call: str, peer: SaeId, *arguments: object) -> list[Key]:
        asked = {"sae": self._sae, "call": call, "peer": peer, "arguments": arguments}
        with self._lock:
            self._lines.write(json.dumps(asked).encode() + b"\n")
            self._lines.flush()
            line = self._lines.readline()
        if not line:
            raise LinkDown("the desk is closed")
        answer = json.loads(line)
        if isinstance(answer, str):
            raise DataRefused(answer)
        return [Key(key_id, SecretBytes(base64.b64decode(value)), grade) for key_id, value, grade in answer]

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        return self._ask("fresh", peer, number, size_bytes)

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        return self._ask("named", peer, list(key_ids))

    def supply(self, peer: SaeId) -> Supply:
        return Supply(1 << 40, None, 8, 512, 128, True, (KeyGrade.read({"origin": "photons"}),))

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
