"""A process that has imported the transfer, and forks a sender or a receiver for each command.

Usage: transfer_zygote.py FOLDER KEYS. FOLDER/office.key and FOLDER/archive.key are the identities, KEYS is the
socket of a key desk. Reads "send PATH" or "receive", answers with the process number; a child's words
go to FOLDER/log.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from fault.key_desk import DeskKeys

from poliqi.apps.identity import read_identity
from poliqi.apps.settings import Peer, SaeSettings
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
    return SaeSettings(
        nothing, mine, "", nothing, nothing, nothing, own / "state", own / "inbox", {theirs.sae: peer}
    )


def receive(settings: SaeSettings, keys: str, listener: socket.socket) -> None:
    service = InboxService(settings)
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
        role, _, path = line.strip().partition(" ")
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
                receive(settings, keys, listener)
            else:
                peer = next(iter(settings.peers.values()))
                send(settings, DeskKeys(keys, settings.sae), peer, [Path(path)], patience_s=0.0)
                print("sent", flush=True)
        except PoliqiError as error:
            print(f"{role}: {error!r}", flush=True)
        finally:
            os._exit(0)


main()
