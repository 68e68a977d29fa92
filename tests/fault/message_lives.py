"""Two messengers whose processes are killed again and again; prints as JSON what each side ended up with.

Arguments: a folder, a seed, a number of kills. Processes are forked from this one, which imports everything once.
Keys are files in a folder that both read: a key is gone once it was fetched, and every request for one is logged.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.played_keys import PHOTONS
from poliqi.apps.dial import dialling
from poliqi.apps.identity import Identity
from poliqi.apps.keygrade import GradeDemand, KeyGrade
from poliqi.apps.keysource import Key, Supply
from poliqi.apps.messenger.delivery import Postman
from poliqi.apps.messenger.mailbox import Direction, Mailbox, State
from poliqi.apps.messenger.service import MessageService, open_mailbox
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.stream.channel import accept
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.errors import DataRefused, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.network import Address

ANNA, BRUNO = SaeId("anna"), SaeId("bruno")
SYSTEM = OperatingSystemEntropy()


class FileKeys:
    """Keys that lie in a folder until they are fetched (poliqi.apps.keysource.KeySource)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        found: list[Key] = []
        for _ in range(number):
            name, value = str(uuid.uuid4()), os.urandom(size_bytes)
            (self.folder / name).write_bytes(value)
            found.append(Key(name, SecretBytes(value), PHOTONS))
        return found

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:
        with (self.folder.parent / "asked.log").open("a") as log:
            log.write("".join(f"{name}\n" for name in key_ids))
        found: list[Key] = []
        for name in key_ids:
            try:
                value = (self.folder / name).read_bytes()
                (self.folder / name).unlink()
            except FileNotFoundError:
                raise DataRefused("not found") from None
            found.append(Key(name, SecretBytes(value), PHOTONS))
        return found

    def supply(self, peer: SaeId) -> Supply:
        return Supply(1 << 30, None, 8, 512, 128, True, (KeyGrade.read(PHOTONS),))

    def close(self) -> None:
        pass


class Experiment:
    """Both sides, by forks."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.door = socket.create_server(("127.0.0.1", 0))
        identities = {name: Identity.make(name, SYSTEM) for name in (ANNA, BRUNO)}
        rule = StreamRule()
        one_time = StreamRule(Policy.ITS, replace(GradeDemand(), information_theoretic=True))
        address = Address("127.0.0.1", self.door.getsockname()[1])
        self.settings = {
            name: SaeSettings(
                file=folder / "sae.toml",
                identity=identities[name],
                state=folder / name,
                inbox=folder,
                peers={other: Peer(identities[other].contact, other, address, rule, one_time)},
            )
            for name, other in ((ANNA, BRUNO), (BRUNO, ANNA))
        }

    def box(self, name: SaeId) -> Mailbox:
        return open_mailbox(self.settings[name], SYSTEM)

    def send(self, is_last: bool) -> None:
        """Write three numbered messages, then deliver what waits; the last life delivers everything."""
        box, keys = self.box(ANNA), FileKeys(self.folder / "keys")
        for _ in range(0 if is_last else 3):
            number = f"{time.time_ns():020}"
            box.write(BRUNO, number)
            with (self.folder / "written.log").open("a") as log:
                log.write(number + "\n")
        postman = Postman(self.settings[ANNA], box, keys, dialling(self.settings[ANNA], keys))
        while not is_last or box.waiting(BRUNO):
            postman.deliver(self.settings[ANNA].peers[BRUNO])
            time.sleep(0.002)

    def receive(self) -> None:
        settings, keys = self.settings[BRUNO], FileKeys(self.folder / "keys")
        service = MessageService(settings, self.box(BRUNO), keys)
        contacts = {peer.sae: (peer.contact, peer.rule) for peer in settings.peers.values()}
        while True:
            connection, _ = self.door.accept()
            try:
                channel = accept(connection, settings.identity, contacts, keys)
                try:
                    service.serve(channel)
                finally:
                    channel.close()
            except PoliqiError:
                connection.close()

    def run(self, kills: int) -> dict[str, object]:
        lives: dict[str, Callable[[], None]] = {"anna": lambda: self.send(False), "bruno": self.receive}
        running = {name: _fork(life) for name, life in lives.items()}
        for _ in range(kills):
            time.sleep(self.random.uniform(0.005, 0.06))
            victim = self.random.choice(list(lives))
            os.kill(running[victim], signal.SIGKILL)
            os.waitpid(running[victim], 0)
            running[victim] = _fork(lives[victim])
        os.kill(running["anna"], signal.SIGKILL)
        os.waitpid(running["anna"], 0)
        last = _fork(lambda: self.send(True))
        _, status = os.waitpid(last, 0)
        os.kill(running["bruno"], signal.SIGKILL)
        os.waitpid(running["bruno"], 0)
        return {"status": status, **self.found()}

    def found(self) -> dict[str, object]:
        anna, bruno = self.box(ANNA).messages(most=10_000), self.box(BRUNO).messages(most=10_000)
        return {
            "written": (self.folder / "written.log").read_text().split(),
            "delivered": [m.text for m in anna if m.state is State.DELIVERED],
            "received": [
                m.text for m in sorted(bruno, key=lambda m: m.number) if m.direction is Direction.RECEIVED
            ],
            "asked": (self.folder / "asked.log").read_text().split(),
        }


def _fork(life: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            life()
            code = 0
        finally:
            os._exit(code)
    return child


if __name__ == "__main__":
    signal.alarm(60 + int(sys.argv[3]) // 4)
    print(json.dumps(Experiment(Path(sys.argv[1]), int(sys.argv[2])).run(int(sys.argv[3]))))
