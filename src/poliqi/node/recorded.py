"""Both parties over one recording, in one process: two sessions, two fresh states, TCP over loopback."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.base.errors import PoliqiError, ProtocolError
from poliqi.base.ids import LeakModel, LinkId, Origin, Role
from poliqi.distill.contract import Contract
from poliqi.distill.outcome import Aborted, BlockBegun, BlockConfirmed, BlockReport, Event
from poliqi.distill.policy import Policy
from poliqi.distill.session import Session
from poliqi.edge.driver import Alice, Bob, drive
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.framing import FrameStream
from poliqi.edge.keyfile import read_keys
from poliqi.edge.network import Address, Connector, Listener
from poliqi.edge.pairfile import PairFile, write_private
from poliqi.edge.pairing import install_pair_file
from poliqi.edge.store import LinkStore
from poliqi.edge.trust import authenticator_for
from poliqi.link.recording import Recording, ReplayReceiver, ReplayTransmitter
from poliqi.proof import ProofName

__all__ = ["LINK_ID", "Distilled", "distil_recording"]

LINK_ID: Final = LinkId("recording")
_WORDS: Final = 64
_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Distilled:
    """What both parties found. `reason` says why there is no key; `digests` are SHA-256 of each end's net key."""

    report: BlockReport
    reason: str | None
    digests: dict[Role, str]

    @property
    def equal(self) -> bool | None:
        """Whether both ends hold the same key; None where there is none."""
        return self.digests[Role.ALICE] == self.digests[Role.BOB] if self.digests else None


def distil_recording(recording: Recording, contract: Contract) -> Distilled:
    """Run Alice and Bob over the first `contract.pulses` slots of a recording. Raises what a session ends with."""
    with tempfile.TemporaryDirectory(prefix="poliqi-distill-") as folder, ExitStack() as stack:
        ends = {role: _End(role, Path(folder), contract) for role in Role}
        for end in _paired(ends, Path(folder)).values():
            stack.enter_context(closing(end.store))
        asyncio.run(_run(ends, recording))
        found = ends[Role.BOB]
        if found.report is None:
            reasons = [end.reason for end in ends.values() if end.reason and not end.reason.startswith("the peer")]
            raise ProtocolError(f"the recording could not be distilled: {(reasons or [found.reason])[0]}")
        reason = found.reason if found.report.gross_bits == 0 else None
        return Distilled(found.report, reason, _digests(ends))


class _End:
    """One party's state, session and findings."""

    def __init__(self, role: Role, folder: Path, contract: Contract) -> None:
        self.role: Final = role
        self.folder: Final = folder / role.value
        self.keys: Final = folder / f"{role.value}.keys"
        self.contract: Final = contract if role is Role.ALICE else None
        self.report: BlockReport | None = None
        self.reason: str | None = None
        self.begun = False
        self.over: Final = asyncio.Event()
        self.store: LinkStore

    def session(self) -> Session:
        policy = Policy(
            origins=frozenset(Origin),
            leak_models=frozenset(LeakModel),
            proofs=frozenset(ProofName),
            largest_epsilon_sec=1.0,
            largest_epsilon_cor=1.0,
            most_detections=1 << 33,
        )
        return Session(
            self.role,
            link_id=LINK_ID,
            authenticator=authenticator_for(self.store),
            entropy=OperatingSystemEntropy(),
            history=self.store.history(),
            contract=self.contract,
            policy=policy,
            timeout_s=_TIMEOUT_S,
        )

    def observe(self, event: Event) -> None:
        match event:
            case BlockBegun():
                self.begun = True
            case BlockConfirmed(_, report):
                self.report, self.reason = report, None
                self.over.set()
            case Aborted(reason, _, _, report):
                if self.report is None:
                    self.report, self.reason = report, reason
                self.over.set()
            case _:
                return


def _paired(ends: dict[Role, _End], folder: Path) -> dict[Role, _End]:
    pair = PairFile.make(LINK_ID, _WORDS, OperatingSystemEntropy())
    path = folder / "pair"
    write_private(path, pair.encode(), "pair file")
    for end in ends.values():
        install_pair_file(path, end.folder, end.role, simulated=True, keep=end.role is Role.ALICE)
        end.store = LinkStore(end.folder)
        end.store.deliver_to(end.keys)
    return ends


async def _run(ends: dict[Role, _End], recording: Recording) -> None:
    alice, bob = (
        Alice(ReplayTransmitter(recording)),
        Bob(ReplayReceiver(recording), lambda: not ends[Role.BOB].begun),
    )
    listener = Listener(Address("127.0.0.1", 0))
    connector = Connector(await listener.open())
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_drive(ends[Role.ALICE], alice, await connector.next()))
            tasks.create_task(_drive(ends[Role.BOB], bob, await listener.next()))
    except* PoliqiError as errors:
        raise errors.exceptions[0] from None
    finally:
        await listener.close()


async def _drive(end: _End, owner: Alice | Bob, stream: FrameStream) -> None:
    apply, observe, over = end.store.apply, end.observe, end.over
    await drive(end.session(), stream, owner, durable=apply, observe=observe, stopping=over)


def _digests(ends: dict[Role, _End]) -> dict[Role, str]:
    found: dict[Role, str] = {}
    for role, end in ends.items():
        for record in read_keys(end.keys)[1]:
            found[role] = hashlib.sha256(record.key.take()).hexdigest()
    return found
