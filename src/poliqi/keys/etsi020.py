"""ETSI GS QKD 020 v1.1.1, keys between two key management systems of one protected site: a core without IO.

Both sides in one: what neighbours bring (`receive`) and what is sent to them (`send`). What must be done outside
comes out of `take_output`; `docs/reference/etsi020.md` has the choices where the standard leaves one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from msgspec import UNSET

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, SaeId
from poliqi.base.secret import Entropy
from poliqi.keys.etsi020_messages import (
    ACK_PATH,
    KEYS_PATH,
    VERSIONS_PATH,
    VOID_PATH,
    AckStatus,
    HttpAnswer,
    Problem,
    encode,
    problem,
    read_acks,
    read_keys,
    read_void,
    versions,
)
from poliqi.keys.etsi020_post import Neighbour, Neighbours, Post, PostOffice
from poliqi.keys.etsi020_receive import Batch, BatchState, Receiving
from poliqi.keys.etsi020_send import Extensions, Sending
from poliqi.keys.etsi020_void import VoidRequest
from poliqi.keys.requests import Accepted, Outcome, Reason, Refused, Shipment

__all__ = ["TICK_S", "Action", "Answer", "Interop", "InteropSettings", "Settled", "Ship", "VoidKeys"]

TICK_S: Final = 0.1
"""Deadlines are kept to this."""


@dataclass(frozen=True, slots=True)
class InteropSettings:
    """Seconds: a synchronous answer, an acknowledgement of what we sent, the last try to post something."""

    answer_s: float = 30.0
    ack_s: float = 60.0
    post_s: float = 900.0
    posts: int = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer request number `call`."""

    call: int
    answer: HttpAnswer


@dataclass(frozen=True, slots=True)
class Ship:
    """Carry keys to the sites of their targets, then tell `shipped(job, outcome)`."""

    job: int
    shipment: Shipment


@dataclass(frozen=True, slots=True)
class VoidKeys:
    """Take keys back (None: all of them), then tell `voided(job, outcome)`."""

    job: int
    master: SaeId
    slaves: tuple[SaeId, ...]
    key_ids: tuple[bytes, ...] | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What `send(token, ...)` came to."""

    token: int
    outcome: Outcome


Action = Answer | Ship | VoidKeys | Post | Settled


@dataclass(slots=True)
class _Under:
    """A void of some keys that is under way; `request` None: nobody waits for it."""

    request: VoidRequest | None
    key_ids: tuple[bytes, ...] | None = None
    batches: list[Batch] = field(default_factory=list[Batch])


class Interop:
    """A site's dealings with its neighbours. `now` is monotonic seconds; `tick` about every `TICK_S` while busy."""

    def __init__(
        self,
        site: KmeId,
        neighbours: Iterable[Neighbour],
        callback_url: str,
        entropy: Entropy,
        settings: InteropSettings | None = None,
    ) -> None:
        self._settings: Final = settings or InteropSettings()
        self._neighbours: Final = Neighbours(neighbours)
        self._office: Final = PostOffice(self._settings.post_s, self._settings.posts)
        self._receiving: Final = Receiving(site, self._office, entropy.draw(32), self._settings.answer_s)
        self._sending: Final = Sending(self._office, callback_url, self._settings.ack_s)
        self._ships: Final[dict[int, Batch]] = {}
        self._onward: Final[dict[int, Batch]] = {}
        self._voids: Final[dict[int, _Under]] = {}
        self._held_voids: Final[list[VoidRequest]] = []
        self._output: list[Action] = []
        self._last_job = 0

    @property
    def is_busy(self) -> bool:
        """True where time matters to something here."""
        waits = self._receiving.is_busy or self._sending.is_busy or self._office.is_busy
        return bool(waits or self._held_voids or self._voids)

    @property
    def given_up(self) -> int:
        """Acknowledgements and voids that no neighbour took in time."""
        return self._office.given_up

    def take_output(self) -> list[Action]:
        """What must be done outside, in order; each is handed over once."""
        output, self._output = self._output, []
        answers, self._receiving.answers = self._receiving.answers, []
        posts, self._office.output = self._office.output, []
        settled, self._sending.settled = self._sending.settled, []
        output += [Answer(call, answer) for call, answer in answers]
        for token, outcome in settled:
            if token >= 0:
                output.append(Settled(token, outcome))
        return [*output, *posts]

    def _job(self) -> int:
        self._last_job += 1
        return self._last_job

    # what neighbours ask

    def receive(self, call: int, caller: KmeId | None, method: str, path: str, body: bytes, now: float) -> None:
        """A request of the neighbour that the certificate names; the answer comes as an action."""
        neighbour = self._neighbours.get(caller)
        answer: HttpAnswer | None
        if path not in (VERSIONS_PATH, KEYS_PATH, ACK_PATH, VOID_PATH):
            answer = HttpAnswer(404)
        elif neighbour is None:
            answer = problem(Problem.UNAUTHORIZED, "the client certificate names no registered neighbour")
        elif method != ("GET" if path == VERSIONS_PATH else "POST"):
            answer = HttpAnswer(405)
        elif path == VERSIONS_PATH:
            answer = versions()
        elif path == KEYS_PATH:
            answer = self._keys(call, neighbour, body, now)
        elif path == ACK_PATH:
            answer = self._acks(neighbour, body, now)
        else:
            answer = self._void(call, neighbour, body, now)
        if answer is not None:
            self._output.append(Answer(call, answer))
        self._follow(now)

    def _refusal(self, neighbour: Neighbour, initiator: str, url: object) -> HttpAnswer | None:
        if SaeId(initiator) not in neighbour.sae_ids:
            return problem(Problem.UNAUTHORIZED, "the initiator does not live behind this neighbour")
        if isinstance(url, str) and not neighbour.allows(url):
            return problem(Problem.UNAUTHORIZED, "ack_callback_url is none of this neighbour's")
        return None

    def _keys(self, call: int, neighbour: Neighbour, body: bytes, now: float) -> HttpAnswer | None:
        try:
            message = read_keys(body)
        except ProtocolError as error:
            return problem(Problem.MISSING_PARAMETERS, str(error))
        refusal = self._refusal(neighbour, message.initiator_sae_id, message.ack_callback_url)
        if refusal is not None:
            return refusal
        if isinstance(message.extension_mandatory, dict) and message.extension_mandatory:
            names = ", ".join(sorted(message.extension_mandatory))[:200]
            return problem(Problem.UNSUPPORTED_EXTENSION, f"these are not understood: {names}")
        behind = self._neighbours.behind(SaeId(target) for target in message.target_sae_ids)
        if len(behind) > 1 or neighbour.kme in behind:
            return problem(Problem.KEY_ROUTING_ERROR, "the targets do not live on one way from here")
        onward = next(iter(behind))
        taken = self._receiving.take(call, neighbour, message, onward, now)
        if isinstance(taken, tuple):
            self._carry(*taken, now)
            return None
        return taken

    def _carry(self, batch: Batch, shipment: Shipment, extensions: Extensions, now: float) -> None:
        job = self._job()
        neighbour = self._neighbours.get(batch.onward)
        if neighbour is None:
            self._ships[job] = batch
            self._output.append(Ship(job, shipment))
        else:
            self._onward[-job] = batch
            self._sending.send(-job, neighbour, shipment, extensions, now)

    def shipped(self, job: int, outcome: Outcome, now: float) -> None:
        """The outcome of `Ship`."""
        self._carried(self._ships.pop(job), outcome, now)
        self._follow(now)

    def _carried(self, batch: Batch, outcome: Outcome, now: float) -> None:
        if not self._receiving.shipped(batch, outcome, now):
            self._take_back(None, batch, batch.key_ids, now)
        for request in list(self._held_voids):
            if not self._under_way(request):
                self._held_voids.remove(request)
                self._begin_void(request, now)

    def _follow(self, now: float) -> None:
        """What neighbours said of keys that were handed on goes back to whoever brought them."""
        for token, outcome in self._sending.settled:
            batch = self._onward.pop(token, None)
            if batch is not None:
                self._carried(batch, outcome, now)

    def _acks(self, neighbour: Neighbour, body: bytes, now: float) -> HttpAnswer:
        try:
            acks = read_acks(body)
        except ProtocolError as error:
            return problem(Problem.ACK_NOT_UNDERSTOOD, str(error))
        known = [self._sending.heard(neighbour, ack, now) for ack in acks]
        if acks and not any(known):
            return problem(Problem.KEY_NOT_PRESENT, "none of these keys was sent to this neighbour")
        return HttpAnswer(200)

    # taking keys back

    def _void(self, call: int, neighbour: Neighbour, body: bytes, now: float) -> HttpAnswer | None:
        try:
            message = read_void(body)
        except ProtocolError as error:
            return problem(Problem.VOID_NOT_UNDERSTOOD, str(error))
        refusal = self._refusal(neighbour, message.initiator_sae_id, message.ack_callback_url)
        if refusal is not None:
            return refusal
        if not message.key_ids and message.all_confirmation is not True:
            return problem(Problem.NO_KEY_IDS, "name keys, or say all_confirmation")
        if self._receiving.is_full:
            return problem(Problem.GENERAL_ERROR, "too much is under way; try again later")
        initiator = SaeId(message.initiator_sae_id)
        targets = tuple(SaeId(target) for target in message.target_sae_ids)
        key_ids = tuple(dict.fromkeys(key_id.bytes for key_id in message.key_ids))
        batch_of = self._receiving.batch_of
        known = frozenset(k for k in key_ids if batch_of(neighbour.kme, initiator, k) is not None)
        url = message.ack_callback_url if message.ack_callback_url is not UNSET else None
        waits = call if url is None else None
        request = VoidRequest(neighbour, initiator, targets, key_ids or None, known, waits, url)
        if self._under_way(request):
            self._held_voids.append(request)
        else:
            self._begin_void(request, now)
        return HttpAnswer(202) if url is not None else None

    def _batches(self, request: VoidRequest) -> list[Batch]:
        name, initiator = request.neighbour.kme, request.initiator
        if request.key_ids is None:
            return self._receiving.batches_for(name, initiator, frozenset(request.targets))
        found = (self._receiving.batch_of(name, initiator, key_id) for key_id in request.key_ids)
        return list({id(batch): batch for batch in found if batch is not None}.values())

    def _under_way(self, request: VoidRequest) -> bool:
        return any(batch.state is BatchState.UNDER_WAY for batch in self._batches(request))

    def _begin_void(self, request: VoidRequest, now: float) -> None:
        """Have the keys taken back where they are: at the desk, and at neighbours that they were handed to."""
        batches = self._batches(request)
        onward = [batch for batch in batches if batch.onward is not None]
        handed_on = {key_id for batch in onward for key_id in batch.key_ids}
        if request.key_ids is None:
            for batch in onward:
                self._take_back(None, batch, batch.key_ids, now)
            self._void_here(request, None, batches)
            return
        for batch in onward:
            ids = tuple(k for k in request.key_ids if k in batch.key_ids)
            self._take_back(request, batch, ids, now)
        here = tuple(key_id for key_id in request.key_ids if key_id not in handed_on)
        for key_id in here:
            batch = self._receiving.batch_of(request.neighbour.kme, request.initiator, key_id)
            if batch is None:
                self._receiving.bury(key_id, now)
            elif key_id in batch.voided:
                request.results[key_id] = AckStatus.VOIDED
        left = tuple(key_id for key_id in here if key_id not in request.results)
        if left:
            self._void_here(request, left, batches)
        elif not request.waiting:
            self._answer_void(request, now)

    def _void_here(self, request: VoidRequest, key_ids: tuple[bytes, ...] | None, batches: list[Batch]) -> None:
        job = self._job()
        request.waiting += 1
        self._voids[job] = _Under(request, key_ids, batches)
        self._output.append(VoidKeys(job, request.initiator, request.targets, key_ids))

    def _take_back(self, request: VoidRequest | None, batch: Batch, key_ids: tuple[bytes, ...], now: float) -> None:
        """Void keys that were carried on already; at a neighbour the whole batch goes."""
        batch.voided.update(key_ids)
        if batch.onward is None:
            job = self._job()
            self._voids[job] = _Under(None, key_ids)
            self._output.append(VoidKeys(job, batch.initiator, batch.targets, key_ids))
            return
        for sent in self._sending.sent_with(key_ids, batch.onward):
            self._sending.void(sent, now)
        if request is not None:
            request.results.update(dict.fromkeys(key_ids, AckStatus.FAILED_TO_VOID))

    def voided(self, job: int, outcome: Outcome, now: float) -> None:
        """The outcome of `VoidKeys`."""
        under = self._voids.pop(job)
        request = under.request
        if request is None:
            return
        request.waiting -= 1
        if isinstance(outcome, Accepted):
            for batch in under.batches:
                gone = under.key_ids or batch.key_ids
                batch.voided.update(k for k in gone if k in batch.key_ids)
        for key_id in request.answered(under.key_ids or (), outcome):
            self._void_here(request, (key_id,), under.batches)
        if not request.waiting:
            if request.key_ids is None and isinstance(outcome, Refused) and outcome.reason is not Reason.NOT_FOUND:
                self._end_void(request, problem(Problem.GENERAL_ERROR, outcome.message), now)
            else:
                self._answer_void(request, now)

    def _answer_void(self, request: VoidRequest, now: float) -> None:
        self._end_void(request, HttpAnswer(200, encode(request.acks())), now)

    def _end_void(self, request: VoidRequest, answer: HttpAnswer, now: float) -> None:
        if request.call is not None:
            self._output.append(Answer(request.call, answer))
        elif request.url is not None and answer.status == 200:
            self._office.mail(request.neighbour.kme, request.url, answer.body, now)

    # what we send

    def send(
        self, token: int, neighbour: KmeId, shipment: Shipment, now: float, extensions: Extensions | None = None
    ) -> None:
        """Send keys to a neighbour; `token` (not negative) comes back in `Settled`, Accepted once relayed."""
        known = self._neighbours.get(neighbour)
        if known is None or not frozenset(shipment.slaves) <= known.sae_ids:
            refused = Refused(Reason.NO_ROUTE, f"{neighbour} is no neighbour behind which the targets live")
            self._output.append(Settled(token, refused))
            return
        self._sending.send(token, known, shipment, extensions or Extensions(), now)

    def abandon(self, token: int, now: float) -> None:
        """Nobody waits for these keys any more: they will not be released, and have to go."""
        self._sending.abandon(token, now)

    def posted(self, job: int, status: int | None, body: bytes, now: float) -> None:
        """What came back for a `Post`; `status` None: nothing."""
        if not self._office.posted(job, status, now):
            self._sending.posted(job, status, body, now)
        self._follow(now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        self._receiving.tick(now)
        self._sending.tick(now)
        self._office.tick(now)
        self._follow(now)
