"""A process that has imported the transfer, and forks a sender or a receiver for each command.

Usage: transfer_zygote.py FOLDER KEYS. FOLDER/office.key and FOLDER/archive.key are the identities, KEYS is the
socket of a key desk. Reads "send N PATH" or "receive N", answers with the process number; a child's words
go to FOLDER/log. The child dies, as from kill -9, before its Nth change to the disk, counted from 0 (a receiver's,
once it listens); not where N is -1.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from fault.key_desk import DeskKeys

from poliqi.apps.identity import read_identity
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share import inbox, staged
from poliqi.apps.share.client import send
from poliqi.apps.share.service import InboxService
from poliqi.apps.stream.channel import accept
from poliqi.apps.stream.terms import StreamRule
from poliqi.base.errors import PoliqiError
from poliqi.edge.network import Address


def settings_of(folder: Path, name: str, other: str, port: int) -> SaeSettings:
    mine, theirs = read_identity(folder / f"{name}.key"), read_identity(folder / f"{other}.key").contact
    peer = Peer(theirs, other, Address("127.0.0.1", port), StreamRule(), StreamRule())
    own, nothing = folder / name, folder / "nothing"
    return SaeSettings(nothing, mine, own / "state", own / "inbox", {theirs.sae: peer})


CHANGES = ("fchmod", "fsync", "ftruncate", "mkdir", "pwrite", "rename", "replace", "rmdir", "unlink")
CHANGES += ("utime", "write")


def die_at(number: int) -> None:
    """Die before this change to the disk; opening a file to write is one, too."""
    left = [number]

    def step() -> None:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    def dying(change: Any) -> Any:
        def changing(*arguments: Any, **named: Any) -> Any:
            step()
            return change(*arguments, **named)

        return changing

    for name in CHANGES:
        setattr(os, name, dying(getattr(os, name)))
    inbox.rename_new = dying(inbox.rename_new)
    staged.sync_all = dying(staged.sync_all)
    sys.addaudithook(lambda event, how: step() if event == "open" and writes(*how[1:]) else None)


def writes(_mode: object, flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def receive(settings: SaeSettings, keys: str, listener: socket.socket, number: int) -> None:
    service = InboxService(settings)
    die_at(number)
    source = DeskKeys(keys, settings.sae)
    contacts = {peer.sae: (peer.contact, peer.rule) for peer in settings.peers.values()}
    while True:
        connection, _ = listener.accept()
        try:
            channel = accept(connection, settings.identity, contacts, source)
            service.serve(channel)
            channel.close()
        except PoliqiError as error:
            print(f"receiver: {error!r}", flush=True)


def main() -> None:
    folder, keys = Path(sys.argv[1]), sys.argv[2]
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = int(listener.getsockname()[1])
    ends = {"send": settings_of(folder, "office", "archive", port)}
    ends["receive"] = settings_of(folder, "archive", "office", port)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        role, number, *paths = line.split()
        child = os.fork()
        if child:
            print(child, flush=True)
            continue
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        settings = ends[role]
        try:
            if role == "receive":
                receive(settings, keys, listener, int(number))
            else:
                die_at(int(number))
                peer = next(iter(settings.peers.values()))
                send(settings, DeskKeys(keys, settings.sae), peer, [Path(paths[0])], patience_s=0.0)
                print("sent", flush=True)
        except PoliqiError as error:
            print(f"{role}: {error!r}", flush=True)
        finally:
            os._exit(0)


main()
