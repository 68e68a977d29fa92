"""One end of a link: meets its peer, runs session after session, tells its site of its light, stops when it should.

`run_party` is an end as a process of its own; `poliqi.node.ends` runs several in one.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, assert_never

from poliqi.base.errors import ConfigError, KeyExhausted, LinkDown
from poliqi.base.ids import Role
from poliqi.base.jit import load_compiler
from poliqi.control.messages import LinkReport
from poliqi.distill.contract import Contract
from poliqi.distill.outcome import Aborted, BlockBegun, BlockConfirmed, BlockReport, Event, Ready, StatesWanted
from poliqi.distill.session import Session
from poliqi.edge.driver import Alice, Bob, drive
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.framing import FrameStream
from poliqi.edge.ingest_light import tell_of_light
from poliqi.edge.ingest_sink import SiteSink
from poliqi.edge.memory import keep_freed_memory
from poliqi.edge.network import Address, Connector, Listener, Meeting
from poliqi.edge.store import LinkStore
from poliqi.edge.trust import authenticator_for
from poliqi.link.device import Condition, Watched
from poliqi.link.response import WatchSettings
from poliqi.node.courier import MOST_WAITING_BYTES, Courier
from poliqi.node.light import LightChoice, connection
from poliqi.node.lightlog import LightLog
from poliqi.node.lines import block_record, light_name
from poliqi.node.linkwatch import LinkWatch, decision_lines, decision_record
from poliqi.node.terms import policy_of, proposal
from poliqi.optics.parameters import LinkParameters

__all__ = ["Party", "PartySettings", "open_store", "run_party"]

Say = Callable[[dict[str, Any]], None]

_RETRY_FIRST_S: Final = 0.25
_RETRY_MOST_S: Final = 5.0
_IDLE_S: Final = 600.0
_BLOCKS_WAITED: Final = 4
_FRUITLESS_FIRST_S: Final = 0.25
_FRUITLESS_MOST_S: Final = 300.0
_KEYLESS_BLOCKS: Final = 3
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class PartySettings:
    """What an end needs to run. `blocks` None means for ever.

    Exactly one of `listen` and `connect` is given, and one of `keys` and `site`: a key file, or the ingest socket
    of a site.
    """

    role: Role
    link: LinkParameters
    light: LightChoice
    state: Path
    keys: Path | None = None
    site: Path | None = None
    listen: Address | None = None
    connect: Address | None = None
    blocks: int | None = None
    timeout_s: float = 60.0
    monitor: WatchSettings | None = field(default_factory=WatchSettings)
    """How attacks are watched for; None: not at all."""


def run_party(settings: PartySettings, say: Say) -> None:
    """Run one end until its blocks are done, a signal stops it, or the pad falls below its reserve.

    `say` gets a record for everything that happens. Raises ConfigError, StoreError, KeyExhausted.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_freed_memory()
    with closing(open_store(settings)) as store:
        try:
            asyncio.run(_run_alone(Party(settings, store, say)))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _run_alone(party: Party) -> None:
    """SIGTERM and SIGINT let the block under way finish; a second one stops at once."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, party.stop)
    await party.run()


def open_store(settings: PartySettings) -> LinkStore:
    """The state of an end, bound to where its keys go. Raises ConfigError, StoreError."""
    if (settings.keys is None) == (settings.site is None):
        raise ConfigError("give one of --key and --site: a key in two places would be used twice")
    store = LinkStore(settings.state)
    try:
        if store.link.role is not settings.role:
            raise ConfigError(
                f"state {settings.state} is {store.link.role}'s; start it with --role {store.link.role}"
            )
        store.link.check_origin(settings.light.origin)
        if settings.keys is not None:
            store.deliver_to(settings.keys)
        else:
            store.deliver_later()
    except BaseException:
        store.close()
        raise
    return store


class Party:
    """The life of one end. A pad below its reserve ends it; so do `blocks` finished blocks."""

    def __init__(self, settings: PartySettings, store: LinkStore, say: Say) -> None:
        self._settings: Final = settings
        self._store: Final = store
        self._tell: Final = say
        self._began: Final = time.monotonic()
        self._entropy: Final = OperatingSystemEntropy()
        self._stopping: Final = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._device: object = None
        self._light: Final = LightLog(store.link.link_id, settings.link, settings.light.origin, self._began)
        self._changes = 0
        self._anew: Final = asyncio.Event()
        self._owner: Alice | Bob | None = None
        self._watch: LinkWatch | None = None
        self._contract: Contract | None = None
        self._reconciler = ""
        self._under_way = 0
        self._ended = 0
        self._block_at = 0.0
        self._progress = False
        self._low_pad = False
        self._keyless = 0
        self._fruitless = 0
        self._last_reason = ""
        self._trouble = ""
        self._courier: Courier | None = None
        self._wait_s = 0.0

    def _say(self, event: str, text: str, **more: Any) -> None:
        elapsed = round(time.monotonic() - self._began, 3)
        self._tell({"event": event, "role": self._settings.role.value, "time_s": elapsed, "text": text, **more})

    def stop(self) -> None:
        """Let the block under way finish, then end; called again: end at once."""
        if self._stopping.is_set() and self._running is not None:
            self._running.cancel()
        self._stopping.set()

    async def run(self) -> None:
        """Until stopped."""
        self._running = asyncio.current_task()
        s = self._settings
        meeting: Meeting
        if s.listen is not None and s.connect is None:
            meeting = Listener(s.listen)
        elif s.connect is not None and s.listen is None:
            meeting = Connector(s.connect)
        else:
            raise ConfigError("give one of --listen and --connect: one end listens, the other connects")
        address = await meeting.open()
        verb = "listening on" if s.listen is not None else "connecting to"
        self._say(
            verb.split()[0], f"{s.role} of {self._store.link.link_id}: {verb} {address}", address=str(address)
        )
        carrying = self._carry()
        watching = [asyncio.create_task(self._watch_light())]
        if s.site is not None:
            watching.append(asyncio.create_task(tell_of_light(s.site, self.light)))
        try:
            await asyncio.to_thread(self._prepare)
            threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()
            while not self._stopping.is_set():
                if self._courier is not None and self._courier.is_full:
                    meeting = await self._wait_for_room(self._courier, meeting, address)
                elif self._watch is not None and self._watch.waits_for_release:
                    meeting = await self._wait_for_release(self._watch, meeting, address)
                else:
                    await self._once(meeting)
        except asyncio.CancelledError:
            if self._courier is not None:
                self._courier.abort()
            raise
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            if isinstance(self._device, Watched):
                self._device.close()
            await meeting.close()
            if self._courier is not None and carrying is not None:
                await self._courier.finish(carrying)
        if self._low_pad:
            raise KeyExhausted(self._low_pad_text())
        left = 0 if self._courier is None else self._courier.waiting_bytes
        text = f"; {left:,} bytes of key wait for the site" if left else ""
        self._say("stopped", f"stopped after {self._ended} blocks{text}", blocks=self._ended)

    # ---------------------------------------------------------------- the site

    def _carry(self) -> asyncio.Task[None] | None:
        """Start bringing keys to the site, where there is one; a state that fails there stops this end."""
        if self._settings.site is None:
            return None
        sink = SiteSink(self._settings.site, self._store.link.link_id, self._store.link.pair_id)
        self._courier = Courier(self._store, sink, self._say, MOST_WAITING_BYTES)
        carrying = asyncio.create_task(self._courier.run())
        carrying.add_done_callback(lambda _: self._stopping.set())
        return carrying

    async def _wait_for_room(self, courier: Courier, meeting: Meeting, address: Address) -> Meeting:
        """Begin nothing while too much key waits."""
        self._say("full", courier.why_full, waiting_bytes=courier.waiting_bytes)
        return await self._away(meeting, address, courier.room())

    async def _wait_for_release(self, watch: LinkWatch, meeting: Meeting, address: Address) -> Meeting:
        """Begin nothing while a person has to look at the link."""
        held = watch.quarantine
        assert held is not None
        text = f"quarantined: {held.attack}; inspect the link, then `poliqi link release`: {held.evidence}"
        self._say("quarantined", text, attack=held.attack, evidence=held.evidence)
        meeting = await self._away(meeting, address, watch.released.wait())
        if isinstance(self._owner, Bob):
            self._owner.forget()
        return meeting

    async def _away(self, meeting: Meeting, address: Address, until: Coroutine[Any, Any, object]) -> Meeting:
        """Meet nobody `until` something happens: the peer's hellos then cost no pad words."""
        await meeting.close()
        wanted = asyncio.create_task(until)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((wanted, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            wanted.cancel()
            stop.cancel()
            await asyncio.gather(wanted, stop, return_exceptions=True)
        if self._stopping.is_set():
            return meeting
        if self._settings.listen is not None:
            meeting = Listener(address)
            await meeting.open()
        return meeting

    def _prepare(self) -> None:
        """The device, and Alice's proposal of a contract."""
        from poliqi.distill.plan import block_pulses, choose_reconciler

        load_compiler()
        s = self._settings
        if s.monitor is not None:
            self._watch = LinkWatch(s.state, s.link, s.monitor)
            if self._watch.quarantine is not None:
                self._light.quarantined(self._watch.quarantine)
        choice = choose_reconciler(s.link, block_pulses(s.link))
        self._reconciler = choice.reconciler
        if s.role is Role.BOB:
            receiver = s.light.receiver(s.link, self._store.history().next_slot)
            self._device, self._owner = receiver, Bob(receiver, self._more)
            return
        transmitter = s.light.transmitter(s.link)
        self._device, self._owner = transmitter, Alice(transmitter)
        terms = s.link, self._store.link, s.light.origin, self._entropy.source
        self._contract = proposal(*terms, choice.reconciler)
        self._say("reconciler", choice.reason, reconciler=choice.reconciler)

    def _warm_up(self) -> None:
        """Compile the kernels, or load them, while the peer is met and the first light is gathered.

        In a thread that nobody waits for: no stop is held up by it, and the first block would do what is missing.
        """
        from poliqi.distill.warm import warm_up

        warm_up(self._settings.role, self._reconciler)

    # ---------------------------------------------------------------- the light

    def light(self) -> LinkReport:
        """How the light of this link is, as far as this end knows."""
        return self._light.report(self._condition(), time.monotonic())

    def _condition(self) -> Condition:
        return self._device.condition if isinstance(self._device, Watched) else Condition()

    async def _watch_light(self) -> None:
        """Say when light goes and comes; light that changed is worth a new try at once."""
        dark = ""
        while True:
            condition = self._condition()
            if condition.dark != dark:
                dark = condition.dark
                self._say("light", f"no light: {dark}" if dark else "light comes again", dark=dark or None)
            self._say_trouble()
            if self._watch is not None and self._watch.look():
                self._light.released()
                self._wait_s, self._keyless = 0.0, 0
                self._anew.set()
                self._say("released", "released: blocks may give key again")
            if condition.changes != self._changes:
                self._changes = condition.changes
                self._wait_s, self._keyless = 0.0, 0
                self._anew.set()
            await asyncio.sleep(_LOOK_S)

    def _say_trouble(self) -> None:
        """Once for each: why the monitor's word is not on disk."""
        trouble = "" if self._watch is None else self._watch.trouble
        if trouble and trouble != self._trouble:
            self._say("monitor-disk", f"monitor: {trouble}", reason=trouble)
        self._trouble = trouble

    # ---------------------------------------------------------------- connections

    async def _once(self, meeting: Meeting) -> None:
        """One connection: wait for it, run a session on it."""
        self._check_pad()
        stream = await self._meet(meeting)
        if stream is None:
            return
        self._progress = False
        session = self._session()
        assert self._owner is not None
        await drive(
            session,
            stream,
            self._owner,
            durable=self._store.apply if self._courier is None else self._courier.apply,
            observe=lambda event: self._observe(session, event),
            stopping=self._stopping,
        )
        if isinstance(self._owner, Bob) and self._owner.dark is not None:
            self._say("dark", f"no more light: {self._owner.dark}")
            self._stopping.set()
        if self._progress:
            self._wait_s = 0.0
            self._fruitless = 0
        elif self._settings.role is Role.ALICE or self._settings.connect is not None or self._keyless:
            # hellos and blocks without key cost pad words: neither may drain the pad
            self._wait_s = min(max(2 * self._wait_s, _FRUITLESS_FIRST_S), _FRUITLESS_MOST_S)
            if not self._stopping.is_set():
                self._say_pause()
                await self._pause(self._wait_s)

    def _say_pause(self) -> None:
        """One line before each pause: why, and when the next try is."""
        self._fruitless += 1
        again = f"next attempt in {self._wait_s:g} s"
        if self._keyless >= _KEYLESS_BLOCKS:
            text = f"{self._keyless} blocks in a row gave no key: {self._last_reason}; {again}"
        elif self._fruitless >= _KEYLESS_BLOCKS:
            text = (
                f"no session was agreed in {self._fruitless} attempts; compare the pair ids (`poliqi link status`) "
                f"and the LINK.toml of both ends, and see what the other end says; {again}"
            )
        else:
            text = again
        self._say("waiting", text, retry_s=self._wait_s, keyless_blocks=self._keyless, attempts=self._fruitless)

    async def _meet(self, meeting: Meeting) -> FrameStream | None:
        """The next connection, or None when stopping or after a pause for a peer that is not there."""
        meet = asyncio.create_task(meeting.next())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((meet, stop), return_when=asyncio.FIRST_COMPLETED)
            if not meet.done():
                return None
            return connection(self._settings.light, meet.result())
        except LinkDown as error:
            self._wait_s = min(max(2 * self._wait_s, _RETRY_FIRST_S), _RETRY_MOST_S)
            self._say("link-down", f"{error}; trying again in {self._wait_s:g} s", retry_s=self._wait_s)
            self._light.parted(str(error), time.monotonic())
            await self._pause(self._wait_s)
            return None
        finally:
            meet.cancel()
            stop.cancel()
            await asyncio.gather(meet, stop, return_exceptions=True)

    async def _pause(self, seconds: float) -> None:
        """Sleep, until it is time to stop or the light is another."""
        self._anew.clear()
        ends = [asyncio.create_task(event.wait()) for event in (self._stopping, self._anew)]
        try:
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    def _session(self) -> Session:
        s, link = self._settings, self._store.link
        return Session(
            s.role,
            link_id=link.link_id,
            authenticator=authenticator_for(self._store),
            entropy=self._entropy,
            history=self._store.history(),
            contract=self._contract,
            policy=policy_of(s.link, link),
            timeout_s=s.timeout_s,
            idle_timeout_s=_IDLE_S + self._light_s(),
            vet=None if self._watch is None else self._vet,
        )

    def _vet(self, report: BlockReport) -> str | None:
        """The monitor's word on a block that the peer's tag covers, before this end holds a key of it."""
        assert self._watch is not None
        assert self._owner is not None
        return self._watch.vet(report, self._owner.health(), self._settings.role, time.monotonic())

    def _light_s(self) -> float:
        """How long Bob may gather light before he speaks: several times what a block of Alice's takes."""
        pulses = 0 if self._contract is None else self._contract.pulses
        return _BLOCKS_WAITED * pulses / self._settings.link.source.clock_hz

    # ---------------------------------------------------------------- what happens in a session

    def _observe(self, session: Session, event: Event) -> None:
        match event:
            case Ready():
                self._on_ready(session)
            case BlockBegun():
                self._under_way = 1
                self._block_at = time.monotonic()
            case StatesWanted():
                pass
            case BlockConfirmed(_, report):
                self._keyless = 0
                self._on_block(report, None, finished=True)
                if self._courier is not None and self._courier.is_full:
                    session.close(self._courier.why_full)
            case Aborted(reason, fatal, _, report, is_forged):
                if is_forged and self._watch is not None:
                    self._watch.forged(time.monotonic())
                if not fatal and report is not None and self._watch is not None and self._owner is not None:
                    self._watch.dropped(report, self._owner.health(), self._settings.role, time.monotonic())
                self._on_block(report, reason, finished=not fatal)
                if not fatal:
                    self._on_keyless(session, reason)
                if fatal:
                    self._light.parted(f"the session ended: {reason}", time.monotonic())
                    self._say("session-ended", f"session ended: {reason}", reason=reason)
            case _:
                assert_never(event)

    def _on_ready(self, session: Session) -> None:
        contract = session.contract
        assert contract is not None
        self._light.met()
        promise = (
            f"{contract.length:,} secret bits or none" if contract.length else "measured only: it gives no key"
        )
        text = f"ready: each block has {contract.pulses:,} pulses, {promise} ({light_name(contract.origin)})"
        self._say("ready", text, pulses=contract.pulses, length=contract.length, leak_cap=contract.leak_cap)

    def _on_block(self, report: BlockReport | None, reason: str | None, *, finished: bool) -> None:
        self._under_way = 0
        refused = self._on_decisions()
        if refused and not finished:
            self._keyless += 1
        if report is not None and (finished or reason is not None):
            self._light.block(report, reason, time.monotonic(), refused=refused)
        if report is not None:
            took_s = time.monotonic() - self._block_at
            clock_hz = self._settings.link.source.clock_hz
            record = block_record(report, reason=reason, clock_hz=clock_hz, took_s=took_s)
            left = {role.value: words for role, words in self._store.status().words_left.items()}
            self._say("block", "", **record, pad_words=left)
        if finished:
            self._progress = True
            self._ended += 1
            if self._settings.blocks is not None and self._ended >= self._settings.blocks:
                self._stopping.set()
        self._check_pad()

    def _on_decisions(self) -> bool:
        """What the monitor said since; whether it refused a block."""
        refused = False
        for decision in [] if self._watch is None else self._watch.take():
            assert self._watch is not None
            self._light.judged(decision.verdict, self._watch.quarantine)
            for text in decision_lines(decision):
                self._say("monitor", text, **decision_record(decision))
            if decision.refusal is not None:
                refused = True
                self._last_reason = decision.refusal
        return refused

    def _on_keyless(self, session: Session, reason: str) -> None:
        """After a few blocks without key in a row, try less and less often: each costs pad that none repays."""
        self._keyless += 1
        self._last_reason = reason
        if self._settings.blocks is not None or self._keyless < _KEYLESS_BLOCKS:
            return
        self._progress = False
        if self._settings.role is Role.BOB:
            session.close(f"{self._keyless} blocks in a row gave no key: waiting before the next")

    def _more(self) -> bool:
        wanted = self._settings.blocks
        return not self._stopping.is_set() and (wanted is None or self._ended + self._under_way < wanted)

    # ---------------------------------------------------------------- the pad

    def _check_pad(self) -> None:
        if self._store.status().below_reserve and not self._low_pad:
            self._low_pad = True
            self._stopping.set()
            self._say("pad-low", self._low_pad_text())

    def _low_pad_text(self) -> str:
        status = self._store.status()
        left = ", ".join(f"{words} words for {role}" for role, words in status.words_left.items())
        why = (
            "too few blocks gave key to repay it"
            if self._ended or status.blocks
            else "hellos used it up and no block was ever begun (compare pair ids and LINK.toml of both ends)"
        )
        return (
            f"link {status.link.link_id}: {left} left in the pad, reserve {status.link.reserve}: stopped, because "
            f"{why}; find out why, then pair the link again"
        )
