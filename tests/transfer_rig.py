"""Two applications with played keys, one of which sends the other files: for the tests of `poliqi.apps.share`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from played_channels import identity, tcp_pair

from bench.played_keys import PlayedSite
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.settings import Peer, SaeSettings
from poliqi.apps.share.client import send
from poliqi.apps.share.progress import Progress
from poliqi.apps.share.receipt import Receipt
from poliqi.apps.share.service import InboxService
from poliqi.apps.stream.channel import Channel, accept, connect
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.base.errors import PoliqiError
from poliqi.base.ids import SaeId


def settings_of(folder: Path, name: str, peers: Mapping[str, str], **more: Any) -> SaeSettings:
    """An application's settings; `peers` maps names to places."""
    rule = StreamRule(Policy.STRICT, one_time=GradeDemand(information_theoretic=True))
    one_time = StreamRule(Policy.ITS, GradeDemand(information_theoretic=True))
    return SaeSettings(
        file=folder / "sae.toml",
        identity=identity(name),
        state=folder / name / "state",
        inbox=folder / name / "inbox",
        peers={SaeId(p): Peer(identity(p).contact, place, None, rule, one_time) for p, place in peers.items()},
        **more,
    )


@dataclass
class Transfer:
    """Sender "office" at Leonardo, receiver "archive" at Bovisa; each stream has a thread that serves it."""

    folder: Path
    site: PlayedSite = field(default_factory=PlayedSite)
    inbox: Mapping[str, object] = field(default_factory=dict)
    receiver_folder: Path | None = None
    errors: list[PoliqiError] = field(default_factory=list)
    """How streams ended at the receiver that did not end well."""

    def __post_init__(self) -> None:
        self.sender = settings_of(self.folder, "office", {"archive": "Bovisa"})
        self.receiver = settings_of(
            self.receiver_folder or self.folder, "archive", {"office": "Leonardo"}, extra={"inbox": self.inbox}
        )
        self.peer = self.sender.peers[SaeId("archive")]
        self.threads: list[threading.Thread] = []
        self.service = InboxService(self.receiver)

    @property
    def arrived(self) -> Path:
        """Where the receiver finds what the sender sent."""
        return self.receiver.inbox / "office"

    def open(self, one_time: bool = False) -> Channel:
        """A stream to the receiver."""
        one, other = tcp_pair()
        self.threads.append(threading.Thread(target=self._serve, args=(other,)))
        self.threads[-1].start()
        rule = self.peer.one_time if one_time else self.peer.rule
        keys = self.site.keys("office")
        return connect(one, self.sender.identity, self.peer.contact, keys, rule, "send 1")

    def _serve(self, connection: Any) -> None:
        peer = self.receiver.peers[SaeId("office")]
        contacts = {peer.sae: (peer.contact, peer.rule)}
        try:
            channel = accept(connection, self.receiver.identity, contacts, self.site.keys("archive"))
            try:
                self.service.serve(channel)
            finally:
                channel.close()
        except PoliqiError as error:
            self.errors.append(error)

    def send(self, *paths: Path, progress: Progress | None = None, one_time: bool = False, **more: Any) -> Receipt:
        """Send them, and wait until the receiver's threads have ended."""
        more.setdefault("opening", lambda: self.open(one_time))
        more.setdefault("patience_s", 0.0)
        keys = self.site.keys("office")
        try:
            return send(self.sender, keys, self.peer, paths, progress, one_time=one_time, **more)
        finally:
            self.join()

    def join(self) -> None:
        """Wait until every stream has ended at the receiver."""
        for thread in self.threads:
            thread.join(20)
        self.threads.clear()


def content(root: Path) -> dict[str, tuple[bytes | None, bool]]:
    """Every path below a file or folder, with its bytes (None: a folder) and whether its owner may execute it."""
    paths = [root, *root.rglob("*")]
    return {
        str(path.relative_to(root.parent)): (
            None if path.is_dir() else path.read_bytes(),
            path.is_file() and bool(path.stat().st_mode & 0o100),
        )
        for path in paths
    }
