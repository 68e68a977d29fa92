"""One end of a packet tunnel as a process, with keys that both ends derive from a seed: for tests and benchmarks.

`python -m bench.tunnel_end FOLDER NAME PEER --tun DEVICE --address IP/BITS (--call|--answer) HOST:PORT`; FOLDER has
NAME.key and PEER.pub and the seed. The keys protect nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.played_keys import PHOTONS
from poliqi.apps.identity import Identity, read_contact, read_identity
from poliqi.apps.keygrade import KeyGrade
from poliqi.apps.keysource import Key, Supply
from poliqi.apps.settings import Peer
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.apps.tunnel.calls import Call
from poliqi.apps.tunnel.device import open_tun, read_interface, set_up
from poliqi.apps.tunnel.lines import Answerer, Caller
from poliqi.apps.tunnel.network import PacketTunnel
from poliqi.apps.tunnel.packets import PURPOSE, Sources
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.keyanswers import KeysNotReady
from poliqi.edge.network import parse_address

__all__ = ["SeedKeys", "make_ends"]


class SeedKeys:
    """A key source whose keys follow from their names. `FOLDER/stock` says how many are left, where it is there."""

    def __init__(self, folder: Path) -> None:
        self.seed = (folder / "seed").read_bytes()
        self.stock = folder / "stock"

    def _value(self, key_id: str, size_bytes: int) -> SecretBytes:
        return SecretBytes(hashlib.shake_256(self.seed + key_id.encode()).digest(size_bytes))

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:
        if self.stock.exists():
            left = int(self.stock.read_text()) - number
            if left < 0:
                raise KeysNotReady(f"no key is left with {peer}", 1.0)
            self.stock.write_text(str(left))
        names = [str(uuid.uuid4()) for _ in range(number)]
        return [Key(name, self._value(name, size_bytes), PHOTONS) for name in names]

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:  # noqa: ARG002
        return [Key(name, self._value(name, 32), PHOTONS) for name in key_ids]

    def supply(self, peer: SaeId) -> Supply:  # noqa: ARG002
        return Supply(1 << 30, None, 8, 512, 128, True, (KeyGrade.read(PHOTONS),))

    def close(self) -> None:
        """Nothing to hang up."""


def make_ends(folder: Path, seed: bytes, names: Sequence[str] = ("leonardo", "bovisa")) -> None:
    """What both ends need, in a folder."""
    (folder / "seed").write_bytes(seed)
    for name in names:
        identity = Identity.make(SaeId(name), OperatingSystemEntropy())
        identity.write(folder / f"{name}.key")
        (folder / f"{name}.pub").write_text(identity.contact.text())


def peer_of(folder: Path, name: str, rule: StreamRule) -> Peer:
    contact = read_contact(folder / f"{name}.pub")
    return Peer(contact, name, None, rule, StreamRule(Policy.ITS))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("folder", "name", "peer"):
        parser.add_argument(name)
    for name in ("tun", "address", "call", "answer"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--no-offloads", action="store_true")
    parser.add_argument("--mtu", type=int, default=1500)
    parser.add_argument("--rekey-bytes", type=int, default=16 << 30)
    a = parser.parse_args()
    folder = Path(a.folder)
    keys, identity = SeedKeys(folder), read_identity(folder / f"{a.name}.key")
    peer = peer_of(folder, a.peer, StreamRule(rekey_bytes=a.rekey_bytes))

    def say(event: str, text: str, **more: Any) -> None:
        print(json.dumps({"event": event, "text": text, **more}), flush=True)

    if a.call:
        line: Caller | Answerer = Caller(
            Call(identity, peer, keys, PURPOSE, parse_address(a.call, "--call"), is_watched=True)
        )
    else:
        line = Answerer(parse_address(a.answer, "--answer"), identity, peer, keys, say)
        line.start()
    device = open_tun(a.tun, has_offloads=not a.no_offloads)
    interface = read_interface(a.address, (), a.mtu)
    set_up(device, interface)
    tunnel = PacketTunnel(device.descriptor, line, Sources(interface.networks), say)
    worker = threading.Thread(target=tunnel.run, daemon=True)
    worker.start()
    signal.signal(signal.SIGTERM, lambda _n, _f: tunnel.stopped.set())
    tunnel.stopped.wait()
    tunnel.close()
    worker.join(5.0)
    say("stopped", "", **tunnel.counts)


if __name__ == "__main__":
    main()
